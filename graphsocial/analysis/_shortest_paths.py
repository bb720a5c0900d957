"""Brandes' algorithm as a compiled loop: the shortest paths from a node, and each node's share in them."""

from __future__ import annotations

import numpy as np

from graphsocial._compat.numba_threads import compiled


@compiled
def add_dependencies(lo, hi, indptr, indices, sources, total):  # type: ignore[no-untyped-def]
    """total_v += Σ_s δ_s(v), where δ_s(v) is the number of shortest paths from s that run through v, each as 1 / all.

    δ_s(v) = Σ_w σ_v / σ_w (1 + δ_s(w)) over the neighbors w of v that are one step further from s, where σ is the
    number of shortest paths from s (Brandes 2001, eq. 2).

    Args:
        lo, hi: range of the sources.
        indptr: (N + 1,) offsets of each node's edges.
        indices: (M,) other end of each edge, both directions.
        sources: (S,) node numbers.
        total: (N,) float64, written.
    """
    nodes = len(indptr) - 1
    seen = np.zeros(nodes, np.uint8)
    paths = np.zeros(nodes, np.float64)
    front = np.zeros(nodes, np.float64)  # values of the nodes of one level, 0 elsewhere: no test of levels per edge
    order = np.empty(nodes, np.int32)
    start = np.zeros(nodes + 2, np.int64)  # of each level in `order`
    for s in range(lo, hi):
        source = sources[s]
        order[0], seen[source], paths[source], front[source] = source, 1, 1.0, 1.0
        start[1], last, depth = 1, 1, 0
        while start[depth] < start[depth + 1]:  # for each level: find the next, then add up the paths to it
            for position in range(start[depth], start[depth + 1]):
                v = order[position]
                for k in range(indptr[v], indptr[v + 1]):
                    w = indices[k]
                    if not seen[w]:
                        seen[w] = 1
                        order[last] = w
                        last += 1
            depth += 1
            start[depth + 1] = last
            for position in range(start[depth], last):
                v = order[position]
                add_up = 0.0
                for w in indices[indptr[v] : indptr[v + 1]]:
                    add_up += front[w]
                paths[v] = add_up
            for position in range(start[depth - 1], start[depth]):
                front[order[position]] = 0.0
            for position in range(start[depth], last):
                front[order[position]] = paths[order[position]]
        for level in range(depth - 1, 0, -1):  # the last level is empty; the one before has no further nodes
            for position in range(start[level], start[level + 1]):
                v = order[position]
                add_up = 0.0
                for w in indices[indptr[v] : indptr[v + 1]]:
                    add_up += front[w]
                dependency = add_up * paths[v] if level < depth - 1 else 0.0
                total[v] += dependency
                paths[v] = (1.0 + dependency) / paths[v]
            for position in range(start[level + 1], start[level + 2]):
                front[order[position]] = 0.0
            for position in range(start[level], start[level + 1]):
                front[order[position]] = paths[order[position]]
        for position in range(last):
            v = order[position]
            seen[v], paths[v], front[v] = 0, 0.0, 0.0
