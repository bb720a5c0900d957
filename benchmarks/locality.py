"""The cost of gathering rows from random places in memory, and the gain of ordering nodes by community.

    python benchmarks/locality.py [--largest 4]

The two kernel passes over the contacts that gather rows, at 1, 2 and 4 times IESN's size, with the same in-degrees and
these neighbors:

- `as is`: as in the synthetic IESN, which has four communities;
- `near`: 90 % within 1,000 node numbers;
- `communities`: 80 % from the node's community, one of some hundred of 100 to 5,000 nodes, in random order;
- `communities in order`: the same, numbered by the labels of five rounds of label propagation (Raghavan et al. 2007,
  https://arxiv.org/abs/0709.2938); `as is in order` likewise.

Times are CPU seconds. Before each call, other memory is written to evict the caches, as in a training step.
"""

from __future__ import annotations

import argparse
from time import process_time

import numpy as np
import torch
from _harness import interleave, keep
from _iesn import CONNECTS, WIDTH, edges
from kernel import passes
from numpy.typing import NDArray

from graphsocial._compat.numba_threads import compiled
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.kernels import fused

Ends = NDArray[np.int64]


@compiled
def _propagate(indptr, src, nodes, label, count, seen):  # type: ignore[no-untyped-def]
    """Set the label of each node to the most frequent one of its neighbors; of ties, the smallest."""
    for i in nodes:
        number, best, most = 0, label[i], 0
        for k in range(indptr[i], indptr[i + 1]):
            other = label[src[k]]
            if count[other] == 0:
                seen[number] = other
                number += 1
            count[other] += 1
            if count[other] > most or (count[other] == most and other < best):
                best, most = other, count[other]
        for index in range(number):
            count[seen[index]] = 0
        label[i] = best


def in_order(src: Ends, dst: Ends, nodes: int, rng: np.random.Generator) -> tuple[Ends, Ends]:
    """The edges with nodes renumbered by the labels of label propagation.

    Args:
        src, dst: (E,) node indices of the edges.
        nodes: number of nodes.
        rng: decides the order of updates.
    """
    both = np.append(src, dst), np.append(dst, src)
    relation = Relation.from_edges(*(torch.from_numpy(ends) for ends in both), nodes, nodes)
    label, count, seen = np.arange(nodes), np.zeros(nodes, np.int64), np.empty(nodes, np.int64)
    order = rng.permutation(nodes)
    for _ in range(5):
        _propagate(relation.indptr.numpy(), relation.src.numpy(), order, label, count, seen)
    number = np.empty(nodes, np.int64)
    number[np.argsort(label, kind="stable")] = np.arange(nodes)
    return number[src], number[dst]


def planted(src: Ends, dst: Ends, nodes: int, rng: np.random.Generator) -> tuple[Ends, Ends]:
    """The edges with resampled sources, 80 % of them from the community of the destination, and nodes in random order.

    Args:
        src, dst: (E,) node indices of the edges.
        nodes: number of nodes.
        rng: decides communities, sources and the order.
    """
    sizes = np.minimum(5000, 100 * (1 + rng.pareto(1.2, nodes // 100))).astype(np.int64)
    ends = np.minimum(np.cumsum(sizes), nodes)
    home = np.searchsorted(ends, dst, side="right")
    first = np.append(0, ends)[home]
    within = first + (rng.random(len(dst)) * (ends[home] - first)).astype(np.int64)
    number = rng.permutation(nodes)
    return number[np.where(rng.random(len(dst)) < 0.8, within, src)], number[dst]


def measure(largest: float) -> None:
    """Time both passes at all sizes up to `largest`."""
    other, measured = torch.zeros(24_000_000), {}
    for factor in (factor for factor in (1, 2, 4) if factor <= largest):
        rng = np.random.default_rng(0)
        graph = edges(factor)
        nodes, (src, dst) = graph.num_nodes["user"], (ends.numpy() for ends in graph.ends[CONNECTS])
        close = (dst + rng.integers(-1000, 1001, len(dst))) % nodes
        communities = planted(src, dst, nodes, rng)
        start = process_time()
        ordered = in_order(*communities, nodes, rng)
        ordering = process_time() - start
        graphs = {
            "as is": (src, dst),
            "as is in order": in_order(src, dst, nodes, rng),
            "near": (np.where(rng.random(len(dst)) < 0.9, close, src), dst),
            "communities": communities,
            "communities in order": ordered,
        }
        relations = {
            name: Relation.from_edges(*(torch.from_numpy(end) for end in ends), nodes, nodes)
            for name, ends in graphs.items()
        }
        nanoseconds = {}
        for name in ("sum of neighbors", "its gradients"):
            calls = {order: passes(relation)[name][1](fused) for order, relation in relations.items()}
            print(f"{name}, {factor} times")
            timings = interleave(calls, before=dict.fromkeys(calls, lambda: other.add_(1)))
            nanoseconds[name] = {order: 1e9 * timing.cpu / len(src) for order, timing in timings.items()}
        measured[f"{factor:g}"] = {
            "megabytes_of_rows": 4e-6 * WIDTH * nodes,
            "cpu_seconds_of_ordering": ordering,
            "cpu_nanoseconds_per_edge": nanoseconds,
        }
    keep("locality", {"factors": measured})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=float, default=4)
    measure(parser.parse_args().largest)
