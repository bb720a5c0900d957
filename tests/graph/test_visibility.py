"""No batch shows the edge that it asks about, in either direction, by duplicates, or by way of the future."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.graph import Canonical, Edges, SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.building import build
from graphsocial.graph.labels import known_labels, label_history
from graphsocial.graph.loaders import FullGraphLoader, NeighborLoader
from graphsocial.graph.visibility import State, View, Visibility
from graphsocial.tasks.edge_emotion import EdgeEmotion
from graphsocial.types import Target

VIEWS = ("user", "views", "image")
BACK = ("image", "rev_views", "user")


@pytest.fixture
def graph(social: gs.GraphStore) -> SocialGraph:
    task = EdgeEmotion()
    entity = task.entity(social.schema)
    return build(social, "small", entity, task.labels(social, "small"))


@pytest.fixture
def roles(graph: SocialGraph) -> Tensor:
    dealt = torch.from_numpy(np.random.default_rng(0).choice(3, graph.num_examples, p=[0.7, 0.15, 0.15]))
    return torch.where(graph.codes >= 0, dealt, -1)


def shown_pairs(graph: SocialGraph, batch: Batch) -> dict[Canonical, set[tuple[int, int]]]:
    """Every (user, image) pair that any layer of a batch passes a message over, found from nodes, not from edge ids."""
    found: dict[Canonical, set[tuple[int, int]]] = {}
    for layer in batch.layers:
        for kind, relation in layer.relations.items():
            mask = layer.mask.get(kind)
            ids = layer.edge_ids[kind] if layer.edge_ids is not None else torch.arange(relation.num_edges)
            ids = ids if mask is None else ids[mask]
            edges = graph.edges[kind]
            ends = (edges.src, edges.dst) if kind == VIEWS else (edges.dst, edges.src)
            found.setdefault(kind, set()).update(zip(ends[0][ids].tolist(), ends[1][ids].tolist(), strict=True))
    return found


def shuffled_reverse(graph: SocialGraph) -> SocialGraph:
    """The reverse relation in another row order, as a parallel load leaves it: nothing may rest on aligned ids."""
    back = graph.edges[BACK]
    order = torch.randperm(len(back), generator=torch.Generator().manual_seed(7))
    parts = {name: getattr(back, name)[order] for name in ("src", "dst", "example", "time")}
    graph.edges[BACK] = Edges(**parts, reverse_of=VIEWS)
    return graph


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_edges_to_predict_and_held_out_edges_are_hidden(
    graph: SocialGraph, roles: Tensor, sampled: bool, shuffled: bool
) -> None:
    if shuffled:
        graph = shuffled_reverse(graph)
    loader = FullGraphLoader(graph, roles, Visibility(), depth=2)
    if sampled:
        loader = NeighborLoader(loader, (4, 4))
    pairs = list(zip(graph.ends[0].tolist(), graph.ends[1].tolist(), strict=True))
    train = torch.nonzero(roles == 0).squeeze(1)
    held_out = {pairs[p] for p in torch.nonzero(roles > 0).squeeze(1).tolist()}
    batches, seen = 0, 0
    for batch in loader.batches(train, 50, torch.Generator().manual_seed(0)):
        asked = {pairs[p] for p in batch.examples.tolist()}
        shown = shown_pairs(graph, batch)
        for kind in (VIEWS, BACK):
            assert not shown[kind] & asked
            assert not shown[kind] & held_out
            seen += len(shown[kind])
        assert not batch.view.label[batch.examples].any()
        assert not batch.view.label[roles > 0].any()
        batches += 1
    assert batches == -(-len(train) // 50)
    assert seen > 0  # the other training edges do pass messages


def test_duplicates_of_a_pair_are_hidden_with_it(graph: SocialGraph, roles: Tensor) -> None:
    edges = graph.edges[VIEWS]
    counts = torch.bincount(edges.example, minlength=graph.num_examples)
    twice = torch.nonzero((counts > 1) & (roles == 0)).squeeze(1)
    assert len(twice)
    batch = next(FullGraphLoader(graph, roles, Visibility(), depth=1).batches(twice, len(twice)))
    ends = set(zip(graph.ends[0][twice].tolist(), graph.ends[1][twice].tolist(), strict=True))
    for shown in (shown_pairs(graph, batch)[kind] for kind in (VIEWS, BACK)):
        assert shown
        assert not shown & ends


@pytest.mark.parametrize("state", ["hidden", "structure", "full"])
def test_three_states_of_the_edges_to_predict(graph: SocialGraph, roles: Tensor, state: str) -> None:
    asked = torch.nonzero(roles == 2).squeeze(1)
    view = View.of(roles, graph.labelled, Visibility(predicted=state, validation="structure"), asked)  # type: ignore[arg-type]
    assert view.edge[asked].all() == (state != "hidden")
    assert view.features[asked].any() == (state == "full")
    assert not view.label[asked].any()
    validation = roles == 1
    assert view.edge[validation].all()
    assert not view.features[validation].any()
    assert not view.label[validation].any()


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(InputError, match="no state of an edge"):
        Visibility(predicted="visible")  # type: ignore[arg-type]


@pytest.mark.parametrize("sampled", [False, True])
def test_temporal_batches_see_only_the_past(graph: SocialGraph, roles: Tensor, sampled: bool) -> None:
    loader = FullGraphLoader(graph, roles, Visibility(), depth=2, temporal=True)
    if sampled:
        loader = NeighborLoader(loader, (-1, -1))
    assert graph.example_time is not None
    train = torch.nonzero(roles == 0).squeeze(1)
    messages = 0
    for batch in loader.batches(train, 60, torch.Generator().manual_seed(0)):
        first = graph.example_time[batch.examples].min()
        for layer in batch.layers:
            for kind in (VIEWS, BACK):
                times = graph.edges[kind].time
                assert times is not None
                if layer.edge_ids is not None:
                    times = times[layer.edge_ids[kind]]
                mask = layer.mask[kind]
                times = times if mask is None else times[mask]
                assert (times < first).all()
                messages += len(times)
        assert (graph.example_time[batch.view.label] < first).all()
    assert messages


def test_sampled_blocks_give_the_full_graph_s_answer_when_nothing_is_left_out(
    graph: SocialGraph, roles: Tensor
) -> None:
    """With all neighbours sampled, a pair's representation is the one that the whole graph gives."""
    from graphsocial.models.hmg_emo import HmgEmo

    graph = graph.fit_tabular(np.flatnonzero(roles.numpy() == 0))
    train = torch.nonzero(roles == 0).squeeze(1)
    network = HmgEmo(layers=2, width=8, node_width=8).build(graph, train, seed=0).eval()
    asked = train[:30]
    whole = next(FullGraphLoader(graph, roles, Visibility(), depth=2).batches(asked, 30))
    parts = next(NeighborLoader(FullGraphLoader(graph, roles, Visibility(), depth=2), (-1, -1)).batches(asked, 30))
    with torch.no_grad():
        torch.testing.assert_close(
            network(graph, parts)["emotion"], network(graph, whole)["emotion"], rtol=1e-4, atol=1e-5
        )


def test_label_history_counts_only_what_is_visible(graph: SocialGraph, roles: Tensor) -> None:
    asked = torch.nonzero(roles == 0).squeeze(1)[:40]
    view = View.of(roles, graph.labelled, Visibility(), asked)
    prior = torch.full((len(graph.classes),), 1 / len(graph.classes))
    numbers = torch.where(torch.rand(graph.num_examples, 1) < 0.8, torch.randn(graph.num_examples, 1), torch.nan)
    history = label_history(graph, view, prior, numbers)
    for name, ends in (("user", graph.ends[0]), ("image", graph.ends[1])):
        for node in range(graph.num_nodes[name]):
            rows = torch.nonzero((ends == node) & view.label).squeeze(1)
            counts = torch.bincount(graph.codes[rows], minlength=len(prior))
            share = (counts + 2.0 * prior) / (len(rows) + 2.0)
            told = numbers[rows][~torch.isnan(numbers[rows])]
            mean = told.sum() / (len(told) + 2.0)
            expected = torch.cat([torch.log(share / prior), torch.log1p(torch.tensor([float(len(rows))])), mean[None]])
            torch.testing.assert_close(history[name][node], expected)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("state", ["hidden", "structure", "full"])
def test_edges_show_their_label_only_where_it_is_known(
    graph: SocialGraph, roles: Tensor, sampled: bool, state: State
) -> None:
    """Held against the table of training labels by pair, whatever edges of others may be seen."""
    graph = shuffled_reverse(graph)
    loader = FullGraphLoader(graph, roles, Visibility(state, state, state), depth=1)
    pairs = list(zip(graph.ends[0].tolist(), graph.ends[1].tolist(), strict=True))
    train = torch.nonzero(roles == 0).squeeze(1)
    known = {pairs[p]: int(graph.codes[p]) for p in train.tolist()}
    shown = 0
    for batch in (NeighborLoader(loader, (5,)) if sampled else loader).batches(train, 50):
        asked = {pairs[p] for p in batch.examples.tolist()}
        layer = batch.layers[0]
        numbers = known_labels(graph, batch.view, layer, (VIEWS, BACK), (graph.codes + 1.0)[:, None])
        for kind, labels in known_labels(graph, batch.view, layer, (VIEWS, BACK)).items():
            edges = graph.edges[kind]
            ids = torch.arange(len(edges)) if layer.edge_ids is None else layer.edge_ids[kind]
            ends = (edges.src, edges.dst) if kind == VIEWS else (edges.dst, edges.src)
            told = zip(ends[0][ids].tolist(), ends[1][ids].tolist(), labels.tolist(), strict=True)
            wanted = [-1 if (u, i) in asked else known.get((u, i), -1) for u, i, _ in told]
            assert labels.tolist() == wanted
            assert numbers[kind].squeeze(1).tolist() == [number + 1.0 for number in wanted]
            shown += sum(label >= 0 for label in wanted)
    assert shown


def test_a_graph_keeps_its_target(graph: SocialGraph) -> None:
    assert graph.target == Target("emotion", "multiclass", graph.classes)
    assert set(graph.edges) >= {VIEWS, BACK, ("user", "connects", "user")}
