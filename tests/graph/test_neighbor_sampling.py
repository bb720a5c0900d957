"""Samples of neighbours: which, how many, how evenly, and whatever the number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from graphsocial.graph._neighbor_kernels import pick, relabel, transpose
from graphsocial.graph.adjacency import Relation

SIZE = 400


@pytest.fixture(scope="module")
def relation() -> Relation:
    """Node 0 has 3,000 edges in, node 1 has 12, the others a few, the last none."""
    generator = torch.Generator().manual_seed(0)
    dst = torch.randint(2, SIZE - 1, (2000,), generator=generator)
    dst = torch.cat([torch.zeros(3000, dtype=torch.int64), torch.ones(12, dtype=torch.int64), dst])
    return Relation.from_edges(torch.randint(SIZE, dst.shape, generator=generator), dst, SIZE, SIZE)


def rows_of(relation: Relation, nodes: Tensor, fanout: int, seed: int = 0, **given: object) -> list[list[int]]:
    indptr, edges = pick(relation, nodes, fanout, seed, **given)  # type: ignore[arg-type]
    return [edges[a:b].tolist() for a, b in zip(indptr[:-1].tolist(), indptr[1:].tolist(), strict=True)]


@pytest.mark.parametrize("fanout", [0, 1, 5, 50, -1])
def test_each_edge_is_sampled_once_and_at_most_fanout_per_node(relation: Relation, fanout: int) -> None:
    nodes = torch.randperm(SIZE, generator=torch.Generator().manual_seed(1))
    for node, found in zip(nodes.tolist(), rows_of(relation, nodes, fanout), strict=True):
        first, end = int(relation.indptr[node]), int(relation.indptr[node + 1])
        assert len(found) == (end - first if fanout < 0 else min(fanout, end - first))
        assert len(set(found)) == len(found)
        assert all(first <= edge < end for edge in found)


@pytest.mark.parametrize("allowed", [2900, 40, 7, 0], ids="{} allowed".format)
@pytest.mark.parametrize("by_time", [False, True], ids=["pair", "time"])
def test_only_edges_that_may_be_seen(relation: Relation, allowed: int, by_time: bool) -> None:
    """With few of many allowed, drawing fails and every edge is looked at."""
    visible = torch.zeros(relation.num_edges, dtype=torch.bool)
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(2))
    visible[order[:allowed]] = True
    edges = torch.arange(relation.num_edges)
    given = (
        {"time": 1 - visible.long(), "before": torch.ones(SIZE, dtype=torch.int64)}
        if by_time
        else {"example": edges, "visible": visible}
    )
    found = rows_of(relation, torch.tensor([0]), 10, **given)[0]
    assert len(found) == len(set(found)) == min(10, allowed)
    assert visible[found].all()


@pytest.mark.parametrize(("node", "count", "fanout"), [(0, 3000, 8), (1, 12, 5)], ids=["drawn", "reservoir"])
def test_all_neighbours_are_equally_likely(relation: Relation, node: int, count: int, fanout: int) -> None:
    times = np.zeros(count)
    trials = 40_000
    for seed in range(trials // 100):
        for found in rows_of(relation, torch.full((1,), node), fanout, seed * 7919):
            np.add.at(times, np.asarray(found) - int(relation.indptr[node]), 1)
    expected = (trials // 100) * fanout / count
    chi = ((times - expected) ** 2 / expected).sum() / (count - 1)
    assert times.sum() == (trials // 100) * fanout
    assert chi < 1.3  # 1 on average for a fair draw, less without replacement


def test_same_sample_whatever_the_threads(relation: Relation) -> None:
    nodes, before, found = torch.arange(SIZE).repeat(40), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(pick(relation, nodes, 6, 11))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert not torch.equal(found[0][1], pick(relation, nodes, 6, 12)[1])


def test_blocks_are_relabelled_and_turned(relation: Relation) -> None:
    seeds = torch.tensor([5, 0, SIZE - 1, 9])
    indptr, edges = pick(relation, seeds, 4, 3)
    local, nodes = np.full(SIZE, -1, dtype=np.int32), np.empty(SIZE, dtype=np.int64)
    nodes[:4], local[seeds.numpy()] = seeds.numpy(), np.arange(4)
    src, count = relabel(relation, edges, local, nodes, 4)
    assert len(set(nodes[:count].tolist())) == count
    assert nodes[src.numpy()].tolist() == relation.src[edges.long()].tolist()
    back = transpose(indptr, src, count)
    dst = torch.repeat_interleave(torch.arange(4), indptr.diff().long())
    pairs = list(zip(src.tolist(), dst.tolist(), strict=True))
    turned = torch.repeat_interleave(torch.arange(count), back.indptr.diff().long()).tolist()
    assert list(zip(turned, back.dst.tolist(), strict=True)) == [pairs[edge] for edge in back.order.tolist()]
    assert sorted(back.order.tolist()) == list(range(len(src)))
