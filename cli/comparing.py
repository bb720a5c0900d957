"""The command that compares runs: which is better, for whom, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import GroupsOption, JsonOption, PartOption, QuietOption, SamplesOption, StoreOption, settle
from .render import Output
from .values import Figure, number

if TYPE_CHECKING:
    import polars as pl

    from graphsocial.comparison import Comparison

Rows = list[dict[str, Any]]


def compare(
    ctx: typer.Context,
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN…", help="Runs, configurations or models; the first against each other.")
    ],
    by: GroupsOption = None,
    target: Annotated[str | None, typer.Option(metavar="NAME", help="Needed where the task has several.")] = None,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="What groups are compared by.")] = None,
    split: PartOption = "test",
    cluster: Annotated[
        str,
        typer.Option(
            metavar="source|destination|row", help="What the bootstrap draws: all rows of a user, of an image, or each."
        ),
    ] = "source",
    samples: SamplesOption = 1000,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the bootstrap.")] = 0,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare runs on the rows that all of them predicted: intervals, graph lift, cold start, classes, calibration.

    A run stands for its configuration: all its seeds are taken together.
    The same features without edges (features_only) join in where they were trained.
    """
    session = settle(ctx, store, json, quiet)
    with session.read() as opened:
        from graphsocial.comparison import compare as judge

        found = judge(
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
        return session.out.value(found.to_dict())
    show(session.out, found)


def show(out: Output, found: Comparison) -> None:
    """The comparison as tables."""
    drawn = "row by row" if found.cluster == "row" else f"by {found.clusters:,} {found.cluster}s"
    title = f"{found.target} of {found.task} on {found.dataset}, split {found.split}: {found.rows:,} {found.part} rows"
    out.table(*_scores(found.scores.to_dicts(), found.metric), title=title)
    out.table(*_differences(found.differences.to_dicts(), found.metric), title="difference, with its interval")
    out.table(
        *_differences(found.lift.to_dicts(), found.metric), title="graph lift, over the same features without edges"
    )
    for name, rows in _split(found.groups.to_dicts(), "by").items():
        out.table(*_groups(rows, found), title=f"{found.metric} by {name}")
    if not found.classes.is_empty():
        out.table(*_classes(found.classes), title="F1 of each class")
    out.table(*_calibration(found), title="calibration, and wrong answers among the surest")
    out.say(
        f"Intervals: {found.level:.0%}, bootstrap of test rows {drawn}; p: paired t test over seeds. "
        f"* fewer than 30 rows{'' if found.cluster == 'row' else f' or 10 {found.cluster}s'}."
    )
    for note in found.notes:
        out.say(note)


def _split(rows: Rows, column: str) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


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
    for name, mine in models.items():
        chosen = next(row for row in mine if row["metric"] == metric)
        figures = [number(row["mean"], row["sd"]) for row in mine]
        interval = Figure(f"[{chosen['low']:.3f}, {chosen['high']:.3f}]" if chosen["low"] is not None else "–")
        lines.append([name, mine[0]["runs"], *figures, interval, mine[0]["config"][:6]])
    return ["model", "runs", *metrics, f"interval of {metric}", "config"], lines


def _differences(rows: Rows, metric: str) -> tuple[list[str], list[list[Any]]]:
    lines = []
    for mine in _split([{**row, "pair": f"{row['model']} − {row['against']}"} for row in rows], "pair").values():
        figures = [_interval(row["difference"], row["low"], row["high"], signed=True) for row in mine]
        p = next(row["p"] for row in mine if row["metric"] == metric)
        lines.append([mine[0]["pair"], *figures, Figure("–" if p is None else f"{p:.2g}")])
    return ["pair", *dict.fromkeys(row["metric"] for row in rows), "p"], lines


def _groups(rows: Rows, found: Comparison) -> tuple[list[str], list[list[Any]]]:
    models = list(_split(rows, "model"))
    lines = []
    for group, mine in _split(rows, "group").items():
        first = mine[0]
        gap = _interval(first["difference"], first["difference_low"], first["difference_high"], signed=True)
        figures = [_interval(row[found.metric], row["low"], row["high"]) for row in mine]
        lines.append([f"{group}{'*' if first['small'] else ''}", first["rows"], first["clusters"], *figures, gap])
    drawn = "draws" if found.cluster == "row" else f"{found.cluster}s"
    return ["group", "rows", drawn, *models, f"{models[0]}, group − others"], lines


def _classes(frame: pl.DataFrame) -> tuple[list[str], list[list[Any]]]:
    models = list(_split(frame.to_dicts(), "model"))
    lines = []
    for name, mine in _split(frame.to_dicts(), "class").items():
        sides = [number(mine[0]["precision"]), number(mine[0]["recall"])]
        lines.append([name, mine[0]["support"], *(number(row["f1"]) for row in mine), *sides])
    return ["class", "support", *models, f"{models[0]}: precision", "recall"], lines


def _calibration(found: Comparison) -> tuple[list[str], list[list[Any]]]:
    columns = ["model", "temperature", "log_loss", "scaled", "calibration_error", "scaled", "aurc"]
    shares = (0.25, 0.5, 0.75, 1.0)
    lines = []
    for row in found.calibration.to_dicts():
        risks = {one["coverage"]: one["risk"] for one in found.abstention.to_dicts() if one["model"] == row["model"]}
        lines.append([row["model"], *map(number, list(row.values())[1:]), *(number(risks[share]) for share in shares)])
    return [*columns, *(f"{share:.0%}" for share in shares)], lines
