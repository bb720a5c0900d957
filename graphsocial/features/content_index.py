"""What a column holds: each row's content under a hash, so that equal content is encoded once."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from graphsocial._compat.hashing import hash_file
from graphsocial.errors import InputError, MissingFileError
from graphsocial.featurizers._tabular import KINDS
from graphsocial.featurizers.base import ContextualFeaturizer
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.types import FILES, Column, EdgeType, NodeType, Progress

_JUST_NOW = 2_000_000_000
"""Nanoseconds: a file as fresh as that may be written again without a visible change of its time."""


def gather(
    store: GraphStore,
    entry: NodeType | EdgeType,
    column: Column | None,
    dataset: str,
    progress: Progress | None = None,
    *,
    after: ContextualFeaturizer | None = None,
) -> None:
    """Make the temporary tables `contents` (idx, item, content) and `lost` (idx, reason) of one dataset.

    `item` is what an encoder reads: a text, the path of a file, or the columns of a whole row as a struct; `content`
    its hash. `lost` holds the rows whose file cannot be opened.

    Args:
        column: None for whole rows.
        after: an item is then the list of the texts before it in the data's order, and its own text.

    Raises:
        InputError: the type has no plain columns to make rows of, or no such order.
        DataError: the order is none: see `graphsocial.features.sequences.Chains`.
    """
    span = store.span(entry, dataset)
    within = f"from {quote(entry.table)} where idx >= {span.first} and idx < {span.last}"
    store.connection.execute("create or replace temp table lost (idx bigint, reason varchar)")
    if column is not None and column.kind in FILES:
        _files(store, f"select idx, {quote(column.name)} as name {within}", dataset, f"{entry}.{column.name}", progress)
        return
    if column is None:
        items, where = f"select idx, {_struct(entry)} as item {within}", ""
        content = "sha256(to_json(item)::varchar)"
    else:
        items, where = f"select idx, trim({quote(column.name)}) as item {within}", "where item <> ''"
        content = "sha256(item)"
        if after is not None:
            items, where = _in_order(store, f"{items} and item <> ''", entry, dataset, after), ""
            content = "sha256(to_json(item)::varchar)"
    store.connection.execute(
        f"create or replace temp table contents as select idx, item, {content} as content from ({items}) {where}"
    )


def _in_order(
    store: GraphStore, texts: str, entry: NodeType | EdgeType, dataset: str, after: ContextualFeaturizer
) -> str:
    """The same texts as lists, each with those that come before it."""
    import torch

    from graphsocial.features.sequences import Chains

    orders = [edge for edge in store.schema.edges if edge.src == edge.dst == str(entry)]
    chosen = [edge for edge in orders if edge.relation == after.order]
    if not chosen:
        known = ", ".join(edge.relation for edge in orders) or "none"
        raise InputError(f"'{entry}' has no relation '{after.order}' that says which comes next; there are: {known}.")
    nodes, edges = store.span(entry, dataset), store.span(chosen[0], dataset)
    ends = store.sql(
        f"select src, dst from {quote(chosen[0].table)} where idx >= {edges.first} and idx < {edges.last}"
    ).to_arrow_table()
    src, dst = (torch.from_numpy(ends[name].to_numpy() - nodes.first) for name in ("src", "dst"))
    chains = Chains.of(src, dst, len(nodes), what=str(chosen[0]))
    places = pa.table(
        {"idx": np.arange(nodes.first, nodes.last), "chain": chains.chain.numpy(), "place": chains.place.numpy()}
    )
    store.connection.register("placed", places)
    store.connection.execute("create or replace temp table places as select * from placed")
    store.connection.unregister("placed")
    # the texts of one block of places begin with the same one, so that they are read together
    window = f"range between {after.before} + place % {after.before} preceding and current row"
    listed = f"list(item) over (partition by chain order by place {window})"
    return f"select idx, {listed} as item from ({texts}) join places using (idx)"


def plain_columns(entry: NodeType | EdgeType) -> list[Column]:
    """The columns that make a row for encoders of `table`: feature columns of numbers, categories and times."""
    return [column for column in entry.columns if column.role == "feature" and column.kind in KINDS]


def _struct(entry: NodeType | EdgeType) -> str:
    columns = plain_columns(entry)
    if not columns:
        raise InputError(f"'{entry}' has no feature columns of numbers, categories or times to encode.")
    return "{" + ", ".join(f"{literal(column.name)}: {quote(column.name)}" for column in columns) + "}"


def _files(store: GraphStore, rows: str, dataset: str, what: str, progress: Progress | None) -> None:
    """Paths below the dataset's root, and the hashes of the bytes; a file that was not written since is not read."""
    root_row = store.first("select root from datasets where name = ?", [dataset])
    root = root_row[0] if root_row and root_row[0] else ""
    names = [name for (name,) in store.sql(f"select distinct name from ({rows}) where name <> ''").fetchall()]
    paths = [os.path.join(root, name) for name in names]  # noqa: PTH118 - pathlib takes ten times as long
    begun = time.time_ns()
    states = [_state(path) for path in paths]
    known = {
        path: (size, modified, content)
        for path, size, modified, content in store.sql(
            "select path, bytes, modified_ns, content from file_contents"
        ).fetchall()
    }
    changed = [path for path, state in zip(paths, states, strict=True) if known.get(path, ())[:2] != state]
    hashes: dict[str, tuple[str | None, str | None]] = {
        path: (content, None) for path, (_, _, content) in known.items()
    }
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, (path, found) in enumerate(zip(changed, pool.map(_hash, changed), strict=True)):
            hashes[path] = found
            if progress and done % 256 == 0:
                progress(f"reading {what}", done, len(changed))
    table = pa.table(
        {
            "name": pa.array(names, pa.string()),
            "path": pa.array(paths, pa.string()),
            "bytes": pa.array([size for size, _ in states], pa.int64()),
            "modified_ns": pa.array([modified for _, modified in states], pa.int64()),
            "content": pa.array([hashes[path][0] for path in paths], pa.string()),
            "reason": pa.array([hashes[path][1] for path in paths], pa.string()),
        }
    )
    with store.transaction():
        store.connection.register("files", table)
        for name, columns in {
            "contents": "idx, path as item, files.content from files join rows using (name) where reason is null",
            "lost": "idx, reason from files join rows using (name) where reason is not null",
        }.items():
            store.connection.execute(f"create or replace temp table {name} as with rows as ({rows}) select {columns}")
        if changed:
            store.connection.execute(
                "insert or replace into file_contents "
                "select distinct on (path) path, bytes, modified_ns, content from files "
                "where reason is null and modified_ns < ?",
                [begun - _JUST_NOW],
            )
        store.connection.unregister("files")


def _state(path: str) -> tuple[int, int]:
    """Size and time of the last write; of what cannot be opened, -1 and 0."""
    try:
        state = os.stat(path)  # noqa: PTH116 - pathlib takes twice as long
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return -1, 0
    return state.st_size, state.st_mtime_ns


def _hash(path: str) -> tuple[str | None, str | None]:
    """The hash of a file, or why there is none."""
    try:
        return hash_file(path), None
    except MissingFileError as error:
        return None, str(error)
    except ValueError as error:  # a null byte in the name
        return None, f"'{path}' cannot be read: {error}"
