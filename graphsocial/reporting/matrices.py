"""Matrices with coloured cells: confusion matrices, transition probabilities, correlations, attention."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from graphsocial.reporting.charts import Spec, inline, order_of
from graphsocial.reporting.page import INK, import_package

DIVERGING = ["#b35806", "#f7f7f7", "#2166ac"]
RAMP = ["#f4f7fa", "#08519c"]
MAX_WIDTH = 520  # pixels


def confusion(frame: pl.DataFrame, classes: Sequence[str]) -> Spec:
    """A confusion matrix whose rows are the true classes.

    Args:
        frame: columns `true`, `predicted`, `rows`, and `share` of the rows of the true class.
        classes: names of the classes in order.
    """
    alt = import_package("altair")
    side = max(150, min(MAX_WIDTH, 62 * len(classes)))
    base = inline(frame).encode(
        x=alt.X("predicted:N", sort=list(classes), title="predicted", axis=alt.Axis(orient="top", labelAngle=-35)),
        y=alt.Y("true:N", sort=list(classes), title="true"),
        tooltip=["true:N", "predicted:N", alt.Tooltip("rows:Q", format=",.1f"), alt.Tooltip("share:Q", format=".1%")],
    )
    shade = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=RAMP), legend=None)
    cells = base.mark_rect(stroke="white", strokeWidth=1).encode(color=shade)
    if len(classes) > 16:
        unlabelled: Spec = cells.properties(width=side, height=side).to_dict()
        return unlabelled
    ink = alt.condition("datum.share > 0.55", alt.value("white"), alt.value(INK))
    labelled = base.transform_filter("datum.share >= 0.005")
    shares = labelled.mark_text(fontSize=12).encode(text=alt.Text("share:Q", format=".0%"), color=ink)
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
    width: int = MAX_WIDTH,
    panel: str = "",
) -> Spec:
    """A matrix with coloured and labelled cells.

    Args:
        frame: columns `row`, `column` and `value`, and those named by `text` and `panel`.
        x: title of the horizontal axis.
        y: title of the vertical axis.
        value: column of the number that colours a cell.
        domain: (low, middle, high) of a diverging colour scale, or (low, high).
        text: column of the number that labels a cell; `value` by default.
        format: D3 format of the labels.
        width: maximum width of a panel in pixels.
        panel: column of the panel that a row belongs to; one panel by default.
    """
    alt = import_package("altair")
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
            tooltip=["row:N", "column:N", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in {value, text or value})],
        )
        cells = base.mark_rect(stroke="white", strokeWidth=1).encode(
            color=alt.Color(f"{value}:Q", scale=scale, legend=None)
        )
        dark = f"datum['{value}'] > {domain[0] + 0.8 * (domain[-1] - domain[0])}"
        pale = f"datum['{value}'] < {domain[0] + 0.2 * (domain[-1] - domain[0])}"
        ink = alt.condition(
            f"{dark} || {pale}" if len(domain) == 3 else dark.replace("0.8", "0.55"), alt.value("white"), alt.value(INK)
        )
        labels = base.mark_text(fontSize=12).encode(text=alt.Text(f"{text or value}:Q", format=format), color=ink)
        layers = alt.layer(cells, labels) if len(columns) <= 14 else alt.layer(cells)
        size = {"width": side * len(columns), "height": max(24, round(side * 0.6)) * len(rows)}
        charts.append(layers.properties(**size, **({"title": name} if panel else {})))
    spec: Spec = (alt.hconcat(*charts, spacing=28) if panel else charts[0]).to_dict()
    return spec
