"""Compare runs: confidence intervals, paired tests, graph lift, breakdowns and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from graphsocial.comparison import breakdowns, calibration, configurations
from graphsocial.comparison.bootstrap import LEVEL, BootstrapSamples, ScoredRows, Scores, paired_t
from graphsocial.comparison.configurations import Panel
from graphsocial.comparison.outcomes import METRICS, Outcomes, is_classes
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.evaluation.multiple_tests import holm
from graphsocial.runs import Run
from graphsocial.store import GraphStore

MIN_SAMPLES = 100
MIN_CLUSTERS = 10  # with fewer the intervals were not simulated; see docs/statistics.md


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`: tables whose column `model` is the configuration's label.

    Attributes:
        task, dataset, split, target: what the runs predict, and on which split.
        part: the split role whose rows are scored.
        rows: number of rows that all configurations predicted.
        clusters: what the bootstrap resamples, and how many there are: all rows of a `user`, and by a second drawing
            all of an `image`; or each `row`.
        samples: number of bootstrap samples.
        level: confidence level of the intervals.
        metric: the metric that groups have intervals for.
        scores: for each configuration and metric `mean` and `sd` over the runs, `low` and `high` over the rows.
        differences: the first configuration minus each other one: `difference`, `low`, `high` by the paired bootstrap
            over the rows, and the paired t test over seeds, or over folds where there are several splits: `pairs`, `t`,
            `p`, and `p_holm` for all configurations together. The interval is the variation by test rows, the t test
            that by seeds or folds.
        over: what the t test is over, `seeds` or `folds`.
        lift: each configuration minus the same features without edges, likewise.
        groups: scores by training degree, cold start and the expressions of `by`; see `breakdowns.by_group`.
        classes: see `breakdowns.by_class`.
        calibration: `temperature` fitted on validation; `log_loss` and `calibration_error` before and `…_scaled` after
            temperature scaling; `calibration_error_exact`, which exact probabilities would have on so many rows;
            `aurc`, the area under the risk–coverage curve. Means over the seeds.
        reliability: see `calibration.reliability`; over the rows of all seeds.
        abstention: the risk–coverage curve: `risk` is the error rate of the `coverage` most confident predictions;
            means over the seeds.
        notes: caveats in sentences.
    """

    task: str
    dataset: str
    split: str
    part: str
    target: str
    rows: int
    clusters: dict[str, int]
    samples: int
    level: float
    metric: str
    scores: pl.DataFrame
    differences: pl.DataFrame
    over: str
    lift: pl.DataFrame
    groups: pl.DataFrame
    classes: pl.DataFrame
    calibration: pl.DataFrame
    reliability: pl.DataFrame
    abstention: pl.DataFrame
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON can hold."""
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
    cluster: str = "auto",
    samples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare configurations by the predictions that they have stored; no model is run.

    A run stands for its configuration: the predictions of all its seeds on that split are pooled. The same features
    without edges (`features_only`) are added where they were trained. All are scored on the rows that all of them
    predicted.

    Args:
        store: the store of the runs.
        runs: runs, run ids or prefixes of them, configuration ids, names of models; the first is compared with each of
            the others.
        by: SQL expressions over the columns of the endpoints' node tables to group by; see `breakdowns.grouped_by`.
        target: name of the target; required where a task has several.
        metric: the metric that groups have intervals for; by default the one that selected the epochs, where it can be
            computed from stored predictions, else weighted_f1 or mae.
        split: split role whose rows are scored.
        cluster: what the bootstrap resamples: for pairs `both` ends (the default), all rows of a `source` (a user) or
            of a `destination` (an image) together, or each `row`; for nodes each `row` (the default), or the node type
            of a neighbor, such as `page`.
        samples: number of bootstrap samples.
        seed: random seed of the bootstrap.

    Raises:
        UnknownNameError: no run, configuration, model, target or metric has that name.
        InputError: the runs differ in task, data set or split, or a setting is out of range.
        DataError: they have no labelled rows in common.
    """
    if samples < MIN_SAMPLES:
        raise InputError(f"{samples} bootstrap samples are too few for an interval; use at least {MIN_SAMPLES}.")
    selected = configurations.find(store, runs, part=split)
    no_edges = configurations.without_edges(store, selected[0], part=split)
    is_selected = no_edges is not None and any(entry.config_id == no_edges.config_id for entry in selected)
    added = [] if no_edges is None or is_selected else [no_edges]
    panel = Panel.read(store, [*selected, *added], target, split)
    first, *others = [entry.label for entry in panel.configurations[: len(selected)]]
    without = [entry.label for entry in panel.configurations if no_edges and entry.config_id == no_edges.config_id]
    metrics = METRICS[type(panel.outcomes[first][0])]
    metric = _group_metric(store, metric, selected[0].runs[0], metrics)
    ways = panel.clusters(store, cluster)
    bootstrap = BootstrapSamples(tuple(ways.values()), samples, seed)
    clusters = dict(zip(ways, bootstrap.counts, strict=True))
    all_rows = np.arange(len(panel.examples))
    scores = bootstrap.scores({label: ScoredRows(seeds, all_rows) for label, seeds in panel.outcomes.items()})
    groupings = breakdowns.cold_start(store, panel.examples)
    for expression in [by] if isinstance(by, str) else by or []:
        groupings[expression] = breakdowns.grouped_by(store, panel.examples, selected[0].dataset, expression)
    curves, notes = _calibration(store, panel, split)
    if panel.left_out:
        notes.append(f"{panel.left_out:,} rows are left out, since not all runs predicted them.")
    notes += [
        f"Only {count} clusters of rows ({name}): the intervals are rough."
        for name, count in clusters.items()
        if count < MIN_CLUSTERS
    ]
    if not without:
        notes.append("There are no runs of features_only with these features on this split, so no graph lift.")
    test_share = _test_share(store, panel)
    lifts = [(label, other) for other in without for label in (first, *others) if label != other]
    return Comparison(
        task=selected[0].task,
        dataset=selected[0].dataset,
        split=selected[0].split,
        part=split,
        target=panel.examples.target,
        rows=len(panel.examples),
        clusters=clusters,
        samples=samples,
        level=LEVEL,
        metric=metric,
        scores=_scores(panel, scores, metrics),
        differences=_differences(panel, scores, metrics, [(first, other) for other in others], test_share),
        over="folds" if panel.examples.split_ids.n_unique() > 1 else "seeds",
        lift=_differences(panel, scores, metrics, lifts, test_share),
        groups=breakdowns.by_group(bootstrap, panel.outcomes, groupings, metric),
        classes=breakdowns.by_class(panel.outcomes, panel.examples.classes),
        **curves,
        notes=tuple(notes),
    )


def _group_metric(store: GraphStore, metric: str | None, run: Run, metrics: Sequence[str]) -> str:
    """The given metric; else the one that selected the run's epochs, or the first."""
    if metric is None:
        row = store.first("select metric from run_epochs where run_id = ? limit 1", [run.id])
        return str(row[0]) if row and row[0] in metrics else metrics[0]
    if metric not in metrics:
        raise UnknownNameError.of("metric of such predictions", metric, metrics)
    return metric


def _scores_by_run(panel: Panel, label: str) -> dict[tuple[str, int], dict[str, float]]:
    """(split, seed) → metric → score, for the runs of one configuration."""
    scores = {}
    for split_id in panel.examples.split_ids.unique():
        weights = (panel.examples.split_ids == split_id).to_numpy().astype(np.float64)[None]
        for seed, outcomes in zip(panel.seeds[label], panel.outcomes[label], strict=True):
            scores[split_id, seed] = {name: float(value[0]) for name, value in outcomes.scores(weights).items()}
    return scores


def _scores(panel: Panel, scores: Scores, metrics: Sequence[str]) -> pl.DataFrame:
    rows = []
    for configuration in panel.configurations:
        by_run = list(_scores_by_run(panel, configuration.label).values())
        for metric in metrics:
            values = [run_scores[metric] for run_scores in by_run]
            interval = scores.interval(configuration.label, metric)
            rows.append(
                {
                    "model": configuration.label,
                    "config": configuration.config_id,
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
    panel: Panel, scores: Scores, metrics: Sequence[str], pairs: Sequence[tuple[str, str]], test_share: float
) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for metric in metrics:
        tests = []
        for label, other in pairs:
            ours, others = (
                {key: values[metric] for key, values in _scores_by_run(panel, name).items()} for name in (label, other)
            )
            tests.append((len(ours.keys() & others.keys()), *paired_t(ours, others, test_share=test_share)))
        for (label, other), (count, t, p), adjusted in zip(pairs, tests, holm([p for *_, p in tests]), strict=True):
            interval = scores.difference(label, other, metric)
            rows.append(
                {
                    "model": label,
                    "against": other,
                    "metric": metric,
                    "difference": interval["value"],
                    "low": interval["low"],
                    "high": interval["high"],
                    "pairs": count,
                    "t": t,
                    "p": p,
                    "p_holm": adjusted,
                }
            )
    order = {pair: position for position, pair in enumerate(pairs)}
    rows.sort(key=lambda row: order[row["model"], row["against"]])
    return pl.DataFrame(rows, infer_schema_length=None)


def _test_share(store: GraphStore, panel: Panel) -> float:
    """The number of test rows of a split as a share of its training rows, the mean over the splits."""
    row = store.first(
        "select avg(test / greatest(train, 1)) from (select count(*) filter (role = 'test') as test, "
        "count(*) filter (role = 'train') as train from split_members where list_contains(?, split_id) "
        "group by split_id)",
        [panel.examples.split_ids.unique().to_list()],
    )
    return float(row[0]) if row and row[0] is not None else 0.0


def _calibration(store: GraphStore, panel: Panel, split: str) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """The tables `calibration`, `reliability` and `abstention`, empty for numeric targets; and notes."""
    tables: dict[str, list[pl.DataFrame]] = {"calibration": [], "reliability": [], "abstention": []}
    notes = []
    for configuration in panel.configurations if panel.examples.classes else ():
        label = configuration.label
        validation: list[Outcomes] = []
        if split != "validation":
            try:
                (validation,) = Panel.read(
                    store, [configuration], panel.examples.target, "validation"
                ).outcomes.values()
            except DataError:
                notes.append(f"'{label}' has no predictions of validation rows to fit a temperature on.")
        temperatures = [
            calibration.fit_temperature(outcomes.probabilities, outcomes.target)
            for outcomes in validation
            if is_classes(outcomes)
        ]
        seeds = [outcomes for outcomes in panel.outcomes[label] if is_classes(outcomes)]
        for name, frame in calibration.tables(seeds, temperatures).items():
            tables[name].append(frame.select(pl.lit(label).alias("model"), pl.all()))
    return {name: pl.concat(frames) if frames else pl.DataFrame() for name, frames in tables.items()}, notes
