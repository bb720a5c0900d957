"""Notes of Xiaohongshu (Little Red Book): image and text, who wrote them for which brand, and how they were shared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from graphsocial.schemas import text
from graphsocial.sources.base import (
    Plan,
    RawTable,
    Rows,
    columns_from_schema,
    find_table,
    missing_table,
    require_folder,
    stored_columns,
)
from graphsocial.types import EdgeType, NodeType


@dataclass(frozen=True)
class Xiaohongshu:
    """Reads a folder in the layout of `schemas/datasets/xiaohongshu.schema.json`: the table `notes` and its covers.

    Leng & Yan, "EIJL: Popularity Prediction of Social Media Advertisements Based on Multimodal Emotional Interaction
    and Joint Learning", Data Intelligence, 2025. The notes of that paper were not published: this layout is ours, and
    was not tested on them. Tables with other columns go in by a mapping of the source `table`.

    Node types `note` (its time is `published_at`), `author` and `brand`; edges `author posts note` and `note promotes
    brand`. Likes, favourites, comments and shares are targets, counted at one moment after the note was published.
    """

    def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
        """The tables among the files under `path`, and the rows that they become; reads no rows.

        Raises:
            MissingFileError: the folder has no table of notes.
        """
        root = require_folder(path).resolve()
        files = find_table(root, "notes")
        if not files:
            raise missing_table(root, "notes", "Other layouts are read by `ingest table MAPPING.yaml`.")
        rule = json.loads(text("datasets", "xiaohongshu.schema.json"))["properties"]["notes"]["items"]
        notes = RawTable("notes", files, columns_from_schema(rule), unique=("note_id",))
        note = NodeType("note", stored_columns(rule, leave_out=("note_id", "author_id")), time="published_at")
        author, brand = NodeType("author"), NodeType("brand")
        posts, promotes = EdgeType("author", "posts", "note"), EdgeType("note", "promotes", "brand")
        has_author, has_brand = "author_id is not null", '"case" is not null'
        rows = (
            Rows(note, "notes", {"id": "note_id"}, {column.name: f'"{column.name}"' for column in note.columns}),
            Rows(author, "notes", {"id": "author_id"}, where=has_author, distinct=True),
            Rows(brand, "notes", {"id": '"case"'}, where=has_brand, distinct=True),
            Rows(posts, "notes", {"src": "author_id", "dst": "note_id"}, where=has_author),
            Rows(promotes, "notes", {"src": "note_id", "dst": '"case"'}, where=has_brand),
        )
        return Plan((notes,), rows, root, dataset or root.name)
