"""Charts whose cells are coloured: what is taken for what, what goes with what."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from graphsocial.reporting.charts import Spec, inline, order_of
from graphsocial.reporting.page import INK, package

DIVERGING = ["#b35806", "#f7f7f7", "#2166ac"]
RAMP = ["#f4f7fa", "#08519c"]
WIDEST = 520  # of a matrix


def confusion(frame: pl.DataFrame, classes: Sequence[str]) -> Spec:
    """`true`, `answered`, `rows`, `share` of the true class."""
    alt = package("altair")
    side = max(150, min(520, 62 * len(classes)))
    base = inline(frame).encode(
        x=alt.X("answered:N", sort=list(classes), title="answered", axis=alt.Axis(orient="top", labelAngle=-35)),
        y=alt.Y("true:N", sort=list(classes), title="true"),
        tooltip=["true:N", "answered:N", alt.Tooltip("rows:Q", format=",.1f"), alt.Tooltip("share:Q", format=".1%")],
    )
    shade = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=RAMP), legend=None)
    cells = base.mark_rect(stroke="white", strokeWidth=1).encode(color=shade)
    if len(classes) > 16:
        found: Spec = cells.properties(width=side, height=side).to_dict()
        return found
    ink = alt.condition("datum.share > 0.55", alt.value("white"), alt.value(INK))
    shown = base.transform_filter("datum.share >= 0.005")
    shares = shown.mark_text(fontSize=12).encode(text=alt.Text("share:Q", format=".0%"), color=ink)
    spec: Spec = alt.layer(cells, shares).properties(width=side, height=side * 0.72).to_dict()
    return spec


def matrix(
    frame: pl.DataFrame,
    *,
    x: str,
    y: str,
    value: str,
    domain: tuple[float, float, float] | tuple[float, float],
    text: str = "",
    format: str = ".2f",
    width: int = WIDEST,
    panel: str = "",
) -> Spec:
    """Coloured cells: columns `row`, `column`, a number to colour by and one to write, and perhaps `panel`.

    Args:
        x, y: the titles of the axes.
        value: what colours a cell.
        domain: (low, middle, high) of a diverging scale, or (low, high).
        text: the column that is written; `value` by default.
        format: of that.
        width: of one panel.
        panel: the column that deals the rows out to panels.
    """
    alt = package("altair")
    columns, rows = order_of(frame, "column"), order_of(frame, "row")
    side = min(62, width // max(1, len(columns)))
    scheme = DIVERGING if len(domain) == 3 else RAMP
    scale = alt.Scale(domain=list(domain), range=scheme, clamp=True)
    charts = []
    for name in order_of(frame, panel) if panel else [""]:
        part = frame.filter(pl.col(panel) == name) if panel else frame
        base = inline(part).encode(
            x=alt.X("column:N", sort=columns, title=x, axis=alt.Axis(orient="top", labelAngle=-35)),
            y=alt.Y("row:N", sort=rows, title=y),
            tooltip=["row:N", "column:N", *(alt.Tooltip(f"{one}:Q", format=".3f") for one in {value, text or value})],
        )
        cells = base.mark_rect(stroke="white", strokeWidth=1).encode(
            color=alt.Color(f"{value}:Q", scale=scale, legend=None)
        )
        dark = f"datum['{value}'] > {domain[0] + 0.8 * (domain[-1] - domain[0])}"
        pale = f"datum['{value}'] < {domain[0] + 0.2 * (domain[-1] - domain[0])}"
        ink = alt.condition(
            f"{dark} || {pale}" if len(domain) == 3 else dark.replace("0.8", "0.55"), alt.value("white"), alt.value(INK)
        )
        written = base.mark_text(fontSize=12).encode(text=alt.Text(f"{text or value}:Q", format=format), color=ink)
        layers = alt.layer(cells, written) if len(columns) <= 14 else alt.layer(cells)
        size = {"width": side * len(columns), "height": max(24, round(side * 0.6)) * len(rows)}
        charts.append(layers.properties(**size, **({"title": name} if panel else {})))
    spec: Spec = (alt.hconcat(*charts, spacing=28) if panel else charts[0]).to_dict()
    return spec
