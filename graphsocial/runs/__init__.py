"""Runs in the store: one training each, with its configuration, split and metrics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from graphsocial.errors import SHORT, InputError, UnknownNameError
from graphsocial.store import GraphStore


@dataclass(frozen=True)
class Run:
    """One training; the same configuration on the same data is the same run.

    Attributes:
        id: `<model>-<hash of configuration, seed, data, split, features>`.
        task, model, dataset: registered names of the task and the model, and the dataset's name.
        seed: random seed of the training.
        status: `running` until its predictions are in the store, then `done`; `failed` after an error, `pruned` if a
            search stopped it early.
        config: the complete configuration, as JSON.
        split_id: id of the split it was trained on.
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
        """The fields as a dictionary for JSON."""
        return {**self.__dict__}


def load(store: GraphStore, run_id: str) -> Run:
    """A run by its id or a unique prefix of it; `latest` is the run that finished last.

    Raises:
        UnknownNameError: there is no such run.
        InputError: several ids have that prefix.
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
    (full_id,) = rows[0]
    row = store.first(
        "select task, model, dataset, seed, status, config, split_id from runs where run_id = ?", [full_id]
    )
    assert row is not None
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for split, target, metric, value in store.sql(
        "select split, target, metric, value from metrics where run_id = ? order by split, target, metric", [full_id]
    ).fetchall():
        scores.setdefault(split, {}).setdefault(target, {})[metric] = value
    task, model, dataset, seed, status, config, split_id = row
    return Run(full_id, task, model, dataset, seed, status, json.loads(config), split_id, scores)


def leaderboard(store: GraphStore, *, task: str | None = None, dataset: str | None = None) -> pl.DataFrame:
    """The rows of the view `leaderboard_mean`, best first: configuration, split, target and data, mean over seeds.

    Args:
        store: the open store.
        task: only runs of this task; all by default.
        dataset: only runs on this dataset; all by default.
    """
    leaders: pl.DataFrame = store.sql(
        "select * from leaderboard_mean where (? is null or task = ?) and (? is null or dataset = ?) "
        "order by task, dataset, split, target, weighted_f1 desc, micro_f1 desc, mae",
        [task, task, dataset, dataset],
    ).pl()
    return leaders
