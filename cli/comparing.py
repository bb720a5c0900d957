"""The command that compares runs: scores with confidence intervals, by group, and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import GroupsOption, PartOption, SamplesOption, Session
from .render import Output
from .values import Figure, number

if TYPE_CHECKING:
    import polars as pl

    from graphsocial.comparison import Comparison

Rows = list[dict[str, Any]]


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…", help="Runs, configurations or models; the first is compared with each of the others."
        ),
    ],
    *,
    by: GroupsOption = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Target to score; required if the task has several.", show_default=False),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Metric of the groups.", show_default="the metric that chose the epochs"),
    ] = None,
    split: PartOption = "test",
    cluster: Annotated[
        str,
        typer.Option(
            metavar="both|source|destination|row|TYPE",
            help="Unit of the bootstrap: for pairs both ends (users and images), one of them, or the row; for nodes "
            "the row, or the type of a neighbor, such as page.",
            show_default="both ends of pairs, rows of nodes",
        ),
    ] = "auto",
    samples: SamplesOption = 1000,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Random seed of the bootstrap.")] = 0,
    session: Session,
) -> None:
    """Compare runs on the examples that all of them predicted: intervals, graph lift, cold start, calibration.

    A run stands for its configuration: all its seeds are pooled. The same
    features without edges (features_only) are included where they were trained.
    """
    with session.read() as opened:
        from graphsocial.comparison import compare as compare_runs

        comparison = compare_runs(
            opened,
            runs,
            by=by,
            target=target,
            metric=metric,
            split=split,
            cluster=cluster,
            samples=samples,
            seed=seed,
        )
    if session.out.json:
        return session.out.value(comparison.to_dict())
    show(session.out, comparison)


def show(out: Output, comparison: Comparison) -> None:
    """The comparison as tables."""
    by_row = "row" in comparison.clusters
    title = (
        f"{comparison.target} of {comparison.task} on {comparison.dataset}, split {comparison.split}: "
        f"{comparison.rows:,} {comparison.part} rows"
    )
    out.table(*_scores(comparison.scores.to_dicts(), comparison.metric), title=title)
    out.table(
        *_differences(comparison.differences.to_dicts(), comparison),
        title="difference, with confidence intervals",
    )
    out.table(
        *_differences(comparison.lift.to_dicts(), comparison),
        title="graph lift: difference to the same features without edges",
    )
    for name, rows in _split(comparison.groups.to_dicts(), "by").items():
        out.table(*_groups(rows, comparison), title=f"{comparison.metric} by {name}")
    if not comparison.classes.is_empty():
        out.table(*_classes(comparison.classes), title="F1 of each class")
    out.table(*_calibration(comparison), title="calibration, and risk at coverage (risk–coverage curve)")
    counts = " and ".join(f"{count:,} {name}s" for name, count in comparison.clusters.items())
    units, few = ("row by row", "") if by_row else (f"by {counts}", f" or 10 {'s or '.join(comparison.clusters)}s")
    out.say(
        f"Intervals: {comparison.level:.0%}, bootstrap of test rows {units}; p: paired t test over {comparison.over}. "
        f"* fewer than 30 rows{few}."
    )
    for note in comparison.notes:
        out.say(note)


def _split(rows: Rows, column: str) -> dict[str, Rows]:
    """The rows by the value of a column."""
    parts: dict[str, Rows] = {}
    for row in rows:
        parts.setdefault(row[column], []).append(row)
    return parts


def _interval(value: float | None, low: float | None, high: float | None, *, signed: bool = False) -> Figure:
    """`0.412 [0.398, 0.425]`."""
    if value is None:
        return Figure("–")
    sign = "+" if signed else ""
    return Figure(f"{value:{sign}.3f}" + (f" [{low:{sign}.3f}, {high:{sign}.3f}]" if low is not None else ""))


def _scores(rows: Rows, metric: str) -> tuple[list[str], list[list[Any]]]:
    models = _split(rows, "model")
    metrics = [row["metric"] for row in next(iter(models.values()))]
    lines = []
    for name, scores in models.items():
        low, high = next((row["low"], row["high"]) for row in scores if row["metric"] == metric)
        means = [number(row["mean"], row["sd"]) for row in scores]
        interval = Figure(f"[{low:.3f}, {high:.3f}]" if low is not None else "–")
        lines.append([name, scores[0]["runs"], *means, interval, scores[0]["config"][:6]])
    return ["model", "runs", *metrics, f"interval of {metric}", "config"], lines


def _differences(rows: Rows, comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    lines = []
    pairs = _split([{**row, "pair": f"{row['model']} − {row['against']}"} for row in rows], "pair")
    for pair, differences in pairs.items():
        intervals = [_interval(row["difference"], row["low"], row["high"], signed=True) for row in differences]
        p = next(row["p_holm"] for row in differences if row["metric"] == comparison.metric)
        lines.append([pair, *intervals, Figure("–" if p is None else f"{p:.2g}")])
    several = ", Holm" if len(lines) > 1 else ""
    p_name = f"p over {comparison.over} ({comparison.metric}{several})"
    return ["pair", *dict.fromkeys(row["metric"] for row in rows), p_name], lines


def _groups(rows: Rows, comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    models = list(_split(rows, "model"))
    lines = []
    for group, scores in _split(rows, "group").items():
        first = scores[0]
        gap = _interval(first["difference"], first["difference_low"], first["difference_high"], signed=True)
        intervals = [_interval(row[comparison.metric], row["low"], row["high"]) for row in scores]
        clusters = Figure(" × ".join(f"{count:,}" for count in first["clusters"]))
        lines.append([f"{group}{'*' if first['small'] else ''}", first["rows"], clusters, *intervals, gap])
    units = " × ".join(f"{name}s" for name in comparison.clusters)
    return ["group", "rows", units, *models, f"{models[0]}, group − others"], lines


def _classes(frame: pl.DataFrame) -> tuple[list[str], list[list[Any]]]:
    models = list(_split(frame.to_dicts(), "model"))
    lines = []
    for name, scores in _split(frame.to_dicts(), "class").items():
        of_first = [number(scores[0]["precision"]), number(scores[0]["recall"])]
        lines.append([name, scores[0]["support"], *(number(row["f1"]) for row in scores), *of_first])
    return ["class", "support", *models, f"{models[0]}: precision", "recall"], lines


def _calibration(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    columns = ["model", "temperature", "log_loss", "scaled", "calibration_error", "scaled", "if exact", "aurc"]
    coverages = (0.25, 0.5, 0.75, 1.0)
    risks = {(row["model"], row["coverage"]): row["risk"] for row in comparison.abstention.to_dicts()}
    lines = []
    for row in comparison.calibration.to_dicts():
        curve = [number(risks[row["model"], coverage]) for coverage in coverages]
        lines.append([row["model"], *map(number, list(row.values())[1:]), *curve])
    return [*columns, *(f"{coverage:.0%}" for coverage in coverages)], lines
