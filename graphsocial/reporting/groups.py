"""Sections about whom the scores hide: those that training hardly knew, and groups of people and things."""

from __future__ import annotations

from typing import Any

import polars as pl

from graphsocial.reporting import charts
from graphsocial.reporting.page import Chart, Section, Table, interval, words
from graphsocial.reporting.subject import LEAST_ROWS, Subject


def cold_start(subject: Subject) -> Section | None:
    """Scores by what training knew of the ends; nothing where rows are single nodes."""
    found, metric = subject.comparison.groups, subject.comparison.metric
    if not found.height:
        return None
    frame = found.filter(~pl.col("by").is_in(subject.groupings)).with_columns(value=pl.col(metric))
    if not frame.height:
        return None
    shown = frame.filter(pl.col("rows") >= LEAST_ROWS).filter(pl.col("group").n_unique().over("by") > 1)
    parts: list[Chart | Table] = []
    if shown.height:
        parts.append(
            Chart(
                "Scores by what training knew",
                charts.dodged(shown, metric),
                "The training degree of a node is the number of training rows that it is an end of; 0 is new. Groups "
                f"of fewer than {LEAST_ROWS} rows, and groups without another beside them, are left out here.",
            )
        )
    rows = [
        [
            row["by"],
            row["group"],
            row["rows"],
            interval(row["value"], row["low"], row["high"]),
            "too small" if row["small"] else "",
        ]
        for row in frame.filter(model=subject.label).to_dicts()
    ]
    parts.append(Table(f"{subject.label}, in numbers", ["by", "group", "rows", words(metric), ""], rows))
    return Section("Cold start", "How the scores depend on how much training knew about both ends of a pair.", parts)


def groups(subject: Subject) -> Section | None:
    """Scores by groups of people and things, and their differences; nothing where no column makes groups."""
    found, metric = subject.comparison.groups, subject.comparison.metric
    if not found.height:
        return None
    frame = found.filter(pl.col("by").is_in(subject.groupings), pl.col("model") == subject.label)
    frame = frame.filter(pl.len().over("by") > 1).with_columns(
        by=pl.col("by").str.replace_all('"', "", literal=True), value=pl.col(metric)
    )
    if not frame.height:
        return None
    overall = subject.comparison.scores.filter(model=subject.label, metric=metric)["mean"][0]
    drawn = subject.comparison.cluster
    several = drawn != "row"
    rows = [
        [
            *("" if row["by"] == before else row["by"], row["group"], row["rows"]),
            *([row["clusters"]] if several else []),
            interval(row["value"], row["low"], row["high"]),
            interval(row["difference"], row["difference_low"], row["difference_high"], signed=True),
            _remark(row),
        ]
        for before, row in zip([None, *frame["by"]], frame.to_dicts(), strict=False)
    ]
    columns = ["by", "group", "rows", *([f"{drawn}s"] if several else []), words(metric), "group − others", ""]
    return Section(
        "Groups",
        "Whether the model serves some people, or works on some things, worse than on others.",
        [
            Chart(
                "Scores by group",
                charts.ranges(frame, words(metric), reference=overall),
                "The dashed line is the score of all rows; lines are 95 % intervals, pale where a group is too "
                "small. Numbers with many values are cut into quarters.",
            ),
            Table(
                "In numbers",
                columns,
                rows,
                "The difference is paired on the same bootstrap samples; ‘differs’ marks intervals that leave out 0. "
                "Of many groups, one in twenty does so by chance. Too small: fewer than 30 rows"
                + (f" or 10 {drawn}s." if several else "."),
            ),
        ],
    )


def _remark(row: dict[str, Any]) -> str:
    low, high = row["difference_low"], row["difference_high"]
    differs = low is not None and (low > 0 or high < 0)
    return "too small" if row["small"] else "differs" if differs else ""
