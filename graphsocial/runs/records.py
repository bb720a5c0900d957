"""Writes the rows of a run: its start and end, predictions, metrics and openings of the test set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from graphsocial.errors import StoreError
from graphsocial.runs import weights
from graphsocial.runs.predictions import Predictions
from graphsocial.runs.provenance import git_revision, host, peak_memory_mib, versions
from graphsocial.store import GraphStore
from graphsocial.store.temporary import registered

TABLES = ("explanations", "metrics", "predictions", "run_epochs", "run_edges", "audits", "weights", "runs")
"""The tables with rows of a run that another training of the same run replaces; `test_openings` is a log and stays."""


@dataclass(frozen=True)
class RunRecord:
    """The row of a run at the start of its training.

    Attributes:
        run_id: `<model>-<hash>`.
        task, model, dataset: registered names of the task and the model, and the dataset's name.
        seed: random seed of the training.
        config: the configuration as JSON.
        config_id: hash of the configuration without seed and split; one row of the leaderboard.
        split_id: id of the split's assignment of examples to train, validation and test.
        split: the split policy as text.
        data_hash: hash of the dataset's rows.
        feature_sets: column → ids of the feature sets used of it, joined by `+`.
        notes: qualifications of the scores for the leaderboard, such as `transductive`.
        started_at: time in UTC; now by default.
    """

    run_id: str
    task: str
    model: str
    dataset: str
    seed: int
    config: Mapping[str, Any]
    config_id: str
    split_id: str
    split: str
    data_hash: str
    feature_sets: Mapping[str, str]
    notes: Sequence[str]
    started_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


@dataclass(frozen=True)
class EdgeUse:
    """What a run uses of an edge type of its dataset.

    Attributes:
        edge_type: the type's name, such as `user views image`.
        edges: number of its edges; those visible `as_of` the run's time, where messages pass along it.
        first_batch: number of edges that the first batch may use, in the order of time where examples have times; None
            where the type is left out.
        last_batch: the same of the last batch.
        left_out: why no messages pass along it; None where they do.
    """

    edge_type: str
    edges: int
    first_batch: int | None = None
    last_batch: int | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The result of a training.

    Attributes:
        predictions: predictions of the validation examples, of those without a role, and of the test examples if the
            test set was opened.
        weights: the weights to predict with.
        epochs: per epoch: number, training loss, name of the validation metric, its value, learning rate, seconds.
        best_epoch: number of the epoch of the weights, from 1; 0 for models without epochs.
        parameters: number of the network's parameters.
        wall_seconds: seconds of the training, with reading data and predicting.
        tested: whether the test examples were predicted.
    """

    predictions: Predictions
    weights: weights.Weights
    epochs: Sequence[Sequence[Any]]
    edges: Sequence[EdgeUse]
    best_epoch: int
    parameters: int
    wall_seconds: float
    tested: bool


def start(store: GraphStore, record: RunRecord) -> None:
    """Write the run's row as `running`; rows of a run that is done stay until `finish` replaces them."""
    with store.transaction():
        if store.first("select 1 from runs where run_id = ? and status = 'done'", [record.run_id]) is None:
            _insert(store, record)


def stop(store: GraphStore, run_id: str, status: Literal["failed", "pruned"]) -> None:
    """Set the status of a running run to `failed` or `pruned`.

    Args:
        store: the store, open for writing.
        run_id: the run's id.
        status: the new status.
    """
    store.connection.execute(
        "update runs set status = ? where run_id = ? and status = 'running'", [status, run_id]
    ).fetchall()


def finish(store: GraphStore, record: RunRecord, outcome: Outcome) -> None:
    """Write the result of a training in one transaction, replacing an earlier training of the run.

    Args:
        store: the store, open for writing.
        record: the record that `start` wrote.
        outcome: the training's weights, predictions and epochs.
    """
    run_id = record.run_id
    with store.transaction():
        _insert(store, record)
        checkpoint_hash = weights.save(store, run_id, outcome.weights)
        save_predictions(
            store,
            run_id,
            task=record.task,
            dataset=record.dataset,
            predictions=outcome.predictions,
            as_of=record.config["as_of"],
        )
        tested = ("test",) if outcome.tested else ()
        save_metrics(store, run_id, outcome.predictions, splits=("validation", *tested))
        if outcome.tested:
            log_opening(store, run_id, "train")
        if outcome.epochs:
            store.connection.executemany(
                "insert into run_epochs values (?, ?, ?, ?, ?, ?, ?)", [[run_id, *epoch] for epoch in outcome.epochs]
            )
        if outcome.edges:
            store.connection.executemany(
                "insert into run_edges values (?, ?, ?, ?, ?, ?)",
                [[run_id, *asdict(use).values()] for use in outcome.edges],
            )
        store.connection.execute(
            "update runs set status = 'done', finished_at = now(), checkpoint_hash = ?, parameters = ?, epochs = ?, "
            "best_epoch = ?, wall_seconds = ?, peak_memory_mib = ? where run_id = ?",
            [
                checkpoint_hash,
                outcome.parameters,
                len(outcome.epochs),
                outcome.best_epoch,
                outcome.wall_seconds,
                peak_memory_mib(),
                run_id,
            ],
        )


def _insert(store: GraphStore, record: RunRecord) -> None:
    for table in TABLES:
        store.connection.execute(f"delete from {table} where run_id = ?", [record.run_id])
    store.connection.execute(
        "insert into runs (run_id, task, model, dataset, seed, status, config, config_id, split_id, split, "
        "data_hash, feature_sets, versions, git_revision, host, notes, started_at) "
        "values (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            record.run_id,
            record.task,
            record.model,
            record.dataset,
            record.seed,
            json.dumps(record.config),
            record.config_id,
            record.split_id,
            record.split,
            record.data_hash,
            json.dumps(dict(record.feature_sets)),
            json.dumps(versions()),
            git_revision(),
            host(),
            json.dumps(list(record.notes)),
            record.started_at,
        ],
    )


def save_predictions(
    store: GraphStore, run_id: str, *, task: str, dataset: str, predictions: Predictions, as_of: str | None = None
) -> None:
    """Write rows of `predictions`, replacing the run's earlier rows of the same examples.

    Args:
        store: the store, open for writing.
        run_id: id of a run in the store.
        task: the task's name, written to each row.
        dataset: the dataset's name, written to each row.
        predictions: the predictions.
        as_of: time as of which the data was read, ISO 8601; None for all.
    """
    other = predictions.ids[1] if len(predictions.ids) == 2 else np.full(len(predictions), None)
    shared = {
        "entity_id": pa.array(predictions.ids[0], pa.string()),
        "other_id": pa.array(other, pa.string()),
        "split": pa.array(predictions.splits, pa.string()),
    }
    with store.transaction():
        for part in predictions.targets:
            repeated = {
                name: values.take(np.repeat(np.arange(len(values)), part.rows)) for name, values in shared.items()
            }
            table = pa.table({**repeated, **part.columns()})
            with registered(store.connection, table) as rows:
                store.connection.execute(
                    f"delete from predictions where run_id = ? and target = ? and exists "
                    f"(select 1 from {rows} as added where added.entity_id = predictions.entity_id "
                    "and added.other_id is not distinct from predictions.other_id)",
                    [run_id, part.target.name],
                )
                store.connection.execute(
                    f"insert into predictions by name select ? as run_id, ? as task, ? as target, ? as dataset, "
                    f"? as entity_type, ?::timestamptz as as_of, {', '.join(table.column_names)} from {rows}",
                    [run_id, task, part.target.name, dataset, predictions.entity_type, as_of],
                )


def save_metrics(store: GraphStore, run_id: str, predictions: Predictions, *, splits: Sequence[str]) -> None:
    """Compute and write the metrics on parts of the split, replacing older ones.

    Args:
        store: the store, open for writing.
        run_id: id of a run in the store.
        predictions: predictions with the true labels or values.
        splits: parts of the split: `validation`, `test`.
    """
    with store.transaction():
        for part in predictions.targets:
            for split in splits:
                rows = predictions.splits == split
                values, count = part.metrics(rows)
                values |= part.ranking(rows, predictions.ids[0])
                store.connection.execute(
                    "delete from metrics where run_id = ? and target = ? and split = ?",
                    [run_id, part.target.name, split],
                )
                if values:
                    store.connection.executemany(
                        "insert into metrics values (?, ?, ?, ?, ?, ?)",
                        [[run_id, split, part.target.name, name, value, count] for name, value in values.items()],
                    )


def record_defaults(store: GraphStore, run_id: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Add settings that did not exist when a run was recorded to its configuration, and list them under `defaulted`.

    Args:
        store: the store, open for writing.
        run_id: id of a run in the store.
        settings: part of the configuration → setting → the default that the run takes.
    """
    if not settings:
        return
    (text,) = store.first("select config from runs where run_id = ?", [run_id]) or ("{}",)
    config = json.loads(text)
    config["defaulted"] = list(config.get("defaulted", ()))
    for part, values in settings.items():
        config[part] = {**config.get(part, {}), **values}
        config["defaulted"] += [f"{part}.{name}" for name in values]
    store.connection.execute("update runs set config = ? where run_id = ?", [json.dumps(config), run_id]).fetchall()


def log_opening(store: GraphStore, run_id: str, how: Literal["train", "predict", "evaluate"]) -> None:
    """Log an opening of the test set: a run's predictions were compared with the test labels.

    The view `opened_configurations` counts the logged openings.

    Args:
        store: the store, open for writing.
        run_id: id of a run in the store.
        how: the function that compared them.

    Raises:
        StoreError: the store is open for reading only.
    """
    if store.read_only:
        raise StoreError(
            f"'{store.path}' is open for reading only, and openings of the test set must be logged; open "
            "it for writing."
        )
    with store.transaction():
        store.connection.execute(
            "insert into test_openings (run_id, split_id, how, config_id) "
            "select run_id, split_id, ?, config_id from runs where run_id = ?",
            [how, run_id],
        )
