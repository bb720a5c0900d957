"""Columns that leak the label: one that predicts it alone, an average of labels, an edge type that encodes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.nn.functional import embedding_bag

from graphsocial.auditing.base import MAX_NAMED, Check, Verdict, not_applicable
from graphsocial.auditing.label_means import LIKE_A_CAUSE, Explained, LabelMeans
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.features import Feature, TimedMeans
from graphsocial.graph.visibility import Visibility
from graphsocial.types import Target

MAX_EXAMPLES = 5_000
MAX_VALUES = 64  # a number with more values is cut into as many quantile bins
MIN_ROWS = 20  # examples or nodes; with fewer nothing is checked
NODES_PER_BIN = 4  # nodes of a bin on average; with fewer the bins would identify the node
LEAKING_GAIN = 0.9  # gain over the majority class that is a leak
LABEL_BINS = 5  # classes that numeric labels are cut into


@dataclass(frozen=True)
class _ColumnGain:
    """How well a column alone predicts the label, and how well it predicts shuffled labels; see `look_up`."""

    column: str
    gain: float
    shuffled: float


def check_columns(
    graph: SocialGraph, train: NDArray[np.int64], visibility: Visibility, *, temporal: bool, seed: int
) -> list[Check]:
    """Predict the label from every single column that the model sees, and compare columns with averages of labels.

    Args:
        graph: the run's graph.
        train: (n,) row numbers of the training examples, the only ones that are used.
        visibility: whether the features of supervised edges are visible.
        temporal: whether batches have means over neighbors as of their time, which `stored_values` checks.
        seed: random seed of the sample of examples and of the shuffling.
    """
    if temporal:
        graph = replace(graph, node_features={name: _timeless(part) for name, part in graph.node_features.items()})
    random = np.random.default_rng([seed, 7])
    sample = np.sort(random.permutation(train)[:MAX_EXAMPLES])
    visible = visibility.predicted == "full"
    nodes = [_gains(graph, target, sample, _node_columns(graph, sample), random) for target in graph.targets]
    edges = [_gains(graph, target, sample, _edge_columns(graph, sample), random) for target in graph.targets]
    links = [_gains(graph, target, sample, _links(graph, sample), random) for target in graph.targets]
    hidden = "" if visible else " The run hides them of the edges of seed examples."
    return [
        _gain_check("columns of nodes", [gain for of_target in nodes for gain in of_target], "", leak=True),
        _gain_check("columns of edges", [gain for of_target in edges for gain in of_target], hidden, leak=visible),
        _gain_check("other edge types", [gain for of_target in links for gain in of_target], "", leak=True),
        _averages(graph),
    ]


def _gain_check(name: str, gains: list[_ColumnGain], hidden: str, *, leak: bool) -> Check:
    """The check that no column alone predicts the label."""
    if not gains:
        return not_applicable(name, "The model sees none, or there are too few labelled examples.")
    strongest = max(gains, key=lambda column: column.gain)
    leaking = [column for column in gains if column.gain >= LEAKING_GAIN and column.shuffled < LEAKING_GAIN / 2]
    detail = (
        f"The column '{strongest.column}' alone predicts {max(0.0, strongest.gain):.0%} of the labels that the "
        f"majority class gets wrong ({max(0.0, strongest.shuffled):.0%} of shuffled labels)."
        f"{hidden if leaking else ''}"
    )
    verdict: Verdict = "leak" if leaking and leak else "pass"
    return Check(
        name, verdict, len(gains), len(leaking), detail, tuple(column.column for column in leaking[:MAX_NAMED])
    )


def _gains(
    graph: SocialGraph,
    target: Target,
    sample: NDArray[np.int64],
    columns: Iterator[tuple[str, NDArray[np.int64]]],
    random: np.random.Generator,
) -> list[_ColumnGain]:
    """The gain of each column for one target; -1 in a column is a missing value."""
    labels = graph.target_labels[target.name][sample]
    known = is_known(labels).numpy()
    codes = _codes(target, labels.numpy())
    if known.sum() < MIN_ROWS:
        return []
    shuffled = codes.copy()
    shuffled[known] = random.permutation(codes[known])
    suffix = "" if len(graph.targets) == 1 else f" ({target.name})"
    return [
        _ColumnGain(name + suffix, look_up(bins[known], codes[known]), look_up(bins[known], shuffled[known]))
        for name, bins in columns
    ]


def look_up(cells: NDArray[np.int64], codes: NDArray[np.int64]) -> float:
    """The gain of a look-up table over the majority class: each example gets the most frequent code of the others in
    its cell.

    Args:
        cells: (n,) the cell of each example: a column's value or bin.
        codes: (n,) its class.

    Returns:
        (accuracy - base) / (1 - base), where base is the frequency of the majority class: the larger gain of all
        classes together and of one class against the rest. 0 where there is one class only.
    """
    _, cell = np.unique(cells, return_inverse=True)
    _, code = np.unique(codes, return_inverse=True)
    counts = np.bincount(cell * (code.max() + 1) + code).astype(np.float64)
    counts = np.append(counts, np.zeros(-len(counts) % (code.max() + 1))).reshape(-1, code.max() + 1)
    gains = [_table_gain(counts)]
    for single in range(counts.shape[1]):
        one_against_rest = np.stack([counts[:, single], counts.sum(axis=1) - counts[:, single]], axis=1)
        if one_against_rest.sum(axis=0).min() >= MIN_ROWS:
            gains.append(_table_gain(one_against_rest))
    return max(gains)


def _table_gain(counts: NDArray[np.float64]) -> float:
    """The leave-one-out gain of a look-up table, from the counts of each code (columns) in each cell (rows)."""
    total = counts.sum()
    correct, base = 0.0, counts.sum(axis=0).max() / total
    for code in range(counts.shape[1]):
        others = counts + counts.sum(axis=0) / (total + 1)  # an empty or tied cell predicts the majority class
        others[:, code] -= 1
        correct += counts[others.argmax(axis=1) == code, code].sum()
    return 0.0 if base == 1 else float((correct / total - base) / (1 - base))


def _codes(target: Target, labels: NDArray[np.generic]) -> NDArray[np.int64]:
    """Classes; numbers become `LABEL_BINS` classes of equal size, and of several labels the first counts."""
    if target.kind == "multilabel":
        return np.where(labels.any(axis=1), labels.argmax(axis=1), len(target.classes))
    if target.kind == "multiclass":
        return labels.astype(np.int64)
    return _bins(labels.astype(np.float64), LABEL_BINS)


def _bins(values: NDArray[np.float64], max_bins: int = MAX_VALUES) -> NDArray[np.int64]:
    """The index of each distinct value, or of its quantile bin where there are more than `max_bins`; -1 if missing."""
    bins = np.full(len(values), -1, dtype=np.int64)
    known = np.isfinite(values)
    distinct, index = np.unique(values[known], return_inverse=True)
    if len(distinct) > max_bins:
        edges = np.quantile(values[known], np.arange(1, max_bins) / max_bins)
        index = np.searchsorted(edges, values[known], side="right")
    bins[known] = index
    return bins


def _numeric(series: pl.Series) -> NDArray[np.float64]:
    """A column of numbers, times or categories as numbers; NaN where missing."""
    if series.dtype == pl.String:
        series = series.rank("dense")
    if series.dtype.is_temporal():
        series = series.to_physical()
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _node_columns(graph: SocialGraph, sample: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    same_type = len(set(graph.end_types)) < len(graph.ends)
    for endpoint, name in enumerate(graph.end_types):
        nodes, node_index = np.unique(graph.ends[endpoint][sample].numpy(), return_inverse=True)
        max_bins = max(2, min(MAX_VALUES, len(nodes) // NODES_PER_BIN))
        prefix = f"{name} ({('source', 'destination')[endpoint]})" if same_type else name
        for column, table, category in _tables(graph, name, torch.from_numpy(nodes)):
            for dimension, values in enumerate(table.T):
                label = f"{column}[{dimension}]" if table.shape[1] > 1 else column
                if not category or len(np.unique(values)) <= max_bins:  # a category of few nodes identifies them
                    yield f"{prefix}.{label}", _bins(values, max_bins)[node_index]


def _timeless(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    return tuple(feature for feature in features if not isinstance(feature, TimedMeans))


def _tables(graph: SocialGraph, name: str, nodes: torch.Tensor) -> Iterator[tuple[str, NDArray[np.float64], bool]]:
    """Each column or vector of these n nodes: (n, 1) or (n, D), NaN where missing; and whether it is a category."""
    if name in graph.plain:
        entry, frame = graph.plain[name]
        for column in entry.columns:
            if column.name in frame.columns:
                values = _numeric(frame[column.name][nodes.numpy()])
                yield column.name, values[:, None], column.kind == "category"
    for feature in graph.node_features.get(name, ()):
        yield feature.name.removeprefix(f"{name}."), _filled(feature.take(nodes)), False


def _filled(feature: Feature) -> NDArray[np.float64]:
    """(N, D) the vector of each row, or the mean of its sequence; NaN where missing."""
    vectors = feature.vectors
    if feature.offsets is not None:
        vectors = embedding_bag(torch.arange(len(vectors)), vectors, feature.offsets[:-1], mode="mean")
    missing = torch.full((1, vectors.shape[1]), float("nan"))
    return torch.cat([vectors, missing])[feature.index].double().numpy()  # -1 is the last row


def _edge_columns(graph: SocialGraph, sample: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """The features of the examples' own edges: the content as a category, and each dimension of its vector."""
    if isinstance(graph.entity, str):
        return
    edges = graph.edges[graph.entity]
    assert edges.example is not None
    edge_of_example = torch.full((graph.num_examples,), -1)
    edge_of_example[edges.example.flip(0)] = torch.arange(len(edges)).flip(0)
    edge = edge_of_example[torch.from_numpy(sample)]
    for feature in graph.edge_features.get(graph.entity, ()):
        index = torch.where(edge >= 0, feature.index[edge.clamp_min(0)], -1)
        yield feature.name, index.numpy()
        for dimension, values in enumerate(_filled(replace(feature, index=index)).T):
            yield f"{feature.name}[{dimension}]", _bins(values)


def _links(graph: SocialGraph, sample: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Whether an edge of another type joins the example's endpoints."""
    if isinstance(graph.entity, str):
        return
    source, destination = (end.numpy() for end in graph.ends)
    for edge_type, edges in graph.edges.items():
        if edges.reverse_of is not None or edge_type == graph.entity or set(edge_type[::2]) != set(graph.end_types):
            continue
        a, b = (source, destination) if (edge_type[0], edge_type[2]) == graph.end_types else (destination, source)
        size = graph.num_nodes[edge_type[2]]
        joined = np.isin(a[sample] * size + b[sample], (edges.src * size + edges.dst).numpy())
        yield " ".join(edge_type), joined.astype(np.int64)


def _averages(graph: SocialGraph) -> Check:
    """Columns that were computed from the labels around a node, those of held-out examples among them; `label_means`.

    For each node type, the labels of its examples (or, where examples are nodes, of those that have an edge to it) are
    averaged.
    """
    name, examined = "averages of labels", 0
    leaking, similar = dict[str, Explained](), dict[str, Explained]()  # targets may have columns in common
    for target in graph.targets:
        labels = graph.target_labels[target.name]
        known = is_known(labels)
        values = (
            labels.double()
            if target.kind == "multilabel"
            else torch.nn.functional.one_hot(labels.clamp_min(0), len(target.classes)).double()
            if target.classes
            else labels[:, None]
        )
        for node, examples, nodes in _examples_of_nodes(graph):
            kept = known[examples]
            means = LabelMeans.of(nodes[kept].numpy(), values[examples[kept]].numpy(), max_nodes=MAX_EXAMPLES)
            if len(means.nodes) < MIN_ROWS:
                continue
            for column, table, category in _tables(graph, node, torch.from_numpy(means.nodes)):
                for dimension, part in enumerate(table.T):
                    found = means.explain_category(part) if category else means.explain(part)
                    label = f"{node}.{column}" + (f"[{dimension}]" if table.shape[1] > 1 else "")
                    examined += 1
                    if found.leaks:
                        leaking[label] = found
                    elif found.share >= LIKE_A_CAUSE:
                        similar[label] = found
    if not examined:
        return not_applicable(name, "No node with columns has several labels around it.")
    if leaking:
        detail = (
            "Columns follow the noise of the labels around their node, so they were computed from them: "
            + "; ".join(
                f"{label}: R² {found.share:.2f}, of a cause at most {found.reliability:.2f}"
                for label, found in [*leaking.items()][:MAX_NAMED]
            )
        )
        return Check(name, "leak", examined, len(leaking), f"{detail}.", tuple(leaking)[:MAX_NAMED])
    advice = (
        f" Causes of the labels, or computed from them, which cannot be told: {', '.join([*similar][:MAX_NAMED])}."
        if similar
        else ""
    )
    return Check(name, "pass", examined, 0, f"No column follows the noise of the labels around its node.{advice}")


def _examples_of_nodes(graph: SocialGraph) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Node type, examples and nodes: the endpoints of each example, or the neighbors of examples that are nodes."""
    if not isinstance(graph.entity, str):
        for name, end in zip(graph.end_types, graph.ends, strict=True):
            yield name, torch.arange(graph.num_examples), end
        return
    example = torch.full((graph.num_nodes[graph.entity],), -1)
    example[graph.ends[0]] = torch.arange(graph.num_examples)
    for edge_type, edges in graph.edges.items():
        if edge_type[0] == graph.entity:
            from_example = example[edges.src] >= 0
            yield edge_type[2], example[edges.src][from_example], edges.dst[from_example]
