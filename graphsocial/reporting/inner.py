"""Sections about what happens inside the network: its embeddings, and what it weighs how."""

from __future__ import annotations

import numpy as np
import polars as pl

from graphsocial.comparison import breakdowns
from graphsocial.comparison.outcomes import Array, is_classes
from graphsocial.reporting import charts, matrices
from graphsocial.reporting.embeddings import NEIGHBOURS, Seen, agreement, picture
from graphsocial.reporting.page import Chart, Section, Table
from graphsocial.reporting.subject import LEAST_ROWS, Subject, frame_of, is_skewed, plain

LEAST_POINTS = 30
SHOWN = 1200  # points of a cloud
REACH = 5  # places to each side, beyond which attention is taken together
BEFORE, AFTER = "as they go in", "as they come out"


def embeddings(subject: Subject, seen: Seen) -> Section | None:
    """The examples in two dimensions, before and after; nothing where the network does not show them."""
    if seen.before is None or seen.after is None:
        return None
    first = subject.answers[0]
    truth = pl.Series([subject.examples.classes[code] for code in first.target] if is_classes(first) else first.target)
    told = _of(subject, seen, truth.alias("value"))
    known = np.flatnonzero(told.is_not_null().to_numpy())  # of this target
    chosen = np.sort(np.random.default_rng(0).permutation(known)[:SHOWN])
    values = told[chosen]
    if len(chosen) < LEAST_POINTS:
        return None
    skewed = values.dtype.is_numeric() and is_skewed(values.to_numpy())
    values = values.log1p() if skewed else values
    frames, near = [], []
    for panel, vectors in ((BEFORE, seen.before[chosen]), (AFTER, seen.after[chosen])):
        points = picture(vectors)
        frames.append(pl.DataFrame({"panel": panel, "x": points[:, 0], "y": points[:, 1], "colour": values}))
        near.append(agreement(vectors, values))
    if values.dtype.is_numeric():
        gain = (
            f"the true number correlates with the mean of the {NEIGHBOURS} nearest by {near[0]:.2f} as they go in, by "
            f"{near[1]:.2f} as they come out."
        )
    else:
        gain = f"of the {NEIGHBOURS} nearest, {near[0]:.0%} have the same true class as they go in, {near[1]:.0%} as"
        gain += " they come out."
    return Section(
        "Embeddings",
        "What the network makes of test examples, from what it is given to what its last layer reads.",
        [
            Chart(
                "Test examples in two dimensions",
                charts.clouds(
                    pl.concat(frames),
                    [BEFORE, AFTER],
                    f"true {subject.examples.target}" + ", log(1 + x)" * skewed,
                    [name for name in subject.examples.classes if name in set(values)],
                ),
                f"{len(values):,} {subject.rows}. Left: all that is known of each by itself. Right: what the layers "
                "have made of that and of what is around it. The layout is by t-SNE: near points are alike, distances "
                f"between clusters mean nothing. In the full space, {gain}",
            )
        ],
    )


def _of(subject: Subject, seen: Seen, values: pl.Series) -> pl.Series:
    """The test rows' values in the order of what was seen."""
    keys = [ids.name for ids in seen.ids]
    known = subject.examples.frame.with_columns(values).unique(keys, keep="first")
    return pl.DataFrame(list(seen.ids)).join(known, on=keys, how="left", maintain_order="left")[values.name]


def gates(subject: Subject, seen: Seen) -> Section | None:
    """How much the parts of the answers weigh, on the whole and by groups; nothing where there are no gates."""
    varying = {name: values for name, values in seen.gates.items() if np.ptp(values) > 1e-9}
    if not varying:
        return None
    (name, values), *others = varying.items()
    parts: list[Chart] = []
    if len(others) > 1:
        spread = [_quantiles(weights) | {"by": "all examples", "group": part} for part, weights in varying.items()]
        parts.append(
            Chart(
                "The weight of each part",
                charts.ranges(frame_of(spread), "weight in the answer"),
                "Dots are medians, lines go from the 10 % to the 90 % quantile of the test examples; an example's "
                "weights add up to 1."
                + " ‘text → audio’ is what audio tells text."
                * any("→" in part for part in varying),
            )
        )
    rows = _by_group(subject, seen, values)
    if rows and len(others) <= 1:
        rest = f" and 1 minus it the {others[0][0]}’s" if others else ""
        parts.append(
            Chart(
                f"The weight of the {name} by group",
                charts.ranges(frame_of(rows), f"weight of the {name}", reference=float(np.median(values))),
                f"It weighs the {name}’s representation{rest}. Dots are medians, lines go from the 10 % to the 90 % "
                "quantile of the group's examples; the dashed line is the median of all.",
            )
        )
    told = "How much the network trusts which part of what it knows, for each example."
    return Section("Gates", told, parts) if parts else None


def _by_group(subject: Subject, seen: Seen, values: Array) -> list[dict[str, object]]:
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
            inside = values[(told == group).fill_null(False).to_numpy()]
            if len(inside) >= LEAST_ROWS:
                parts.append({"by": by, "group": group, **_quantiles(inside)})
        rows += parts if len(parts) > 1 else []
    return rows


def _quantiles(values: Array) -> dict[str, object]:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return {"value": middle, "low": low, "high": high, "rows": len(values)}


def attention(seen: Seen) -> Section | None:
    """Where attention goes along the sequence, kind by kind; nothing where the network has none."""
    shown = {name: (distance, weights) for name, (distance, weights) in seen.attention.items() if weights.any()}
    if not shown:
        return None
    names = [
        f"≤ −{REACH}",
        *(f"−{n}" for n in range(REACH - 1, 0, -1)),
        "itself",
        *(f"+{n}" for n in range(1, REACH)),
        f"≥ +{REACH}",
    ]
    cells, sums = [], []
    for name, (distance, weights) in shown.items():
        share = np.bincount(distance.clip(-REACH, REACH) + REACH, weights, 2 * REACH + 1) / weights.sum()
        cells += [{"row": name, "column": column, "value": value} for column, value in zip(names, share, strict=True)]
        sums.append([name, *(float(part.sum()) for part in (share[:REACH], share[REACH], share[REACH + 1 :]))])
    return Section(
        "Attention",
        "Where each test example looks in the sequence that it is part of.",
        [
            Chart(
                "Attention by distance",
                matrices.matrix(
                    frame_of(cells),
                    x="places from the example",
                    y="",
                    value="value",
                    domain=(0, max(0.5, max(cell["value"] for cell in cells))),
                    format=".0%",
                    width=600,
                ),
                "Each row adds up to 100 %: the share of the attention that goes so many places back (−) or ahead (+). "
                "‘text → audio’ is what the text of an example asks of the audio of the others. Attention says where a "
                "network looks, not what it would lose: ‘explain’ measures that.",
            ),
            Table("In numbers", ["attention", "before", "itself", "after"], sums),
        ],
    )
