"""A source of your own in one file: the messages of a forum, who wrote them and what they answer.

    graphsocial ingest examples/custom_source.py FOLDER

The folder has a table `messages` (`messages.csv`, `.tsv`, `.parquet`, `.jsonl`) with the columns message_id, author,
text, picture, written, reply_to and votes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graphsocial.extending import (
    Column,
    EdgeType,
    NodeType,
    Plan,
    RawColumn,
    RawTable,
    Rows,
    find_table,
    missing_table,
    require_folder,
)

MEMBER = NodeType("member")
MESSAGE = NodeType(
    "message",
    (
        Column("text", "text"),
        Column("picture", "image"),  # the path of a file, relative to the folder
        Column("written", "timestamp"),
        Column("votes", "integer", "label"),  # a label is no input of models
    ),
    time="written",  # a message exists from this time on
)
WRITES = EdgeType("member", "writes", "message")
ANSWERS = EdgeType("message", "answers", "message")


@dataclass(frozen=True)
class CustomSource:
    """Reads a forum's messages.

    Attributes:
        downvotes: votes may be below 0; else such rows are rejected, with file, line and reason.
    """

    downvotes: bool = False

    def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
        """Say which files there are, what their columns may hold, and which rows they become; reads no rows."""
        root = require_folder(path).resolve()
        files = find_table(root, "messages")
        if not files:
            raise missing_table(root, "messages", "Other layouts need another source, or a mapping of `table`.")
        raw = (
            RawColumn("message_id", required=True),
            RawColumn("author", required=True),
            RawColumn("text"),
            RawColumn("picture", "image"),
            RawColumn("written", "timestamp", required=True),
            RawColumn("reply_to"),
            RawColumn("votes", "integer", minimum=None if self.downvotes else 0),
        )
        messages = RawTable("messages", files, raw, unique=("message_id",))
        rows = (  # keys and columns are SQL over the raw table
            Rows(MESSAGE, "messages", {"id": "message_id"}, {column.name: column.name for column in MESSAGE.columns}),
            Rows(MEMBER, "messages", {"id": "author"}, distinct=True),
            Rows(WRITES, "messages", {"src": "author", "dst": "message_id"}),
            Rows(ANSWERS, "messages", {"src": "message_id", "dst": "reply_to"}, where="reply_to is not null"),
        )
        return Plan((messages,), rows, root, dataset or root.name)
