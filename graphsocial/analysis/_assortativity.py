"""Are linked nodes alike, more than chance would have it? Assortativity with a permutation test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsocial.analysis._measures import Floats, degrees


@dataclass(frozen=True)
class Likeness:
    """How alike linked nodes are in one value.

    Attributes:
        nodes, links: those whose value is known, and the links between them.
        mean: of the nodes' values.
        beside: the mean value at the other end of a link from someone who has it, each node weighted by its own value;
            None for values that are no shares.
        beside_by_chance, by_chance: the means of `beside` and `assortativity` over the permutations.
        assortativity: the correlation of the values at the two ends of a link ; see the function.
        z: how many standard deviations of the permutations it is from their mean.
        p: two-sided, (1 + permutations as far out) / (1 + permutations).
        permutations: of the values among the nodes; the links stay.
    """

    nodes: int
    links: int
    mean: float
    beside: float | None
    beside_by_chance: float | None
    assortativity: float | None
    by_chance: float | None
    z: float | None
    p: float | None
    permutations: int


def assortativity(graph: Any, values: Floats) -> float | None:
    """The correlation of values (N,) at the two ends of links (Newman 2003, eq. 21); None where all ends are alike."""
    found = float(_compare(graph, values[:, None])[0][0]) if graph.nnz else math.nan
    return None if math.isnan(found) else found


def likeness(graph: Any, values: Floats, *, shares: bool, permutations: int, random: np.random.Generator) -> Likeness:
    """Compare the two ends of every link.

    Args:
        graph: undirected, N nodes.
        values: (N,), NaN where unknown; such nodes and their links are left out.
        shares: the values are shares of 0 to 1.
        permutations: how many.
    """
    known = np.flatnonzero(~np.isnan(values))
    part, x = graph[known][:, known], values[known]
    mean = float(x.mean()) if len(x) else float("nan")
    links = part.nnz // 2
    r, beside = _compare(part, x[:, None])
    if not links or np.isnan(r[0]):  # no links, or all ends alike: nothing can be correlated
        told = float(beside[0]) if shares and links and not np.isnan(beside[0]) else None
        return Likeness(len(x), links, mean, told, None, None, None, None, None, 0)
    drawn = [
        _compare(part, np.stack([random.permutation(x) for _ in range(min(32, permutations - start))], axis=1))
        for start in range(0, permutations, 32)
    ]
    chance, beside_chance = (np.concatenate(found) for found in zip(*drawn, strict=True))
    chance = np.nan_to_num(chance)  # an arrangement in which all ends are alike has no correlation
    centre, spread = float(chance.mean()), float(chance.std(ddof=1))
    far = int((np.abs(chance - centre) >= abs(r[0] - centre) - 1e-12).sum())
    return Likeness(
        nodes=len(x),
        links=links,
        mean=mean,
        beside=float(beside[0]) if shares else None,
        beside_by_chance=float(np.nanmean(beside_chance)) if shares else None,
        assortativity=float(r[0]),
        by_chance=centre,
        z=float((r[0] - centre) / spread) if spread else None,
        p=(1 + far) / (1 + len(chance)),
        permutations=len(chance),
    )


def _compare(graph: Any, values: Floats) -> tuple[Floats, Floats]:
    """For each column of (N, P): the correlation over links, and the mean beside, NaN where there is none."""
    degree = degrees(graph).astype(np.float64)
    total = degree.sum()
    beside = graph @ values  # (N, P): the sum over each node's neighbours
    weighted = degree @ values
    product = _dot(values, beside)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = weighted / total
        variance = degree @ values**2 / total - mean**2
        covariance = product / total - mean**2
        correlation = np.where(variance > 1e-12, covariance / variance, np.nan)
        return correlation, np.where(weighted > 0, product / weighted, np.nan)


def _dot(a: Floats, b: Floats) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.einsum("np,np->p", a, b)
    return found
