"""Sampling of edges and relabelling of their sources, compiled for the CPU.

Random numbers come from the seed and the node (splitmix64), so a sample does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial._compat.numba_threads import compiled, run
from graphsocial.graph.adjacency import PARTS, Relation, Transpose

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_27, _30, _31, _32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)


@compiled
def _mixed(state):  # type: ignore[no-untyped-def]
    state = (state ^ (state >> _30)) * _FIRST
    state = (state ^ (state >> _27)) * _SECOND
    return state ^ (state >> _31)


@compiled
def _below(state, count):  # type: ignore[no-untyped-def]
    """A number from 0 to count - 1, for counts below 2³²."""
    return np.int64(((_mixed(state) >> _32) * np.uint64(count)) >> _32)


@compiled
def _visible(k, node, example, visible, time, before):  # type: ignore[no-untyped-def]
    return (not len(example) or visible[example[k]]) and (not len(time) or time[k] < before[node])


@compiled
def _pick(lo, hi, indptr, nodes, fanout, example, visible, time, before, seed, starts, picked, counts):  # type: ignore[no-untyped-def]
    """For each node up to `fanout` different visible edges, all equally likely; -1 for all."""
    for row in range(lo, hi):
        node = nodes[row]
        first, end, start = indptr[node], indptr[node + 1], starts[row]
        state, got = _mixed(seed ^ (np.uint64(node) * _STEP)), 0
        if fanout >= 0 and end - first > 4 * fanout:  # many: draw, and reject hidden or repeated edges
            for _ in range(8 * fanout + 32):
                if got == fanout:
                    break
                state += _STEP
                k = first + _below(state, end - first)
                fresh = _visible(k, node, example, visible, time, before)
                for earlier in range(start, start + got):
                    fresh = fresh and picked[earlier] != k
                if fresh:
                    picked[start + got] = k
                    got += 1
            if got == fanout:
                counts[row] = got
                continue
            got = 0
        passed = 0
        for k in range(first, end):  # few, or few that are visible: go through all (reservoir sampling)
            if not _visible(k, node, example, visible, time, before):
                continue
            if fanout < 0 or got < fanout:
                picked[start + got] = k
                got += 1
            elif fanout > 0:
                state += _STEP
                slot = _below(state, passed + 1)
                if slot < fanout:
                    picked[start + slot] = k
            passed += 1
        counts[row] = got


@compiled
def _gather(lo, hi, starts, counts, picked, indptr, edges):  # type: ignore[no-untyped-def]
    """Close the gaps that `_pick` left."""
    for row in range(lo, hi):
        start, into = starts[row], indptr[row]
        for k in range(counts[row]):
            edges[into + k] = picked[start + k]


@compiled
def _relabel(src, edges, local, nodes, count, rows):  # type: ignore[no-untyped-def]
    """Number new sources from `count` on in the order that they appear in; return the number of rows."""
    for k in range(len(edges)):
        node = src[edges[k]]
        if local[node] < 0:
            local[node] = count
            nodes[count] = node
            count += 1
        rows[k] = local[node]
    return count


@compiled
def _turn(indptr, src, starts, dst, order):  # type: ignore[no-untyped-def]
    """Counting sort of a block's edges by source."""
    for k in range(len(src)):
        starts[src[k] + 1] += 1
    for j in range(1, len(starts)):
        starts[j] += starts[j - 1]
    following = starts.copy()
    for i in range(len(indptr) - 1):
        for k in range(indptr[i], indptr[i + 1]):
            at = following[src[k]]
            dst[at], order[at] = i, k
            following[src[k]] += 1


def pick(
    relation: Relation,
    nodes: Tensor,
    fanout: int,
    seed: int,
    *,
    example: Tensor | None = None,
    visible: Tensor | None = None,
    time: Tensor | None = None,
    before: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sample visible edges into each of the nodes, without replacement.

    Args:
        relation: the adjacency.
        nodes: (n,) int64 destinations.
        fanout: maximum number of edges per node; -1 for all.
        seed: random seed.
        example: (E,) int64, the example of each sorted edge.
        visible: (P,) bool, whether the edges of each example are visible.
        time: (E,) int64, the time of each sorted edge.
        before: (N,) int64; only edges earlier than their destination's value are visible.

    Returns:
        indptr (n + 1,), and the positions (m,) of the sampled edges among the sorted ones; int32 where they fit.
    """
    degree = (relation.indptr[nodes + 1] - relation.indptr[nodes]).long()
    room = degree if fanout < 0 else degree.clamp_max(fanout)
    starts = torch.zeros(len(nodes) + 1, dtype=torch.int64)
    torch.cumsum(room, 0, out=starts[1:])
    picked = torch.empty(int(starts[-1]), dtype=relation.src.dtype)
    counts = torch.empty(len(nodes), dtype=torch.int64)
    none = torch.empty(0, dtype=torch.int64)
    step = max(1, -(-len(nodes) // PARTS))
    parts = [(lo, min(lo + step, len(nodes))) for lo in range(0, len(nodes), step)] or [(0, 0)]
    run(
        _pick,
        parts,
        16 * len(picked),
        *(relation.indptr, nodes, fanout),
        *(none if example is None else example, none.bool() if visible is None else visible),
        *(none if time is None or before is None else time, none if before is None else before),
        *(np.uint64(seed), starts, picked, counts),
    )
    indptr = torch.zeros(len(nodes) + 1, dtype=relation.indptr.dtype)
    torch.cumsum(counts, 0, out=indptr[1:])
    edges = torch.empty(int(indptr[-1]), dtype=picked.dtype)
    run(_gather, parts, len(edges), starts, counts, picked, indptr, edges)
    return indptr, edges


def relabel(
    relation: Relation, edges: Tensor, local: NDArray[np.int32], nodes: NDArray[np.int64], count: int
) -> tuple[Tensor, int]:
    """Give the sources of these edges consecutive row numbers; nodes that have one keep it.

    Args:
        relation: the adjacency.
        edges: (m,) positions among the sorted edges.
        local: (N,) int32, the row of each node, -1 for none; changed in place.
        nodes: (N,) int64, the node of each row; changed in place.
        count: number of rows so far.

    Returns:
        The rows (m,) of the edges' sources, and the number of rows now.
    """
    rows = torch.empty(len(edges), dtype=relation.src.dtype)
    count = _relabel(relation.src.numpy(), edges.numpy(), local, nodes, count, rows.numpy())
    return rows, int(count)


def transpose(indptr: Tensor, src: Tensor, num_src: int) -> Transpose:
    """The edges of a relation sorted by source.

    Args:
        indptr: (num_dst + 1,) first edge of each destination.
        src: (E,) source of each edge.
        num_src: number of sources.
    """
    starts = torch.zeros(num_src + 1, dtype=indptr.dtype)
    dst, order = torch.empty_like(src), torch.empty_like(src)
    _turn(indptr.numpy(), src.numpy(), starts.numpy(), dst.numpy(), order.numpy())
    return Transpose(starts, dst, order)
