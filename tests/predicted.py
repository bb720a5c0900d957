"""Runs whose predictions are written by hand, so that their scores are known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import polars as pl

import graphsocial as gs

CLASSES = ("awe", "fear", "sadness")
SPLIT = "split-1"
Row = Mapping[str, object]


def write_run(
    store: gs.GraphStore,
    run_id: str,
    rows: Sequence[Row],
    *,
    model: str = "hmg_emo",
    config_id: str = "c0ffee00",
    seed: int = 0,
    split: str = "random",
    split_id: str = SPLIT,
    dataset: str = "small",
    task: str = "edge-emotion",
    entity_type: str = "user views image",
    config: Mapping[str, object] | None = None,
    data_hash: str = "hash",
) -> None:
    """Write a finished run with these rows of `predictions`; `shares` of a row are its class probabilities."""
    store.connection.execute(
        "insert into runs (run_id, task, model, dataset, seed, status, config, config_id, split_id, split, data_hash, "
        "feature_sets, versions, notes, finished_at) "
        "values (?, ?, ?, ?, ?, 'done', ?, ?, ?, ?, ?, '{}', '{}', '[]', now())",
        [run_id, task, model, dataset, seed, json.dumps(config or {}), config_id, split_id, split, data_hash],
    )
    names = ("entity_id", "other_id", "label", "true_label", "value", "true_value", "split", "shares", "target")
    frame = pl.DataFrame([{name: row.get(name) for name in names} for row in rows], infer_schema_length=None)
    store.connection.register("hand_written", frame)
    store.connection.execute(
        "insert into predictions (run_id, task, target, dataset, entity_type, entity_id, other_id, label, value, "
        "confidence, probabilities, split, true_label, true_value) "
        "select ?, ?, coalesce(target, 'emotion'), ?, ?, entity_id, other_id, label, value, list_max(shares), "
        "case when shares is not null then map(?, shares) end, coalesce(split, 'test'), true_label, true_value "
        "from hand_written",
        [run_id, task, dataset, entity_type, list(CLASSES)],
    )
    store.connection.unregister("hand_written")


def answer(user: str, image: str, truth: str, shares: Sequence[float], **others: object) -> Row:
    """A row of `write_run` about a pair, whose label is the most probable class."""
    label = CLASSES[max(range(len(shares)), key=lambda k: shares[k])]
    return {"entity_id": user, "other_id": image, "true_label": truth, "label": label, "shares": list(shares), **others}


def write_training(store: gs.GraphStore, pairs: Sequence[tuple[str, str]], split_id: str = SPLIT) -> None:
    """The training pairs of a split."""
    store.connection.executemany(
        "insert into split_members values (?, ?, ?, 'train')", [[split_id, user, image] for user, image in pairs]
    )
