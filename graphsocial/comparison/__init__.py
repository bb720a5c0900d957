"""Whether one model is better than another, for whom, and how much of it is luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from graphsocial.comparison import breakdowns, calibration, configurations
from graphsocial.comparison.bootstrap import LEVEL, Part, Resamples, Scores, paired_t
from graphsocial.comparison.configurations import Panel
from graphsocial.comparison.outcomes import METRICS, Outcomes, is_classes
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.runs import Run
from graphsocial.store import GraphStore

LEAST_SAMPLES = 100
LEAST_CLUSTERS = 30  # below which the bootstrap is too narrow


@dataclass(frozen=True)
class Comparison:
    """What `compare` found, as tables whose column `model` is the configuration's label.

    Attributes:
        task, dataset, split, part, target: what was asked, and which part of the split was scored.
        rows: how many rows all configurations answered.
        cluster, clusters: what the bootstrap drew (the rows of a node of that type, or each `row`), how many there are.
        samples, level: of the bootstrap.
        metric: the one that the groups have intervals for.
        scores: for each configuration and metric `mean` and `sd` over the runs, `low` and `high` over the rows.
        differences: the first configuration minus each other one: `difference`, `low`, `high` over the rows, and the
            paired t test over seeds. The interval says how much depends on the test rows, the test on the seeds.
        lift: each configuration minus the same features without edges, likewise.
        groups: scores by training degree, new ends and what was asked for; see `breakdowns.by_group`.
        classes: see `breakdowns.by_class`.
        calibration: `temperature` fitted on validation; `log_loss` and `calibration_error` before and `…_scaled` after
            it; `aurc`, the area under the risk–coverage curve. Means over the seeds.
        reliability: see `calibration.reliability`; the seeds' rows together.
        abstention: `risk`, the share of wrong answers among the `coverage` surest; means over the seeds.
        notes: what a reader has to know.
    """

    task: str
    dataset: str
    split: str
    part: str
    target: str
    rows: int
    cluster: str
    clusters: int
    samples: int
    level: float
    metric: str
    scores: pl.DataFrame
    differences: pl.DataFrame
    lift: pl.DataFrame
    groups: pl.DataFrame
    classes: pl.DataFrame
    calibration: pl.DataFrame
    reliability: pl.DataFrame
    abstention: pl.DataFrame
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            name: value.to_dicts() if isinstance(value, pl.DataFrame) else value
            for name, value in self.__dict__.items()
        }


def compare(
    store: GraphStore,
    runs: Sequence[Run | str],
    *,
    by: str | Sequence[str] | None = None,
    target: str | None = None,
    metric: str | None = None,
    split: str = "test",
    cluster: str = "source",
    samples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare configurations by the rows that they predicted; nothing is predicted anew.

    A run stands for its configuration: all its seeds on that split are taken together. The same features without
    edges (`features_only`) join in where they were trained. All are scored on the rows that all of them answered.

    Args:
        runs: runs, their ids or the start of these, configurations' ids, names of models; the first is compared with
            each of the others.
        by: SQL expressions over the ends' columns to group by; see `breakdowns.grouped_by`.
        target: needed where a task has several.
        metric: the one that groups have intervals for; by default the one that chose the epochs, where such answers
            have it, else weighted_f1 or mae.
        split: the part that is scored.
        cluster: what the bootstrap draws: all rows of a `source` (a user) or of a `destination` (an image) together,
            or every `row` by itself.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UnknownNameError: nothing is called so.
        InputError: the runs do not answer one question on one split, or a setting is out of range.
        DataError: they have no labelled rows in common.
    """
    if samples < LEAST_SAMPLES:
        raise InputError(f"{samples} samples are too few for an interval; use at least {LEAST_SAMPLES}.")
    named = configurations.find(store, runs, part=split)
    bare = configurations.without_edges(store, named[0], part=split)
    new = [] if bare is None or any(one.config_id == bare.config_id for one in named) else [bare]
    panel = Panel.read(store, [*named, *new], target, split)
    first, *others = [one.label for one in panel.configurations[: len(named)]]
    without = [one.label for one in panel.configurations if bare and one.config_id == bare.config_id]
    metrics = METRICS[type(panel.outcomes[first][0])]
    metric = _chosen(store, metric, named[0].runs[0], metrics)
    resamples = Resamples(panel.clusters(cluster), samples, seed)
    every = np.arange(len(panel.examples))
    scores = resamples.scores({label: Part(seeds, every) for label, seeds in panel.outcomes.items()})
    groupings = breakdowns.cold_start(store, panel.examples)
    for expression in [by] if isinstance(by, str) else by or []:
        groupings[expression] = breakdowns.grouped_by(store, panel.examples, named[0].dataset, expression)
    curves, notes = _calibration(store, panel, split)
    if panel.left_out:
        notes.append(f"{panel.left_out:,} rows are left out, since not all runs answered them.")
    if resamples.count < LEAST_CLUSTERS:
        notes.append(f"Only {resamples.count} clusters of rows ({panel.drawn(cluster)}): the intervals are rough.")
    if not without:
        notes.append("There are no runs of features_only with these features on this split, so no graph lift.")
    lifts = [(label, other) for other in without for label in (first, *others) if label != other]
    return Comparison(
        task=named[0].task,
        dataset=named[0].dataset,
        split=named[0].split,
        part=split,
        target=panel.examples.target,
        rows=len(panel.examples),
        cluster=panel.drawn(cluster),
        clusters=resamples.count,
        samples=samples,
        level=LEVEL,
        metric=metric,
        scores=_scores(panel, scores, metrics),
        differences=_differences(panel, scores, metrics, [(first, other) for other in others]),
        lift=_differences(panel, scores, metrics, lifts),
        groups=breakdowns.by_group(resamples, panel.outcomes, groupings, metric),
        classes=breakdowns.by_class(panel.outcomes, panel.examples.classes),
        **curves,
        notes=tuple(notes),
    )


def _chosen(store: GraphStore, metric: str | None, run: Run, metrics: Sequence[str]) -> str:
    """The metric that was asked for; else the one that chose the run's epochs, or the first."""
    if metric is None:
        row = store.first("select metric from run_epochs where run_id = ? limit 1", [run.id])
        return str(row[0]) if row and row[0] in metrics else metrics[0]
    if metric not in metrics:
        raise UnknownNameError.of("metric of such answers", metric, metrics)
    return metric


def _each_run(panel: Panel, label: str) -> dict[tuple[str, int], dict[str, float]]:
    """(split, seed) → metric → score, for the runs of one configuration."""
    found = {}
    for split_id in panel.examples.split_ids.unique():
        rows = (panel.examples.split_ids == split_id).to_numpy().astype(np.float64)[None]
        for seed, answers in zip(panel.seeds[label], panel.outcomes[label], strict=True):
            found[split_id, seed] = {name: float(value[0]) for name, value in answers.scores(rows).items()}
    return found


def _scores(panel: Panel, scores: Scores, metrics: Sequence[str]) -> pl.DataFrame:
    rows = []
    for one in panel.configurations:
        each = list(_each_run(panel, one.label).values())
        for metric in metrics:
            values = [found[metric] for found in each]
            interval = scores.interval(one.label, metric)
            rows.append(
                {
                    "model": one.label,
                    "config": one.config_id,
                    "runs": len(values),
                    "metric": metric,
                    "mean": float(np.mean(values)) if np.isfinite(values).all() else None,
                    "sd": float(np.std(values, ddof=1)) if len(values) > 1 and np.isfinite(values).all() else None,
                    "low": interval["low"],
                    "high": interval["high"],
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _differences(
    panel: Panel, scores: Scores, metrics: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> pl.DataFrame:
    rows = []
    for label, other in pairs:
        mine, theirs = _each_run(panel, label), _each_run(panel, other)
        both = sorted(mine.keys() & theirs.keys())
        for metric in metrics:
            t, p = paired_t([mine[key][metric] for key in both], [theirs[key][metric] for key in both])
            interval = scores.difference(label, other, metric)
            rows.append(
                {
                    "model": label,
                    "against": other,
                    "metric": metric,
                    "difference": interval["value"],
                    "low": interval["low"],
                    "high": interval["high"],
                    "pairs": len(both),
                    "t": t,
                    "p": p,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _calibration(store: GraphStore, panel: Panel, split: str) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """The tables `calibration`, `reliability` and `abstention`, empty for answers that are numbers; and notes."""
    found: dict[str, list[pl.DataFrame]] = {"calibration": [], "reliability": [], "abstention": []}
    notes = []
    for one in panel.configurations if panel.examples.classes else ():
        held_out: list[Outcomes] = []
        if split != "validation":
            try:
                (held_out,) = Panel.read(store, [one], panel.examples.target, "validation").outcomes.values()
            except DataError:
                notes.append(f"'{one.label}' has no answers to validation rows to fit a temperature on.")
        fitted = [calibration.fit_temperature(a.probabilities, a.target) for a in held_out if is_classes(a)]
        seeds = [answers for answers in panel.outcomes[one.label] if is_classes(answers)]
        for name, frame in calibration.tables(seeds, fitted).items():
            found[name].append(frame.select(pl.lit(one.label).alias("model"), pl.all()))
    return {name: pl.concat(frames) if frames else pl.DataFrame() for name, frames in found.items()}, notes
