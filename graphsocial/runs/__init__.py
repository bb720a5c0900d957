"""What was trained on what, with which numbers: a run is rows of the store, its weights among them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from graphsocial.errors import SHORT, InputError, UnknownNameError
from graphsocial.store import GraphStore


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
