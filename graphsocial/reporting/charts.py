"""The charts of a report: frames in, Vega-Lite specifications out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from graphsocial.reporting.page import PALE, PALETTE, package, words

Spec = dict[str, Any]
WIDTH = 780
SOFT = "#8a929a"


def inline(frame: pl.DataFrame) -> Any:
    """A chart of a frame whose rows stand in the page."""
    alt = package("altair")
    plain = frame.with_columns(cs.float().fill_nan(None), cs.enum().cast(pl.String)) if frame.width else frame
    return alt.Chart(alt.InlineData(values=plain.to_dicts()))


def colours(names: Sequence[str]) -> Any:
    """A colour for each name, in their order."""
    alt = package("altair")
    if len(names) > len(PALETTE):
        return alt.Scale(domain=list(names), scheme="tableau20")
    return alt.Scale(domain=list(names), range=list(PALETTE[: len(names)]))


def order_of(frame: pl.DataFrame, column: str) -> list[str]:
    """The values of a column as they come; of an enumeration, its own order."""
    values = frame[column].unique(maintain_order=True)
    return [str(value) for value in (values.sort() if isinstance(values.dtype, pl.Enum) else values)]


def _paler(where: str, otherwise: float) -> Any:
    alt = package("altair")
    return alt.condition(where, alt.value(0.25), alt.value(otherwise))


def forest(frame: pl.DataFrame) -> Spec:
    """Scores with intervals, a panel for each metric: `model`, `metric`, `mean`, `low`, `high`."""
    alt = package("altair")
    models, metrics = order_of(frame, "model"), order_of(frame, "metric")
    panels, axis = [], alt.Axis(tickCount=4, labelOverlap=True, labelSeparation=6)
    for place, metric in enumerate(metrics):
        base = inline(frame.filter(pl.col("metric") == metric)).encode(
            y=alt.Y("model:N", sort=models, title=None, axis=alt.Axis(labels=place == 0, ticks=False, domain=False)),
            color=alt.Color("model:N", scale=colours(models), legend=None),
        )
        across = alt.X("low:Q", title=words(metric), scale=alt.Scale(zero=False), axis=axis)
        told = [alt.Tooltip("model:N"), *(alt.Tooltip(f"{name}:Q", format=".4f") for name in ("mean", "low", "high"))]
        layers = alt.layer(
            base.mark_rule().encode(x=across, x2="high:Q"), base.mark_point(size=70).encode(x="mean:Q", tooltip=told)
        )
        panels.append(layers.properties(width=(WIDTH - 30 * len(metrics)) // len(metrics), height=alt.Step(26)))
    spec: Spec = alt.hconcat(*panels, spacing=28).to_dict()
    return spec


def learning_curves(epochs: pl.DataFrame, metric: str) -> Spec:
    """Loss and validation score by epoch: `seed`, `epoch`, `train_loss`, `value`, `best`."""
    alt = package("altair")
    steps = epochs["epoch"].unique().sort().to_list()
    axis = alt.Axis(values=steps if len(steps) <= 10 else alt.Undefined, tickMinStep=1, format="d", grid=False)
    panels = []
    for column, title in (("train_loss", "training loss"), ("value", f"validation {words(metric)}")):
        base = inline(epochs).encode(
            x=alt.X("epoch:Q", axis=axis),
            y=alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color("seed:N"),
            tooltip=[alt.Tooltip("seed:N"), alt.Tooltip("epoch:Q"), alt.Tooltip(f"{column}:Q", format=".4f")],
        )
        chosen = base.transform_filter("datum.best").mark_point(size=90)
        panels.append(alt.layer(base.mark_line(), chosen).properties(width=WIDTH // 2 - 50, height=220))
    spec: Spec = alt.hconcat(*panels, spacing=36).to_dict()
    return spec


def classes(frame: pl.DataFrame) -> Spec:
    """`class`, `measure`, `value`: how each class is recognised."""
    alt = package("altair")
    order = order_of(frame, "class")
    measures = [name for name in map(words, ("precision", "recall", "f1")) if name in set(frame["measure"])]
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


def bars(frame: pl.DataFrame, *, of: str) -> Spec:
    """`class`, `kind`, `share`: how often each class is there, and how often it is answered."""
    alt = package("altair")
    order, kinds = order_of(frame, "class"), order_of(frame, "kind")
    chart = inline(frame).mark_bar(height={"band": 0.9})
    spec: Spec = (
        chart.encode(
            y=alt.Y("class:N", sort=order, title=None),
            yOffset=alt.YOffset("kind:N", sort=kinds),
            x=alt.X("share:Q", title=f"share of the {of}", axis=alt.Axis(format="%", tickCount=6)),
            color=alt.Color("kind:N", sort=kinds, scale=alt.Scale(domain=kinds, range=[SOFT, PALETTE[0]]), title=None),
            tooltip=["class:N", "kind:N", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=WIDTH - 120, height=alt.Step(12))
        .to_dict()
    )
    return spec


def reliability(frame: pl.DataFrame) -> Spec:
    """`probabilities`, `confidence`, `accuracy`, `rows`: bins, before and after the temperature."""
    alt = package("altair")
    kinds = order_of(frame, "probabilities")
    honest = pl.DataFrame({"confidence": [0.0, 1.0], "accuracy": [0.0, 1.0]})
    axis = alt.Axis(format="%", tickCount=5)
    line = inline(honest).mark_line(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
    line = line.encode(
        x=alt.X("confidence:Q", title="confidence in the likeliest class", axis=axis),
        y=alt.Y("accuracy:Q", title="how often it is right", axis=axis),
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
    """`model`, `coverage`, `risk`."""
    alt = package("altair")
    models = order_of(frame, "model")
    percent = alt.Axis(format="%", tickCount=5)
    spec: Spec = (
        inline(frame)
        .mark_line(point=False)
        .encode(
            x=alt.X("coverage:Q", title="share of the rows that are answered, the surest first", axis=percent),
            y=alt.Y("risk:Q", title="wrong among them", axis=percent),
            color=alt.Color("model:N", sort=models, scale=colours(models), title=None),
            tooltip=["model:N", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("coverage", "risk"))],
        )
        .properties(width=WIDTH - 200, height=260)
        .to_dict()
    )
    return spec


def agreement(frame: pl.DataFrame, *, log: bool) -> Spec:
    """`truth`, `said`: numbers beside what they should be."""
    alt = package("altair")
    scale = alt.Scale(type="symlog") if log else alt.Scale(zero=False)
    told = "datum.value < 1000 ? datum.value : format(datum.value, '~s')"
    powers = [0, *(10**n for n in range(13))]
    steps = alt.Axis(values=powers, labelExpr=told) if log else alt.Axis(tickCount=6)
    ends = [min(frame["truth"].min(), frame["said"].min()), max(frame["truth"].max(), frame["said"].max())]  # type: ignore[type-var]
    line = inline(pl.DataFrame({"truth": ends, "said": ends})).mark_line(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
    line = line.encode(
        x=alt.X("truth:Q", title="true", scale=scale, axis=steps),
        y=alt.Y("said:Q", title="predicted", scale=scale, axis=steps),
    )
    dots = inline(frame).mark_point(size=14, opacity=0.35, color=PALETTE[0]).encode(x="truth:Q", y="said:Q")
    spec: Spec = alt.layer(dots, line).properties(width=400, height=360).to_dict()
    return spec


def dodged(frame: pl.DataFrame, metric: str) -> Spec:
    """`by`, `group`, `model`, `value`, `low`, `high`, `rows`: a panel for each grouping, models side by side."""
    alt = package("altair")
    models = order_of(frame, "model")
    rows = []
    for (by,), part in frame.group_by("by", maintain_order=True):
        base = inline(part).encode(
            x=alt.X("group:N", sort=order_of(part, "group"), title=str(by), axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("model:N", sort=models),
            color=alt.Color("model:N", sort=models, scale=colours(models), title=None),
        )
        told = ["model:N", "group:N", alt.Tooltip("rows:Q", format=","), alt.Tooltip("value:Q", format=".3f")]
        dots = base.mark_point(size=60).encode(y="value:Q", tooltip=told)
        spread = base.mark_rule(opacity=0.6).encode(
            y=alt.Y("low:Q", title=words(metric), scale=alt.Scale(zero=False)), y2="high:Q"
        )
        count = part["group"].n_unique()
        rows.append(alt.layer(spread, dots).properties(width=min(WIDTH - 60, 110 * count), height=190))
    spec: Spec = alt.concat(*rows, columns=2, spacing=32).to_dict()
    return spec


def ranges(frame: pl.DataFrame, title: str, *, reference: float | None = None) -> Spec:
    """`by`, `group`, `value`, `low`, `high`, `rows`, maybe `small`: a panel for each grouping, groups in lines."""
    alt = package("altair")
    panels = []
    low, high = frame["low"].min(), frame["high"].max()
    scale = alt.Scale(zero=False, domain=[low, high]) if low is not None and high is not None else alt.Scale(zero=False)
    across = alt.X("low:Q", title=title, scale=scale, axis=alt.Axis(tickCount=4, labelOverlap=True))
    for (by,), part in frame.group_by("by", maintain_order=True):
        base = inline(part).encode(y=alt.Y("group:N", sort=order_of(part, "group"), title=None))
        told = ["group:N", alt.Tooltip("rows:Q", format=","), alt.Tooltip("value:Q", format=".3f")]
        layers = [
            base.mark_rule(color=PALETTE[0]).encode(x=across, x2="high:Q", opacity=_paler("datum.small", 0.55)),
            base.mark_point(color=PALETTE[0], size=60).encode(
                x="value:Q", tooltip=told, opacity=_paler("datum.small", 0.9)
            ),
        ]
        if reference is not None:
            line = inline(pl.DataFrame({"at": [reference]})).mark_rule(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
            layers.insert(0, line.encode(x="at:Q"))
        panel = alt.layer(*layers).properties(width=WIDTH // 2 - 130, height=alt.Step(22), title=str(by))
        panels.append(panel)
    spec: Spec = alt.concat(*panels, columns=2, spacing=30).to_dict()
    return spec


def degrees(frame: pl.DataFrame) -> Spec:
    """`of`, `degree`, `share`: how many nodes have at least this many edges, on logarithmic axes."""
    alt = package("altair")
    kinds = order_of(frame, "of")
    spec: Spec = (
        inline(frame)
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=alt.X("degree:Q", scale=alt.Scale(type="log"), title="edges", axis=alt.Axis(tickCount=5, format="~s")),
            y=alt.Y(
                "share:Q",
                scale=alt.Scale(type="log"),
                title="nodes with at least as many",
                axis=alt.Axis(format=".2~%", tickCount=5),
            ),
            color=alt.Color("of:N", sort=kinds, scale=colours(kinds), title=None),
            tooltip=["of:N", "degree:Q", alt.Tooltip("share:Q", format=".2%")],
        )
        .properties(width=WIDTH - 200, height=260)
        .to_dict()
    )
    return spec


def survival(degrees: NDArray[np.int64], of: str) -> pl.DataFrame:
    """The share of the nodes that have at least so many edges, as `degrees` takes it."""
    values, counts = np.unique(degrees, return_counts=True)
    share = counts[::-1].cumsum()[::-1] / len(degrees)
    seen = values > 0
    return pl.DataFrame({"of": [of] * int(seen.sum()), "degree": values[seen], "share": share[seen]})


def concentration(frame: pl.DataFrame) -> Spec:
    """`ends`, `share` of them, `found` share of the errors that they have, `low` and `high` of what chance gives."""
    alt = package("altair")
    percent = alt.Axis(format="%", tickCount=5)
    panels = []
    for (ends,), part in frame.group_by("ends", maintain_order=True):
        across = alt.X("share:Q", title=f"share of the {ends}s, those with most first", axis=percent)
        base = inline(part).encode(x=across)
        told = [alt.Tooltip("share:Q", format=".0%"), alt.Tooltip("found:Q", format=".1%")]
        up = alt.Y("low:Q", title="share of all errors", axis=percent)
        band = base.mark_area(color=PALE, opacity=0.9).encode(y=up, y2="high:Q")
        line = base.mark_line(color=PALETTE[1]).encode(y="found:Q", tooltip=told)
        panels.append(alt.layer(band, line).properties(width=WIDTH // 2 - 70, height=270))
    spec: Spec = alt.hconcat(*panels, spacing=30).to_dict()
    return spec


def clouds(frame: pl.DataFrame, panels: Sequence[str], title: str, names: Sequence[str]) -> Spec:
    """`panel`, `x`, `y`, `colour`: points in two dimensions, a panel for each layer; `names` of classes in order."""
    alt = package("altair")
    if not names:
        colour = alt.Color("colour:Q", scale=alt.Scale(scheme="viridis"), title=title)
    else:
        colour = alt.Color("colour:N", sort=list(names), scale=colours(names), title=title)
    charts, frame_line = [], alt.ViewConfig(stroke=PALE)
    for panel in panels:
        base = inline(frame.filter(pl.col("panel") == panel)).mark_point(size=16, opacity=0.65)
        bare = alt.Axis(labels=False, ticks=False, grid=False, domain=False, title=None)
        encoded = base.encode(x=alt.X("x:Q", axis=bare), y=alt.Y("y:Q", axis=bare), color=colour)
        charts.append(encoded.properties(width=WIDTH // 2 - 60, height=WIDTH // 2 - 60, title=panel, view=frame_line))
    spec: Spec = alt.hconcat(*charts, spacing=20).to_dict()
    return spec
