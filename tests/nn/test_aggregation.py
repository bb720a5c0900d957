"""Means and sums of neighbours against dense algebra and DGL's SAGEConv and GraphConv."""

from __future__ import annotations

import os

os.environ.setdefault("DGLBACKEND", "pytorch")

import dgl
import dgl.nn.pytorch as dglnn
import pytest
import torch

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.aggregation import aggregate
from graphsocial.nn.neighbor_conv import GraphConv, SageConv

CONNECTS = ("user", "connects", "user")
VIEWS = ("user", "views", "image")
VIEWED = ("image", "viewed_by", "user")
ETYPES = (CONNECTS, VIEWS, VIEWED)
NUM = {"user": 9, "image": 7}
D, H = 5, 4


def small_graph(dtype=torch.float64):
    """Edges with a duplicate; the last node of each type has no neighbour."""
    torch.manual_seed(1)
    users, images = torch.randint(8, (2, 25)), torch.randint(6, (16,))
    viewers = torch.randint(8, (16,))
    viewers[1], images[1] = viewers[0], images[0]
    ends = {CONNECTS: (users[0], users[1]), VIEWS: (viewers, images), VIEWED: (images, viewers)}
    relations = {e: Relation.from_edges(*ends[e], NUM[e[0]], NUM[e[2]]) for e in ETYPES}
    x = {name: torch.randn(count, D, dtype=dtype, requires_grad=True) for name, count in NUM.items()}
    return ends, relations, x


def adjacency(src, dst, num_src, num_dst, reduce):
    matrix = torch.zeros(num_dst, num_src, dtype=torch.float64)
    matrix.index_put_((dst, src), torch.ones(len(src), dtype=torch.float64), accumulate=True)
    return matrix / matrix.sum(1, keepdim=True).clamp_min(1) if reduce == "mean" else matrix


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_aggregate_is_dense_algebra(reduce, masked):
    ends, relations, x = small_graph()
    keep = torch.arange(16) % 3 > 0 if masked else None
    got = aggregate(relations[VIEWS], x["user"], reduce=reduce, edge_mask=keep)
    src, dst = ends[VIEWS] if keep is None else (end[keep] for end in ends[VIEWS])
    want = adjacency(src, dst, 9, 7, reduce) @ x["user"]
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    upstream = torch.randn_like(got)
    grads = [torch.autograd.grad(y, x["user"], upstream)[0] for y in (got, want)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)
    assert not got[6].any()  # image 6 has no neighbour
    assert torch.autograd.gradcheck(
        lambda v: aggregate(relations[VIEWS], v, reduce=reduce, edge_mask=keep), [x["user"]], fast_mode=True
    )


def test_aggregate_without_edges_is_zeros():
    none = torch.zeros(0, dtype=torch.int64)
    assert not aggregate(Relation.from_edges(none, none, 3, 4), torch.randn(3, 2), reduce="mean").any()


def test_same_bits_twice():
    torch.manual_seed(3)
    relation = Relation.from_edges(torch.randint(2000, (60000,)), torch.randint(1500, (60000,)), 2000, 1500)
    x = torch.randn(2000, 32, requires_grad=True)

    def run():
        y = aggregate(relation, x, reduce="mean")
        return [y, *torch.autograd.grad(y.square().sum(), x)]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("kind", [SageConv, GraphConv])
def test_one_relation_is_dgl(kind, dtype, tolerance):
    ends, relations, x = small_graph(dtype)
    layer = kind(("user", "image"), [VIEWS], D, H, self_loops=kind is SageConv).to(dtype)
    torch.nn.init.normal_(layer.bias["all"])
    graph = dgl.heterograph({VIEWS: ends[VIEWS]}, num_nodes_dict=NUM)
    with torch.no_grad():
        if kind is SageConv:
            theirs = dglnn.SAGEConv(D, H, "mean").to(dtype)
            theirs.fc_neigh.weight.copy_(layer.weight["all"])
            theirs.fc_self.weight.copy_(layer.self_weight["all"])
            theirs.fc_self.bias.copy_(layer.bias["all"])
            pairs = [(layer.weight["all"], theirs.fc_neigh.weight), (layer.self_weight["all"], theirs.fc_self.weight)]
        else:
            theirs = dglnn.GraphConv(D, H, norm="none", allow_zero_in_degree=True).to(dtype)
            theirs.weight.copy_(layer.weight["all"].T)
            pairs = [(layer.weight["all"], theirs.weight)]
            theirs.bias.copy_(layer.bias["all"])
    got = layer(x, {VIEWS: relations[VIEWS]})["image"]
    want = theirs(graph, (x["user"], x["image"]))
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)
    upstream = torch.randn_like(want)
    ours = torch.autograd.grad(got, [x["user"], *(a for a, _ in pairs)], upstream)
    dgls = torch.autograd.grad(want, [x["user"], *(b for _, b in pairs)], upstream)
    for a, b in zip(ours, dgls, strict=True):
        b = b.T if a.shape != b.shape else b
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("share", ["all", "relation"])
@pytest.mark.parametrize("kind", [SageConv, GraphConv])
def test_relations_are_summed(kind, share):
    ends, relations, x = small_graph()
    layer = kind(("user", "image"), ETYPES, D, H, share=share).double()
    keep = torch.arange(16) % 2 == 0
    got = layer(x, relations, edge_mask={VIEWS: keep})
    for name in NUM:
        key = "all" if share == "all" else f"node-{name}"
        want = x[name] @ layer.self_weight[key].T + layer.bias[key]
        for etype in ETYPES:
            if etype[2] == name:
                src, dst = (end[keep] if etype == VIEWS else end for end in ends[etype])
                weight = layer.weight["all" if share == "all" else "-".join(etype)]
                want = want + adjacency(src, dst, NUM[etype[0]], NUM[name], kind.reduce) @ x[etype[0]] @ weight.T
        torch.testing.assert_close(got[name], want, rtol=1e-10, atol=1e-10)


def test_block_is_the_full_graph_seen_from_its_first_nodes():
    ends, relations, x = small_graph()
    layer = SageConv(("user", "image"), ETYPES, D, H).double()
    counts = {"user": 4, "image": 0}
    block = {}
    for etype in ETYPES:
        inside = ends[etype][1] < counts[etype[2]]
        src, dst = (end[inside] for end in ends[etype])
        block[etype] = Relation.from_edges(src, dst, NUM[etype[0]], counts[etype[2]])
    full, got = layer(x, relations), layer(x, block, num_dst=counts)
    for name, count in counts.items():
        torch.testing.assert_close(got[name], full[name][:count], rtol=1e-10, atol=1e-10)


def test_wrong_shapes_and_settings_are_errors():
    _, relations, x = small_graph()
    with pytest.raises(InputError, match=r"x has the shape \(7, 5\); the relation takes \(9, D\)"):
        aggregate(relations[VIEWS], x["image"], reduce="mean")
    with pytest.raises(InputError, match="edge_mask has the shape"):
        aggregate(relations[VIEWS], x["user"], reduce="mean", edge_mask=torch.ones(3, dtype=torch.bool))
    with pytest.raises(InputError, match="reduce = 'max'"):
        aggregate(relations[VIEWS], x["user"], reduce="max")
    with pytest.raises(InputError, match="share = 'some'"):
        SageConv(("user", "image"), ETYPES, D, H, share="some")
    with pytest.raises(InputError, match="relations has"):
        SageConv(("user", "image"), ETYPES, D, H)(x, {VIEWS: relations[VIEWS]})
