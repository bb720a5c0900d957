"""Encoders that learn are fitted on the training rows of a split, once for the same rows, and on no others."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.featurizers.base import Featurizer, FittedFeaturizer, set_id
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.types import EdgeType, NodeType


def learn(
    store: GraphStore, entry: NodeType | EdgeType, learner: FittedFeaturizer, dataset: str, split: str
) -> tuple[str, str, Featurizer]:
    """Learn from the split's training rows, or look up what was learnt from them before; after `content_index.gather`.

    Raises:
        DataError: no training row has content.
        UnknownNameError, InputError: see `training_rows`.

    Returns:
        The feature set's key, made of the settings, the split and the training rows; what was learnt, as JSON; and
        what encodes by it.
    """
    rows = store.sql(
        f"select content, item from contents where idx in ({training_rows(store, entry, dataset, split)}) "
        "order by content"
    ).fetchall()
    if not rows:
        raise DataError(f"The split '{split}' has no training row of '{entry}' with content to learn from.")
    seen = blake2b("".join(content for content, _ in rows).encode(), digest_size=16).hexdigest()
    key = blake2b(json.dumps([set_id(learner), split, seen]).encode(), digest_size=16).hexdigest()
    known = store.first("select state from feature_sets where set_id = ?", [key])
    items = [Path(item) if "text" not in learner.modalities and isinstance(item, str) else item for _, item in rows]
    state: str = known[0] if known else json.dumps(learner.fit(items))
    return key, state, learner.fitted(json.loads(state))


def training_rows(store: GraphStore, entry: NodeType | EdgeType, dataset: str, split: str) -> str:
    """SQL of the idx of one type's rows that the split trains on: its training rows, or the ends of its training pairs.

    Raises:
        UnknownNameError: there is no such split.
        InputError: the split is of another dataset, or deals out something else.
    """
    found = store.first("select entity, dataset from splits where split_id = ?", [split])
    if found is None:
        raise UnknownNameError.of(
            "split", split, [name for (name,) in store.sql("select split_id from splits").fetchall()]
        )
    entity, of = found
    if of != dataset:
        raise InputError(f"The split '{split}' is of the dataset '{of}', not of '{dataset}'.")
    asked = store.schema.edge(entity) if " " in entity else store.schema.node(entity)
    members = f"from split_members where split_id = {literal(split)} and role = 'train'"
    if entry == asked and isinstance(entry, EdgeType):
        ends = [
            f"(select id from {quote(store.schema.node(name).table)} as n where n.idx = e.{end})"
            for name, end in ((entry.src, "src"), (entry.dst, "dst"))
        ]
        return (
            f"select e.idx from {quote(entry.table)} as e "
            f"where ({', '.join(ends)}) in (select (entity_id, other_id) {members})"
        )
    names_of = [asked.src, asked.dst] if isinstance(asked, EdgeType) else [asked.name]
    sides = [side for name, side in zip(names_of, ("entity_id", "other_id"), strict=False) if name == str(entry)]
    if not sides:
        raise InputError(f"The split '{split}' deals out '{asked}'; it says nothing of which '{entry}' to train on.")
    ids = " union ".join(f"select {side} {members}" for side in sides)
    return f"select idx from {quote(entry.table)} where id in ({ids})"
