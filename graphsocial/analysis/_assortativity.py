"""Homophily: assortativity of node values along links, with a permutation test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphsocial.analysis._measures import Floats, degrees


@dataclass(frozen=True)
class Homophily:
    """Homophily in one node value; the names are columns of `network_likeness`.

    Attributes:
        nodes, links: number of nodes whose value is known, and of links between them.
        mean: mean value of the nodes.
        at_ends: mean value at the endpoints of links, which is weighted by degree.
        beside: mean value at the other endpoint of a link, weighted by the value at the first; above `at_ends` under
            homophily. None for values that are not shares.
        assortativity: correlation of the values at the two endpoints of a link; see the function.
        by_chance: mean assortativity of the permutations.
        z: (assortativity - by_chance) / standard deviation of the permutations.
        p: two-sided p value, (1 + permutations at least as far from by_chance) / (1 + permutations).
        permutations: number of permutations of the values among the nodes; the links stay.
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
    """The correlation of values (N,) at the two endpoints of links (Newman 2003, eq. 21); None without variance."""
    correlation = float(_correlations(graph, values[:, None])[0]) if graph.nnz else math.nan
    return None if math.isnan(correlation) else correlation


def homophily(graph: Any, values: Floats, *, shares: bool, permutations: int, random: np.random.Generator) -> Homophily:
    """Assortativity of a node value, with a permutation test.

    Args:
        graph: undirected graph of N nodes.
        values: (N,), NaN where unknown; such nodes and their links are left out.
        shares: whether the values are shares from 0 to 1.
        permutations: number of permutations.
        random: generator of the permutations.
    """
    known = np.flatnonzero(~np.isnan(values))
    part, x = graph[known][:, known], values[known]
    degree = degrees(part)
    at_ends = float(degree @ x) / part.nnz if part.nnz else None
    observed = {
        "nodes": len(x),
        "links": part.nnz // 2,
        "mean": float(x.mean()) if len(x) else None,
        "at_ends": at_ends,
        "beside": float(x @ (part @ x) / (degree @ x)) if shares and at_ends else None,
    }
    correlation = assortativity(part, x)
    if correlation is None:  # no links, or no variance at their endpoints
        return Homophily(**observed, assortativity=None, by_chance=None, z=None, p=None, permutations=0)
    chunks = [
        _correlations(part, np.stack([random.permutation(x) for _ in range(min(32, permutations - start))], axis=1))
        for start in range(0, permutations, 32)
    ]
    null = np.nan_to_num(np.concatenate(chunks))  # a permutation without variance at the endpoints has no correlation
    mean, deviation = float(null.mean()), float(null.std(ddof=1))
    extreme = int((np.abs(null - mean) >= abs(correlation - mean) - 1e-12).sum())
    return Homophily(
        **observed,
        assortativity=correlation,
        by_chance=mean,
        z=(correlation - mean) / deviation if deviation else None,
        p=(1 + extreme) / (1 + len(null)),
        permutations=len(null),
    )


def _correlations(graph: Any, values: Floats) -> Floats:
    """(P,) the correlation at the two endpoints of links of each column of (N, P) values; NaN without variance."""
    degree = degrees(graph).astype(np.float64)
    total = degree.sum()
    mean = degree @ values / total
    variance = degree @ values**2 / total - mean**2
    covariance = np.einsum("np,np->p", values, graph @ values) / total - mean**2
    correlations: Floats = np.divide(covariance, variance, out=np.full_like(mean, np.nan), where=variance > 1e-12)
    return correlations
