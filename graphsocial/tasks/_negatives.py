"""Pairs without an edge for link prediction: those that could have been, by type and by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 40
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """The nodes that may be the destination of a pair without an edge.

    Attributes:
        idx: (M,) their idx, ascending.
        since: (M,) datetime64[us], from when each exists; None for timeless nodes.
    """

    idx: Indices
    since: NDArray[np.datetime64] | None


def draw(
    src: Indices,
    dst: Indices,
    times: NDArray[np.datetime64] | None,
    candidates: Candidates,
    *,
    per_positive: int,
    hard: bool,
    same_type: bool,
    generator: np.random.Generator,
) -> tuple[Indices, Indices, Indices]:
    """Draw pairs without an edge, each from the source of a pair with one, and as of its time.

    Args:
        src: (P,) idx of the sources of the pairs with an edge.
        dst: (P,) idx of their destinations.
        times: (P,) the time of each; None for timeless edges.
        candidates: the possible destinations.
        per_positive: number of pairs without an edge for each pair with one.
        hard: half of them end in a destination of a node that shares a destination with the source.
        same_type: sources and destinations are of one type; no pair is a node with itself.
        generator: of the draws.

    Returns:
        (Q,) src, (Q,) dst, and (Q,) the position of the pair with an edge whose source and time each has. Fewer than
        P · `per_positive` where sources have nearly all edges.
    """
    size = int(max(candidates.idx.max(), dst.max())) + 1
    taken = np.unique(src * size + dst)
    owed = np.repeat(np.arange(len(src)), per_positive)
    by_source = np.argsort(src, kind="stable")
    by_destination = np.argsort(dst, kind="stable")
    pairs: list[tuple[Indices, Indices, Indices]] = []
    for _ in range(ROUNDS):
        if not len(owed):
            break
        drawn = candidates.idx[generator.integers(0, len(candidates.idx), len(owed))]
        if hard:
            chosen = generator.random(len(owed)) < 0.5
            walked = _walk(src[owed[chosen]], src, dst, by_source, by_destination, generator)
            drawn[chosen] = np.where(walked >= 0, walked, drawn[chosen])
        keys = src[owed] * size + drawn
        free = ~_contains(taken, keys)
        if same_type:
            free &= drawn != src[owed]
        if times is not None and candidates.since is not None:
            since = candidates.since[np.searchsorted(candidates.idx, drawn)]
            free &= (since <= times[owed]) & ~np.isnat(times[owed])
        _, first = np.unique(keys, return_index=True)
        once = np.zeros(len(keys), dtype=bool)
        once[first] = True
        free &= once
        pairs.append((src[owed[free]], drawn[free], owed[free]))
        taken = np.union1d(taken, keys[free])
        owed = owed[~free]
    empty = np.zeros(0, dtype=np.int64)
    sources, destinations, positions = (np.concatenate([empty, *parts]) for parts in zip(*pairs, strict=True))
    return sources, destinations, positions


def _walk(
    start: Indices,
    src: Indices,
    dst: Indices,
    by_source: Indices,
    by_destination: Indices,
    generator: np.random.Generator,
) -> Indices:
    """(n,) three steps from each start: to a destination, back to another source of it, on to a destination of that.

    Args:
        start: (n,) sources.
        src, dst: (P,) the ends of the edges.
        by_source, by_destination: (P,) the edges sorted by either end.
        generator: of the choices.
    """

    def step(nodes: Indices, ends: Indices, order: Indices, others: Indices) -> Indices:
        ranked = ends[order]
        low, high = np.searchsorted(ranked, nodes, side="left"), np.searchsorted(ranked, nodes, side="right")
        at = low + (generator.random(len(nodes)) * (high - low)).astype(np.int64)
        return np.where(high > low, others[order[at.clip(max=len(order) - 1)]], -1)

    there = step(start, src, by_source, dst)
    back = step(there, dst, by_destination, src)
    return step(back, src, by_source, dst)


def _contains(keys: Indices, wanted: Indices) -> NDArray[np.bool_]:
    """Whether each wanted key is among sorted keys."""
    position = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.asarray(keys[position] == wanted)
