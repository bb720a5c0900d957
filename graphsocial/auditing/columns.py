"""Columns that give the answer away: one that tells it alone, one that averages it, an edge type that stands for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.nn.functional import embedding_bag

from graphsocial.auditing.base import FEW, Check, Verdict, not_applicable
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.features import Feature
from graphsocial.graph.visibility import Visibility
from graphsocial.types import Target

MOST_EXAMPLES = 5_000
MOST_VALUES = 64  # a number with more values is looked up by as many ranges
FEWEST = 20  # examples, or nodes, below which nothing can be said
NODES = 4  # in a cell of a look-up by a node's column, or it would be a look-up of the node
TELLS = 0.9  # of what is left to tell beside the commonest answer
AVERAGES = 0.98  # of a column's variance, by what a node's answers are
GRADES = 5  # classes that numbers are cut into


@dataclass(frozen=True)
class _Told:
    """How much of the answer a column tells alone, and how much of a shuffled one."""

    column: str
    share: float
    shuffled: float


def check_columns(graph: SocialGraph, train: NDArray[np.int64], visibility: Visibility, *, seed: int) -> list[Check]:
    """Look the answer up by every single column that the model may see, and compare columns with averages of answers.

    Args:
        train: positions of the training examples; look-ups are made in these alone.
        seed: of the sample of examples and of the shuffling.
    """
    random = np.random.default_rng([seed, 7])
    some = np.sort(random.permutation(train)[:MOST_EXAMPLES])
    shown = visibility.asked == "full"
    nodes = [_strongest(graph, target, some, _node_columns(graph, some), random) for target in graph.targets]
    edges = [_strongest(graph, target, some, _edge_columns(graph, some), random) for target in graph.targets]
    links = [_strongest(graph, target, some, _links(graph, some), random) for target in graph.targets]
    hidden = "" if shown else " The run hides them of edges that are asked about."
    return [
        _tells("columns of nodes", [told for part in nodes for told in part], "", leak=True),
        _tells("columns of edges", [told for part in edges for told in part], hidden, leak=shown),
        _tells("other edge types", [told for part in links for told in part], "", leak=True),
        _averages(graph),
    ]


def _tells(name: str, told: list[_Told], hidden: str, *, leak: bool) -> Check:
    """The check that no column tells the answer."""
    if not told:
        return not_applicable(name, "There is none that the model may see, or too few examples to look it up.")
    strongest = max(told, key=lambda one: one.share)
    against = [one for one in told if one.share >= TELLS and one.shuffled < TELLS / 2]
    detail = (
        f"A look-up by '{strongest.column}' alone tells {max(0.0, strongest.share):.0%} of what the commonest "
        f"answer leaves open ({max(0.0, strongest.shuffled):.0%} of shuffled answers).{hidden if against else ''}"
    )
    verdict: Verdict = "leak" if against and leak else "pass"
    return Check(name, verdict, len(told), len(against), detail, tuple(one.column for one in against[:FEW]))


def _strongest(
    graph: SocialGraph,
    target: Target,
    some: NDArray[np.int64],
    columns: Iterator[tuple[str, NDArray[np.int64]]],
    random: np.random.Generator,
) -> list[_Told]:
    """What each column tells of one target; -1 in a column is a missing value."""
    answers = graph.answers[target.name][some]
    known = is_known(answers).numpy()
    codes = _codes(target, answers.numpy())
    if known.sum() < FEWEST:
        return []
    mixed = codes.copy()
    mixed[known] = random.permutation(codes[known])
    label = "" if len(graph.targets) == 1 else f" ({target.name})"
    return [
        _Told(name + label, look_up(cells[known], codes[known]), look_up(cells[known], mixed[known]))
        for name, cells in columns
    ]


def look_up(cells: NDArray[np.int64], codes: NDArray[np.int64]) -> float:
    """How much a look-up tells: each example gets the commonest code of the others in its cell.

    Returns:
        (accuracy - base) / (1 - base), where base is the share of the commonest code: of all codes, or of one code
        against the rest, whichever is told best. 0 where there is one code only.
    """
    _, cell = np.unique(cells, return_inverse=True)
    _, code = np.unique(codes, return_inverse=True)
    counts = np.bincount(cell * (code.max() + 1) + code).astype(np.float64)
    counts = np.append(counts, np.zeros(-len(counts) % (code.max() + 1))).reshape(-1, code.max() + 1)
    told = [_told(counts)]
    for single in range(counts.shape[1]):
        one = np.stack([counts[:, single], counts.sum(axis=1) - counts[:, single]], axis=1)
        if one.sum(axis=0).min() >= FEWEST:
            told.append(_told(one))
    return max(told)


def _told(counts: NDArray[np.float64]) -> float:
    """What a look-up tells, from how often each code (columns) is in each cell (rows)."""
    total = counts.sum()
    right, base = 0.0, counts.sum(axis=0).max() / total
    for code in range(counts.shape[1]):
        others = counts + counts.sum(axis=0) / (total + 1)  # an empty or even cell says the commonest code
        others[:, code] -= 1
        right += counts[others.argmax(axis=1) == code, code].sum()
    return 0.0 if base == 1 else float((right / total - base) / (1 - base))


def _codes(target: Target, answers: NDArray[np.generic]) -> NDArray[np.int64]:
    """Classes; numbers become `GRADES` classes of equal size."""
    if target.kind == "multiclass":
        return answers.astype(np.int64)
    return _cells(answers.astype(np.float64), GRADES)


def _cells(values: NDArray[np.float64], most: int = MOST_VALUES) -> NDArray[np.int64]:
    """A number's values, or as many ranges of equal size; -1 where missing."""
    found = np.full(len(values), -1, dtype=np.int64)
    known = np.isfinite(values)
    distinct, place = np.unique(values[known], return_inverse=True)
    if len(distinct) > most:
        cuts = np.quantile(values[known], np.arange(1, most) / most)
        place = np.searchsorted(cuts, values[known], side="right")
    found[known] = place
    return found


def _plain(series: pl.Series) -> NDArray[np.float64]:
    """A column of numbers, times or categories as numbers; NaN where missing."""
    if series.dtype == pl.String:
        series = series.rank("dense")
    if series.dtype.is_temporal():
        series = series.to_physical()
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _node_columns(graph: SocialGraph, some: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    for place, name in enumerate(graph.end_types):
        nodes, at = np.unique(graph.ends[place][some].numpy(), return_inverse=True)
        most = max(2, min(MOST_VALUES, len(nodes) // NODES))
        end = f"{name} ({('source', 'destination')[place]})" if len(set(graph.end_types)) < len(graph.ends) else name
        for column, table, category in _tables(graph, name, torch.from_numpy(nodes)):
            for number, values in enumerate(table.T):
                label = f"{column}[{number}]" if table.shape[1] > 1 else column
                if not category or len(np.unique(values)) <= most:  # a category of few nodes is a name, no property
                    yield f"{end}.{label}", _cells(values, most)[at]


def _tables(graph: SocialGraph, name: str, nodes: torch.Tensor) -> Iterator[tuple[str, NDArray[np.float64], bool]]:
    """Each column or vector of these n nodes: (n, 1) or (n, D), NaN where missing; and whether it is a category."""
    if name in graph.plain:
        entry, frame = graph.plain[name]
        for column in entry.columns:
            if column.name in frame.columns:
                values = _plain(frame[column.name][nodes.numpy()])
                yield column.name, values[:, None], column.kind == "category"
    for feature in graph.node_features.get(name, ()):
        yield feature.name.removeprefix(f"{name}."), _filled(feature.take(nodes)), False


def _filled(feature: Feature) -> NDArray[np.float64]:
    """(N, D) the vector of each row, or the mean of its sequence; NaN where it has none."""
    vectors = feature.vectors
    if feature.offsets is not None:
        vectors = embedding_bag(torch.arange(len(vectors)), vectors, feature.offsets[:-1], mode="mean")
    missing = torch.full((1, vectors.shape[1]), float("nan"))
    return torch.cat([vectors, missing])[feature.index].double().numpy()  # -1 is the last row


def _edge_columns(graph: SocialGraph, some: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """The features of the examples' own edges: each content, and each dimension of its vector."""
    if isinstance(graph.entity, str):
        return
    edges = graph.edges[graph.entity]
    assert edges.example is not None
    own = torch.full((graph.num_examples,), -1)
    own[edges.example.flip(0)] = torch.arange(len(edges)).flip(0)
    at = own[torch.from_numpy(some)]
    for feature in graph.edge_features.get(graph.entity, ()):
        index = torch.where(at >= 0, feature.index[at.clamp_min(0)], -1)
        yield feature.name, index.numpy()
        for number, values in enumerate(_filled(replace(feature, index=index)).T):
            yield f"{feature.name}[{number}]", _cells(values)


def _links(graph: SocialGraph, some: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Whether an edge of another type joins the example's ends."""
    if isinstance(graph.entity, str):
        return
    source, destination = (end.numpy() for end in graph.ends)
    for kind, edges in graph.edges.items():
        if edges.reverse_of is not None or kind == graph.entity or set(kind[::2]) != set(graph.end_types):
            continue
        a, b = (source, destination) if (kind[0], kind[2]) == graph.end_types else (destination, source)
        size = graph.num_nodes[kind[2]]
        joined = np.isin(a[some] * size + b[some], (edges.src * size + edges.dst).numpy())
        yield " ".join(kind), joined.astype(np.int64)


def _averages(graph: SocialGraph) -> Check:
    """Columns that are the mean of the answers around a node, those included that are asked for.

    For each node type, the answers of its examples (or, where examples are nodes, of those that it is joined to) are
    averaged; a column whose variance these averages explain is made of them.
    """
    examined, found = 0, []
    for target in graph.targets:
        known = is_known(graph.answers[target.name])
        codes = graph.answers[target.name]
        shares = (
            torch.nn.functional.one_hot(codes.clamp_min(0), len(target.classes)).double()
            if target.classes
            else codes[:, None]
        )
        for name, examples, nodes in _around(graph):
            kept = known[examples]
            size = graph.num_nodes[name]
            total = torch.bincount(nodes[kept], minlength=size)
            sums = torch.zeros(size, shares.shape[1], dtype=torch.float64)
            sums.index_add_(0, nodes[kept], shares[examples[kept]])
            some = torch.nonzero(total).squeeze(1)[:MOST_EXAMPLES]
            means = (sums[some] / total[some, None]).numpy()
            for column, rows, category in _tables(graph, name, some):
                explained = _commonest(rows, means) if category else _explained(rows, means)
                examined += len(explained)
                found += [
                    f"{name}.{column}" + (f"[{number}]" if len(explained) > 1 else "")
                    for number in np.flatnonzero(explained >= AVERAGES).tolist()
                ]
    if not examined:
        return not_applicable("averages of answers", "No node has columns.")
    found = list(dict.fromkeys(found))  # targets may have it in common
    detail = (
        "Columns are explained by the mean of the answers around their node, those that are asked for among them."
        if found
        else "No column is explained by the mean of the answers around its node."
    )
    return Check("averages of answers", "leak" if found else "pass", examined, len(found), detail, tuple(found[:FEW]))


def _around(graph: SocialGraph) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Node type, examples and the nodes that they belong to: their ends, or what asked nodes are joined to."""
    if not isinstance(graph.entity, str):
        for name, end in zip(graph.end_types, graph.ends, strict=True):
            yield name, torch.arange(graph.num_examples), end
        return
    example = torch.full((graph.num_nodes[graph.entity],), -1)
    example[graph.ends[0]] = torch.arange(graph.num_examples)
    for kind, edges in graph.edges.items():
        if kind[0] == graph.entity:
            asked = example[edges.src] >= 0
            yield kind[2], example[edges.src][asked], edges.dst[asked]


def _explained(table: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,) the adjusted share of each column's variance that is linear in the means (n, K)."""
    rows = np.isfinite(table).all(axis=1)
    count, width = int(rows.sum()), means.shape[1]
    if count < max(FEWEST, 5 * width):
        return np.zeros(table.shape[1])
    values = table[rows] - table[rows].mean(axis=0)
    base, _, rank, _ = np.linalg.lstsq(means[rows] - means[rows].mean(axis=0), values, rcond=None)
    left = np.square(values - (means[rows] - means[rows].mean(axis=0)) @ base).sum(axis=0)
    whole = np.square(values).sum(axis=0)
    share = np.where(whole > 1e-12, 1 - left / np.maximum(whole, 1e-12), 0.0)
    return 1 - (1 - share) * (count - 1) / max(1, count - int(rank) - 1)


def _commonest(table: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1,) how much of a category the commonest class around the node tells; 0 for numbers."""
    rows = np.isfinite(table[:, 0])
    if rows.sum() < max(FEWEST, 5 * means.shape[1]) or means.shape[1] < 2:
        return np.zeros(1)
    return np.asarray([look_up(means[rows].argmax(axis=1), table[rows, 0].astype(np.int64))])
