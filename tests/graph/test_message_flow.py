"""A batch as DGL graphs holds what the batch may see, and computes what our own kernels compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import dgl
import numpy as np
import pytest
import torch
from dgl.nn import GATConv, HeteroGraphConv
from torch import Tensor

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.explanation.ablation import Copies, with_copies
from graphsocial.features import featurize
from graphsocial.graph import SocialGraph, loaders
from graphsocial.graph.batching import Batch
from graphsocial.graph.building import build
from graphsocial.graph.loaders import FullGraphLoader, Loader, NeighborLoader
from graphsocial.graph.message_flow import input_widths
from graphsocial.graph.visibility import State, View, Visibility
from graphsocial.nn.aggregation import take_rows
from graphsocial.nn.graph_attention import GraphAttention
from graphsocial.tasks.edge_emotion import EdgeEmotion

VIEWS = ("user", "views", "image")
VIEWED = ("image", "rev_views", "user")
LABEL = "label:emotion"
COMMENT = "feat:user views image.comment"
HEADS, WIDTH = 2, 6
MEANS = {"group.description": ("user",)}


@pytest.fixture
def graph(social: gs.GraphStore) -> SocialGraph:
    task = EdgeEmotion()
    uses = [
        featurize(social, name, "hash_text", dataset="small")[0].use for name in ("group", f"{' '.join(VIEWS)}.comment")
    ]
    built = build(
        social, "small", task.entity(social.schema), task.labels(social, "small"), features=uses, averages=MEANS
    )
    return built.fit_tabular(np.arange(built.num_examples))


@pytest.fixture
def roles(graph: SocialGraph) -> Tensor:
    drawn = torch.from_numpy(np.random.default_rng(0).choice(3, graph.num_examples, p=[0.7, 0.15, 0.15]))
    return torch.where(graph.codes >= 0, drawn, -1)


def full(graph: SocialGraph, roles: Tensor, *, depth: int = 2, temporal: bool = False) -> FullGraphLoader:
    return FullGraphLoader(graph, roles, Visibility(), depth, temporal)


def batches_of_all_kinds(
    graph: SocialGraph, roles: Tensor, monkeypatch: pytest.MonkeyPatch, *, temporal: bool = False
) -> dict[str, Batch]:
    """Whole layers, layers that are all cut, three whole ones below a cut one, and sampled neighbours."""
    examples = torch.nonzero(roles == 1).squeeze(1)[:9]
    found = {}
    for name, worth, depth in (("whole", 0.0, 4), ("cut", 1.1, 4), ("mixed", 0.0, 4)):
        monkeypatch.setattr(loaders, "CUT_BELOW", worth)
        loader = full(graph, roles, depth=depth, temporal=temporal)
        found[name] = loader.batch(examples, loader.view(examples))
    whole, cut = found["whole"], found["cut"]
    last = replace(cut.layers[-1], take=_sources(graph, roles, examples, cut.view))
    found["mixed"] = replace(whole, ends=cut.ends, layers=(*whole.layers[:3], last))
    (found["sampled"],) = NeighborLoader(full(graph, roles, depth=4, temporal=temporal), (5, 5, 5, 5)).batches(
        examples, 9, torch.Generator().manual_seed(0)
    )
    return found


def _sources(graph: SocialGraph, roles: Tensor, examples: Tensor, view: View) -> dict[str, Tensor]:
    """The nodes that one layer reads which computes these examples' ends."""
    loader = full(graph, roles)
    nodes = loaders.SeedNodes.of(graph, examples).nodes
    return loader.blocks.layer(nodes, -1, view)[1]


@pytest.mark.parametrize("temporal", [False, True], ids=["any-time", "the-past"])
@pytest.mark.parametrize("kind", ["whole", "cut", "mixed", "sampled"])
def test_nodes_and_edges_are_those_of_the_graph(
    graph: SocialGraph, roles: Tensor, kind: str, temporal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batches_of_all_kinds(graph, roles, monkeypatch, temporal=temporal)[kind]
    blocks = batch.to_dgl(graph)
    assert len(blocks) == 4
    assert [block.is_block for block in blocks] == [kind != "whole"] * 4
    masks = loaders.edge_mask(graph, batch.view)
    for layer, block in zip(batch.layers, blocks, strict=True):
        assert block.canonical_etypes == sorted(graph.edges)
        for etype, edges in graph.edges.items():
            src, dst = block.edges(etype=etype)
            ids = block.edges[etype].data[dgl.EID]
            assert torch.equal(block.srcnodes[etype[0]].data[dgl.NID][src], edges.src[ids])
            assert torch.equal(block.dstnodes[etype[2]].data[dgl.NID][dst], edges.dst[ids])
            mask = masks[etype]
            assert mask is None or mask[ids].all()
            if layer.edge_ids is None and kind == "whole":
                assert len(ids) == (len(edges) if mask is None else int(mask.sum()))
    if kind != "whole":
        for name in graph.num_nodes:
            for before, after in pairwise(blocks):
                assert torch.equal(before.dstnodes[name].data[dgl.NID], after.srcnodes[name].data[dgl.NID])
            for block in blocks:
                sources, destinations = block.srcnodes[name].data[dgl.NID], block.dstnodes[name].data[dgl.NID]
                assert torch.equal(sources[: len(destinations)], destinations)
    for name, rows, end in zip(graph.end_types, batch.ends, graph.ends, strict=True):
        assert torch.equal(blocks[-1].dstnodes[name].data[dgl.NID][rows], end[batch.examples])


@pytest.mark.parametrize("kind", ["whole", "cut", "mixed", "sampled"])
def test_dgl_computes_what_our_kernels_compute(
    graph: SocialGraph, roles: Tensor, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four layers of `HeteroGraphConv` of `GATConv`s with the weights of four of `GraphAttention`."""
    batch = batches_of_all_kinds(graph, roles, monkeypatch)[kind]
    torch.manual_seed(0)
    projected = {name: torch.randn(count, WIDTH) for name, count in graph.num_nodes.items()}
    layers = [
        GraphAttention(
            tuple(graph.num_nodes), tuple(graph.edges), WIDTH, WIDTH, share="relation", self_loops=False, heads=HEADS
        )
        for _ in batch.layers
    ]
    ours = {name: part if batch.rows is None else part[batch.rows[name].nodes] for name, part in projected.items()}
    for layer, attention in zip(batch.layers, layers, strict=True):
        if layer.take is not None:
            ours = {name: take_rows(part, layer.take[name]) for name, part in ours.items()}
        masks = {etype: mask for etype, mask in layer.mask.items() if mask is not None}
        ours = attention(ours, layer.relations, edge_mask=masks, num_dst=layer.num_dst)
    blocks = batch.to_dgl(graph)
    theirs = {name: part[blocks[0].srcnodes[name].data[dgl.NID]] for name, part in projected.items()}
    for block, attention in zip(blocks, layers, strict=True):
        theirs = {name: part.flatten(1) for name, part in dgl_attention(attention)(block, theirs).items()}
    for name, rows in zip(graph.end_types, batch.ends, strict=True):
        torch.testing.assert_close(theirs[name][rows], ours[name][rows], rtol=1e-5, atol=1e-5)


def dgl_attention(ours: GraphAttention) -> HeteroGraphConv:
    """DGL's layer with the weights of ours, whose biases are zero at first."""
    convolutions = {}
    for etype in ours.edge_types:
        convolutions[etype] = convolution = GATConv(WIDTH, WIDTH // HEADS, HEADS, bias=False)
        with torch.no_grad():
            for name, weights in (
                ("fc.weight", ours.weight),
                ("attn_r", ours.attention_self),
                ("attn_l", ours.attention_neighbour),
            ):
                target = convolution.get_parameter(name)
                target.copy_(weights["-".join(etype)].view(target.shape))
    return HeteroGraphConv(convolutions, aggregate="sum")


def test_inputs_are_vectors_where_present_and_encoded_columns(graph: SocialGraph, roles: Tensor) -> None:
    batch = next(NeighborLoader(full(graph, roles), (5, 5)).batches(torch.arange(7), 7))
    data = batch.to_dgl(graph)[0].srcnodes["user"].data
    (feature,) = graph.node_features["user"]
    assert feature.name == "mean of group.description"
    nodes = data[dgl.NID]
    present = data[f"present:{feature.name}"]
    assert torch.equal(present, feature.index[nodes] >= 0) and 0 < present.sum() < len(present)
    vectors = data[f"feat:{feature.name}"]
    torch.testing.assert_close(vectors[present], feature.vectors[feature.index[nodes][present]])
    assert not vectors[~present].any()
    assert torch.equal(data["table"], graph.tables["user"][nodes])
    width = feature.vectors.shape[1]
    torch.testing.assert_close(data["x"][present, :width], feature.standard[feature.index[nodes][present]])
    assert torch.equal(data["x"][:, width], present.float())
    assert torch.equal(data["x"][:, width + 1 :], data["table"])
    widths = input_widths(graph)
    assert widths["user"] == data["x"].shape[1]
    assert "feat:image.vector" in batch.to_dgl(graph)[0].srcnodes["image"].data  # it came with the data


def test_a_node_type_without_inputs_has_a_single_one(graph: SocialGraph, roles: Tensor) -> None:
    bare = replace(graph, node_features={}, tabular={})
    batch = full(bare, roles).batch(torch.arange(3), full(bare, roles).view(torch.arange(3)), cut=False)
    for name, count in bare.num_nodes.items():
        assert torch.equal(batch.to_dgl(bare)[0].nodes[name].data["x"], torch.ones(count, 1))
        assert input_widths(bare)[name] == 1


def test_two_encoders_of_one_column_have_two_names(graph: SocialGraph, roles: Tensor) -> None:
    (feature,) = graph.node_features["image"]
    twice = replace(graph, node_features={"image": (feature, replace(feature, vectors=2 * feature.vectors))})
    loader = full(twice, roles)
    data = loader.batch(torch.arange(3), loader.view(torch.arange(3)), cut=False).to_dgl(twice)[0].nodes["image"].data
    torch.testing.assert_close(data["feat:image.vector:1"], 2 * data["feat:image.vector"])
    assert data["x"].shape[1] == input_widths(twice)["image"] == 2 * (feature.vectors.shape[1] + 1)


@pytest.mark.parametrize("asked", ["hidden", "structure", "full"])
@pytest.mark.parametrize("sampled", [False, True], ids=["full", "sampled"])
def test_hidden_edges_and_labels_are_absent(graph: SocialGraph, roles: Tensor, asked: State, sampled: bool) -> None:
    whole = FullGraphLoader(graph, roles, Visibility(predicted=asked), 2)
    loader: Loader = NeighborLoader(whole, (-1, -1)) if sampled else whole
    examples = torch.nonzero(roles == 0).squeeze(1)[:40]
    (batch,) = loader.batches(examples, 40)
    is_asked = torch.zeros(graph.num_examples, dtype=torch.bool)
    is_asked[examples] = True
    comments = 0
    for block in batch.to_dgl(graph):
        for etype in (VIEWS, VIEWED):
            example, data = graph.edges[etype].example, block.edges[etype].data
            assert example is not None
            example = example[data[dgl.EID]]
            asked_edge = is_asked[example]
            assert asked_edge.any() == (asked != "hidden")
            assert not (roles[example] > 0).any()  # validation and test pairs are hidden
            present = data[COMMENT.replace("feat", "present")]
            assert present[asked_edge].any() == (asked == "full")
            assert data[COMMENT][~present].abs().sum() == 0 and data["x"][~present].abs().sum() == 0
            comments += int(present.sum())
            labels = data[LABEL]
            assert (labels[asked_edge] == -1).all()
            assert torch.equal(
                labels[~asked_edge & (roles[example] == 0)], graph.codes[example][~asked_edge & (roles[example] == 0)]
            )
            assert (labels[roles[example] < 0] == -1).all()
    assert comments
    assert input_widths(graph)[VIEWS] == data["x"].shape[1]


def test_edges_have_their_times_and_none_is_later_than_the_batch(graph: SocialGraph, roles: Tensor) -> None:
    loader = full(graph, roles, temporal=True)
    assert graph.example_time is not None
    for batch in loader.batches(torch.nonzero(roles == 1).squeeze(1), 9):
        for block in batch.to_dgl(graph):
            assert (block.edges[VIEWS].data["time"] < graph.example_time[batch.examples].min()).all()


def test_labels_of_nodes_are_shown_where_known(graph: SocialGraph) -> None:
    users = graph.num_nodes["user"]
    labels = torch.arange(users) % 3 - 1
    roles = torch.arange(users) % 2
    numbers = torch.where(labels >= 0, labels.double(), float("nan"))
    of_users = replace(
        graph,
        entity="user",
        ends=(torch.arange(users).flip(0),),
        target_labels={"mood": labels, "score": numbers},
        edges={kind: replace(edges, example=None) for kind, edges in graph.edges.items()},
        example_time=None,
        label_time=None,
    )
    loader = FullGraphLoader(of_users, roles, Visibility(), 1)
    examples = torch.arange(0, users, 4)
    data = loader.batch(examples, loader.view(examples), cut=False).to_dgl(of_users)[0].nodes["user"].data
    shown = (roles == 0) & (labels >= 0)
    shown[examples] = False
    want = torch.where(shown, labels, -1).flip(0)
    assert torch.equal(data["label:mood"], want)
    assert torch.equal(data["label:score"].nan_to_num(-1).long(), want)


def test_copies_of_an_explanation_are_nodes_of_their_own(graph: SocialGraph, roles: Tensor) -> None:
    loader = full(graph, roles)
    batch = loader.batch(torch.arange(4), loader.view(torch.arange(4)), cut=False)
    changed = with_copies(graph, batch, Copies(torch.tensor([0, 0, 2]), ([{}, {}, {}], [{}, {}, {}])))
    first, second = changed.to_dgl(graph)
    assert first is second and not first.is_block
    assert first.num_nodes("user") == graph.num_nodes["user"] + 3
    for name, rows, end in zip(graph.end_types, changed.ends, graph.ends, strict=True):
        assert torch.equal(first.nodes[name].data[dgl.NID][rows], end[changed.examples])


def test_a_graph_of_nodes_alone_is_refused(graph: SocialGraph, roles: Tensor) -> None:
    loader = full(replace(graph, edges={}), roles, depth=1)
    batch = loader.batch(torch.arange(2), loader.view(torch.arange(2)), cut=False)
    with pytest.raises(InputError, match="DGL has no graphs without edge types"):
        batch.to_dgl(loader.graph)


def test_a_batch_without_layers_is_no_graph(graph: SocialGraph, roles: Tensor) -> None:
    loader = full(graph, roles, depth=0)
    batches: Sequence[Batch] = list(loader.batches(torch.arange(3), 3))
    assert batches[0].to_dgl(graph) == []
