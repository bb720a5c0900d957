"""Featurizers that learn are fitted on the training rows of a split, once for the same rows, and on no others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.features.content_index import ContentIndex
from graphsocial.featurizers.base import Featurizer, FittedFeaturizer, set_id
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.types import EdgeType, NodeType


@dataclass(frozen=True)
class Fitted:
    """An encoder that is ready, as it learns nothing or was fitted.

    Attributes:
        set_id: the key of its feature set; of one that was fitted, made of settings, split and training rows.
        state: what was learnt, as JSON; None for one that learns nothing.
        encoder: what encodes.
    """

    set_id: str
    state: str | None
    encoder: Featurizer


def fit(
    store: GraphStore,
    contents: ContentIndex,
    entry: NodeType | EdgeType,
    featurizer: FittedFeaturizer,
    *,
    dataset: str,
    split: str,
) -> Fitted:
    """Fit a featurizer on the split's training rows, or look up what was learnt from them before.

    Args:
        store: what holds the rows.
        contents: the contents of the column, or of the whole rows.
        entry: the type whose rows they are.
        featurizer: what is fitted.
        dataset: the dataset's name.
        split: the split's id.

    Raises:
        DataError: no training row has content.
        UnknownNameError, InputError: see `training_rows`.
    """
    rows = store.sql(
        f"select content, item from {contents.table} where idx in ({training_rows(store, entry, dataset, split)}) "
        "order by content"
    ).fetchall()
    if not rows:
        raise DataError(f"The split '{split}' has no training row of '{entry}' with content to learn from.")
    seen = blake2b("".join(content for content, _ in rows).encode(), digest_size=16).hexdigest()
    key = blake2b(json.dumps([set_id(featurizer), split, seen]).encode(), digest_size=16).hexdigest()
    stored = store.first("select state from feature_sets where set_id = ?", [key])
    items = [contents.as_read(item) for _, item in rows]
    state: str = stored[0] if stored else json.dumps(featurizer.fit(items))
    return Fitted(key, state, featurizer.fitted(json.loads(state)))


def training_rows(store: GraphStore, entry: NodeType | EdgeType, dataset: str, split: str) -> str:
    """SQL for the idx of one type's training rows in a split: its training examples, or endpoints of training pairs.

    Args:
        store: what holds the split.
        entry: the type whose rows are selected.
        dataset: the dataset's name.
        split: the split's id.

    Raises:
        UnknownNameError: there is no such split.
        InputError: the split is of another dataset, or of examples in which the type has no part.
    """
    row = store.first("select entity, dataset from splits where split_id = ?", [split])
    if row is None:
        raise UnknownNameError.of(
            "split", split, [name for (name,) in store.sql("select split_id from splits").fetchall()]
        )
    entity, split_dataset = row
    if split_dataset != dataset:
        raise InputError(f"The split '{split}' is of the dataset '{split_dataset}', not of '{dataset}'.")
    examples = store.schema.edge(entity) if " " in entity else store.schema.node(entity)
    members = f"from split_members where split_id = {literal(split)} and role = 'train'"
    if entry == examples and isinstance(entry, EdgeType):
        ends = [
            f"(select id from {quote(store.schema.node(name).table)} as n where n.idx = e.{end})"
            for name, end in ((entry.src, "src"), (entry.dst, "dst"))
        ]
        return (
            f"select e.idx from {quote(entry.table)} as e "
            f"where ({', '.join(ends)}) in (select (entity_id, other_id) {members})"
        )
    end_types = [examples.src, examples.dst] if isinstance(examples, EdgeType) else [examples.name]
    columns = [column for name, column in zip(end_types, ("entity_id", "other_id"), strict=False) if name == str(entry)]
    if not columns:
        raise InputError(f"The examples of the split '{split}' are of '{examples}', so no '{entry}' has a role in it.")
    ids = " union ".join(f"select {column} {members}" for column in columns)
    return f"select idx from {quote(entry.table)} where id in ({ids})"
