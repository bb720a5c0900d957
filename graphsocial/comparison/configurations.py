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
from graphsocial.store.sql import quote

WITHOUT_EDGES = "features_only"
KEY = ("config_id", "task", "dataset", "split", "data_hash")
CLUSTERS = ("source", "destination", "both")


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
            frame.filter(pl.col("run_id").is_in([run.id for run in configuration.runs]))["targets"].to_list()
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
        "run_id in (select run_id from predictions where split = ?) as predicted, coalesce("
        "(select string_agg(distinct target, ' ' order by target) from metrics as m where m.run_id = runs.run_id), '') "
        "as targets "
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

    def clusters(self, store: GraphStore, by: str) -> dict[str, NDArray[np.int64]]:
        """The ways in which rows depend on each other: name of the unit → (N,) the cluster of each row.

        Args:
            store: the store of the nodes.
            by: `both` ends of pairs, the `source` or the `destination` alone, or each `row`; for nodes, each `row`, or
                the node type of a neighbor, such as `page`: rows of the same one are one cluster. `auto` is `both` for
                pairs and `row` for nodes.

        Raises:
            InputError: no such unit.
        """
        ends = self.examples.ends
        if by == "auto":
            by = "both" if len(ends) == 2 else "row"
        if by == "row":
            return {"row": np.arange(len(self.examples))}
        if len(ends) == 2 and by in CLUSTERS:
            names = dict(zip(CLUSTERS, ends if len(set(ends)) == 2 else CLUSTERS, strict=False))
            chosen = CLUSTERS[:2] if by == "both" else (by,)
            return {names[end]: _ranks(self.examples.ids[CLUSTERS.index(end)]) for end in chosen}
        if len(ends) == 1 and by not in CLUSTERS:
            return {by: _by_neighbor(store, self.configurations[0].dataset, ends[0], by, self.examples.ids[0])}
        known = [*CLUSTERS, "row"] if len(ends) == 2 else ["row", "the type of a neighbor, such as page"]
        raise InputError(f"The bootstrap resamples by {', '.join(known)}, not by '{by}'.")


def _ranks(values: pl.Series) -> NDArray[np.int64]:
    """(N,) the rank of each value among the distinct ones, from 0."""
    return values.rank("dense").to_numpy().astype(np.int64) - 1


def _by_neighbor(store: GraphStore, dataset: str, node: str, neighbor: str, ids: pl.Series) -> NDArray[np.int64]:
    """(N,) the cluster of each node: its first neighbor of a type; a node without one is a cluster of its own.

    Args:
        store: the store of the nodes.
        dataset: the dataset.
        node: the nodes' type.
        neighbor: the neighbors' type.
        ids: (N,) the nodes' own ids.

    Raises:
        InputError: no edge type joins the two.
    """
    joined = [
        f"select {a} as node, {b} as neighbor from {quote(edge.table)} where {store.span(edge, dataset)}"
        for edge in store.schema.edges
        for a, b, ends in (("src", "dst", (edge.src, edge.dst)), ("dst", "src", (edge.dst, edge.src)))
        if ends == (node, neighbor) and len(store.span(edge, dataset))
    ]
    if not joined:
        types = {end for edge in store.schema.edges if node in (edge.src, edge.dst) for end in (edge.src, edge.dst)}
        raise InputError(
            f"No edges join '{node}' and '{neighbor}', so rows cannot be resampled by it. Use row, or one of: "
            f"{', '.join(sorted(types - {node})) or 'none'}."
        )
    first = store.sql(
        f"select n.id, min(e.neighbor) as neighbor from ({' union all '.join(joined)}) as e "
        f"join {quote(store.schema.node(node).table)} as n on n.idx = e.node group by n.id"
    ).pl()
    found = pl.DataFrame({"id": ids}).join(first, on="id", how="left", maintain_order="left")["neighbor"]
    return _ranks(found.fill_null(-1 - pl.Series(np.arange(len(found)))))
