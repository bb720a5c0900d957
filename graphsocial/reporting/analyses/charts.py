"""The charts of analyses: frames in, Vega-Lite specifications out."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from graphsocial.reporting.charts import SOFT, WIDTH, Spec, colours, inline, order_of
from graphsocial.reporting.page import PALE, PALETTE, package


def observed(frame: pl.DataFrame, title: str, *, chance: str = "by chance") -> Spec:
    """`by`, `group`, `value` beside `low`, `middle`, `high` of what chance gives: a panel for each `by`."""
    alt = package("altair")
    low, high = (frame.select(f(pl.col("value"), pl.col(end))).item() for f, end in ((_least, "low"), (_most, "high")))
    across = alt.Scale(domain=[min(low, 0.0), max(high, 0.0)], nice=True)
    kinds = ["observed", chance]
    panels = []
    for (by,), part in frame.group_by("by", maintain_order=True):
        base = inline(part).encode(y=alt.Y("group:N", sort=order_of(part, "group"), title=None))
        told = ["group:N", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "middle", "low", "high"))]
        axis = alt.X("low:Q", title=title, scale=across, axis=alt.Axis(tickCount=5, labelOverlap=True))
        band = base.mark_rule(color=PALE, strokeWidth=9).encode(x=axis, x2="high:Q")
        middle = base.mark_tick(thickness=2, size=14).encode(
            x="middle:Q",
            color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[PALETTE[0], SOFT]), title=None),
        )
        dots = base.mark_point(size=75, opacity=1).encode(x="value:Q", color="kind:N", tooltip=told)
        layers = alt.layer(
            band, middle.transform_calculate(kind=f"'{chance}'"), dots.transform_calculate(kind="'observed'")
        )
        panels.append(layers.properties(width=WIDTH // 2 - 140, height=alt.Step(24), title=str(by)))
    spec: Spec = alt.concat(*panels, columns=2, spacing=30).to_dict()
    return spec


def _least(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.min_horizontal(a.min(), b.min())


def _most(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.max_horizontal(a.max(), b.max())


def centrality(frame: pl.DataFrame, measures: Sequence[tuple[str, str]]) -> Spec:
    """`degree` beside other measures of the same nodes (name, title): a cloud for each, on logarithmic axes."""
    alt = package("altair")
    panels = []
    for name, title in measures:
        seen = frame.filter((pl.col("degree") > 0) & (pl.col(name) > 0))
        panels.append(
            inline(seen.select("entity_id", "degree", name))
            .mark_point(size=18, opacity=0.4, color=PALETTE[0])
            .encode(
                x=alt.X(
                    "degree:Q",
                    scale=alt.Scale(type="log", nice=False, padding=8),
                    title="links of the node",
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


def columns(frame: pl.DataFrame, *, x: str, y: str, format: str = "~s", colour: str = PALETTE[0]) -> Spec:
    """`group` and `value`: upright bars in the order of the rows."""
    alt = package("altair")
    names = order_of(frame, "group")
    spec: Spec = (
        inline(frame)
        .mark_bar(color=colour)
        .encode(
            x=alt.X("group:N", sort=names, title=x, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("value:Q", title=y, axis=alt.Axis(format=format, tickCount=5)),
            tooltip=["group:N", alt.Tooltip("value:Q", format=",.3~f")],
        )
        .properties(width=min(WIDTH - 80, max(160, 52 * len(names))), height=220)
        .to_dict()
    )
    return spec


def histogram(frame: pl.DataFrame, *, x: str, y: str) -> Spec:
    """`low`, `high`, `nodes`, and `fitted` nodes: bars on a logarithmic axis, a line of the fit."""
    alt = package("altair")
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
    middle = frame.with_columns(at=(pl.col("low") * pl.col("high")).sqrt())
    line = inline(middle).mark_line(color=PALETTE[1]).encode(x="at:Q", y="fitted:Q")
    spec: Spec = alt.layer(bars, line).properties(width=WIDTH - 120, height=260).to_dict()
    return spec


def stacked(frame: pl.DataFrame, *, of: str, y: str | None = None) -> Spec:
    """`group`, `part`, `share`: bars that add up to 100 %, in the order of the rows."""
    alt = package("altair")
    parts = sorted(frame["part"].unique())
    placed = frame.with_columns(place=pl.col("part").replace_strict(parts, range(len(parts))))
    spec: Spec = (
        inline(placed)
        .mark_bar()
        .encode(
            y=alt.Y("group:N", sort=order_of(frame, "group"), title=y),
            x=alt.X(
                "share:Q",
                title=f"share of {of}",
                axis=alt.Axis(format="%", tickCount=5),
                scale=alt.Scale(domain=[0, 1]),
                stack="zero",
            ),
            color=alt.Color("part:N", sort=parts, scale=colours(parts), title=None),
            order=alt.Order("place:Q"),
            tooltip=["group:N", "part:N", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=WIDTH - 240, height=alt.Step(22))
        .to_dict()
    )
    return spec


def course(frame: pl.DataFrame, *, x: str, of: str) -> Spec:
    """`tenth`, `emotion`, `share`: a line an emotion."""
    alt = package("altair")
    names = sorted(frame["emotion"].unique())
    spec: Spec = (
        inline(frame)
        .mark_line(point=alt.OverlayMarkDef(size=30))
        .encode(
            x=alt.X("tenth:O", title=x, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("share:Q", title=f"share of {of}", axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color("emotion:N", sort=names, scale=colours(names), title=None),
            tooltip=["emotion:N", "tenth:O", alt.Tooltip("share:Q", format=".1%"), "segments:Q"],
        )
        .properties(width=WIDTH - 200, height=260)
        .to_dict()
    )
    return spec


def strips(frame: pl.DataFrame, names: Sequence[str]) -> Spec:
    """`dialogue`, `place`, `speaker`, `emotion`: a panel a dialogue, a line a speaker, a square a segment."""
    alt = package("altair")
    last = int(frame["place"].max())  # type: ignore[arg-type]  # a number
    panels = []
    for (dialogue,), part in frame.group_by("dialogue", maintain_order=True):
        panels.append(
            inline(part)
            .mark_square(size=130, opacity=1)
            .encode(
                x=alt.X(
                    "place:Q",
                    title="segment",
                    scale=alt.Scale(domain=[0.5, last + 0.5], nice=False),
                    axis=alt.Axis(tickMinStep=1, format="d", grid=False, tickCount=min(last, 12)),
                ),
                y=alt.Y("speaker:N", sort=order_of(part, "speaker"), title=None),
                color=alt.Color("emotion:N", sort=list(names), scale=colours(names), title=None),
                tooltip=["segment_id:N", "speaker:N", "emotion:N"],
            )
            .properties(width=WIDTH - 220, height=alt.Step(20), title=str(dialogue))
        )
    spec: Spec = alt.vconcat(*panels, spacing=16).to_dict()
    return spec


def coefficients(frame: pl.DataFrame) -> Spec:
    """`model`, `term`, `coefficient`, `low`, `high`: a panel a model, terms in lines, 0 marked."""
    alt = package("altair")
    terms, panels = order_of(frame, "term"), []
    names = order_of(frame, "model")
    for place, name in enumerate(names):
        part = frame.filter(model=name)
        axis = alt.Axis(labels=place == 0, ticks=False, domain=False)
        base = inline(part).encode(y=alt.Y("term:N", sort=terms, title=None, axis=axis))
        zero = inline(pl.DataFrame({"at": [0.0]})).mark_rule(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
        told = ["term:N", *(alt.Tooltip(f"{one}:Q", format=".4f") for one in ("coefficient", "low", "high"))]
        across = alt.X("low:Q", title="coefficient", axis=alt.Axis(tickCount=4, labelOverlap=True))
        layers = alt.layer(
            zero.encode(x="at:Q"),
            base.mark_rule(color=PALETTE[0]).encode(x=across, x2="high:Q"),
            base.mark_point(color=PALETTE[0], size=60).encode(x="coefficient:Q", tooltip=told),
        )
        width = (WIDTH - 130 - 30 * len(names)) // len(names)
        panels.append(layers.properties(width=width, height=alt.Step(24), title=name))
    spec: Spec = alt.hconcat(*panels, spacing=24).to_dict()
    return spec


def losses(frame: pl.DataFrame, title: str, reference: float) -> Spec:
    """`missing`, `value`: what is left of a score when something is missing, beside the score with nothing missing."""
    alt = package("altair")
    base = inline(frame).encode(y=alt.Y("missing:N", sort=order_of(frame, "missing"), title=None))
    line = inline(pl.DataFrame({"at": [reference]})).mark_rule(color=SOFT, strokeDash=[4, 4], strokeWidth=1.2)
    across = alt.X("value:Q", title=title, scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=6))
    told = ["missing:N", alt.Tooltip("value:Q", format=".4f")]
    span = base.mark_rule(color=PALE, strokeWidth=3).encode(x=across, x2=alt.datum(reference))
    dots = base.mark_point(color=PALETTE[0], size=75, opacity=1).encode(x=across, tooltip=told)
    layers = alt.layer(span, line.encode(x="at:Q"), dots)
    spec: Spec = layers.properties(width=WIDTH - 260, height=alt.Step(26)).to_dict()
    return spec


def decline(frame: pl.DataFrame, title: str) -> Spec:
    """`target`, `share`, `value`: a score by the share that is missing, a line a target."""
    alt = package("altair")
    names = order_of(frame, "target")
    percent = alt.Axis(format="%", tickCount=6)
    spec: Spec = (
        inline(frame)
        .mark_line(point=alt.OverlayMarkDef(size=50))
        .encode(
            x=alt.X("share:Q", title="share of each modality that is missing", axis=percent),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color("target:N", sort=names, scale=colours(names), title=None),
            tooltip=["target:N", alt.Tooltip("share:Q", format=".0%"), alt.Tooltip("value:Q", format=".4f")],
        )
        .properties(width=WIDTH - 260, height=240)
        .to_dict()
    )
    return spec


def beside(frame: pl.DataFrame, measures: Sequence[tuple[str, str, str]]) -> Spec:
    """`group` and a few measures (name, title, format) of each, side by side: bars of shares, points of means."""
    alt = package("altair")
    names, panels = order_of(frame, "group"), []
    for place, (name, title, format) in enumerate(measures):
        axis = alt.Axis(labels=place == 0, ticks=False, domain=False)
        base = inline(frame).encode(
            y=alt.Y("group:N", sort=names, title=None, axis=axis),
            tooltip=["group:N", "nodes:Q", alt.Tooltip(f"{name}:Q", format=format)],
        )
        if format.endswith("%"):
            across = alt.X(f"{name}:Q", title=title, axis=alt.Axis(format=format, tickCount=5))
            panel = base.mark_bar(color=PALETTE[0]).encode(x=across)
        else:
            across = alt.X(
                f"{name}:Q", title=title, scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=5)
            )
            panel = base.mark_point(size=80, opacity=1, color=PALETTE[1]).encode(x=across)
        panels.append(panel.properties(width=WIDTH // 2 - 110, height=alt.Step(26)))
    spec: Spec = alt.hconcat(*panels, spacing=30).to_dict()
    return spec
