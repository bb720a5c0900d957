"""Charts of the emotions in dialogues: functions from data frames to Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from graphsocial.reporting.charts import WIDTH, Spec, colours, inline, order_of
from graphsocial.reporting.page import import_package


def stacked_shares(frame: pl.DataFrame, *, x: str) -> Spec:
    """Stacked bars of 100 %, in the order of the rows.

    Args:
        frame: columns `group`, `part`, `share`.
        x: title of the horizontal axis.
    """
    alt = import_package("altair")
    parts = sorted(frame["part"].unique())
    ordered = frame.with_columns(position=pl.col("part").replace_strict(parts, range(len(parts))))
    spec: Spec = (
        inline(ordered)
        .mark_bar()
        .encode(
            y=alt.Y("group:N", sort=order_of(frame, "group"), title=None),
            x=alt.X(
                "share:Q",
                title=x,
                axis=alt.Axis(format="%", tickCount=5),
                scale=alt.Scale(domain=[0, 1]),
                stack="zero",
            ),
            color=alt.Color("part:N", sort=parts, scale=colours(parts), title=None),
            order=alt.Order("position:Q"),
            tooltip=["group:N", "part:N", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=WIDTH - 240, height=alt.Step(22))
        .to_dict()
    )
    return spec


def emotion_course(frame: pl.DataFrame) -> Spec:
    """The share of each emotion by position in the dialogue.

    Args:
        frame: columns `tenth` of the dialogue, `emotion`, `share`, `segments`.
    """
    alt = import_package("altair")
    names = sorted(frame["emotion"].unique())
    spec: Spec = (
        inline(frame)
        .mark_line(point=alt.OverlayMarkDef(size=30))
        .encode(
            x=alt.X("tenth:O", title="tenth of the dialogue", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("share:Q", title="share of the segments", axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color("emotion:N", sort=names, scale=colours(names), title=None),
            tooltip=["emotion:N", "tenth:O", alt.Tooltip("share:Q", format=".1%"), "segments:Q"],
        )
        .properties(width=WIDTH - 200, height=260)
        .to_dict()
    )
    return spec


def emotion_timelines(frame: pl.DataFrame, names: Sequence[str]) -> Spec:
    """Timelines of emotions: one panel per dialogue, one line per speaker, one square per segment.

    Args:
        frame: columns `dialogue`, `position` (from 1), `segment_id`, `speaker`, `emotion`.
        names: names of the emotions in order.
    """
    alt = import_package("altair")
    last = int(frame["position"].max())  # type: ignore[arg-type]  # a number
    panels = []
    for (dialogue,), part in frame.group_by("dialogue", maintain_order=True):
        panels.append(
            inline(part)
            .mark_square(size=130, opacity=1)
            .encode(
                x=alt.X(
                    "position:Q",
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
