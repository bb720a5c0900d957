"""Sections with scores by group: by training degree and cold start, and by columns of the endpoints."""

from __future__ import annotations

from typing import Any

import polars as pl

from graphsocial.reporting import charts
from graphsocial.reporting.page import Chart, Section, Table, format_interval, metric_title
from graphsocial.reporting.subject import MIN_ROWS, Subject

COLUMNS = ["by", "group", "rows"]


def cold_start(subject: Subject) -> Section | None:
    """Scores by training degree and cold start of the endpoints; None where rows are single nodes."""
    scores, metric = subject.comparison.groups, subject.comparison.metric
    if not scores.height:
        return None
    frame = scores.filter(~pl.col("by").is_in(subject.groupings)).with_columns(value=pl.col(metric))
    if not frame.height:
        return None
    drawn = frame.filter(pl.col("rows") >= MIN_ROWS).filter(pl.col("group").n_unique().over("by") > 1)
    parts: list[Chart | Table] = []
    if drawn.height:
        parts.append(
            Chart(
                "Scores by training degree",
                charts.grouped_scores(drawn, metric),
                "The training degree of a node is its number of training rows; nodes of degree 0 are new. Lines are "
                f"95 % confidence intervals. Groups of fewer than {MIN_ROWS} rows, and groupings with a single group, "
                "are not drawn.",
            )
        )
    rows = [
        [
            row["by"],
            row["group"],
            row["rows"],
            format_interval(row["value"], row["low"], row["high"]),
            "small" if row["small"] else "",
        ]
        for row in frame.filter(model=subject.label).to_dicts()
    ]
    parts.append(Table(f"Scores of {subject.label} by training degree", [*COLUMNS, metric_title(metric), "note"], rows))
    return Section("Cold start", "Scores by the number of training rows of both endpoints of a pair.", parts)


def groups(subject: Subject) -> Section | None:
    """Scores by column of the endpoints, with differences between groups; None where there is no such column."""
    scores, metric = subject.comparison.groups, subject.comparison.metric
    if not scores.height:
        return None
    frame = scores.filter(pl.col("by").is_in(subject.groupings), pl.col("model") == subject.label)
    frame = frame.filter(pl.len().over("by") > 1).with_columns(
        by=pl.col("by").str.replace_all('"', "", literal=True), value=pl.col(metric)
    )
    if not frame.height:
        return None
    overall = subject.comparison.scores.filter(model=subject.label, metric=metric)["mean"][0]
    units = list(subject.comparison.clusters)
    is_clustered = units != ["row"]
    rows = [
        [
            *("" if row["by"] == previous else row["by"], row["group"], row["rows"]),
            *([" × ".join(map(str, row["clusters"]))] if is_clustered else []),
            format_interval(row["value"], row["low"], row["high"]),
            format_interval(row["difference"], row["difference_low"], row["difference_high"], signed=True),
            _note(row),
        ]
        for previous, row in zip([None, *frame["by"]], frame.to_dicts(), strict=False)
    ]
    columns = [
        *COLUMNS,
        *([" × ".join(f"{unit}s" for unit in units)] if is_clustered else []),
        metric_title(metric),
        "group − others",
        "note",
    ]
    return Section(
        "Groups",
        "Scores by column of the endpoints, and the difference between each group and the other rows.",
        [
            Chart(
                "Scores by group",
                charts.intervals(frame, metric_title(metric), reference=overall),
                "Lines are 95 % confidence intervals, faded for small groups; the dashed line is the score of all "
                "rows. Numbers with many distinct values are binned into quartiles.",
            ),
            Table(
                "Scores and differences by group",
                columns,
                rows,
                "Differences are paired on the same bootstrap samples. ‘significant’ marks "
                "intervals that exclude 0; intervals are not corrected for multiple comparisons, so one in twenty "
                "excludes 0 by chance. ‘small’ marks groups of fewer than 30 rows"
                + (f" or 10 {'s or '.join(units)}s." if is_clustered else "."),
            ),
        ],
    )


def _note(row: dict[str, Any]) -> str:
    low, high = row["difference_low"], row["difference_high"]
    significant = low is not None and (low > 0 or high < 0)
    return "small" if row["small"] else "significant" if significant else ""
