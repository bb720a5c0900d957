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
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from numpy.typing import NDArray

from graphsocial.errors import SHORT, InputError, StoreError, UnknownNameError
from graphsocial.evaluation.metrics import multiclass, regression
from graphsocial.store import GraphStore
from graphsocial.types import Target

PACKAGES = ("graphsocial", "torch", "dgl", "duckdb", "numpy", "scikit-learn", "transformers", "sentence-transformers")


@dataclass(frozen=True)
class Run:
    """One training, by its id; the same configuration on the same data is the same run.

    Attributes:
        id: `<model>-<hash of configuration, seed, data, split, features>`.
        task, model, dataset: names.
        seed: of the training.
        status: `running` until its predictions are in the store, then `done`; `failed` where an error ended it,
            `pruned` where a search gave it up.
        config: everything that was set, as JSON.
        split_id: the split it was trained on.
        metrics: split → target → metric → value.
    """

    id: str
    task: str
    model: str
    dataset: str
    seed: int
    status: str
    config: dict[str, Any]
    split_id: str
    metrics: dict[str, dict[str, dict[str, float]]]

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
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
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
        for table in ("explanations", "metrics", "predictions", "run_epochs", "audits", "runs"):
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


def end(store: GraphStore, run_id: str, status: Literal["failed", "pruned"]) -> None:
    """Say of a run that it will not go on by itself."""
    store.connection.execute("update runs set status = ? where run_id = ?", [status, run_id]).fetchall()


@dataclass(frozen=True)
class TargetPredictions:
    """What is said of N examples about one target, and what is true.

    Attributes:
        target: what it is about.
        said: (N, K) probabilities, rows sum to 1; or (N,) numbers.
        truth: (N,) codes, -1 where unknown; or numbers, NaN where unknown.
        chosen: (N,) the class that is named; None for numbers.
        lower, upper: (N,) bounds of a number's prediction interval, where there are some.
    """

    target: Target
    said: NDArray[np.float64]
    truth: NDArray[np.int64] | NDArray[np.float64]
    chosen: NDArray[np.int64] | None = None
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) where the truth is known."""
        return self.truth >= 0 if self.chosen is not None else ~np.isnan(self.truth)

    def metrics(self, rows: NDArray[np.bool_]) -> tuple[dict[str, float], int]:
        """The scores on those of these rows whose truth is known, and their number; no scores without rows."""
        rows = rows & self.known
        if not rows.any():
            return {}, 0
        if self.chosen is None:
            bounds = None if self.lower is None or self.upper is None else (self.lower[rows], self.upper[rows])
            return regression(self.said[rows], self.truth[rows].astype(np.float64), bounds), int(rows.sum())
        return multiclass(self.said[rows], self.truth[rows].astype(np.int64), self.chosen[rows]), int(rows.sum())

    def columns(self) -> dict[str, pa.Array]:
        """The columns of `predictions` that it fills."""
        if self.chosen is None:
            given = {"value": self.said, "true_value": self.truth, "lower": self.lower, "upper": self.upper}
            return {name: pa.array(part, from_pandas=True) for name, part in given.items() if part is not None}
        names = np.asarray(self.target.classes, dtype=object)
        count, classes = self.said.shape
        keys = pa.DictionaryArray.from_arrays(
            pa.array(np.tile(np.arange(classes, dtype=np.int16), count)), pa.array(list(self.target.classes))
        ).cast(pa.string())
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * classes)
        confidence = self.said[np.arange(count), self.chosen]
        truth = np.where(self.known, names[self.truth.astype(np.int64).clip(0)], None)
        return {
            "label": pa.array(names[self.chosen], pa.string()),
            "confidence": pa.array(confidence.astype(np.float32)),
            "probabilities": pa.MapArray.from_arrays(offsets, keys, pa.array(self.said.reshape(-1).astype(np.float32))),
            "true_label": pa.array(truth, pa.string()),
        }


@dataclass(frozen=True)
class Predictions:
    """Predictions for one task's examples, ready to be written.

    Attributes:
        entity_type: `user views image`, `post`.
        ids: (N,) each, the source's ids of the node, or of the pair's ends.
        splits: (N,) `train`, `validation`, `test` or None for examples that are in no part of the split.
        targets: what is said about each target.
    """

    entity_type: str
    ids: tuple[NDArray[np.object_], ...]
    splits: NDArray[np.object_]
    targets: tuple[TargetPredictions, ...]

    def __len__(self) -> int:
        return len(self.splits)


def save_predictions(
    store: GraphStore, run_id: str, *, task: str, dataset: str, answers: Predictions, as_of: str | None = None
) -> None:
    """Write answers as rows of `predictions`, in place of what the run said of these examples before."""
    other = answers.ids[1] if len(answers.ids) == 2 else np.full(len(answers), None)
    shared = {
        "entity_id": pa.array(answers.ids[0], pa.string()),
        "other_id": pa.array(other, pa.string()),
        "split": pa.array(answers.splits, pa.string()),
    }
    with store.transaction():
        for answer in answers.targets:
            table = pa.table({**shared, **answer.columns()})
            store.connection.register("answers", table)
            store.connection.execute(
                "delete from predictions where run_id = ? and target = ? and exists (select 1 from answers where "
                "answers.entity_id = predictions.entity_id and answers.other_id is not distinct from "
                "predictions.other_id)",
                [run_id, answer.target.name],
            )
            store.connection.execute(
                f"insert into predictions by name select ? as run_id, ? as task, ? as target, ? as dataset, "
                f"? as entity_type, ?::timestamptz as as_of, {', '.join(table.column_names)} from answers",
                [run_id, task, answer.target.name, dataset, answers.entity_type, as_of],
            )
            store.connection.unregister("answers")


def save_metrics(store: GraphStore, run_id: str, answers: Predictions, *, splits: Sequence[str]) -> None:
    """Write the scores of these parts of the split, in place of older ones."""
    with store.transaction():
        for answer in answers.targets:
            for split in splits:
                values, count = answer.metrics(answers.splits == split)
                store.connection.execute(
                    "delete from metrics where run_id = ? and target = ? and split = ?",
                    [run_id, answer.target.name, split],
                )
                if values:
                    store.connection.executemany(
                        "insert into metrics values (?, ?, ?, ?, ?, ?)",
                        [[run_id, split, answer.target.name, name, value, count] for name, value in values.items()],
                    )


def log_opening(store: GraphStore, run_id: str, how: Literal["train", "predict", "evaluate"]) -> None:
    """Write down that a run's answers are compared with its test part; the view `looks` counts by these rows.

    Raises:
        StoreError: the store is open for reading only.
    """
    if store.read_only:
        raise StoreError(
            f"'{store.path}' is open for reading only, and a look at the test part must be logged; open it for writing."
        )
    with store.transaction():
        store.connection.execute(
            "insert into test_openings (run_id, split_id, how, config_id) "
            "select run_id, split_id, ?, config_id from runs where run_id = ?",
            [how, run_id],
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
            some = ", ".join(name for (name,) in rows[:SHORT]) + ", …" * (len(rows) > SHORT)
            raise InputError(f"Several runs begin with '{run_id}': {some}. Write more of it.")
        known = [name for (name,) in store.sql("select run_id from runs order by run_id").fetchall()]
        if run_id == "latest":
            begun = f" Begun: {', '.join(known[:SHORT])}{', …' * (len(known) > SHORT)}." if known else ""
            raise UnknownNameError(f"No run is done yet, so none is the latest; `train` makes one.{begun}")
        raise UnknownNameError.of("run", run_id, known, listing="graphsocial runs")
    (found,) = rows[0]
    row = store.first("select task, model, dataset, seed, status, config, split_id from runs where run_id = ?", [found])
    assert row is not None
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for split, target, metric, value in store.sql(
        "select split, target, metric, value from metrics where run_id = ? order by split, target, metric", [found]
    ).fetchall():
        scores.setdefault(split, {}).setdefault(target, {})[metric] = value
    task, model, dataset, seed, status, config, split_id = row
    return Run(found, task, model, dataset, seed, status, json.loads(config), split_id, scores)


def leaderboard(store: GraphStore, *, task: str | None = None, dataset: str | None = None) -> pl.DataFrame:
    """The view `leaderboard_mean`: by configuration, split, target and data, seeds together, best first."""
    found: pl.DataFrame = store.sql(
        "select * from leaderboard_mean where (? is null or task = ?) and (? is null or dataset = ?) "
        "order by task, dataset, split, target, weighted_f1 desc, mae",
        [task, task, dataset, dataset],
    ).pl()
    return found
