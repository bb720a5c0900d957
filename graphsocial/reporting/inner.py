"""Sections about the inside of the network: its embeddings, gates and attention."""

from __future__ import annotations

import numpy as np
import polars as pl

from graphsocial.comparison import breakdowns
from graphsocial.comparison.outcomes import Array, is_classes
from graphsocial.reporting import charts, matrices
from graphsocial.reporting.embeddings import NEIGHBORS, ExampleTraces, neighbor_agreement, tsne
from graphsocial.reporting.page import Chart, Section, Table
from graphsocial.reporting.subject import MIN_ROWS, Subject, frame_of, is_skewed, unquoted

MIN_POINTS = 30
MAX_POINTS = 1200  # of a scatter plot
MAX_DISTANCE = 5  # positions; attention to farther positions is summed
BEFORE, AFTER = "inputs", "representations that the classifiers read"


def embeddings(subject: Subject, traces: ExampleTraces) -> Section | None:
    """t-SNE of the examples' inputs and representations; None where the network does not give both."""
    if traces.before is None or traces.after is None:
        return None
    first = subject.outcomes[0]
    true_values = pl.Series(
        [subject.examples.classes[code] for code in first.target] if is_classes(first) else first.target
    )
    aligned = _align(subject, traces, true_values.alias("value"))
    labelled = np.flatnonzero(aligned.is_not_null().to_numpy())  # for this target
    sampled = np.sort(np.random.default_rng(0).permutation(labelled)[:MAX_POINTS])
    values = aligned[sampled]
    if len(sampled) < MIN_POINTS:
        return None
    skewed = values.dtype.is_numeric() and is_skewed(values.to_numpy())
    values = values.log1p() if skewed else values
    frames, agreement = [], []
    for panel, vectors in ((BEFORE, traces.before[sampled]), (AFTER, traces.after[sampled])):
        points = tsne(vectors)
        frames.append(pl.DataFrame({"panel": panel, "x": points[:, 0], "y": points[:, 1], "colour": values}))
        agreement.append(neighbor_agreement(vectors, values))
    if values.dtype.is_numeric():
        sentence = (
            f"the correlation of the true number with the mean of the {NEIGHBORS} nearest neighbors is "
            f"{agreement[0]:.2f} for the inputs and {agreement[1]:.2f} for the representations."
        )
    else:
        sentence = (
            f"the share of the {NEIGHBORS} nearest neighbors with the same true class is {agreement[0]:.0%} for the "
            f"inputs and {agreement[1]:.0%} for the representations."
        )
    return Section(
        "Embeddings",
        "Vectors of the test examples at the input of the network and at the input of its classifiers.",
        [
            Chart(
                "t-SNE of the test examples",
                charts.scatter(
                    pl.concat(frames),
                    [BEFORE, AFTER],
                    f"true {subject.examples.target}" + ", log(1 + x)" * skewed,
                    [name for name in subject.examples.classes if name in set(values)],
                ),
                f"{len(values):,} {subject.unit}. Left: the input features of each example. Right: its representation "
                "after the layers of the network. In a t-SNE layout, close points are similar; distances between "
                f"clusters have no meaning. In the original dimensions, {sentence}",
            )
        ],
    )


def _align(subject: Subject, traces: ExampleTraces, values: pl.Series) -> pl.Series:
    """Values of the test rows in the order of the traced examples; null for other examples."""
    keys = [ids.name for ids in traces.ids]
    rows = subject.examples.frame.with_columns(values).unique(keys, keep="first")
    return pl.DataFrame(list(traces.ids)).join(rows, on=keys, how="left", maintain_order="left")[values.name]


def gates(subject: Subject, traces: ExampleTraces) -> Section | None:
    """Gate weights, overall and by group; None for networks without gates."""
    varying = {name: values for name, values in traces.gates.items() if np.ptp(values) > 1e-9}
    if not varying:
        return None
    (name, values), *others = varying.items()
    parts: list[Chart] = []
    if len(others) > 1:
        rows = [_quantiles(weights) | {"by": "all examples", "group": part} for part, weights in varying.items()]
        parts.append(
            Chart(
                "Gate weight of each part",
                charts.intervals(frame_of(rows), "gate weight"),
                "Dots are medians, lines range from the 10 % to the 90 % quantile of the test examples. The weights "
                "of an example add up to 1."
                + " ‘text → audio’ is the weight of the information that text receives from audio."
                * any("→" in part for part in varying),
            )
        )
    rows = _by_group(subject, traces, values)
    if rows and len(others) <= 1:
        complement = f"; that of ‘{others[0][0]}’ is 1 minus this" if others else ""
        parts.append(
            Chart(
                f"Gate weight of the {name} by group",
                charts.intervals(frame_of(rows), f"gate weight of the {name}", reference=float(np.median(values))),
                f"Weight of ‘{name}’{complement}. Dots are medians, lines range from the "
                "10 % to the 90 % quantile of the group's examples; the dashed line is the median of all examples.",
            )
        )
    intro = "Weights with which the network combines the parts of an example."
    return Section("Gates", intro, parts) if parts else None


def _by_group(subject: Subject, traces: ExampleTraces, values: Array) -> list[dict[str, object]]:
    expressions = {unquoted(expression): expression for expression in subject.groupings}
    groupings = breakdowns.cold_start(subject.store, subject.examples) | {
        name: breakdowns.grouped_by(subject.store, subject.examples, subject.run.dataset, expression)
        for name, expression in expressions.items()
    }
    rows = []
    for by, groups in groupings.items():
        aligned = _align(subject, traces, groups.alias("group"))
        parts = []
        for group in groups.unique().sort():
            in_group = values[(aligned == group).fill_null(False).to_numpy()]
            if len(in_group) >= MIN_ROWS:
                parts.append({"by": by, "group": group, **_quantiles(in_group)})
        rows += parts if len(parts) > 1 else []
    return rows


def _quantiles(values: Array) -> dict[str, object]:
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9])
    return {"value": median, "low": low, "high": high, "rows": len(values)}


def attention(traces: ExampleTraces) -> Section | None:
    """Attention weights by distance in the sequence; None for networks without attention over sequences."""
    nonzero = {name: (distance, weights) for name, (distance, weights) in traces.attention.items() if weights.any()}
    if not nonzero:
        return None
    distances = [
        f"≤ −{MAX_DISTANCE}",
        *(f"−{n}" for n in range(MAX_DISTANCE - 1, 0, -1)),
        "itself",
        *(f"+{n}" for n in range(1, MAX_DISTANCE)),
        f"≥ +{MAX_DISTANCE}",
    ]
    cells, sums = [], []
    for name, (distance, weights) in nonzero.items():
        share = (
            np.bincount(distance.clip(-MAX_DISTANCE, MAX_DISTANCE) + MAX_DISTANCE, weights, 2 * MAX_DISTANCE + 1)
            / weights.sum()
        )
        cells += [
            {"row": name, "column": column, "value": value} for column, value in zip(distances, share, strict=True)
        ]
        sums.append(
            [
                name,
                *(float(part.sum()) for part in (share[:MAX_DISTANCE], share[MAX_DISTANCE], share[MAX_DISTANCE + 1 :])),
            ]
        )
    return Section(
        "Attention",
        "Attention of each test example over the positions of its sequence.",
        [
            Chart(
                "Mean attention by distance",
                matrices.matrix(
                    frame_of(cells),
                    x="positions from the example",
                    y="",
                    value="value",
                    domain=(0, max(0.5, max(cell["value"] for cell in cells))),
                    format=".0%",
                    width=600,
                ),
                "Rows add up to 100 %: the share of the attention at each number of positions before (−) or after "
                "(+) the example. ‘text → audio’ is attention from the text of an example to the audio of the "
                "others. Attention weights do not measure the effect on the prediction; ‘explain’ does.",
            ),
            Table("Attention before and after the example", ["attention", "before", "itself", "after"], sums),
        ],
    )
