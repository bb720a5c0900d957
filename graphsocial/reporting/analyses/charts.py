"""The charts of analyses: functions from data frames to Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from graphsocial.reporting.charts import SOFT, WIDTH, Spec, colours, inline, order_of
from graphsocial.reporting.page import PALE, PALETTE, import_package


def observed_vs_chance(frame: pl.DataFrame, title: str) -> Spec:
    """Observed values with their mean and band under permutation, with one panel per grouping.

    Args:
        frame: columns `by` (the grouping), `group`, `value`, and `low`, `mean` and `high` under permutation.
        title: title of the horizontal axis.
    """
    alt = import_package("altair")
    low = frame.select(pl.min_horizontal(pl.col("value", "low").min())).item()
    high = frame.select(pl.max_horizontal(pl.col("value", "high").max())).item()
    scale = alt.Scale(domain=[min(low, 0.0), max(high, 0.0)], nice=True)
    kinds = ["observed", "by chance"]
    panels = []
    for (by,), part in frame.group_by("by", maintain_order=True):
        base = inline(part).encode(y=alt.Y("group:N", sort=order_of(part, "group"), title=None))
        numbers = (alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "mean", "low", "high"))
        axis = alt.X("low:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, labelOverlap=True))
        band = base.mark_rule(color=PALE, strokeWidth=9).encode(x=axis, x2="high:Q")
        ticks = base.mark_tick(thickness=2, size=14).encode(
            x="mean:Q",
            color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[PALETTE[0], SOFT]), title=None),
        )
        dots = base.mark_point(size=75, opacity=1).encode(x="value:Q", color="kind:N", tooltip=["group:N", *numbers])
        layers = alt.layer(
            band, ticks.transform_calculate(kind="'by chance'"), dots.transform_calculate(kind="'observed'")
        )
        panels.append(layers.properties(width=WIDTH // 2 - 140, height=alt.Step(24), title=str(by)))
    spec: Spec = alt.concat(*panels, columns=2, spacing=30).to_dict()
    return spec


def centrality(frame: pl.DataFrame, measures: Sequence[tuple[str, str]]) -> Spec:
    """Scatter plots of centralities by degree on logarithmic axes.

    Args:
        frame: columns `entity_id`, `degree` and the centralities.
        measures: column and axis title of each centrality.
    """
    alt = import_package("altair")
    panels = []
    for name, title in measures:
        positive = frame.filter((pl.col("degree") > 0) & (pl.col(name) > 0))
        panels.append(
            inline(positive.select("entity_id", "degree", name))
            .mark_point(size=18, opacity=0.4, color=PALETTE[0])
            .encode(
                x=alt.X(
                    "degree:Q",
                    scale=alt.Scale(type="log", nice=False, padding=8),
                    title="degree",
                    axis=alt.Axis(tickCount=5, format="~s"),
                ),
                y=alt.Y(
                    f"{name}:Q",
                    scale=alt.Scale(type="log", nice=False, padding=8),
                    title=title,
                    axis=alt.Axis(format=".0e", tickCount=5),
                ),
                tooltip=["entity_id:N", "degree:Q", alt.Tooltip(f"{name}:Q", format=".3g")],
            )
            .properties(width=WIDTH // 2 - 70, height=260)
        )
    spec: Spec = alt.hconcat(*panels, spacing=30).to_dict()
    return spec


def vertical_bars(frame: pl.DataFrame, *, x: str, y: str) -> Spec:
    """A bar chart in the order of the rows.

    Args:
        frame: columns `group` and `value`.
        x: title of the horizontal axis.
        y: title of the vertical axis.
    """
    alt = import_package("altair")
    names = order_of(frame, "group")
    spec: Spec = (
        inline(frame)
        .mark_bar(color=PALETTE[0])
        .encode(
            x=alt.X("group:N", sort=names, title=x, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("value:Q", title=y, axis=alt.Axis(format="~s", tickCount=5)),
            tooltip=["group:N", alt.Tooltip("value:Q", format=",.3~f")],
        )
        .properties(width=min(WIDTH - 80, max(160, 52 * len(names))), height=220)
        .to_dict()
    )
    return spec


def histogram(frame: pl.DataFrame, *, x: str, y: str) -> Spec:
    """A histogram on a logarithmic axis, with the line of a fitted distribution.

    Args:
        frame: columns `low` and `high` (bounds of the bins), `nodes`, and `fitted` (expected number of nodes).
        x: title of the horizontal axis.
        y: title of the vertical axis.
    """
    alt = import_package("altair")
    bars = (
        inline(frame)
        .mark_rect(color=SOFT, opacity=0.55, stroke="white", strokeWidth=1)
        .encode(
            x=alt.X(
                "low:Q",
                scale=alt.Scale(type="log", nice=False),
                title=x,
                axis=alt.Axis(format="~s", tickCount=6, grid=False),
            ),
            x2="high:Q",
            y=alt.Y("nodes:Q", title=y, axis=alt.Axis(format="~s", tickCount=5)),
            y2=alt.datum(0),
            tooltip=[*(alt.Tooltip(f"{end}:Q", format=",.1f") for end in ("low", "high")), "nodes:Q"],
        )
    )
    centres = frame.with_columns(centre=(pl.col("low") * pl.col("high")).sqrt())
    line = inline(centres).mark_line(color=PALETTE[1]).encode(x="centre:Q", y="fitted:Q")
    spec: Spec = alt.layer(bars, line).properties(width=WIDTH - 120, height=260).to_dict()
    return spec


def coefficients(frame: pl.DataFrame) -> Spec:
    """Regression coefficients with confidence intervals, with one panel per model.

    Args:
        frame: columns `model`, `term`, `coefficient`, `low`, `high`.
    """
    alt = import_package("altair")
    terms, panels = order_of(frame, "term"), []
    names = order_of(frame, "model")
    for index, name in enumerate(names):
        part = frame.filter(model=name)
        axis = alt.Axis(labels=index == 0, ticks=False, domain=False)
        base = inline(part).encode(y=alt.Y("term:N", sort=terms, title=None, axis=axis))
        zero = inline(pl.DataFrame({"at": [0.0]})).mark_rule(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
        numbers = (alt.Tooltip(f"{column}:Q", format=".4f") for column in ("coefficient", "low", "high"))
        x = alt.X("low:Q", title="coefficient", axis=alt.Axis(tickCount=4, labelOverlap=True))
        layers = alt.layer(
            zero.encode(x="at:Q"),
            base.mark_rule(color=PALETTE[0]).encode(x=x, x2="high:Q"),
            base.mark_point(color=PALETTE[0], size=60).encode(x="coefficient:Q", tooltip=["term:N", *numbers]),
        )
        width = (WIDTH - 130 - 30 * len(names)) // len(names)
        panels.append(layers.properties(width=width, height=alt.Step(24), title=name))
    spec: Spec = alt.hconcat(*panels, spacing=24).to_dict()
    return spec


def scores_without(frame: pl.DataFrame, title: str, reference: float) -> Spec:
    """Scores without each modality, compared with the score with all of them.

    Args:
        frame: columns `missing` (the modality) and `value` of the score.
        title: title of the horizontal axis.
        reference: the score with all modalities, drawn as a dashed line.
    """
    alt = import_package("altair")
    base = inline(frame).encode(y=alt.Y("missing:N", sort=order_of(frame, "missing"), title=None))
    line = inline(pl.DataFrame({"at": [reference]})).mark_rule(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=6))
    tooltip = ["missing:N", alt.Tooltip("value:Q", format=".4f")]
    span = base.mark_rule(color=PALE, strokeWidth=3).encode(x=x, x2=alt.datum(reference))
    dots = base.mark_point(color=PALETTE[0], size=75, opacity=1).encode(x=x, tooltip=tooltip)
    layers = alt.layer(span, line.encode(x="at:Q"), dots)
    spec: Spec = layers.properties(width=WIDTH - 260, height=alt.Step(26)).to_dict()
    return spec


def scores_by_missing_share(frame: pl.DataFrame, title: str) -> Spec:
    """Scores by the missing share of each modality, with one line per target.

    Args:
        frame: columns `target`, `share`, `value`.
        title: title of the vertical axis.
    """
    alt = import_package("altair")
    names = order_of(frame, "target")
    percent = alt.Axis(format="%", tickCount=6)
    spec: Spec = (
        inline(frame)
        .mark_line(point=alt.OverlayMarkDef(size=50))
        .encode(
            x=alt.X("share:Q", title="missing share of each modality", axis=percent),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color("target:N", sort=names, scale=colours(names), title=None),
            tooltip=["target:N", alt.Tooltip("share:Q", format=".0%"), alt.Tooltip("value:Q", format=".4f")],
        )
        .properties(width=WIDTH - 260, height=240)
        .to_dict()
    )
    return spec


def side_by_side(frame: pl.DataFrame, measures: Sequence[tuple[str, str, str]]) -> Spec:
    """Several measures of the same groups, with one panel per measure: bars for shares, points for means.

    Args:
        frame: columns `group`, `nodes` and the measures.
        measures: column, axis title and D3 format of each measure.
    """
    alt = import_package("altair")
    names, panels = order_of(frame, "group"), []
    for index, (name, title, format) in enumerate(measures):
        axis = alt.Axis(labels=index == 0, ticks=False, domain=False)
        base = inline(frame).encode(
            y=alt.Y("group:N", sort=names, title=None, axis=axis),
            tooltip=["group:N", "nodes:Q", alt.Tooltip(f"{name}:Q", format=format)],
        )
        if format.endswith("%"):
            x = alt.X(f"{name}:Q", title=title, axis=alt.Axis(format=format, tickCount=5))
            panel = base.mark_bar(color=PALETTE[0]).encode(x=x)
        else:
            x = alt.X(f"{name}:Q", title=title, scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=5))
            panel = base.mark_point(size=80, opacity=1, color=PALETTE[1]).encode(x=x)
        panels.append(panel.properties(width=WIDTH // 2 - 110, height=alt.Step(26)))
    spec: Spec = alt.hconcat(*panels, spacing=30).to_dict()
    return spec
