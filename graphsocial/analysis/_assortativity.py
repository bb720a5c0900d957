"""Are linked nodes alike, more than chance would have it? Assortativity with a permutation test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphsocial.analysis._measures import Floats, degrees


@dataclass(frozen=True)
class Likeness:
    """How alike linked nodes are in one value.

    Attributes:
        nodes, links: those whose value is known, and the links between them.
        mean: of the nodes' values.
        at_ends: the mean at the ends of links, where a node counts as often as it has links.
        beside: the mean at the other end of a link from someone who has it, each node weighted by its own value; above
            `at_ends` where links join the alike. None for values that are no shares.
        assortativity: the correlation of the values at the two ends of a link; see the function.
        by_chance: the mean of that over the permutations.
        z: how many standard deviations of the permutations it is from there.
        p: two-sided, (1 + permutations as far out) / (1 + permutations).
        permutations: of the values among the nodes; the links stay.
    """

    nodes: int
    links: int
    mean: float | None
    at_ends: float | None
    beside: float | None
    assortativity: float | None
    by_chance: float | None
    z: float | None
    p: float | None
    permutations: int


def assortativity(graph: Any, values: Floats) -> float | None:
    """The correlation of values (N,) at the two ends of links (Newman 2003, eq. 21); None where all ends are alike."""
    found = float(_correlations(graph, values[:, None])[0]) if graph.nnz else math.nan
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
    degree = degrees(part)
    at_ends = float(degree @ x) / part.nnz if part.nnz else None
    seen = {
        "nodes": len(x),
        "links": part.nnz // 2,
        "mean": float(x.mean()) if len(x) else None,
        "at_ends": at_ends,
        "beside": float(x @ (part @ x) / (degree @ x)) if shares and at_ends else None,
    }
    found = assortativity(part, x)
    if found is None:  # no links, or all ends alike: nothing can be correlated
        return Likeness(**seen, assortativity=None, by_chance=None, z=None, p=None, permutations=0)
    drawn = [
        _correlations(part, np.stack([random.permutation(x) for _ in range(min(32, permutations - start))], axis=1))
        for start in range(0, permutations, 32)
    ]
    chance = np.nan_to_num(np.concatenate(drawn))  # an arrangement in which all ends are alike has no correlation
    centre, spread = float(chance.mean()), float(chance.std(ddof=1))
    far = int((np.abs(chance - centre) >= abs(found - centre) - 1e-12).sum())
    return Likeness(
        **seen,
        assortativity=found,
        by_chance=centre,
        z=(found - centre) / spread if spread else None,
        p=(1 + far) / (1 + len(chance)),
        permutations=len(chance),
    )


def _correlations(graph: Any, values: Floats) -> Floats:
    """For each column of (N, P) values, that of the two ends of links; NaN where all ends are alike."""
    degree = degrees(graph).astype(np.float64)
    total = degree.sum()
    mean = degree @ values / total
    variance = degree @ values**2 / total - mean**2
    covariance = np.einsum("np,np->p", values, graph @ values) / total - mean**2
    found: Floats = np.divide(covariance, variance, out=np.full_like(mean, np.nan), where=variance > 1e-12)
    return found
