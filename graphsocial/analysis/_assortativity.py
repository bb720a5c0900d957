"""Homophily: assortativity of node values along links, with a permutation test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphsocial.analysis._averages import NodeValues
from graphsocial.analysis._measures import Floats, degrees


@dataclass(frozen=True)
class Homophily:
    """Homophily in one node value; the names are columns of `network_likeness`.

    Attributes:
        mean: mean value of the nodes that have one.
        at_ends: mean value at the endpoints of links, which is weighted by degree.
        beside: mean value at the other endpoint of a link, weighted by the value at the first. None for values that are
            not shares.
        nodes, links: number of nodes whose value is tested, and of links between them.
        assortativity: correlation of the tested values at the two endpoints of a link; see the function.
        by_chance: mean assortativity of the permutations.
        z: (assortativity - by_chance) / standard deviation of the permutations.
        p: two-sided p value, (1 + permutations at least as far from by_chance) / (1 + permutations).
        permutations: number of permutations; the links stay.
    """

    mean: float | None
    at_ends: float | None
    beside: float | None
    nodes: int
    links: int
    assortativity: float | None
    by_chance: float | None
    z: float | None
    p: float | None
    permutations: int


def assortativity(graph: Any, values: Floats) -> float | None:
    """The correlation of values (N,) at the two endpoints of links (Newman 2003, eq. 21); None without variance."""
    correlation = float(_correlations(graph, values[:, None])[0]) if graph.nnz else math.nan
    return None if math.isnan(correlation) else correlation


def homophily(graph: Any, values: NodeValues, *, permutations: int, random: np.random.Generator) -> list[Homophily]:
    """Assortativity of each of K node values, with a permutation test.

    Values of the nodes themselves are permuted among the nodes. Values that are averages of labels on edges are tested
    as deviations from the mean label of the other end, and the labels are permuted within each other end.

    Args:
        graph: undirected graph of N nodes.
        values: the values; nodes without one are left out, with their links.
        permutations: number of permutations.
        random: generator of the permutations.
    """
    exposure = values.exposure
    labelled = np.flatnonzero(~np.isnan(values.values).any(1))
    known = labelled if exposure is None else exposure.known
    part, raw = graph[known][:, known], values.values[known]
    tested = raw if exposure is None else exposure.values()
    null: Floats = np.empty((0, tested.shape[1]))
    observed = np.full(tested.shape[1], np.nan)
    if part.nnz:
        draws = (
            raw[random.permutation(len(raw))] if exposure is None else exposure.permuted(random)
            for _ in range(permutations)
        )
        observed, null = _correlations(part, tested), np.stack([_correlations(part, draw) for draw in draws])
    null = np.nan_to_num(null)  # a permutation without variance at the endpoints has no correlation
    return [
        Homophily(
            **_means(graph[labelled][:, labelled], values.values[labelled, column], shares=name is not None),
            nodes=len(known),
            links=part.nnz // 2,
            **_test(observed[column], null[:, column]),
        )
        for column, name in enumerate(values.classes)
    ]


def _means(graph: Any, x: Floats, *, shares: bool) -> dict[str, Any]:
    """Mean values of nodes, at the endpoints of their links, and at the other endpoints."""
    degree = degrees(graph)
    at_ends = float(degree @ x) / graph.nnz if graph.nnz else None
    return {
        "mean": float(x.mean()) if len(x) else None,
        "at_ends": at_ends,
        "beside": float(x @ (graph @ x) / (degree @ x)) if shares and at_ends else None,
    }


def _test(correlation: float, null: Floats) -> dict[str, Any]:
    """The observed correlation against its values under permutation; none without variance at the endpoints."""
    if np.isnan(correlation):
        return {"assortativity": None, "by_chance": None, "z": None, "p": None, "permutations": 0}
    mean, deviation = float(null.mean()), float(null.std(ddof=1))
    extreme = int((np.abs(null - mean) >= abs(correlation - mean) - 1e-12).sum())
    return {
        "assortativity": float(correlation),
        "by_chance": mean,
        "z": (float(correlation) - mean) / deviation if deviation else None,
        "p": (1 + extreme) / (1 + len(null)),
        "permutations": len(null),
    }


def _correlations(graph: Any, values: Floats) -> Floats:
    """(P,) the correlation at the two endpoints of links of each column of (N, P) values; NaN without variance."""
    degree = degrees(graph).astype(np.float64)
    total = degree.sum()
    mean = degree @ values / total
    variance = degree @ values**2 / total - mean**2
    covariance = np.einsum("np,np->p", values, graph @ values) / total - mean**2
    correlations: Floats = np.divide(covariance, variance, out=np.full_like(mean, np.nan), where=variance > 1e-12)
    return correlations
