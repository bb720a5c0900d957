"""The contents of a column under their hashes, so that equal contents are encoded once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from graphsocial.errors import InputError
from graphsocial.features.file_hashes import hash_files
from graphsocial.featurizers._tabular import KINDS
from graphsocial.featurizers.base import ContextualFeaturizer
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.store.temporary import registered, temporary_table
from graphsocial.types import FILES, Column, EdgeType, NodeType, Progress

_UNREADABLE = pa.schema([("idx", pa.int64()), ("reason", pa.string())])


@dataclass(frozen=True)
class ContentIndex:
    """The contents of one column of a type, or of its whole rows, in one dataset.

    Attributes:
        table: a temporary table (idx, item, content) of the rows that have content: `item` is what an encoder reads (a
            text, the path of a file, the columns of a whole row as a struct, or a text after those before it as a
            list), `content` its hash.
        kind: the kind of the column; `table` for whole rows.
        in_context: whether an item is a list: the texts before a text, and the text itself.
        unreadable: (idx, reason) of the rows whose file cannot be opened.
    """

    table: str
    kind: str
    in_context: bool = False
    unreadable: pa.Table = field(default_factory=_UNREADABLE.empty_table)

    def as_read(self, item: Any) -> Any:
        """An item of `table` as encoders take it: files are `Path`s."""
        return Path(item) if self.kind in FILES else item


@contextmanager
def indexed(
    store: GraphStore,
    entry: NodeType | EdgeType,
    column: Column | None,
    dataset: str,
    progress: Progress | None = None,
    *,
    after: ContextualFeaturizer | None = None,
) -> Iterator[ContentIndex]:
    """Hash the contents of a column; the index lives as long as the `with` block.

    Args:
        store: the store with the rows.
        entry: the node or edge type.
        column: None for whole rows.
        dataset: the dataset's name.
        progress: called with a word, files hashed and files to hash.
        after: the encoder that reads each text after those before it in its order; None if texts are read singly.

    Raises:
        InputError: the type has no plain columns to make rows of, or no such order.
        DataError: the order is none: see `graphsocial.features.sequences.Chains`.
    """
    with ExitStack() as tables:
        if column is not None and column.kind in FILES:
            yield _of_files(store, entry, column, dataset, progress, tables)
        elif column is None:
            rows = f"select idx, {_struct(entry)} as item {_rows(store, entry, dataset)}"
            definition = f"as select idx, item, sha256(to_json(item)::varchar) as content from ({rows})"
            yield ContentIndex(tables.enter_context(temporary_table(store.connection, definition)), "table")
        else:
            trimmed = f"select idx, trim({quote(column.name)}) as item {_rows(store, entry, dataset)}"
            texts = f"select idx, item from ({trimmed}) where item <> ''"
            if after is None:
                definition = f"as select idx, item, sha256(item) as content from ({texts})"
                yield ContentIndex(tables.enter_context(temporary_table(store.connection, definition)), column.kind)
            else:
                yield _in_context(store, texts, entry, dataset, after, tables)


def plain_columns(entry: NodeType | EdgeType) -> list[Column]:
    """The columns that make a row for encoders of `table`: feature columns of numbers, categories and times."""
    return [column for column in entry.columns if column.role == "feature" and column.kind in KINDS]


def _rows(store: GraphStore, entry: NodeType | EdgeType, dataset: str) -> str:
    span = store.span(entry, dataset)
    return f"from {quote(entry.table)} where idx >= {span.first} and idx < {span.last}"


def _struct(entry: NodeType | EdgeType) -> str:
    columns = plain_columns(entry)
    if not columns:
        raise InputError(f"'{entry}' has no feature columns of numbers, categories or times to encode.")
    return "{" + ", ".join(f"{literal(column.name)}: {quote(column.name)}" for column in columns) + "}"


def _in_context(
    store: GraphStore,
    texts: str,
    entry: NodeType | EdgeType,
    dataset: str,
    after: ContextualFeaturizer,
    tables: ExitStack,
) -> ContentIndex:
    """The texts as lists, each with those that come before it."""
    import torch

    from graphsocial.features.sequences import Chains

    orders = [edge for edge in store.schema.edges if edge.src == edge.dst == str(entry)]
    chosen = [edge for edge in orders if edge.relation == after.order]
    if not chosen:
        relations = ", ".join(edge.relation for edge in orders) or "none"
        raise InputError(f"'{entry}' has no relation '{after.order}' to the next of its nodes; it has: {relations}.")
    nodes = store.span(entry, dataset)
    ends = store.sql(f"select src, dst {_rows(store, chosen[0], dataset)}").to_arrow_table()
    src, dst = (torch.from_numpy(ends[name].to_numpy() - nodes.first) for name in ("src", "dst"))
    chains = Chains.of(src, dst, len(nodes), what=str(chosen[0]))
    positions = pa.table(
        {"idx": np.arange(nodes.first, nodes.last), "chain": chains.chain.numpy(), "position": chains.position.numpy()}
    )
    with registered(store.connection, positions) as name:
        # the texts of one block of positions begin with the same one, so that they are read together
        window = f"range between {after.before} + position % {after.before} preceding and current row"
        listed = f"list(item) over (partition by chain order by position {window})"
        definition = (
            "as select idx, item, sha256(to_json(item)::varchar) as content from "
            f"(select idx, {listed} as item from ({texts}) join {name} using (idx))"
        )
        table = tables.enter_context(temporary_table(store.connection, definition))
    return ContentIndex(table, "text", in_context=True)


def _of_files(
    store: GraphStore,
    entry: NodeType | EdgeType,
    column: Column,
    dataset: str,
    progress: Progress | None,
    tables: ExitStack,
) -> ContentIndex:
    """The paths of files below the dataset's root, and the hashes of their bytes."""
    rows = f"(select idx, {quote(column.name)} as name {_rows(store, entry, dataset)})"
    row = store.first("select root, settings::varchar from datasets where name = ?", [dataset])
    root, settings = (row[0] or "", json.loads(row[1])) if row else ("", {})
    names = [name for (name,) in store.sql(f"select distinct name from {rows} where name <> ''").fetchall()]
    paths = [os.path.join(root, name) for name in names]  # noqa: PTH118 - pathlib takes ten times as long
    inside = root if root and not settings.get("allow_outside") else None
    hashes = hash_files(store, paths, f"{entry}.{column.name}", progress, root=inside, kind=column.kind)
    files = hashes.append_column("name", pa.array(names, pa.string()))
    with registered(store.connection, files) as name:
        joined = f"from {name} join {rows} using (name) where reason is"
        definition = f"as select idx, path as item, content {joined} null"
        table = tables.enter_context(temporary_table(store.connection, definition))
        unreadable = store.sql(f"select idx, reason {joined} not null").to_arrow_table()
    return ContentIndex(table, column.kind, unreadable=unreadable)
