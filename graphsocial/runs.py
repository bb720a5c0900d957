"""What was trained on what, with which numbers: a run is a row in the store and a folder of weights beside it."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from numpy.typing import NDArray

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.metrics import multiclass
from graphsocial.store import GraphStore

PACKAGES = ("graphsocial", "torch", "dgl", "duckdb", "numpy", "scikit-learn", "transformers", "sentence-transformers")


@dataclass(frozen=True)
class Run:
    """One training, by its id; the same configuration on the same data is the same run.

    Attributes:
        id: `<model>-<hash of configuration, seed, data, split, features>`.
        task, model, dataset: names.
        seed: of the training.
        status: `running` until its predictions are in the store, then `done`.
        config: everything that was set, as JSON.
        split_id: the split it was trained on.
        metrics: split → metric → value.
    """

    id: str
    task: str
    model: str
    dataset: str
    seed: int
    status: str
    config: dict[str, Any]
    split_id: str
    metrics: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.__dict__}


def digest(value: Any) -> str:
    """Sixteen hex characters of a JSON value."""
    return blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def folder(store: GraphStore, run_id: str) -> Path:
    """Where a run's weights lie: `social.duckdb` → `social.runs/<run_id>`."""
    return store.path.with_suffix(".runs") / run_id


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def git_revision() -> str | None:
    """The revision of the git checkout that graphsocial runs from; None for an installed package."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def peak_memory_mib() -> float:
    """The most memory this process has held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def start(
    store: GraphStore,
    *,
    run_id: str,
    task: str,
    model: str,
    dataset: str,
    seed: int,
    config: Mapping[str, Any],
    split_id: str,
    split: str,
    data_hash: str,
    feature_sets: Mapping[str, str],
    notes: Sequence[str],
) -> None:
    """Write the run's row, or open it again."""
    without_split = {key: value for key, value in config.items() if key != "split"}
    with store.transaction():
        for table in ("metrics", "predictions", "run_epochs", "runs"):
            store.connection.execute(f"delete from {table} where run_id = ?", [run_id])
        store.connection.execute(
            "insert into runs (run_id, task, model, dataset, seed, status, config, config_id, split_id, split, "
            "data_hash, feature_sets, versions, git_revision, host, notes) "
            "values (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                run_id,
                task,
                model,
                dataset,
                seed,
                json.dumps(config),
                digest(without_split),
                split_id,
                split,
                data_hash,
                json.dumps(dict(feature_sets)),
                json.dumps(versions()),
                git_revision(),
                f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
                json.dumps(list(notes)),
            ],
        )


@dataclass(frozen=True)
class Answers:
    """Predictions of one task's pairs, ready to be written.

    Attributes:
        entity_type: `user views image`.
        entity_ids, other_ids: (N,) the source's ids.
        probabilities: (N, K), rows sum to 1.
        classes: K names.
        splits: (N,) `train`, `validation`, `test` or None for pairs that are not labelled.
        codes: (N,) true classes, -1 where unknown.
    """

    entity_type: str
    entity_ids: NDArray[np.object_]
    other_ids: NDArray[np.object_]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]
    splits: NDArray[np.object_]
    codes: NDArray[np.int64]

    def metrics(self, split: str) -> tuple[dict[str, float], int]:
        """The scores on one role's rows, and their number."""
        rows = np.flatnonzero((self.splits == split) & (self.codes >= 0))
        return multiclass(self.probabilities[rows], self.codes[rows]), len(rows)


def save_predictions(
    store: GraphStore, run_id: str, *, task: str, target: str, dataset: str, answers: Answers, as_of: str | None = None
) -> None:
    """Write answers as rows of `predictions`, in place of what the run said of these pairs before."""
    names = np.asarray(answers.classes, dtype=object)
    chosen = answers.probabilities.argmax(axis=1)
    count, classes = answers.probabilities.shape
    truth = np.where(answers.codes >= 0, names[answers.codes.clip(0)], None)
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * classes)
    keys = pa.DictionaryArray.from_arrays(
        pa.array(np.tile(np.arange(classes, dtype=np.int8), count)), pa.array(list(answers.classes))
    ).cast(pa.string())
    table = pa.table(
        {
            "entity_id": pa.array(answers.entity_ids, pa.string()),
            "other_id": pa.array(answers.other_ids, pa.string()),
            "label": pa.array(names[chosen], pa.string()),
            "confidence": pa.array(answers.probabilities.max(axis=1).astype(np.float32)),
            "probabilities": pa.MapArray.from_arrays(
                offsets, keys, pa.array(answers.probabilities.reshape(-1).astype(np.float32))
            ),
            "split": pa.array(answers.splits, pa.string()),
            "true_label": pa.array(truth, pa.string()),
        }
    )
    with store.transaction():
        store.connection.register("answers", table)
        store.connection.execute(
            "delete from predictions where run_id = ? and target = ? and (entity_id, other_id) in "
            "(select (entity_id, other_id) from answers)",
            [run_id, target],
        )
        store.connection.execute(
            "insert into predictions (run_id, task, target, dataset, entity_type, entity_id, other_id, label, "
            "confidence, probabilities, split, true_label, as_of) "
            "select ?, ?, ?, ?, ?, entity_id, other_id, label, confidence, probabilities, split, true_label, "
            "?::timestamptz from answers",
            [run_id, task, target, dataset, answers.entity_type, as_of],
        )
        store.connection.unregister("answers")


def save_metrics(
    store: GraphStore, run_id: str, target: str, split: str, values: Mapping[str, float], rows: int
) -> None:
    """Write the scores of one role, in place of older ones."""
    with store.transaction():
        store.connection.execute(
            "delete from metrics where run_id = ? and target = ? and split = ?", [run_id, target, split]
        )
        store.connection.executemany(
            "insert into metrics values (?, ?, ?, ?, ?, ?)",
            [[run_id, split, target, metric, value, rows] for metric, value in values.items()],
        )


def load(store: GraphStore, run_id: str) -> Run:
    """A run by its id, or by the start of it if no other begins so; `latest` is the newest one.

    Raises:
        UnknownNameError: there is no such run.
        InputError: several are meant.
    """
    if run_id == "latest":
        rows = store.sql("select run_id from runs where status = 'done' order by finished_at desc limit 1").fetchall()
    else:
        rows = store.sql("select run_id from runs where starts_with(run_id, ?) order by run_id", [run_id]).fetchall()
        exact = [row for row in rows if row[0] == run_id]
        rows = exact or rows
    if len(rows) != 1:
        if rows:
            raise InputError(
                f"Several runs begin with '{run_id}': {', '.join(name for (name,) in rows)}. Write more of it."
            )
        known = [name for (name,) in store.sql("select run_id from runs").fetchall()]
        raise UnknownNameError.of("run", run_id, known)
    (found,) = rows[0]
    row = store.first("select task, model, dataset, seed, status, config, split_id from runs where run_id = ?", [found])
    assert row is not None
    scores: dict[str, dict[str, float]] = {}
    for split, metric, value in store.sql(
        "select split, metric, value from metrics where run_id = ? order by split, metric", [found]
    ).fetchall():
        scores.setdefault(split, {})[metric] = value
    task, model, dataset, seed, status, config, split_id = row
    return Run(found, task, model, dataset, seed, status, json.loads(config), split_id, scores)


def leaderboard(store: GraphStore, *, task: str | None = None, dataset: str | None = None) -> pl.DataFrame:
    """The view `leaderboard_mean`: one row per configuration and split, seeds taken together, best first."""
    found: pl.DataFrame = store.sql(
        "select * from leaderboard_mean where (? is null or task = ?) and (? is null or dataset = ?) "
        "order by task, dataset, split, weighted_f1 desc",
        [task, task, dataset, dataset],
    ).pl()
    return found
