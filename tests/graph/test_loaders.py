"""Batches that are cut down, sampled, or made ahead are the batches that they would be otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import graphsocial as gs
from graphsocial.graph import SocialGraph, loaders
from graphsocial.graph.batching import NodeGroups
from graphsocial.graph.building import build
from graphsocial.graph.loaders import FullGraphLoader, NeighborLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.models.hmg_emo import HmgEmo
from graphsocial.nn.kernels import NAMES
from graphsocial.tasks.edge_emotion import EdgeEmotion
from graphsocial.training.loop import training_batches
from graphsocial.training.settings import TrainingConfig


@pytest.fixture
def graph(social: gs.GraphStore) -> SocialGraph:
    task = EdgeEmotion()
    entity = task.entity(social.schema)
    found = build(social, "small", entity, task.labels(social, "small"))
    return found.fit_tabular(np.arange(found.num_examples))


@pytest.fixture
def roles(graph: SocialGraph) -> Tensor:
    dealt = torch.from_numpy(np.random.default_rng(0).choice(3, graph.num_examples, p=[0.7, 0.15, 0.15]))
    return torch.where(graph.codes >= 0, dealt, -1)


@pytest.mark.parametrize("worth", [0.0, 0.5, 1.1], ids=["never", "mixed", "always"])
@pytest.mark.parametrize("temporal", [False, True], ids=["any-time", "the-past"])
def test_cutting_layers_down_changes_no_answer(
    graph: SocialGraph, roles: Tensor, temporal: bool, worth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = HmgEmo(layers=3, width=8, node_width=8).build(graph, torch.nonzero(roles == 0).squeeze(1), seed=0).eval()
    asked = torch.nonzero(roles == 1).squeeze(1)[:9]
    found = []
    for share in (0.0, worth):
        monkeypatch.setattr(loaders, "CUT_BELOW", share)
        loader = FullGraphLoader(graph, roles, Visibility(), 3, temporal)
        batch = next(loader.batches(asked, 9))
        cut = sum(layer.edge_ids is not None for layer in batch.layers)
        assert cut == {0.0: 0, 1.1: 3}.get(share, cut)
        with torch.no_grad():
            found.append(network(graph, batch)["emotion"])
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", NAMES[1:])
def test_every_kernel_gives_the_same_answer(graph: SocialGraph, roles: Tensor, kernel: str) -> None:
    train = torch.nonzero(roles == 0).squeeze(1)
    network = HmgEmo(layers=2, width=8, node_width=8, heads=2).build(graph, train, seed=0).eval()
    asked = torch.nonzero(roles == 1).squeeze(1)
    target_labels = []
    for name in ("auto", kernel):
        whole = FullGraphLoader(graph, roles, Visibility(), 2, kernel=name)
        with torch.no_grad():
            target_labels.append(network(graph, next(whole.batches(asked, len(asked))))["emotion"])
    torch.testing.assert_close(target_labels[1], target_labels[0], rtol=1e-4, atol=1e-5)


def test_samples_follow_the_generator_and_keep_to_the_fanouts(graph: SocialGraph, roles: Tensor) -> None:
    loader = NeighborLoader(FullGraphLoader(graph, roles, Visibility(), 2), (3, 2))
    train = torch.nonzero(roles == 0).squeeze(1)
    runs = [list(loader.batches(train, 40, torch.Generator().manual_seed(seed))) for seed in (0, 0, 1)]
    sampled = [
        torch.cat([ids for batch in run for layer in batch.layers for ids in (layer.edge_ids or {}).values()])
        for run in runs
    ]
    assert torch.equal(sampled[0], sampled[1]) and not torch.equal(sampled[0], sampled[2])
    assert sorted(torch.cat([batch.examples for batch in runs[0]]).tolist()) == train.tolist()
    for batch in runs[0]:
        for layer, fanout in zip(batch.layers, (2, 3), strict=True):  # the first layer is the farthest from the pairs
            assert all((relation.indptr.diff() <= fanout).all() for relation in layer.relations.values())


@pytest.mark.parametrize("end", [0, 1], ids=["users", "images"])
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("sampled", [False, True])
def test_cold_nodes_are_predicted_with_all_their_labels_hidden(
    graph: SocialGraph, roles: Tensor, sampled: bool, share: float, end: int
) -> None:
    whole = FullGraphLoader(graph, roles, Visibility(), 2)
    loader = NeighborLoader(whole, (3, 2)) if sampled else whole
    train, of = torch.nonzero(roles == 0).squeeze(1), graph.ends[end]
    batches = list(loader.batches(train, 40, torch.Generator().manual_seed(0), groups=NodeGroups(of, share)))
    assert sorted(torch.cat([batch.examples for batch in batches]).tolist()) == train.tolist()
    assert len(batches) <= -(-len(train) // 40)
    cold = set()
    for batch in batches:
        shown = set(of[batch.view.label].tolist())
        cold |= set(of[batch.examples].tolist()) - shown
    names = set(of[train].tolist())
    assert cold == names if share == 1 else round(share * len(names)) <= len(cold) < len(names)


def test_training_asks_as_the_split_tests(graph: SocialGraph, roles: Tensor) -> None:
    train_of = graph.ends[0] < 30
    by_user = torch.where(roles < 0, -1, torch.where(train_of, 0, 1 + graph.ends[0] % 2))
    network = HmgEmo(layers=1, width=8, node_width=8).build(graph, torch.nonzero(by_user == 0).squeeze(1), seed=0)

    def known(roles: Tensor, settings: TrainingConfig, layers: int = 1) -> bool:
        """Whether any batch shows a label of a user that it asks about."""
        loader, train = FullGraphLoader(graph, roles, Visibility(), layers), torch.nonzero(roles == 0).squeeze(1)
        batches = training_batches(network, loader, train, settings, torch.Generator().manual_seed(0))
        return any(
            torch.isin(graph.ends[0][batch.examples], graph.ends[0][batch.view.label]).any() for batch in batches
        )

    settings = TrainingConfig(batch_size=40)
    assert not known(by_user, settings) and known(by_user, replace(settings, cold_start_share=0.0))
    assert known(roles, settings) and not known(roles, replace(settings, cold_start_share=1.0))
    assert known(by_user, settings, layers=0)  # nothing is shown to a model that passes no messages


def test_features_of_a_batch_are_those_of_its_nodes(graph: SocialGraph, roles: Tensor) -> None:
    batch = next(NeighborLoader(FullGraphLoader(graph, roles, Visibility(), 1), (-1,)).batches(torch.arange(12), 12))
    assert batch.rows is not None
    rows = batch.rows["image"]
    (whole,), (part,) = graph.node_features["image"], rows.features
    assert len(part.vectors) <= len(rows.nodes)
    torch.testing.assert_close(part.vectors[part.index], whole.vectors[whole.index[rows.nodes]])
    assert rows.table is None
    assert torch.equal(batch.rows["user"].table, graph.tables["user"][batch.rows["user"].nodes])


def test_an_error_in_the_making_is_raised_where_batches_are_awaited(graph: SocialGraph, roles: Tensor) -> None:
    broken = replace(graph, ends=(graph.ends[0] + 10_000, graph.ends[1]))  # nodes that do not exist
    with pytest.raises(IndexError):
        list(NeighborLoader(FullGraphLoader(broken, roles, Visibility(), 1), (2,)).batches(torch.arange(5), 5))


def test_whoever_stops_early_leaves_no_thread() -> None:
    def endless() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    before = threading.active_count()
    batches = loaders._prefetched(endless())  # type: ignore[arg-type]
    assert [next(batches), next(batches)] == [0, 1]
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
