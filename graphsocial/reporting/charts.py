"""The charts of a report: functions from data frames to Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import polars.selectors as cs

from graphsocial.reporting.page import PALE, PALETTE, import_package, metric_title

Spec = dict[str, Any]
WIDTH = 780  # pixels
SOFT = "#8a929a"


def inline(frame: pl.DataFrame) -> Any:
    """An Altair chart with the frame's rows inline."""
    alt = import_package("altair")
    json_frame = frame.with_columns(cs.float().fill_nan(None), cs.enum().cast(pl.String)) if frame.width else frame
    return alt.Chart(alt.InlineData(values=json_frame.to_dicts()))


def colours(names: Sequence[str]) -> Any:
    """A colour scale with one colour for each name, in order."""
    alt = import_package("altair")
    if len(names) > len(PALETTE):
        return alt.Scale(domain=list(names), scheme="tableau20")
    return alt.Scale(domain=list(names), range=list(PALETTE[: len(names)]))


def order_of(frame: pl.DataFrame, column: str) -> list[str]:
    """The distinct values of a column in order of appearance; those of an enumeration in its order."""
    values = frame[column].unique(maintain_order=True)
    return [str(value) for value in (values.sort() if isinstance(values.dtype, pl.Enum) else values)]


def _faded(condition: str, opacity: float) -> Any:
    """Low opacity where a Vega expression is true, else the given opacity."""
    alt = import_package("altair")
    return alt.condition(condition, alt.value(0.25), alt.value(opacity))


def forest(frame: pl.DataFrame) -> Spec:
    """A forest plot of scores with confidence intervals, with one panel per metric.

    Args:
        frame: columns `model`, `metric`, `mean`, `low`, `high`.
    """
    alt = import_package("altair")
    models, metrics = order_of(frame, "model"), order_of(frame, "metric")
    panels, axis = [], alt.Axis(tickCount=4, labelOverlap=True, labelSeparation=6)
    for index, metric in enumerate(metrics):
        base = inline(frame.filter(pl.col("metric") == metric)).encode(
            y=alt.Y("model:N", sort=models, title=None, axis=alt.Axis(labels=index == 0, ticks=False, domain=False)),
            color=alt.Color("model:N", scale=colours(models), legend=None),
        )
        x = alt.X("low:Q", title=metric_title(metric), scale=alt.Scale(zero=False), axis=axis)
        bounds = (alt.Tooltip(f"{name}:Q", format=".4f") for name in ("mean", "low", "high"))
        layers = alt.layer(
            base.mark_rule().encode(x=x, x2="high:Q"),
            base.mark_point(size=70).encode(x="mean:Q", tooltip=[alt.Tooltip("model:N"), *bounds]),
        )
        panels.append(layers.properties(width=(WIDTH - 30 * len(metrics)) // len(metrics), height=alt.Step(26)))
    spec: Spec = alt.hconcat(*panels, spacing=28).to_dict()
    return spec


def learning_curves(epochs: pl.DataFrame, metric: str) -> Spec:
    """Training loss and validation score by epoch, with one line per seed and a dot at the selected epoch.

    Args:
        epochs: columns `seed`, `epoch`, `train_loss`, `value` of the metric, and `best`.
        metric: name of the validation metric.
    """
    alt = import_package("altair")
    ticks = epochs["epoch"].unique().sort().to_list()
    axis = alt.Axis(values=ticks if len(ticks) <= 10 else alt.Undefined, tickMinStep=1, format="d", grid=False)
    panels = []
    for column, title in (("train_loss", "training loss"), ("value", f"validation {metric_title(metric)}")):
        base = inline(epochs).encode(
            x=alt.X("epoch:Q", axis=axis),
            y=alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color("seed:N"),
            tooltip=[alt.Tooltip("seed:N"), alt.Tooltip("epoch:Q"), alt.Tooltip(f"{column}:Q", format=".4f")],
        )
        selected = base.transform_filter("datum.best").mark_point(size=90)
        panels.append(alt.layer(base.mark_line(), selected).properties(width=WIDTH // 2 - 50, height=220))
    spec: Spec = alt.hconcat(*panels, spacing=36).to_dict()
    return spec


def class_metrics(frame: pl.DataFrame) -> Spec:
    """Precision, recall and F1 of each class.

    Args:
        frame: columns `class`, `measure`, `value`.
    """
    alt = import_package("altair")
    order = order_of(frame, "class")
    measures = [name for name in map(metric_title, ("precision", "recall", "f1")) if name in set(frame["measure"])]
    base = inline(frame).encode(y=alt.Y("class:N", sort=order, title=None))
    span = base.mark_rule(color=PALE, strokeWidth=3).encode(x=alt.X("min(value):Q"), x2="max(value):Q")
    dots = base.mark_point(size=75, opacity=1).encode(
        x=alt.X("value:Q", title=None, scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("measure:N", scale=colours(measures), sort=measures, title=None),
        shape=alt.Shape("measure:N", sort=measures, scale=alt.Scale(domain=measures), title=None),
        tooltip=["class:N", "measure:N", alt.Tooltip("value:Q", format=".3f")],
    )
    spec: Spec = alt.layer(span, dots).properties(width=WIDTH - 120, height=alt.Step(28)).to_dict()
    return spec


def class_frequencies(frame: pl.DataFrame) -> Spec:
    """Paired bars of the true and predicted frequency of each class.

    Args:
        frame: columns `class`, `kind` (`true` or `predicted`), `share` of the test rows.
    """
    alt = import_package("altair")
    order, kinds = order_of(frame, "class"), order_of(frame, "kind")
    chart = inline(frame).mark_bar(height={"band": 0.9})
    spec: Spec = (
        chart.encode(
            y=alt.Y("class:N", sort=order, title=None),
            yOffset=alt.YOffset("kind:N", sort=kinds),
            x=alt.X("share:Q", title="share of the test rows", axis=alt.Axis(format="%", tickCount=6)),
            color=alt.Color("kind:N", sort=kinds, scale=alt.Scale(domain=kinds, range=[SOFT, PALETTE[0]]), title=None),
            tooltip=["class:N", "kind:N", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=WIDTH - 120, height=alt.Step(12))
        .to_dict()
    )
    return spec


def reliability(frame: pl.DataFrame) -> Spec:
    """A calibration curve: accuracy by confidence, before and after temperature scaling.

    Args:
        frame: columns `probabilities` (raw or scaled), and `confidence`, `accuracy` and `rows` of each bin.
    """
    alt = import_package("altair")
    kinds = order_of(frame, "probabilities")
    diagonal = pl.DataFrame({"confidence": [0.0, 1.0], "accuracy": [0.0, 1.0]})
    axis = alt.Axis(format="%", tickCount=5)
    line = inline(diagonal).mark_line(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
    line = line.encode(
        x=alt.X("confidence:Q", title="confidence (probability of the most probable class)", axis=axis),
        y=alt.Y("accuracy:Q", title="accuracy", axis=axis),
    )
    base = inline(frame).encode(
        x="confidence:Q",
        y="accuracy:Q",
        color=alt.Color("probabilities:N", sort=kinds, scale=colours(kinds), title=None),
        tooltip=[
            *("probabilities:N", alt.Tooltip("rows:Q", format=",")),
            *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("confidence", "accuracy")),
        ],
    )
    dots = base.mark_point(opacity=0.9).encode(size=alt.Size("rows:Q", legend=None, scale=alt.Scale(range=[15, 220])))
    spec: Spec = alt.layer(line, base.mark_line(strokeWidth=1.5), dots).properties(width=360, height=320).to_dict()
    return spec


def risk_coverage(frame: pl.DataFrame) -> Spec:
    """Risk–coverage curves.

    Args:
        frame: columns `model`, `coverage`, `risk`.
    """
    alt = import_package("altair")
    models = order_of(frame, "model")
    percent = alt.Axis(format="%", tickCount=5)
    spec: Spec = (
        inline(frame)
        .mark_line(point=False)
        .encode(
            x=alt.X("coverage:Q", title="coverage (share of the rows, most confident first)", axis=percent),
            y=alt.Y("risk:Q", title="risk (error rate)", axis=percent),
            color=alt.Color("model:N", sort=models, scale=colours(models), title=None),
            tooltip=["model:N", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("coverage", "risk"))],
        )
        .properties(width=WIDTH - 200, height=260)
        .to_dict()
    )
    return spec


def predicted_vs_true(frame: pl.DataFrame, *, log: bool) -> Spec:
    """A scatter plot of predicted against true numbers, with the diagonal.

    Args:
        frame: columns `true`, `predicted`.
        log: whether both axes have a symmetric logarithmic scale.
    """
    alt = import_package("altair")
    scale = alt.Scale(type="symlog") if log else alt.Scale(zero=False)
    label = "datum.value < 1000 ? datum.value : format(datum.value, '~s')"
    powers = [0, *(10**n for n in range(13))]
    axis = alt.Axis(values=powers, labelExpr=label) if log else alt.Axis(tickCount=6)
    values = pl.concat([frame["true"], frame["predicted"]])
    bounds = [values.min(), values.max()]
    diagonal = pl.DataFrame({"true": bounds, "predicted": bounds})
    line = inline(diagonal).mark_line(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
    line = line.encode(
        x=alt.X("true:Q", title="true", scale=scale, axis=axis),
        y=alt.Y("predicted:Q", title="predicted", scale=scale, axis=axis),
    )
    dots = inline(frame).mark_point(size=14, opacity=0.35, color=PALETTE[0]).encode(x="true:Q", y="predicted:Q")
    spec: Spec = alt.layer(dots, line).properties(width=400, height=360).to_dict()
    return spec


def grouped_scores(frame: pl.DataFrame, metric: str) -> Spec:
    """Scores of several models by group, with confidence intervals and one panel per grouping.

    Args:
        frame: columns `by` (the grouping), `group`, `model`, `value`, `low`, `high`, `rows`.
        metric: name of the metric.
    """
    alt = import_package("altair")
    models = order_of(frame, "model")
    panels = []
    for (by,), part in frame.group_by("by", maintain_order=True):
        base = inline(part).encode(
            x=alt.X("group:N", sort=order_of(part, "group"), title=str(by), axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("model:N", sort=models),
            color=alt.Color("model:N", sort=models, scale=colours(models), title=None),
        )
        tooltip = ["model:N", "group:N", alt.Tooltip("rows:Q", format=","), alt.Tooltip("value:Q", format=".3f")]
        dots = base.mark_point(size=60).encode(y="value:Q", tooltip=tooltip)
        intervals = base.mark_rule(opacity=0.6).encode(
            y=alt.Y("low:Q", title=metric_title(metric), scale=alt.Scale(zero=False)), y2="high:Q"
        )
        count = part["group"].n_unique()
        panels.append(alt.layer(intervals, dots).properties(width=min(WIDTH - 60, 110 * count), height=190))
    spec: Spec = alt.concat(*panels, columns=2, spacing=32).to_dict()
    return spec


def intervals(frame: pl.DataFrame, title: str, *, reference: float | None = None) -> Spec:
    """Values with intervals by group, with one panel per grouping.

    Args:
        frame: columns `by` (the grouping), `group`, `value`, `low`, `high`, `rows`; groups with `small` are faded.
        title: title of the horizontal axis.
        reference: where a dashed vertical line is drawn; none by default.
    """
    alt = import_package("altair")
    panels = []
    low, high = frame["low"].min(), frame["high"].max()
    scale = alt.Scale(zero=False, domain=[low, high]) if low is not None and high is not None else alt.Scale(zero=False)
    x = alt.X("low:Q", title=title, scale=scale, axis=alt.Axis(tickCount=4, labelOverlap=True))
    for (by,), part in frame.group_by("by", maintain_order=True):
        base = inline(part).encode(y=alt.Y("group:N", sort=order_of(part, "group"), title=None))
        tooltip = ["group:N", alt.Tooltip("rows:Q", format=","), alt.Tooltip("value:Q", format=".3f")]
        layers = [
            base.mark_rule(color=PALETTE[0]).encode(x=x, x2="high:Q", opacity=_faded("datum.small", 0.55)),
            base.mark_point(color=PALETTE[0], size=60).encode(
                x="value:Q", tooltip=tooltip, opacity=_faded("datum.small", 0.9)
            ),
        ]
        if reference is not None:
            line = inline(pl.DataFrame({"at": [reference]})).mark_rule(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
            layers.insert(0, line.encode(x="at:Q"))
        panel = alt.layer(*layers).properties(width=WIDTH // 2 - 130, height=alt.Step(22), title=str(by))
        panels.append(panel)
    spec: Spec = alt.concat(*panels, columns=2, spacing=30).to_dict()
    return spec


def scatter(frame: pl.DataFrame, panels: Sequence[str], title: str, names: Sequence[str]) -> Spec:
    """Scatter plots of two-dimensional embeddings, without axes.

    Args:
        frame: columns `panel`, `x`, `y`, and `colour`, the value that colours a point.
        panels: names of the panels in order.
        title: title of the colour legend.
        names: names of the classes in order; empty for numbers.
    """
    alt = import_package("altair")
    if not names:
        colour = alt.Color("colour:Q", scale=alt.Scale(scheme="viridis"), title=title)
    else:
        colour = alt.Color("colour:N", sort=list(names), scale=colours(names), title=title)
    charts, border = [], alt.ViewConfig(stroke=PALE)
    for panel in panels:
        base = inline(frame.filter(pl.col("panel") == panel)).mark_point(size=16, opacity=0.65)
        hidden = alt.Axis(labels=False, ticks=False, grid=False, domain=False, title=None)
        encoded = base.encode(x=alt.X("x:Q", axis=hidden), y=alt.Y("y:Q", axis=hidden), color=colour)
        charts.append(encoded.properties(width=WIDTH // 2 - 60, height=WIDTH // 2 - 60, title=panel, view=border))
    spec: Spec = alt.hconcat(*charts, spacing=20).to_dict()
    return spec
