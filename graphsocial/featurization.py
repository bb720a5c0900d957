"""From columns to vectors: each distinct content is encoded once, batch by batch, and never again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from graphsocial.errors import FeatureError, InputError
from graphsocial.featurizers.base import Featurizer, hash_file, set_id
from graphsocial.plugins import configure, names, resolve
from graphsocial.store import GraphStore, quote
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

DEFAULT_ENCODERS = {"text": "sentence", "image": "vision"}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FeatureUse:
    """A column, and the feature set that holds its vectors."""

    entry: NodeType | EdgeType
    column: str
    set_id: str
    dimension: int

    def __str__(self) -> str:
        return f"{self.entry}.{self.column}"


@dataclass(frozen=True)
class FeatureReport:
    """What `featurize` did for one column.

    Attributes:
        use: the column and its feature set.
        encoder: what made the vectors.
        rows: rows that have a vector now.
        encoded: distinct contents that were encoded in this call.
        reused: distinct contents whose vectors were there already.
        rejected: rows whose content cannot be read; listed in `feature_rejects`.
        empty: rows without content.
    """

    use: FeatureUse
    encoder: str
    rows: int
    encoded: int
    reused: int
    rejected: int
    empty: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        counts = ("rows", "encoded", "reused", "rejected", "empty")
        return {
            "column": str(self.use),
            "encoder": self.encoder,
            "set_id": self.use.set_id,
            "dimension": self.use.dimension,
            **{name: getattr(self, name) for name in counts},
        }


def encoder_for(spec: str | Featurizer | None, kind: str) -> Featurizer:
    """The encoder that `spec` names, for a column of `kind` (`text` or `image`).

    `vision`, `vision:resnet50` (featurizer, model), or a model alone (`resnet50`, `path/to/folder`) for the kind's
    default featurizer. None means the default.

    Raises:
        InputError: the encoder reads another kind of content.
        UnknownNameError: no featurizer has that name.
    """
    if spec is not None and not isinstance(spec, str):
        encoder = spec
    else:
        name, _, model = (spec or DEFAULT_ENCODERS[kind]).partition(":")
        if name.replace("-", "_") not in names("featurizer") and not name.endswith(".py"):
            name, model = DEFAULT_ENCODERS[kind], spec or ""
        made: Featurizer = configure(resolve("featurizer", name), {"model": model} if model else {})
        encoder = made
    if encoder.modality != kind:
        raise InputError(f"{type(encoder).__name__} encodes {encoder.modality}, but the column holds {kind}.")
    return encoder


def columns_of(schema: GraphSchema, what: str) -> list[tuple[NodeType | EdgeType, Column]]:
    """The text and image columns that `what` names: a node or edge type (its feature columns), or `type.column`.

    Raises:
        UnknownNameError: nothing has that name.
        InputError: the column holds neither text nor images, or the type has no such column.
    """
    name, _, column = what.partition(".")
    entry = schema.edge(name) if " " in name else schema.node(name)
    encodable = [c for c in entry.columns if c.kind in DEFAULT_ENCODERS]
    if column:
        chosen = [c for c in encodable if c.name == column]
        if not chosen:
            raise InputError(
                f"'{name}' has no text or image column '{column}'; it has {[c.name for c in encodable] or 'none'}."
            )
        return [(entry, c) for c in chosen]
    chosen = [c for c in encodable if c.role == "feature"]
    if not chosen:
        raise InputError(f"'{name}' has no text or image column to encode. Name one as '{name}.COLUMN'.")
    return [(entry, c) for c in chosen]


def featurize(
    store: GraphStore,
    what: str,
    encoder: str | Featurizer | None = None,
    *,
    dataset: str | None = None,
    progress: Progress | None = None,
) -> list[FeatureReport]:
    """Encode a column, or all text and image columns of a type.

    Each batch is committed on its own: a killed call loses at most one batch, and the next one goes on from there.

    Args:
        what: `image`, `group.description`, `user views image.comment`, …
        encoder: see `encoder_for`; the kind's default by default.
        progress: called with a word, contents done and contents to do.

    Returns:
        One report per column.

    Raises:
        FeatureError: the encoder lacks its weights, or no content could be read at all.
    """
    dataset = store.dataset(dataset)
    return [
        _featurize_column(store, entry, column, encoder_for(encoder, column.kind), dataset, progress)
        for entry, column in columns_of(store.schema, what)
    ]


def _featurize_column(
    store: GraphStore,
    entry: NodeType | EdgeType,
    column: Column,
    encoder: Featurizer,
    dataset: str,
    progress: Progress | None,
) -> FeatureReport:
    use = FeatureUse(entry, column.name, set_id(encoder), encoder.dimension)
    name = _describe(encoder)
    with store.transaction():
        store.connection.execute(
            f"create table if not exists vectors_{use.dimension} "
            f"(set_id varchar not null, content varchar not null, vector float[{use.dimension}] not null)"
        )
        settings = {f.name: str(getattr(encoder, f.name)) for f in fields(encoder)}  # type: ignore[arg-type]
        store.connection.execute(
            "insert into feature_sets (set_id, encoder, settings, dimension) values (?, ?, ?, ?) "
            "on conflict do nothing",
            [use.set_id, name, json.dumps(settings), use.dimension],
        )
    contents = (
        _text_contents(store, use, dataset) if column.kind == "text" else _file_contents(store, use, dataset, progress)
    )
    missing = store.sql(
        f"select content, any_value(item) as item from contents where content not in "
        f"(select content from vectors_{use.dimension} where set_id = ?) and content <> '' "
        "group by content order by min(idx)",
        [use.set_id],
    ).fetchall()
    unreadable = _encode_missing(store, use, encoder, missing, progress)
    return _point(store, use, name, dataset, contents, len(missing), unreadable)


def _describe(encoder: Featurizer) -> str:
    """`vision:resnet50`, or the class alone where it has no model."""
    model = getattr(encoder, "model", None)
    name = "".join("_" + c.lower() if c.isupper() else c for c in type(encoder).__name__).lstrip("_")
    return f"{name}:{model}" if model else name


def _text_contents(store: GraphStore, use: FeatureUse, dataset: str) -> dict[int, str]:
    """The temporary table `contents` (idx, item, content): texts, and their hashes."""
    span = store.span(use.entry, dataset)
    store.connection.execute(
        f"create or replace temp table contents as select idx, item, sha256(item) as content from "
        f"(select idx, trim({quote(use.column)}) as item from {quote(use.entry.table)} where idx >= ? and idx < ?) "
        "where item <> ''",
        [span.first, span.last],
    )
    return {}


def _file_contents(store: GraphStore, use: FeatureUse, dataset: str, progress: Progress | None) -> dict[int, str]:
    """The same for files: the item is the path, the content a hash of the bytes. Returns what cannot be opened."""
    span = store.span(use.entry, dataset)
    root_row = store.first("select root from datasets where name = ?", [dataset])
    root = Path(root_row[0]) if root_row and root_row[0] else Path()
    rows = store.sql(
        f"select idx, {quote(use.column)} from {quote(use.entry.table)} "
        f"where idx >= ? and idx < ? and {quote(use.column)} <> '' order by idx",
        [span.first, span.last],
    ).fetchall()
    lost: dict[int, str] = {}
    hashed: list[tuple[int, str, str]] = []
    for done, (idx, name) in enumerate(rows):
        if progress and done % 256 == 0:
            progress(f"reading {use}", done, len(rows))
        path = root / name
        try:
            hashed.append((idx, str(path), hash_file(path)))
        except OSError as error:
            lost[idx] = f"'{path}' cannot be read: {error.strerror or error}"
    table = pa.table(
        {
            "idx": pa.array([row[0] for row in hashed], pa.int64()),
            "item": pa.array([row[1] for row in hashed], pa.string()),
            "content": pa.array([row[2] for row in hashed], pa.string()),
        }
    )
    store.connection.register("hashed", table)
    store.connection.execute("create or replace temp table contents as select * from hashed")
    store.connection.unregister("hashed")
    return lost


def _encode_missing(
    store: GraphStore, use: FeatureUse, encoder: Featurizer, missing: list[tuple[str, str]], progress: Progress | None
) -> dict[str, str]:
    """Encode and commit batch by batch; returns the contents that cannot be encoded, with the reason."""
    unreadable: dict[str, str] = {}
    for start in range(0, len(missing), encoder.batch_size):
        if progress:
            progress(f"encoding {use}", start, len(missing))
        batch = missing[start : start + encoder.batch_size]
        encoded = encoder.encode([Path(item) if encoder.modality == "image" else item for _, item in batch])
        if encoded.vectors.shape != (len(batch), use.dimension):
            raise FeatureError(
                f"{type(encoder).__name__} said it makes {use.dimension} numbers an item, "
                f"but gave {encoded.vectors.shape}."
            )
        unreadable |= {batch[place][0]: reason for place, reason in encoded.rejects.items()}
        good = [place for place in range(len(batch)) if place not in encoded.rejects]
        flat = pa.array(encoded.vectors[good].reshape(-1), pa.float32())
        table = pa.table(
            {
                "content": pa.array([batch[place][0] for place in good], pa.string()),
                "vector": pa.FixedSizeListArray.from_arrays(flat, use.dimension),
            }
        )
        with store.transaction():
            store.connection.register("encoded", table)
            store.connection.execute(
                f"insert into vectors_{use.dimension} select ?, content, vector from encoded", [use.set_id]
            )
            store.connection.unregister("encoded")
    if progress and missing:
        progress(f"encoding {use}", len(missing), len(missing))
    return unreadable


def _point(
    store: GraphStore,
    use: FeatureUse,
    encoder: str,
    dataset: str,
    lost: dict[int, str],
    missing: int,
    unreadable: dict[str, str],
) -> FeatureReport:
    """Point the rows at their vectors, list what was rejected, and count."""
    key = [use.set_id, dataset, use.entry.table, use.column]
    with store.transaction():
        for name in ("feature_rows", "feature_rejects"):
            store.connection.execute(
                f"delete from {name} where set_id = ? and dataset = ? and table_name = ? and column_name = ?", key
            )
        store.connection.execute(
            f"insert into feature_rows select ?, ?, ?, ?, idx, content from contents where content in "
            f"(select content from vectors_{use.dimension} where set_id = ?)",
            [*key, use.set_id],
        )
        reasons = [(idx, "", reason) for idx, reason in lost.items()]
        rows = store.sql("select idx, content from contents").fetchall() if unreadable else []
        reasons += [(idx, content, unreadable[content]) for idx, content in rows if content in unreadable]
        if reasons:
            ids = _ids(store, use.entry, (idx for idx, *_ in reasons))
            store.connection.executemany(
                "insert into feature_rejects "
                "(set_id, dataset, table_name, column_name, idx, entity_id, content, reason) "
                "values (?, ?, ?, ?, ?, ?, ?, ?)",
                [[*key, idx, ids.get(idx), content, reason] for idx, content, reason in reasons],
            )
    pointed = store.first(
        "select count(*), count(distinct content) from feature_rows "
        "where set_id = ? and dataset = ? and table_name = ? and column_name = ?",
        key,
    )
    rows_now, contents_now = pointed if pointed else (0, 0)
    encoded = missing - len(unreadable)
    if reasons and not rows_now:
        raise FeatureError(f"None of the {len(reasons):,} contents of '{use}' can be read; the first: {reasons[0][2]}")
    total = len(store.span(use.entry, dataset))
    return FeatureReport(
        use, encoder, rows_now, encoded, contents_now - encoded, len(reasons), total - rows_now - len(reasons)
    )


def _ids(store: GraphStore, entry: NodeType | EdgeType, idx: Iterable[int]) -> dict[int, str]:
    """The source's ids of nodes; edges have none of their own."""
    if isinstance(entry, EdgeType):
        return {}
    rows = store.sql(
        f"select idx, id from {quote(entry.table)} where idx in (select unnest(?))", [list(idx)]
    ).fetchall()
    return dict(rows)
