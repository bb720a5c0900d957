"""Configurations, each with the runs of all its seeds, and their predictions of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial import runs
from graphsocial.comparison import examples
from graphsocial.comparison.examples import Examples
from graphsocial.comparison.outcomes import Outcomes
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.runs import Run
from graphsocial.store import GraphStore

WITHOUT_EDGES = "features_only"
KEY = ("config_id", "task", "dataset", "split", "data_hash")
CLUSTERS = ("source", "destination", "row")


@dataclass(frozen=True)
class Configuration:
    """Runs on the same data that differ in nothing but seed and fold.

    Attributes:
        label: the model's name, with the first characters of the configuration's id where several have that name.
        model, config_id, task, dataset, split: as in `runs`.
        feature_sets: as in `runs`, JSON.
        runs: the finished runs.
    """

    label: str
    model: str
    config_id: str
    task: str
    dataset: str
    split: str
    feature_sets: str
    runs: tuple[Run, ...]

    def seeds(self, split_ids: Sequence[str]) -> dict[int, list[Run]]:
        """Seed → its run on each of these splits; without the seeds that lack one."""
        by_seed: dict[int, dict[str, Run]] = {}
        for run in self.runs:
            by_seed.setdefault(run.seed, {})[run.split_id] = run
        return {
            seed: [by_split[split_id] for split_id in split_ids]
            for seed, by_split in sorted(by_seed.items())
            if set(split_ids) <= set(by_split)
        }


def find(store: GraphStore, names: Sequence[Run | str], *, part: str = "test") -> list[Configuration]:
    """The named configurations in the given order, without repetition.

    Args:
        store: the store of the runs.
        names: runs, run ids or prefixes of them, `latest`, configuration ids, names of models: of a model, the
            configurations with predictions of `part`, where some have any. Trials of `tune` have none of the test role.
            Where one configuration was trained again on changed data, the newest data counts.
        part: `train`, `validation` or `test`.

    Raises:
        UnknownNameError: no run, configuration or model has that name.
        InputError: the configurations differ in task, data set or split.
    """
    if not names:
        raise InputError("Name at least one run, configuration or model.")
    frame = _runs(store, part)
    keys: list[tuple[str, ...]] = []
    for name in names:
        keys += [key for key in _keys(store, frame, name) if key not in keys]
    tasks = sorted({key[1:4] for key in keys})
    if len(tasks) > 1:
        listed = "; ".join(f"{task} on {dataset}, split {split}" for task, dataset, split in tasks)
        raise InputError(
            f"Only runs of one task on one data set and split can be compared; these are of several: {listed}. "
            "Name runs by id."
        )
    return _labelled([_configuration(store, frame, *key) for key in keys])


def without_edges(store: GraphStore, configuration: Configuration, *, part: str = "test") -> Configuration | None:
    """The baseline of the graph lift: the newest configuration with the same features and no edges, or None.

    Args:
        store: the store of the runs.
        configuration: whose features, task, data set and split it has.
        part: split role that it has predictions of.
    """
    frame = _runs(store, part)
    frame = frame.filter(
        pl.col("predicted"),
        pl.col("model") == WITHOUT_EDGES,
        pl.col("task") == configuration.task,
        pl.col("dataset") == configuration.dataset,
        pl.col("split") == configuration.split,
        pl.col("feature_sets") == configuration.feature_sets,
        pl.col("split_id").is_in({run.split_id for run in configuration.runs}),
        pl.col("targets").is_in(
            frame.filter(pl.col("run_id").is_in([run.id for run in configuration.runs]))["targets"]
        ),
    )
    if not frame.height:
        return None
    return _configuration(store, frame, *frame.sort("finished_at").select(KEY).row(-1))


def _runs(store: GraphStore, part: str) -> pl.DataFrame:
    """The finished runs, and whether each has `predicted` that role of its split."""
    frame: pl.DataFrame = store.sql(
        "select run_id, model, config_id, task, dataset, split, data_hash, split_id, finished_at, "
        "feature_sets::varchar as feature_sets, "
        "run_id in (select run_id from predictions where split = ?) as predicted, (select "
        "string_agg(distinct target, ' ' order by target) from metrics where metrics.run_id = runs.run_id) as targets "
        "from runs where status = 'done' order by seed, run_id",
        [part],
    ).pl()
    return frame


def _keys(store: GraphStore, frame: pl.DataFrame, name: Run | str) -> list[tuple[str, ...]]:
    """The `KEY` of each configuration that a name stands for."""
    text = name.id if isinstance(name, Run) else runs.load(store, name).id if name == "latest" else name
    for condition in (
        pl.col("run_id") == text,
        pl.col("model") == text.replace("-", "_"),
        pl.col("config_id").str.starts_with(text) | pl.col("run_id").str.starts_with(text),
    ):
        matches = frame.filter(condition)
        if matches["predicted"].any():
            matches = matches.filter("predicted")
        if matches.height:
            newest = pl.col("data_hash") == pl.col("data_hash").sort_by("finished_at").last().over(KEY[:4])
            return list(matches.filter(newest).select(KEY).unique(maintain_order=True).iter_rows())
    raise UnknownNameError.of(
        "finished run, configuration or model", text, {*frame["model"], *frame["run_id"]}, listing="graphsocial runs"
    )


def _configuration(
    store: GraphStore, frame: pl.DataFrame, config_id: str, task: str, dataset: str, split: str, data_hash: str
) -> Configuration:
    matches = frame.filter(config_id=config_id, task=task, dataset=dataset, split=split, data_hash=data_hash)
    finished = tuple(runs.load(store, run_id) for run_id in matches["run_id"])
    model = str(matches["model"][0])
    return Configuration(model, model, config_id, task, dataset, split, str(matches["feature_sets"][0]), finished)


def _labelled(configurations: list[Configuration]) -> list[Configuration]:
    models = [entry.model for entry in configurations]
    return [
        replace(entry, label=entry.model if models.count(entry.model) == 1 else f"{entry.model} {entry.config_id[:6]}")
        for entry in configurations
    ]


@dataclass(frozen=True)
class Panel:
    """Configurations and their outcomes on the rows that all of them predicted.

    Attributes:
        configurations: the configurations, labelled.
        examples: the rows.
        seeds: label → the seeds that have runs on all splits.
        outcomes: label → the outcomes of each seed.
        left_out: number of rows that not all configurations predicted.
    """

    configurations: tuple[Configuration, ...]
    examples: Examples
    seeds: dict[str, list[int]]
    outcomes: dict[str, list[Outcomes]]
    left_out: int

    @classmethod
    def read(cls, store: GraphStore, configurations: Sequence[Configuration], target: str | None, split: str) -> Panel:
        """The outcomes on one role of the splits that all configurations were trained on.

        Args:
            store: the store of the runs.
            configurations: the configurations to compare.
            target: name of the target, or None for the only one.
            split: `train`, `validation` or `test`.

        Raises:
            DataError: they have no split, or no labelled row, in common.
        """
        configurations = _labelled(list(configurations))
        split_ids = sorted(set.intersection(*({run.split_id for run in entry.runs} for entry in configurations)))
        seeds = {entry.label: entry.seeds(split_ids) for entry in configurations}
        for label, by_seed in seeds.items():
            if not split_ids or not by_seed:
                raise DataError(
                    f"'{label}' was not trained on the same pairs as the others: the data or the folds differ. "
                    "Train it again with the same split."
                )
        run_groups = [group for by_seed in seeds.values() for group in by_seed.values()]
        target = examples.one_target(store, [run for group in run_groups for run in group], target)
        shared, by_group, left_out = examples.read(store, run_groups, target, split)
        remaining = iter(by_group)
        return cls(
            tuple(configurations),
            shared,
            {label: list(by_seed) for label, by_seed in seeds.items()},
            {label: [next(remaining) for _ in by_seed] for label, by_seed in seeds.items()},
            left_out,
        )

    def cluster_type(self, by: str) -> str:
        """The node type whose rows are one cluster, or `row` where each row is one."""
        if by not in CLUSTERS:
            raise InputError(f"The bootstrap resamples by {', '.join(CLUSTERS)}, not by '{by}'.")
        return "row" if by == "row" or len(self.examples.ends) < 2 else self.examples.ends[CLUSTERS.index(by)]

    def clusters(self, by: str) -> NDArray[np.int64]:
        """(N,) the cluster of each row: all rows of a `source`, of a `destination`, or each `row`."""
        if self.cluster_type(by) == "row":
            return np.arange(len(self.examples))
        ids = self.examples.ids[CLUSTERS.index(by)]
        return ids.rank("dense").to_numpy().astype(np.int64) - 1
