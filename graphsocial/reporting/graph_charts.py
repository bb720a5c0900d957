"""Charts about the nodes of a graph: degree distributions, and the concentration of errors on nodes."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.reporting.charts import WIDTH, Spec, colours, inline, order_of
from graphsocial.reporting.page import PALE, PALETTE, import_package


def degree_distribution(frame: pl.DataFrame) -> Spec:
    """Complementary cumulative degree distributions on logarithmic axes.

    Args:
        frame: columns `edges` (what is counted), `degree`, and `share` of the nodes of at least that degree.
    """
    alt = import_package("altair")
    kinds = order_of(frame, "edges")
    spec: Spec = (
        inline(frame)
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=alt.X("degree:Q", scale=alt.Scale(type="log"), title="degree", axis=alt.Axis(tickCount=5, format="~s")),
            y=alt.Y(
                "share:Q",
                scale=alt.Scale(type="log"),
                title="share of nodes with at least this degree",
                axis=alt.Axis(format=".2~%", tickCount=5),
            ),
            color=alt.Color("edges:N", sort=kinds, scale=colours(kinds), title=None),
            tooltip=["edges:N", "degree:Q", alt.Tooltip("share:Q", format=".2%")],
        )
        .properties(width=WIDTH - 200, height=260)
        .to_dict()
    )
    return spec


def survival(degrees: NDArray[np.int64], edges: str) -> pl.DataFrame:
    """The complementary cumulative distribution of degrees, as `degree_distribution` takes it.

    Args:
        degrees: (N,) the degrees of the nodes.
        edges: name of the edges that are counted.
    """
    values, counts = np.unique(degrees, return_counts=True)
    share = counts[::-1].cumsum()[::-1] / len(degrees)
    positive = values > 0
    return pl.DataFrame({"edges": [edges] * int(positive.sum()), "degree": values[positive], "share": share[positive]})


def concentration(frame: pl.DataFrame) -> Spec:
    """Lorenz curves of the errors over the nodes, with the band of their permutations.

    Args:
        frame: columns `end` (node type), `share` of its nodes, `observed` share of the errors on them, and the
            quantiles `low` and `high` of that share under permutation.
    """
    alt = import_package("altair")
    percent = alt.Axis(format="%", tickCount=5)
    panels = []
    for (end,), part in frame.group_by("end", maintain_order=True):
        base = inline(part).encode(
            x=alt.X("share:Q", title=f"share of the {end}s, in descending order of errors", axis=percent)
        )
        tooltip = [alt.Tooltip("share:Q", format=".0%"), alt.Tooltip("observed:Q", format=".1%")]
        y = alt.Y("low:Q", title="share of all errors", axis=percent)
        band = base.mark_area(color=PALE, opacity=0.9).encode(y=y, y2="high:Q")
        line = base.mark_line(color=PALETTE[1]).encode(y="observed:Q", tooltip=tooltip)
        panels.append(alt.layer(band, line).properties(width=WIDTH // 2 - 70, height=270))
    spec: Spec = alt.hconcat(*panels, spacing=30).to_dict()
    return spec
