"""Sections about what happens inside the network: its embeddings, and whom it weighs how."""

from __future__ import annotations

import numpy as np
import polars as pl

from graphsocial.comparison import breakdowns
from graphsocial.comparison.outcomes import is_classes
from graphsocial.reporting import charts
from graphsocial.reporting.embeddings import NEIGHBOURS, Insight, agreement, picture
from graphsocial.reporting.page import Chart, Section
from graphsocial.reporting.subject import LEAST_ROWS, Subject, frame_of, plain

LEAST_POINTS = 30
BEFORE, AFTER = "before message passing", "after it"


def embeddings(subject: Subject, seen: Insight) -> Section | None:
    """The examples' ends in two dimensions, before and after; nothing where the network does not show them."""
    if seen.before is None or seen.after is None or len(seen.after) < LEAST_POINTS:
        return None
    first = subject.answers[0]
    truth = pl.Series([subject.examples.classes[code] for code in first.target] if is_classes(first) else first.target)
    values = _of(subject, seen, truth.alias("value"))
    frames, near = [], []
    for panel, vectors in ((BEFORE, seen.before), (AFTER, seen.after)):
        points = picture(vectors)
        frames.append(pl.DataFrame({"panel": panel, "x": points[:, 0], "y": points[:, 1], "colour": values}))
        near.append(agreement(vectors, values))
    if values.dtype.is_numeric():
        told = (
            f"the true number correlates with the mean of the {NEIGHBOURS} nearest by {near[0]:.2f} before, by "
            f"{near[1]:.2f} after."
        )
    else:
        told = f"of the {NEIGHBOURS} nearest, {near[0]:.0%} have the same true class before, {near[1]:.0%} after."
    return Section(
        "Embeddings",
        "What message passing does to the representation of test examples.",
        [
            Chart(
                "Test examples in two dimensions",
                charts.clouds(
                    pl.concat(frames),
                    [BEFORE, AFTER],
                    f"true {subject.examples.target}",
                    numbers=values.dtype.is_numeric(),
                ),
                f"{len(values):,} {subject.rows}; each point is the first hidden state, or the last, of its ends side "
                "by side, laid out by t-SNE: near points are alike, distances between clusters mean nothing. "
                f"In the full space, {told}",
            )
        ],
    )


def _of(subject: Subject, seen: Insight, values: pl.Series) -> pl.Series:
    """The test rows' values in the order of what was seen."""
    keys = [ids.name for ids in seen.ids]
    known = subject.examples.frame.with_columns(values).unique(keys, keep="first")
    return pl.DataFrame(list(seen.ids)).join(known, on=keys, how="left", maintain_order="left")[values.name]


def gates(subject: Subject, seen: Insight) -> Section | None:
    """The adaptive combination's weights, by groups; nothing where there are none."""
    if seen.gates is None or np.ptp(seen.gates) < 1e-9:
        return None
    first, *others = subject.examples.ends
    names = {plain(name): name for name in subject.groupings}
    groupings = breakdowns.cold_start(subject.store, subject.examples) | {
        name: breakdowns.grouped_by(subject.store, subject.examples, subject.run.dataset, expression)
        for name, expression in names.items()
    }
    rows = []
    for by, groups in groupings.items():
        told = _of(subject, seen, groups.alias("group"))
        parts = []
        for group in groups.unique().sort():
            inside = seen.gates[(told == group).fill_null(False).to_numpy()]
            if len(inside) >= LEAST_ROWS:
                low, middle, high = np.quantile(inside, [0.1, 0.5, 0.9])
                parts.append({"by": by, "group": group, "value": middle, "low": low, "high": high, "rows": len(inside)})
        rows += parts if len(parts) > 1 else []
    if not rows:
        return None
    other = others[0] if others else "rest"
    return Section(
        "Gates",
        f"How much the network trusts the {first} and how much the {other}, for each example.",
        [
            Chart(
                f"The {first}'s weight β by group",
                charts.ranges(frame_of(rows), f"weight of the {first}, β", reference=float(np.median(seen.gates))),
                f"β weighs the {first}'s representation and 1 − β the {other}'s. Dots are medians, lines go from the "
                "10 % to the 90 % quantile of the group's examples; the dashed line is the median of all.",
            )
        ],
    )
