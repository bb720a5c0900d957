"""A social graph goes to DGL, PyG and networkx with its vectors, and its edges come back as they were, or changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import dgl
import numpy as np
import polars as pl
import pytest
import torch

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.features import featurize
from graphsocial.graph import NEVER, SocialGraph
from graphsocial.graph.building import build
from graphsocial.graph.loaders import FullGraphLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.models.hmg_emo import HmgEmo
from graphsocial.store.exchange import PropertyGraph
from graphsocial.tasks.edge_emotion import EdgeEmotion

VIEWS = ("user", "views", "image")
CONNECTS = ("user", "connects", "user")
MEANS = {"group.description": ("user",)}


@pytest.fixture
def graph(social: gs.GraphStore) -> SocialGraph:
    task = EdgeEmotion()
    names = ("group", "user views image.comment")
    uses = [featurize(social, name, "hash_text", dataset="small")[0].use for name in names]
    return build(
        social, "small", task.entity(social.schema), task.labels(social, "small"), features=uses, averages=MEANS
    )


def test_the_columns_are_those_that_models_see(graph: SocialGraph, social: gs.GraphStore) -> None:
    properties = graph.property_graph
    assert [c.name for c in properties.schema.node("user").columns] == ["age", "city", "description"]
    assert [c.name for c in properties.schema.node("image").columns] == ["vector"]
    assert [c.name for c in properties.schema.edge("user views image").columns] == ["position", "time", "comment"]
    stored = social.graph("small")
    assert properties.nodes["user"]["id", "age", "city"].equals(stored.nodes["user"]["id", "age", "city"])
    assert properties.nodes["image"].equals(stored.nodes["image"])
    views = properties.edges[VIEWS]
    assert views["time"].equals(stored.edges[VIEWS]["seen_at"].rename("time"))
    (comment,) = graph.edge_features[VIEWS]
    assert views["comment"].is_not_null().to_list() == comment.present.tolist()
    first = int(torch.nonzero(comment.present)[0])
    assert views["comment"][first].to_list() == comment.vectors[comment.index[first]].tolist()
    assert "label" not in {column.role for entry in properties.schema.types for column in entry.columns}


def test_two_encoders_of_one_column_are_two_columns(graph: SocialGraph) -> None:
    (vector,) = graph.node_features["image"]
    twice = replace(graph, node_features={"image": (vector, vector)})
    assert [c.name for c in twice.property_graph.schema.node("image").columns] == ["vector", "vector_2"]


def test_a_time_that_is_not_known_comes_back(graph: SocialGraph) -> None:
    edges = graph.edges[VIEWS]
    assert edges.time is not None
    time = edges.time.clone()
    time[::3] = NEVER
    some = replace(graph, edges={**graph.edges, VIEWS: replace(edges, time=time)})
    assert some.property_graph.edges[VIEWS]["time"].null_count() == len(time[::3])
    back = some.with_edges(some.property_graph).edges[VIEWS].time
    assert back is not None and torch.equal(back, time)


WAYS: dict[str, Callable[[PropertyGraph], PropertyGraph]] = {
    "itself": lambda graph: graph,
    "dgl": lambda graph: PropertyGraph.from_dgl(graph.to_dgl(), like=graph),
    "pyg": lambda graph: PropertyGraph.from_pyg(graph.to_pyg(), like=graph),
    "networkx": lambda graph: PropertyGraph.from_networkx(graph.to_networkx()),
}


@pytest.mark.parametrize("way", WAYS)
def test_edges_come_back_as_they_were(graph: SocialGraph, way: str) -> None:
    there = WAYS[way](graph.property_graph)
    assert there == graph.property_graph
    back = graph.with_edges(there)
    assert {*back.edges} == {*graph.edges}
    for kind, edges in graph.edges.items():
        for name in ("src", "dst", "example", "time"):
            before, after = getattr(edges, name), getattr(back.edges[kind], name)
            assert (before is None) == (after is None) and (before is None or torch.equal(before, after))
        assert back.edges[kind].reverse_of == edges.reverse_of
    for kind, features in graph.edge_features.items():
        assert torch.equal(back.edge_features[kind][0].index, features[0].index)


def test_a_model_runs_on_edges_that_dgl_has_changed(graph: SocialGraph) -> None:
    """Half of the views are gone, in both directions, and one contact is new."""
    heterograph = graph.property_graph.to_dgl()
    kept = torch.arange(0, len(graph.edges[VIEWS]), 2)
    for kind in (VIEWS, ("image", "rev_views", "user")):
        gone = torch.ones(len(graph.edges[kind]), dtype=torch.bool)
        gone[kept] = False
        heterograph = dgl.remove_edges(heterograph, torch.nonzero(gone).squeeze(1), etype=kind)
    heterograph = dgl.add_edges(heterograph, [3], [4], etype=CONNECTS)
    changed = graph.with_edges(PropertyGraph.from_dgl(heterograph, like=graph.property_graph))
    edges, before = changed.edges[VIEWS], graph.edges[VIEWS]
    assert edges.example is not None and before.example is not None
    assert torch.equal(edges.src, before.src[kept]) and torch.equal(edges.example, before.example[kept])
    (comment,), (comments) = changed.edge_features[VIEWS], graph.edge_features[VIEWS]
    assert torch.equal(comment.index, comments[0].index[kept])
    assert (changed.edges[CONNECTS].src[-1], changed.edges[CONNECTS].dst[-1]) == (3, 4)
    changed = changed.fit_tabular(np.arange(graph.num_examples))
    train = torch.arange(50)
    network = HmgEmo(layers=2, width=8, node_width=8, edge_width=8).build(changed, train, seed=0)
    loader = FullGraphLoader(changed, torch.zeros(graph.num_examples, dtype=torch.int64), Visibility(), 2)
    (batch,) = loader.batches(train, 50)
    assert network(changed, batch)["emotion"].isfinite().all()


def test_edges_that_do_not_fit_are_refused(graph: SocialGraph, social: gs.GraphStore) -> None:
    properties = graph.property_graph
    views = properties.edges[VIEWS]
    new = PropertyGraph(properties.schema, properties.nodes, {**properties.edges, VIEWS: views.drop("position")})
    with pytest.raises(InputError, match="A new edge 'user views image' belongs to no example"):
        graph.with_edges(new)
    for shifted in (views["position"] + 1, views["position"] - 1):  # each is that of another pair, or of no edge
        moved = views.with_columns(position=shifted)
        with pytest.raises(InputError, match="A new edge 'user views image' belongs to no example"):
            graph.with_edges(PropertyGraph(properties.schema, properties.nodes, {**properties.edges, VIEWS: moved}))
    stranger = social.graph("small")
    groups = stranger.nodes["group"]
    nodes = {**stranger.nodes, "group": pl.concat([groups, groups[:1].with_columns(id=pl.lit("g9"))])}
    with pytest.raises(InputError, match="The graph has no node 'g9' of type 'group'"):
        graph.with_edges(PropertyGraph(stranger.schema, nodes, stranger.edges))


def test_the_graph_of_a_store_is_edges_for_a_social_graph(graph: SocialGraph, social: gs.GraphStore) -> None:
    """Contacts as they are in the store, without the reverses that building added."""
    contacts = social.graph("small", edge_types=["user connects user"])
    changed = graph.with_edges(contacts)
    assert {*changed.edges} == {CONNECTS}
    assert torch.equal(changed.edges[CONNECTS].src, graph.edges[CONNECTS].src)
    assert changed.edge_features == {}
