"""Graph attention against ten lines of dense algebra, against DGL, and at the edges of what scores can be."""

from __future__ import annotations

import os

os.environ.setdefault("DGLBACKEND", "pytorch")

import dgl
import dgl.nn.pytorch as dglnn
import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.edge_softmax import attend
from graphsocial.nn.graph_attention import GraphAttention

NUM = {"user": 9, "image": 7}
CONNECTS = ("user", "connects", "user")
VIEWS = ("user", "views", "image")
VIEWED = ("image", "viewed_by", "user")
ETYPES = (CONNECTS, VIEWS, VIEWED)
D, H, DE = 5, 4, 3


def edges(etype, count, seed):
    """Random edges with a duplicate; the last node of each type has no neighbour."""
    generator = torch.Generator().manual_seed(seed)
    src = torch.randint(NUM[etype[0]] - 1, (count,), generator=generator)
    dst = torch.randint(NUM[etype[2]] - 1, (count,), generator=generator)
    src[1], dst[1] = src[0], dst[0]
    return src, dst


def small_graph(dtype=torch.float64):
    torch.manual_seed(1)
    src, dst = edges(VIEWS, 16, 1)
    ends = {CONNECTS: edges(CONNECTS, 25, 0), VIEWS: (src, dst), VIEWED: (dst, src)}
    relations = {e: Relation.from_edges(*ends[e], NUM[e[0]], NUM[e[2]]) for e in ETYPES}
    x = {name: torch.randn(count, D, dtype=dtype, requires_grad=True) for name, count in NUM.items()}
    comments = torch.randn(16, DE, dtype=dtype, requires_grad=True)
    return ends, relations, x, {VIEWS: comments, VIEWED: comments}


def dense_attend(values, ends, sources, destinations, edge_scores, masks, self_value, self_score, num_dst):
    """Eqs. 2-3, one column of logits for each edge and one for the self loop."""
    rows = torch.arange(num_dst)[:, None]
    logits, messages = [], []
    for v, (src, dst), s, d, e, m in zip(values, ends, sources, destinations, edge_scores, masks, strict=True):
        z = leaky_relu(s[src] + d[dst] + (0 if e is None else e), 0.2)
        here = (rows == dst) & (torch.ones_like(dst).bool() if m is None else m)
        logits.append(torch.where(here, z, -torch.inf))
        messages.append(v[src])
    if self_value is not None:
        logits.append(torch.where(rows == rows.T, leaky_relu(self_score, 0.2), -torch.inf))
        messages.append(self_value)
    weights = torch.softmax(torch.cat(logits, 1), 1)
    return torch.nan_to_num(weights) @ torch.cat(messages)


def attend_inputs(*, own, scored, masked, scale=1.0, dtype=torch.float64):
    """Two relations into users, one with edge scores and a mask, and perhaps the self loop."""
    torch.manual_seed(2)
    ends = [edges(CONNECTS, 25, 0), edges(VIEWED, 16, 1)]
    relations = [Relation.from_edges(*e, n, 9) for e, n in zip(ends, (9, 7), strict=True)]

    def random(*shape, by=scale):
        return (by * torch.randn(*shape, dtype=dtype)).requires_grad_()

    mask = torch.rand(16) > 0.4
    return ends, {
        "values": [random(9, H, by=1.0), random(7, H, by=1.0)],
        "relations": relations,
        "source_scores": [random(9), random(7)],
        "destination_scores": [random(9), random(9)],
        "edge_scores": [None, random(16) if scored else None],
        "edge_mask": [None, mask if masked else None],
        "self_value": random(9, H, by=1.0) if own else None,
        "self_score": random(9) if own else None,
    }


def flat(inputs):
    found = []
    for value in inputs.values():
        found += value if isinstance(value, list) else [value]
    return [t for t in found if isinstance(t, Tensor) and t.requires_grad]


def dense(ends, inputs):
    given = {k: v for k, v in inputs.items() if k != "relations"}
    return dense_attend(ends=ends, num_dst=9, **{RENAMED.get(k, k): v for k, v in given.items()})


RENAMED = {"source_scores": "sources", "destination_scores": "destinations", "edge_mask": "masks"}


@pytest.mark.parametrize("scale", [1.0, 1e4], ids=["usual", "extreme"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("scored", [False, True], ids=["plain", "scored"])
@pytest.mark.parametrize("own", [False, True], ids=["no-self", "self"])
def test_attend_equals_dense_algebra(own, scored, masked, scale):
    ends, inputs = attend_inputs(own=own, scored=scored, masked=masked, scale=scale)
    got, want = attend(**inputs), dense(ends, inputs)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    upstream = torch.randn_like(got)
    leaves = flat(inputs)
    got_grads = torch.autograd.grad(got, leaves, upstream)
    want_grads = torch.autograd.grad(want, leaves, upstream)
    for got_grad, want_grad in zip(got_grads, want_grads, strict=True):
        torch.testing.assert_close(got_grad, want_grad, rtol=1e-10, atol=1e-10)
    if not own:
        assert not got[8].any()  # user 8 has no neighbour


@pytest.mark.parametrize("own", [False, True], ids=["no-self", "self"])
def test_attend_gradcheck(own):
    _, inputs = attend_inputs(own=own, scored=True, masked=True)
    leaves = flat(inputs)

    def call(*_):  # gradcheck moves the leaves in place
        return attend(**inputs)

    assert torch.autograd.gradcheck(call, leaves, eps=1e-6, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("offset", [-1e4, 0.0, 1e4])
def test_float32_is_exact_for_any_scores(offset):
    ends, inputs = attend_inputs(own=True, scored=True, masked=False, scale=300.0, dtype=torch.float32)
    with torch.no_grad():
        inputs["source_scores"][0][3] += offset  # one node far above or below all others: the bound is of no use
    got = attend(**inputs)
    torch.testing.assert_close(got, dense(ends, inputs), rtol=1e-4, atol=1e-5)
    got.sum().backward()
    assert all(t.grad.isfinite().all() for t in flat(inputs))


def test_a_masked_edge_equals_a_removed_edge():
    ends, inputs = attend_inputs(own=False, scored=True, masked=True)
    keep = inputs["edge_mask"][1]
    got = attend(**inputs)
    with torch.no_grad():
        inputs["edge_scores"][1][~keep] = 1e6  # nothing about a masked edge may reach the result
    torch.testing.assert_close(attend(**inputs), got, rtol=1e-12, atol=1e-12)
    removed = inputs | {
        "relations": [inputs["relations"][0], Relation.from_edges(ends[1][0][keep], ends[1][1][keep], 7, 9)],
        "edge_scores": [None, inputs["edge_scores"][1][keep]],
        "edge_mask": None,
    }
    torch.testing.assert_close(attend(**removed), got, rtol=1e-12, atol=1e-12)


def test_all_edges_masked_is_zeros_with_zero_gradients():
    _, inputs = attend_inputs(own=False, scored=True, masked=True)
    inputs["edge_mask"] = [torch.zeros(25, dtype=torch.bool), torch.zeros(16, dtype=torch.bool)]
    got = attend(**inputs)
    assert not got.any()
    got.sum().backward()
    assert all(not t.grad.any() for t in flat(inputs))


def test_scores_of_minus_infinity_are_no_edge():
    _, inputs = attend_inputs(own=False, scored=True, masked=False)
    keep = torch.arange(16) % 2 == 0
    inputs["edge_mask"] = [torch.zeros(25, dtype=torch.bool), keep]
    want = attend(**inputs)
    scores = torch.where(keep, inputs["edge_scores"][1].detach(), -torch.inf).requires_grad_()
    got = attend(**(inputs | {"edge_mask": [inputs["edge_mask"][0], None], "edge_scores": [None, scores]}))
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    assert torch.autograd.grad(got.sum(), scores)[0].isfinite().all()


def test_empty_relations():
    none = torch.zeros(0, dtype=torch.int64)
    empty = Relation.from_edges(none, none, 7, 9)
    values, sources, destinations = torch.randn(7, H), torch.randn(7), torch.randn(9)
    assert not attend([values], [empty], [sources], [destinations]).any()
    own = torch.randn(9, H)
    got = attend([values], [empty], [sources], [destinations], self_value=own, self_score=destinations)
    torch.testing.assert_close(got, own)
    torch.testing.assert_close(attend([], [], [], [], self_value=own, self_score=destinations), own)


def test_same_bits_twice():
    torch.manual_seed(3)
    relation = Relation.from_edges(torch.randint(2000, (60000,)), torch.randint(1500, (60000,)), 2000, 1500)
    values, scores = torch.randn(2000, 32, requires_grad=True), torch.randn(2000, requires_grad=True)
    destinations, logits = torch.randn(1500, requires_grad=True), torch.randn(60000, requires_grad=True)

    def run():
        y = attend([values], [relation], [scores], [destinations], edge_scores=[logits])
        return [y, *torch.autograd.grad(y.square().sum(), [values, scores, destinations, logits])]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


def test_wrong_shapes_are_named():
    _, inputs = attend_inputs(own=True, scored=True, masked=True)
    for name, wrong in {
        "values": [torch.randn(8, H), inputs["values"][1]],
        "source_scores": [torch.randn(8), torch.randn(7)],
        "destination_scores": [torch.randn(9), torch.randn(8)],
        "edge_scores": [None, torch.randn(15)],
        "edge_mask": [None, torch.ones(15, dtype=torch.bool)],
        "self_value": torch.randn(8, H),
        "self_score": torch.randn(8),
    }.items():
        with pytest.raises(InputError, match=name):
            attend(**(inputs | {name: wrong}))
    with pytest.raises(InputError, match="belong together"):
        attend(**(inputs | {"self_value": None}))
    with pytest.raises(InputError, match="2 relations"):
        attend(**(inputs | {"values": inputs["values"][:1]}))
    with pytest.raises(InputError, match="at least one relation"):
        attend([], [], [], [])
    with pytest.raises(InputError, match="dst has node numbers from 0 to 3; num_dst = 3 allows 0 to 2"):
        Relation.from_edges(torch.tensor([0, 1]), torch.tensor([0, 3]), 4, 3)


def layer_of(share, **kwargs):
    torch.manual_seed(4)
    layer = GraphAttention(
        ("user", "image"), ETYPES, D, H, edge_features={VIEWS: DE, VIEWED: DE}, share=share, **kwargs
    )
    for bias in layer.bias.values():
        torch.nn.init.normal_(bias)
    return layer.double()


def test_layer_is_the_paper_as_printed():
    ends, relations, x, e = small_graph()
    layer = layer_of("all")
    theta, bias = layer.weight["all"], layer.bias["all"]
    a_s, a_t, a_e = (p["all"] for p in (layer.attention_self, layer.attention_neighbour, layer.attention_edge))
    h = {name: value @ theta.T for name, value in x.items()}
    logits = {etype: value @ layer.edge_weight["all"].T @ a_e for etype, value in e.items()}
    got = layer(x, relations, edge_features=e)
    want = {}
    for name in NUM:
        into = [etype for etype in ETYPES if etype[2] == name]
        want[name] = bias + dense_attend(
            [h[etype[0]] for etype in into],
            [ends[etype] for etype in into],
            [h[etype[0]] @ a_t for etype in into],
            [h[name] @ a_s] * len(into),
            [logits.get(etype) for etype in into],
            [None] * len(into),
            h[name],
            h[name] @ (a_s + a_t),
            NUM[name],
        )
    leaves = [*layer.parameters(), *x.values(), e[VIEWS]]
    compare(got, want, leaves)
    scores = {etype: e[etype] @ vector[0] for etype, vector in layer.fold_edge_vector().items()}
    compare(layer(x, relations, edge_scores=scores), want, leaves)


def compare(got, want, leaves, tolerance=1e-10):
    torch.manual_seed(5)
    upstream = {name: torch.randn_like(value) for name, value in want.items()}
    pairs = [(got[name], want[name]) for name in want]
    sums = [sum((r[name] * upstream[name]).sum() for name in want) for r in (got, want)]
    pairs += zip(*(torch.autograd.grad(s, leaves, retain_graph=True) for s in sums), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def dgl_layer(layer, etype, key):
    """DGL's layer for one relation, with our weights.

    DGL's EdgeGATConv puts an edge's features into its message by the same matrix as into its logit, which eq. 2 does
    not: it is our `edge_values` with both matrices alike.
    """
    pairs = {"fc.weight": layer.weight, "attn_r": layer.attention_self, "attn_l": layer.attention_neighbour}
    if etype in layer.edge_features:
        theirs = dglnn.EdgeGATConv(D, DE, H, 1, residual=False, allow_zero_in_degree=True)
        pairs |= {"fc_edge.weight": layer.edge_weight, "attn_edge": layer.attention_edge}
    else:
        theirs = dglnn.GATConv(D, H, 1, allow_zero_in_degree=True)
    theirs = theirs.to(layer.weight[key].dtype)
    with torch.no_grad():
        for name, ours in pairs.items():
            target = theirs.get_parameter(name)
            target.copy_(ours[key].reshape(target.shape))
        theirs.bias.zero_()
        if etype in layer.edge_features:
            layer.edge_value[key].copy_(layer.edge_weight[key])
    return theirs


def assert_same_gradients(theirs, layer, key, tolerance):
    """Compare parameter gradients after `backward` on both sides."""
    grads = {name: p.grad for name, p in theirs.named_parameters()}
    found = {
        "fc.weight": layer.weight[key].grad,
        "attn_r": layer.attention_self[key].grad,
        "attn_l": layer.attention_neighbour[key].grad,
    }
    if "attn_edge" in grads:
        found["attn_edge"] = layer.attention_edge[key].grad
        found["fc_edge.weight"] = layer.edge_weight[key].grad + layer.edge_value[key].grad
    for name, grad in found.items():
        torch.testing.assert_close(grad, grads[name].reshape(grad.shape), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("with_edges", [False, True], ids=["GATConv", "EdgeGATConv"])
def test_one_relation_is_dgl(with_edges, dtype, tolerance):
    ends, relations, x, e = small_graph(dtype)
    features = {VIEWS: e[VIEWS]} if with_edges else {}
    layer = GraphAttention(
        ("user", "image"), [VIEWS], D, H, edge_features=dict.fromkeys(features, DE), self_loops=False, edge_values=True
    ).to(dtype)
    theirs = dgl_layer(layer, VIEWS, "all")
    graph = dgl.heterograph({VIEWS: ends[VIEWS]}, num_nodes_dict=NUM)
    got = layer(x, {VIEWS: relations[VIEWS]}, edge_features=features)["image"]
    want = theirs(graph, (x["user"], x["image"]), *features.values())[:, 0]
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)
    inputs, upstream = [*x.values(), *features.values()], torch.randn_like(want)
    grads = [torch.autograd.grad(y, inputs, upstream, retain_graph=True) for y in (got, want)]
    for ours, dgls in zip(*grads, strict=True):
        torch.testing.assert_close(ours, dgls, rtol=tolerance, atol=tolerance)
    got.backward(upstream)
    want.backward(upstream)
    assert_same_gradients(theirs, layer, "all", tolerance)


def test_a_weight_set_a_relation_is_dgl_summed():
    ends, relations, x, e = small_graph()
    layer = layer_of("relation", self_loops=False, edge_values=True)
    convs = {etype: dgl_layer(layer, etype, "-".join(etype)) for etype in ETYPES}
    graph = dgl.heterograph(ends, num_nodes_dict=NUM)
    hetero = dglnn.HeteroGraphConv({etype[1]: conv for etype, conv in convs.items()}, aggregate="sum")
    want = hetero(graph, x, mod_args={etype[1]: (value,) for etype, value in e.items()})
    want = {name: value[:, 0] + layer.bias[f"node-{name}"] for name, value in want.items()}
    got = layer(x, relations, edge_features=e)
    compare(got, want, [*x.values(), e[VIEWS], *layer.bias.values()])
    for result in (got, want):
        sum(value.square().sum() for value in result.values()).backward(retain_graph=True)
    for etype, theirs in convs.items():
        assert_same_gradients(theirs, layer, "-".join(etype), 1e-10)

    with_self = layer_of("relation", edge_values=True)
    with_self.load_state_dict(layer.state_dict(), strict=False)
    for name, value in with_self(x, relations, edge_features=e).items():
        own = x[name] @ with_self.self_weight[f"node-{name}"].T
        torch.testing.assert_close(value, got[name] + own, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("share", ["all", "relation"])
def test_block_is_the_full_graph_seen_from_its_first_nodes(share):
    ends, relations, x, e = small_graph()
    counts = {"user": 4, "image": 0}
    inside = {etype: ends[etype][1] < counts[etype[2]] for etype in ETYPES}
    block = {
        etype: Relation.from_edges(*(end[inside[etype]] for end in ends[etype]), NUM[etype[0]], counts[etype[2]])
        for etype in ETYPES
    }
    layer = layer_of(share)
    full = layer(x, relations, edge_features=e)
    features = {etype: value[inside[etype]] for etype, value in e.items()}
    compare(
        layer(x, block, edge_features=features, num_dst=counts),
        {name: value[: counts[name]] for name, value in full.items()},
        [*x.values(), e[VIEWED]],
    )


@pytest.mark.parametrize("share", ["all", "relation"])
def test_layer_mask_and_attention(share):
    ends, relations, x, e = small_graph()
    layer = layer_of(share)
    keep = torch.arange(16) % 3 > 0
    got = layer(x, relations, edge_features=e, edge_mask={VIEWS: keep, VIEWED: keep})
    fewer = relations | {
        etype: Relation.from_edges(*(end[keep] for end in ends[etype]), NUM[etype[0]], NUM[etype[2]])
        for etype in (VIEWS, VIEWED)
    }
    want = layer(x, fewer, edge_features={etype: value[keep] for etype, value in e.items()})
    compare(got, want, [*layer.parameters(), *x.values(), e[VIEWS]])

    weights, own = layer.attention(x, relations, edge_features=e, edge_mask={VIEWS: keep, VIEWED: keep})
    assert not weights[VIEWS][~keep].any()
    sums = torch.zeros(NUM["image"], dtype=torch.float64).index_add(0, ends[VIEWS][1], weights[VIEWS])
    if share == "all":
        torch.testing.assert_close(sums + own["image"], torch.ones_like(sums))
    else:
        has = torch.zeros(NUM["image"]).index_add(0, ends[VIEWS][1], keep.float()) > 0
        torch.testing.assert_close(sums, has.double())


@pytest.mark.parametrize("share", ["all", "relation"])
@pytest.mark.parametrize("edge_values", [False, True])
def test_edge_features_count(share, edge_values):
    _, relations, x, e = small_graph()
    layer = layer_of(share, edge_values=edge_values)
    zero = {etype: torch.zeros_like(value) for etype, value in e.items()}
    with_them, without = layer(x, relations, edge_features=e), layer(x, relations, edge_features=zero)
    assert all(not torch.allclose(with_them[name], without[name]) for name in NUM)
    with pytest.raises(InputError, match=r"edge_features lacks .*views"):
        layer(x, relations)


@pytest.mark.parametrize("share", ["all", "relation"])
def test_edge_values_are_messages(share):
    ends, relations, x, e = small_graph()
    layer, plain = layer_of(share, edge_values=True), layer_of(share)
    plain.load_state_dict(layer.state_dict(), strict=False)
    weights, _ = plain.attention(x, relations, edge_features=e)
    want = plain(x, relations, edge_features=e)
    for etype in (VIEWS, VIEWED):
        messages = weights[etype][:, None] * (e[etype] @ layer.edge_value[layer._key(etype)].T)
        want[etype[2]] = want[etype[2]].index_add(0, ends[etype][1], messages)
    got = layer(x, relations, edge_features=e)
    for name in NUM:
        torch.testing.assert_close(got[name], want[name], rtol=1e-10, atol=1e-10)
    compare(got, want, [x["user"], x["image"]])
    leaves = [e[VIEWS], *layer.edge_value.values()]
    compare(got, want, leaves)


def test_layer_refuses_wrong_shapes_and_settings():
    _, relations, x, e = small_graph()
    layer = layer_of("all")
    keep = torch.ones(16, dtype=torch.bool)
    for kwargs, words in [
        ({"edge_features": {VIEWS: e[VIEWS], VIEWED: e[VIEWED][:3]}}, r"edge_features\[.*viewed_by.*\(3, 3\)"),
        ({"edge_features": e | {CONNECTS: torch.zeros(25, 3)}}, "connects.*not used"),
        ({"edge_features": e, "edge_mask": {VIEWS: keep[:5]}}, r"edge_mask\[.*views"),
        ({"edge_features": e, "num_dst": {"user": 10}}, r"num_dst\['user'\] = 10"),
        ({"edge_features": e, "num_dst": {"user": 8}}, "connects.*joins"),
        ({"edge_features": e, "num_dst": {"usr": 8}}, r"num_dst\['usr'\] = 8"),
    ]:
        with pytest.raises(InputError, match=words):
            layer(x, relations, **kwargs)
    with pytest.raises(InputError, match="node types"):
        layer({"user": x["user"]}, relations)
    with pytest.raises(InputError, match="relations has"):
        layer(x, {CONNECTS: relations[CONNECTS]})
    with pytest.raises(InputError, match=r"x\['user'\] has the shape \(9, 4\)"):
        layer(x | {"user": x["user"][:, :4]}, relations)
    with pytest.raises(InputError, match="several widths"):
        GraphAttention(("user", "image"), ETYPES, D, H, edge_features={VIEWS: 3, VIEWED: 2})
    with pytest.raises(InputError, match="share = 'some'"):
        GraphAttention(("user", "image"), ETYPES, D, H, share="some")
    with pytest.raises(InputError, match="edge_features names"):
        GraphAttention(("user",), [CONNECTS], D, H, edge_features={VIEWS: 3})
    with pytest.raises(InputError, match="negative_slope"):
        GraphAttention(("user",), [CONNECTS], D, H, negative_slope=-0.1)


def test_no_self_loops_and_no_edges_leave_the_bias():
    layer = GraphAttention(("user", "image"), [VIEWS], D, H, self_loops=False)
    torch.nn.init.normal_(layer.bias["all"])
    none = torch.zeros(0, dtype=torch.int64)
    got = layer({"user": torch.randn(3, D), "image": torch.randn(2, D)}, {VIEWS: Relation.from_edges(none, none, 3, 2)})
    for name, count in (("user", 3), ("image", 2)):
        torch.testing.assert_close(got[name], layer.bias["all"].expand(count, -1))


def test_several_heads_of_one_softmax_are_as_many_layers():
    """Shared by all types, with self loops: each head is a layer of one head with its part of the weights."""
    src, dst = torch.tensor([0, 1, 2, 2, 4]), torch.tensor([1, 0, 0, 1, 3])
    relations = {("user", "knows", "user"): Relation.from_edges(src, dst, 5, 5)}
    torch.manual_seed(0)
    layer = GraphAttention(["user"], list(relations), 3, 4, share="all", heads=2)
    x = torch.randn(5, 3)
    got = layer({"user": x}, relations)["user"]
    for head in range(2):
        part = slice(2 * head, 2 * head + 2)
        one = GraphAttention(["user"], list(relations), 3, 2, share="all")
        one.load_state_dict({name: value[part] for name, value in layer.state_dict().items()})
        torch.testing.assert_close(got[:, part], one({"user": x}, relations)["user"])
        weights, self_weights = layer.attention({"user": x}, relations)
        assert (weights["user", "knows", "user"] <= 1).all()
        assert self_weights["user"][4].tolist() == [1, 1]
        assert self_weights["user"][0, head] < 1
