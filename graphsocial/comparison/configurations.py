"""What is compared: configurations, each with all its seeds, and their answers to the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial import runs
from graphsocial.comparison import outcomes
from graphsocial.comparison.outcomes import Examples, Outcomes
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.runs import Run
from graphsocial.store import GraphStore

WITHOUT_EDGES = "features_only"
KEY = ("config_id", "task", "dataset", "split", "data_hash")
CLUSTERS = ("source", "destination", "row")


@dataclass(frozen=True)
class Configuration:
    """Everything that was set for some runs on the same data, but the seed and the fold.

    Attributes:
        label: the model's name, with the start of the configuration's id where several have that name.
        model, config_id, task, dataset, split: as in `runs`.
        feature_sets: as in `runs`, JSON.
        runs: the finished ones.
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
        found: dict[int, dict[str, Run]] = {}
        for run in self.runs:
            found.setdefault(run.seed, {})[run.split_id] = run
        return {
            seed: [there[one] for one in split_ids]
            for seed, there in sorted(found.items())
            if set(split_ids) <= set(there)
        }


def find(store: GraphStore, names: Sequence[Run | str], *, part: str = "test") -> list[Configuration]:
    """The configurations that are meant, in the order in which they are named; each once.

    Args:
        names: runs, their ids or the start of these, `latest`, configurations' ids, names of models: of a model, those
            that have answered `part`, where some have. Trials of `tune` have not answered the test part. Of runs of one
            configuration on data that has changed in between, the newest data counts.
        part: `train`, `validation` or `test`.

    Raises:
        UnknownNameError: nothing is called so.
        InputError: the configurations answer different questions, or were trained on different data or splits.
    """
    if not names:
        raise InputError("Name at least one run, configuration or model.")
    frame = _runs(store, part)
    chosen: list[tuple[str, ...]] = []
    for name in names:
        chosen += [key for key in _meant(store, frame, name) if key not in chosen]
    questions = sorted({key[1:4] for key in chosen})
    if len(questions) > 1:
        told = "; ".join(f"{task} on {dataset}, split {split}" for task, dataset, split in questions)
        raise InputError(
            f"Only answers to one question can be compared; these are of several: {told}. Name runs by id."
        )
    return _labelled([_configuration(store, frame, *key) for key in chosen])


def without_edges(store: GraphStore, configuration: Configuration, *, part: str = "test") -> Configuration | None:
    """The same features without edges, for the graph lift: the newest such configuration that has answered `part` of
    the same splits.
    """
    frame = _runs(store, part).filter(
        pl.col("answered"),
        pl.col("model") == WITHOUT_EDGES,
        pl.col("task") == configuration.task,
        pl.col("dataset") == configuration.dataset,
        pl.col("split") == configuration.split,
        pl.col("feature_sets") == configuration.feature_sets,
        pl.col("split_id").is_in({run.split_id for run in configuration.runs}),
    )
    if not frame.height:
        return None
    return _configuration(store, frame, *frame.sort("finished_at").select(KEY).row(-1))


def _runs(store: GraphStore, part: str) -> pl.DataFrame:
    """The finished runs, and whether each has `answered` that part of its split."""
    found: pl.DataFrame = store.sql(
        "select run_id, model, config_id, task, dataset, split, data_hash, split_id, finished_at, "
        "feature_sets::varchar as feature_sets, "
        "run_id in (select run_id from predictions where split = ?) as answered "
        "from runs where status = 'done' order by seed, run_id",
        [part],
    ).pl()
    return found


def _meant(store: GraphStore, frame: pl.DataFrame, name: Run | str) -> list[tuple[str, ...]]:
    """The `KEY` of each configuration that a name stands for."""
    text = name.id if isinstance(name, Run) else runs.load(store, name).id if name == "latest" else name
    for mine in (
        pl.col("run_id") == text,
        pl.col("model") == text.replace("-", "_"),
        pl.col("config_id").str.starts_with(text) | pl.col("run_id").str.starts_with(text),
    ):
        found = frame.filter(mine)
        if found["answered"].any():
            found = found.filter("answered")
        if found.height:
            newest = pl.col("data_hash") == pl.col("data_hash").sort_by("finished_at").last().over(KEY[:4])
            return list(found.filter(newest).select(KEY).unique(maintain_order=True).iter_rows())
    raise UnknownNameError.of(
        "finished run, configuration or model", text, {*frame["model"], *frame["run_id"]}, listing="graphsocial runs"
    )


def _configuration(
    store: GraphStore, frame: pl.DataFrame, config_id: str, task: str, dataset: str, split: str, data_hash: str
) -> Configuration:
    mine = frame.filter(config_id=config_id, task=task, dataset=dataset, split=split, data_hash=data_hash)
    trained = tuple(runs.load(store, run_id) for run_id in mine["run_id"])
    model = str(mine["model"][0])
    return Configuration(model, model, config_id, task, dataset, split, str(mine["feature_sets"][0]), trained)


def _labelled(configurations: list[Configuration]) -> list[Configuration]:
    models = [one.model for one in configurations]
    return [
        replace(one, label=one.model if models.count(one.model) == 1 else f"{one.model} {one.config_id[:6]}")
        for one in configurations
    ]


@dataclass(frozen=True)
class Panel:
    """Configurations and their answers to the rows that all of them answered.

    Attributes:
        configurations: in order.
        examples: the rows.
        seeds: label → the seeds that are taken together, one after the other.
        outcomes: label → their answers.
        left_out: how many rows were not answered by all.
    """

    configurations: tuple[Configuration, ...]
    examples: Examples
    seeds: dict[str, list[int]]
    outcomes: dict[str, list[Outcomes]]
    left_out: int

    @classmethod
    def read(cls, store: GraphStore, configurations: Sequence[Configuration], target: str | None, split: str) -> Panel:
        """Their answers to one part of the splits that all of them were trained on.

        Raises:
            DataError: they have no split, or no labelled row, in common.
        """
        configurations = _labelled(list(configurations))
        split_ids = sorted(set.intersection(*({run.split_id for run in one.runs} for one in configurations)))
        seeds = {one.label: one.seeds(split_ids) for one in configurations}
        for label, there in seeds.items():
            if not split_ids or not there:
                raise DataError(
                    f"'{label}' was not trained on the same pairs as the others: the data or the folds differ. "
                    "Train it again with the same split."
                )
        answerers = [found for there in seeds.values() for found in there.values()]
        target = outcomes.one_target(store, [run for found in answerers for run in found], target)
        examples, answers, left_out = outcomes.read(store, answerers, target, split)
        waiting = iter(answers)
        return cls(
            tuple(configurations),
            examples,
            {label: list(there) for label, there in seeds.items()},
            {label: [next(waiting) for _ in there] for label, there in seeds.items()},
            left_out,
        )

    def drawn(self, by: str) -> str:
        """What a cluster is: the node type of that end, or `row` where each row is one."""
        if by not in CLUSTERS:
            raise InputError(f"Rows are drawn by {', '.join(CLUSTERS)}, not by '{by}'.")
        return "row" if by == "row" or len(self.examples.ends) < 2 else self.examples.ends[CLUSTERS.index(by)]

    def clusters(self, by: str) -> NDArray[np.int64]:
        """(N,) which cluster each row belongs to: the rows of a `source`, of a `destination`, or each `row` apart."""
        if self.drawn(by) == "row":
            return np.arange(len(self.examples))
        ids = self.examples.ids[CLUSTERS.index(by)]
        return ids.rank("dense").to_numpy().astype(np.int64) - 1
