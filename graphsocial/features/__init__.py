"""Encodes columns as vectors in the store; each distinct content is encoded once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from graphsocial.errors import FeatureError, InputError
from graphsocial.features import vectors
from graphsocial.features.content_index import ContentIndex, indexed
from graphsocial.features.contract import check_declared, check_featurizer
from graphsocial.features.encoders import DEFAULT_ENCODERS as DEFAULT_ENCODERS
from graphsocial.features.encoders import describe as describe
from graphsocial.features.encoders import encoder_for as encoder_for
from graphsocial.features.encoders import named_encoder
from graphsocial.features.encoding import contextual, encode_missing
from graphsocial.features.fitting import Fitted, fit
from graphsocial.features.vectors import WHOLE_ROW
from graphsocial.features.vectors import FeatureRef as FeatureRef
from graphsocial.featurizers.base import Featurizer, FittedFeaturizer, set_id
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.store.temporary import registered
from graphsocial.types import FILES, Column, EdgeType, GraphSchema, NodeType, Progress

ENCODABLE = ("text", *FILES)
"""The kinds of columns that encoders read."""
_ROWS = "set_id = ? and dataset = ? and table_name = ? and column_name = ?"


@dataclass(frozen=True)
class FeatureReport:
    """The result of `featurize` for one column.

    Attributes:
        use: the column and its feature set.
        encoder: name and settings of the encoder.
        rows: rows with a vector.
        encoded: distinct contents that were encoded in this call.
        reused: distinct contents whose vectors were in the store already.
        rejected: rows whose content cannot be encoded; listed in `feature_rejects`.
        empty: rows without content.
    """

    use: FeatureRef
    encoder: str
    rows: int
    encoded: int
    reused: int
    rejected: int
    empty: int

    def to_dict(self) -> dict[str, Any]:
        """The report as a dictionary for JSON."""
        counts = ("rows", "encoded", "reused", "rejected", "empty")
        return {
            "column": str(self.use),
            "encoder": self.encoder,
            "set_id": self.use.set_id,
            "dimension": self.use.dimension,
            "sequences": self.use.sequences,
            **{name: getattr(self, name) for name in counts},
        }


def columns_of(schema: GraphSchema, what: str) -> list[tuple[NodeType | EdgeType, Column]]:
    """The encodable columns that `what` names: a node or edge type (its feature columns), or `type.column`.

    Raises:
        UnknownNameError: nothing has that name.
        InputError: the column holds nothing to encode, or the type has no such column.
    """
    name, _, column = what.partition(".")
    entry = _entry(schema, name)
    encodable = [c for c in entry.columns if c.kind in ENCODABLE]
    if column:
        chosen = [c for c in encodable if c.name == column]
        if not chosen:
            raise InputError(
                f"'{name}' has no text, image, audio or video column '{column}'; "
                f"it has {[c.name for c in encodable] or 'none'}."
            )
        return [(entry, c) for c in chosen]
    chosen = [c for c in encodable if c.role == "feature"]
    if not chosen:
        raise InputError(
            f"'{name}' has no text, image, audio or video column to encode. Name one as '{name}.COLUMN', or encode its "
            "rows with 'metadata'."
        )
    return [(entry, c) for c in chosen]


def _entry(schema: GraphSchema, name: str) -> NodeType | EdgeType:
    return schema.edge(name) if " " in name else schema.node(name)


def featurize(
    store: GraphStore,
    what: str,
    encoder: str | Featurizer | FittedFeaturizer | None = None,
    *,
    settings: Mapping[str, object] | None = None,
    dataset: str | None = None,
    split: str | None = None,
    progress: Progress | None = None,
) -> list[FeatureReport]:
    """Encode a column, all columns of a type that hold content, or (with an encoder of tables) the rows of a type.

    Each batch is committed separately: a killed call loses at most one batch, and the next call continues after it.

    Args:
        store: the store with the columns, open for writing.
        what: `image`, `group.description`, `user views image.comment`, …
        encoder: see `encoder_for`; the kind's default by default.
        settings: of the encoder; see `encoder_for`.
        dataset: the dataset's name; by default the only one in the store.
        split: id of a stored split, for encoders that are fitted on its training rows.
        progress: called with a word, contents done and contents to do.

    Returns:
        One report per column.

    Raises:
        FeatureError: the encoder lacks its weights or packages, or no content could be encoded at all.
        InputError: a fitted encoder has no split, or another encoder has one.
    """
    dataset = store.dataset(dataset)
    named = named_encoder(encoder, settings)
    jobs: list[tuple[NodeType | EdgeType, Column | None]]
    if named is not None and "table" in named.modalities and "." not in what:
        jobs = [(_entry(store.schema, what), None)]
    else:
        jobs = [*columns_of(store.schema, what)]
    made = [encoder_for(encoder, column.kind if column else "table", settings) for _, column in jobs]
    return [
        _featurize(store, entry, column, column_encoder, dataset, split, progress)
        for (entry, column), column_encoder in zip(jobs, made, strict=True)
    ]


def _featurize(
    store: GraphStore,
    entry: NodeType | EdgeType,
    column: Column | None,
    encoder: Featurizer | FittedFeaturizer,
    dataset: str,
    split: str | None,
    progress: Progress | None,
) -> FeatureReport:
    name = describe(encoder)
    encoder.requires.check(name)
    fitted = isinstance(encoder, FittedFeaturizer)
    if fitted and split is None:
        raise InputError(
            f"'{name}' learns from the training rows of a split: name one of those that this lists: "
            "select split_id, task, policy from splits"
        )
    if not fitted and split is not None:
        raise InputError(f"'{name}' learns nothing from the data, so it takes no split.")
    after = None if isinstance(encoder, FittedFeaturizer) else contextual(encoder)
    with indexed(store, entry, column, dataset, progress, after=after) as contents:
        if isinstance(encoder, FittedFeaturizer):
            made = fit(store, contents, entry, encoder, dataset=dataset, split=str(split))
            check_featurizer(made.encoder)
        else:
            made = Fitted(set_id(encoder), None, encoder)
        check_declared(made.encoder)
        use = FeatureRef.made_by(made.encoder, made.set_id, entry, column.name if column else WHOLE_ROW)
        with store.transaction():
            vectors.make_table(store, use)
            settings = {f.name: str(getattr(encoder, f.name)) for f in fields(encoder)}  # type: ignore[arg-type]
            store.connection.execute(
                "insert into feature_sets (set_id, encoder, settings, dimension, sequences, split_id, state) "
                "values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
                [made.set_id, name, json.dumps(settings), use.dimension, use.sequences, split, made.state],
            )
        encoded = encode_missing(store, contents, use, made.encoder, progress)
        _link_rows(store, contents, use, dataset)
    return _report(store, use, name, dataset, encoded)


def _link_rows(store: GraphStore, contents: ContentIndex, use: FeatureRef, dataset: str) -> None:
    """Link the rows to their vectors, and list those that have none as their content cannot be encoded."""
    key = _key(use, dataset)
    ids = f"select idx, {'id' if isinstance(use.entry, NodeType) else 'null'} as id from {quote(use.entry.table)}"
    with store.transaction(), registered(store.connection, contents.unreadable) as unreadable:
        for name in ("feature_rows", "feature_rejects"):
            store.connection.execute(f"delete from {name} where {_ROWS}", key)
        store.connection.execute(
            f"insert into feature_rows select ?, ?, ?, ?, idx, content from {contents.table} where content in "
            f"(select content from {use.table} where set_id = ?) order by idx",
            [*key, use.set_id],
        )
        store.connection.execute(
            "insert into feature_rejects "
            "(set_id, dataset, table_name, column_name, idx, entity_id, content, reason) "
            f"select ?, ?, ?, ?, idx, id, content, reason from (select idx, '' as content, reason from {unreadable} "
            f"union all select idx, content, reason from {contents.table} join unreadable_contents using (content) "
            f"where set_id = ?) join ({ids}) using (idx) order by idx",
            [*key, use.set_id],
        )


def _report(store: GraphStore, use: FeatureRef, encoder: str, dataset: str, encoded: int) -> FeatureReport:
    """Count the rows that have vectors, those that were rejected, and those without content.

    Raises:
        FeatureError: all were rejected.
    """
    key = _key(use, dataset)
    rows, contents = store.first(f"select count(*), count(distinct content) from feature_rows where {_ROWS}", key) or (
        0,
        0,
    )
    rejected, reason = store.first(
        f"select count(*), arg_min(reason, idx) from feature_rejects where {_ROWS}", key
    ) or (0, "")
    if rejected and not rows:
        raise FeatureError(f"None of the {rejected:,} contents of '{use}' can be read; the first: {reason}")
    empty = len(store.span(use.entry, dataset)) - rows - rejected
    return FeatureReport(use, encoder, rows, encoded, contents - encoded, rejected, empty)


def _key(use: FeatureRef, dataset: str) -> list[str]:
    """The values that `_ROWS` compares."""
    return [use.set_id, dataset, use.entry.table, use.column]
