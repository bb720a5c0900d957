"""Explanations: removals are exact, attention belongs to its neighbour, bulk and single agree, rows land at once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from conftest import write_social

import graphsocial as gs
from graphsocial import runs
from graphsocial.errors import InputError
from graphsocial.explanation import _batches
from graphsocial.explanation.ablation import Copies, edges_into, modalities, with_copies, without
from graphsocial.explanation.attribution import ExplainedBatch, modality_effects, ranking_fidelity
from graphsocial.explanation.neighbourhoods import neighbours
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.prediction import RestoredRun, rebuild
from graphsocial.training.data import make_loader

SMALL = {"layers": 2, "width": 16, "node_width": 16, "edge_width": 16, "epochs": 6, "batch_size": 64}
HASHED = {"group.description": "hash_text", "user views image.comment": "hash_text"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    with gs.open(tmp_path_factory.mktemp("explained") / "social.duckdb") as opened:
        write_social(opened)
        yield opened


def train(store: gs.GraphStore, model: str, **settings: object) -> runs.Run:
    return gs.train(store, "edge-emotion", model=model, settings=settings, features=HASHED)


@pytest.fixture(scope="module")
def run(store: gs.GraphStore) -> runs.Run:
    return train(store, "hmg_emo", **SMALL, label_messages=True, interaction=4)


@pytest.fixture(scope="module")
def restored(store: gs.GraphStore, run: runs.Run) -> RestoredRun:
    return rebuild(store, run)


@pytest.fixture(scope="module")
def explained(restored: RestoredRun) -> ExplainedBatch:
    """All test examples."""
    data = restored.data
    loader = make_loader(restored.config, data).exact
    examples = torch.nonzero(data.roles == 2).squeeze(1)
    return ExplainedBatch(restored.network, restored.objectives, loader, loader.view(examples), examples, examples)


def test_scores_of_a_rebuilt_run_equal_its_stored_confidence(
    store: gs.GraphStore, run: runs.Run, explained: ExplainedBatch
) -> None:
    users, images = explained.graph.example_ids(explained.examples.numpy())
    stored = store.sql(
        "select entity_id, other_id, ln(confidence) as value from predictions where run_id = ? and split = 'test'",
        [run.id],
    ).pl()
    scores = pl.DataFrame(
        {"entity_id": users, "other_id": images, "score": explained.full_scores["emotion"].numpy()},
        schema_overrides={"entity_id": pl.String, "other_id": pl.String},
    )
    both = stored.join(scores, on=["entity_id", "other_id"])
    assert both.height == len(explained.examples) > 20
    np.testing.assert_allclose(both["score"].to_numpy(), both["value"].to_numpy(), atol=1e-5)


def test_every_input_of_the_network_is_a_modality(explained: ExplainedBatch) -> None:
    assert {(part.kind, part.name.partition(":")[0]) for part in modalities(explained.graph, explained.batch)} == {
        ("vectors", "image.vector"),
        ("vectors", "group.description"),
        ("vectors", "mean of group.description"),
        ("column", "user.age"),
        ("column", "user.city"),
        ("words", "user views image.comment"),
        ("labels", "labels"),
        ("edges", "user connects user"),
        ("edges", "user joins group"),
        ("edges", "user views image"),
    }


def test_removed_modalities_are_missing_or_masked(explained: ExplainedBatch) -> None:
    parts = {part.name: part for part in modalities(explained.graph, explained.batch)}
    whole = explained.loader.batch(explained.examples, explained.view, cut=False)
    for batch in (explained.batch, whole):
        graph, _ = without(explained.graph, batch, [parts["user.age"]])
        assert torch.equal(graph.tables["user"][0], graph.tables["user"][1]) == torch.equal(
            graph.tables["user"][0, 2:], graph.tables["user"][1, 2:]
        )
        graph, changed = without(explained.graph, batch, [parts["image.vector"], parts["labels"]])
        assert not graph.node_features["image"][0].present.any()
        assert not changed.view.label.any()
        if changed.rows is not None:
            assert not changed.rows["image"].features[0].present.any()
        _, changed = without(explained.graph, batch, [parts["user views image"]])
        for layer in changed.layers:
            for edge_type in (("user", "views", "image"), ("image", "rev_views", "user")):
                mask = layer.mask[edge_type]
                assert mask is not None
                assert not mask.any()
    assert explained.graph.node_features["image"][0].present.all(), "the graph itself was changed"


def test_a_column_with_two_encoders_is_one_modality(explained: ExplainedBatch) -> None:
    twice = {"image": explained.graph.node_features["image"] * 2}
    graph = replace(explained.graph, node_features={**explained.graph.node_features, **twice})
    (part,) = [part for part in modalities(graph, explained.batch) if part.name == "image.vector"]
    changed, _ = without(graph, explained.batch, [part])
    assert not any(feature.present.any() for feature in changed.node_features["image"])


def test_masked_edges_equal_a_graph_without_them(explained: ExplainedBatch) -> None:
    part = next(part for part in modalities(explained.graph, explained.batch) if part.name == "user connects user")
    contacts = [edge_type for edge_type in explained.graph.edges if edge_type[0] == edge_type[2]]
    no_nodes = torch.empty(0, dtype=torch.int64)
    empty = {kind: replace(explained.graph.edges[kind], src=no_nodes, dst=no_nodes) for kind in contacts}
    graph = replace(explained.graph, edges={**explained.graph.edges, **empty})
    other = replace(explained, loader=replace(explained.loader, graph=graph))
    masked = explained.scores(*without(explained.graph, explained.batch, [part]))
    codes = explained.predicted_class["emotion"]
    probabilities = other._predictions(graph, other.batch, other.rows)["emotion"]
    np.testing.assert_allclose(masked["emotion"], np.log(probabilities[np.arange(len(codes)), codes]), atol=1e-6)


def test_copies_that_lose_nothing_have_the_same_scores(explained: ExplainedBatch) -> None:
    whole = explained.loader.batch(explained.examples, explained.view, cut=False)
    rows = np.repeat(np.arange(len(explained.examples)), 2)
    copies = Copies(explained.examples[rows], ([{}] * len(rows), [{}] * len(rows)))
    scores = explained.scores(explained.graph, with_copies(explained.graph, whole, copies), rows)["emotion"]
    torch.testing.assert_close(scores, explained.full_scores["emotion"][rows], atol=1e-5, rtol=0)


def test_a_copy_that_loses_all_edges_equals_an_endpoint_without_edges(explained: ExplainedBatch) -> None:
    """Compared with a graph in which the pair's endpoints receive no messages, but send them as before."""
    whole = explained.loader.batch(explained.examples, explained.view, cut=False)
    graph, relations = explained.graph, whole.layers[0].relations
    removed, expected = ([], []), []
    some = explained.examples[:3]
    for row, example in enumerate(some):
        masks = dict(whole.layers[0].mask)
        for end, name in enumerate(graph.end_types):
            node = graph.ends[end][example][None]
            lost = {
                edge_type: edges_into(relations[edge_type], node)[0] for edge_type in relations if edge_type[2] == name
            }
            removed[end].append(lost)
            for edge_type, edges in lost.items():
                mask = masks[edge_type]
                mask = torch.ones(relations[edge_type].num_edges, dtype=torch.bool) if mask is None else mask.clone()
                mask[edges] = False
                masks[edge_type] = mask
        last = replace(whole.layers[-1], mask=masks)
        one = replace(whole, layers=(*whole.layers[:-1], last))
        first = replace(whole, layers=(last,) * len(whole.layers))
        assert not torch.equal(explained.scores(graph, one)["emotion"][row], explained.full_scores["emotion"][row]), (
            "these edges matter"
        )
        expected.append((explained.scores(graph, one)["emotion"][row], explained.scores(graph, first)["emotion"][row]))
    copies = Copies(some, (removed[0], removed[1]))
    scores = explained.scores(graph, with_copies(graph, whole, copies), np.arange(3))["emotion"]
    # the last layer is the same in both; in the first one only messages from the endpoints to themselves differ
    isolated = torch.stack([first for _, first in expected])
    torch.testing.assert_close(scores, isolated, atol=1e-5, rtol=0)


def test_attention_sums_to_one_in_each_edge_type(explained: ExplainedBatch) -> None:
    listed, _ = neighbours(explained, 10_000, seed=0)
    totals: dict[tuple[object, ...], float] = {}
    for neighbour in listed:
        key = (neighbour.example, neighbour.endpoint, neighbour.edge_type)
        totals[key] = totals.get(key, 0.0) + neighbour.weight
    assert len(totals) > len(explained.examples)
    np.testing.assert_allclose(list(totals.values()), 1, atol=1e-5)
    views = {(other.example, other.endpoint, other.node) for other in listed if other.edge_type[1].endswith("views")}
    for row, example in enumerate(explained.examples.tolist()):
        user, image = (int(end[example]) for end in explained.graph.ends)
        assert (row, 0, image) not in views, "the edge of a supervised pair is hidden"
        assert (row, 1, user) not in views


def test_attended_neighbours_are_neighbours_in_the_store(store: gs.GraphStore, run: runs.Run) -> None:
    gs.explain(store, run, limit=20)
    strangers = store.first(
        "select count(*), count(*) filter (not exists (select 1 from edge_user_connects_user e "
        "join node_user a on a.idx = e.src join node_user b on b.idx = e.dst "
        "where a.id = neighbour_id and b.id = end_id)) from explanations where name = 'user connects user' "
        "and kind = 'neighbour' and run_id = ?",
        [run.id],
    )
    assert strangers is not None
    assert strangers[0] > 20
    assert strangers[1] == 0


def test_bulk_explanations_equal_single_ones_and_replace_them(store: gs.GraphStore, run: runs.Run) -> None:
    bulk = gs.explain(store, run, limit=6, top=2)
    keys = ["kind", "name", "end_id", "neighbour_id"]
    for pair in bulk.select("entity_id", "other_id").unique().rows():
        single = gs.explain(store, run, ids=[pair], top=2)
        of_bulk = bulk.filter((pl.col("entity_id") == pair[0]) & (pl.col("other_id") == pair[1]))
        both = single.join(of_bulk, on=keys, how="full", nulls_equal=True, coalesce=True)
        assert both.height == single.height == of_bulk.height
        for name in ("value", "fidelity"):
            of_single, of_bulk_run = (both[column].fill_null(0).to_numpy() for column in (name, f"{name}_right"))
            np.testing.assert_allclose(of_single, of_bulk_run, atol=1e-5)
    counts = store.first("select count(*), count(distinct (entity_id, other_id)) from explanations")
    again = gs.explain(store, run, limit=6, top=2)
    assert store.first("select count(*), count(distinct (entity_id, other_id)) from explanations") == counts
    assert again.equals(bulk)


def test_explanations_group_and_join(store: gs.GraphStore, run: runs.Run) -> None:
    explanations = gs.explain(store, run)
    assert set(explanations["kind"]) == {"modality", "gate", "neighbour"}
    grouped = store.sql(
        "select name, avg(e.value) from explanations e join predictions p using (run_id, target, entity_id, other_id) "
        "where e.kind = 'modality' and e.run_id = ? and p.split = 'test' group by all order by 2 desc",
        [run.id],
    ).fetchall()
    assert len(grouped) == 10
    leading = {name.partition(":")[0] for name, _ in grouped[:3]}
    assert leading <= {"image.vector", "labels", "user views image", "mean of group.description"}, "what decides leads"
    ranks = explanations.filter(pl.col("kind") == "modality").sort("entity_id", "other_id", "rank")
    steps = ranks.group_by("entity_id", "other_id", maintain_order=True).agg(pl.col("value").diff().max())
    assert (steps["value"] <= 0).all()
    sums = explanations.filter(pl.col("kind") == "gate").group_by("entity_id", "other_id").agg(pl.col("value").sum())
    np.testing.assert_allclose(sums["value"].to_numpy(), 1, atol=1e-6)


def test_fidelity_of_effects_that_are_noise_is_that_of_chance(explained: ExplainedBatch) -> None:
    """Each half of the examples is ranked by the other; ranked by itself every example would be above chance."""
    random, count = np.random.default_rng(0), len(explained.examples)
    means = []
    for seed in range(20):
        noise = random.normal(size=(count, 8))

        def drop(chosen: Sequence[int], noise: np.ndarray = noise) -> dict[str, torch.Tensor]:
            return {"emotion": torch.from_numpy(noise[:, list(chosen)].sum(1))}

        means.append(float(ranking_fidelity(explained, noise, drop, "emotion", seed).mean()))
    assert abs(np.mean(means)) < 3 * np.std(means, ddof=1) / np.sqrt(len(means))
    few = replace(explained, examples=explained.examples[:9])
    assert np.isnan(ranking_fidelity(few, noise[:9], drop, "emotion", 0)).all(), "too few to rank by a half"


def test_fidelity_of_a_useful_ranking_is_positive(explained: ExplainedBatch) -> None:
    effects = modality_effects(explained, seed=0)["emotion"]
    assert effects.fidelity.mean() > 0
    _, fidelity = neighbours(explained, 3, seed=0)
    assert np.isfinite(fidelity["emotion"]).mean() > 0.9
    _, everyone = neighbours(explained, 10_000, seed=0)
    assert np.isnan(everyone["emotion"]).all(), "nothing to compare with"


def test_training_pairs_and_new_pairs_are_explained(store: gs.GraphStore, run: runs.Run) -> None:
    explanations = gs.explain(store, run, split="train", limit=3)
    assert explanations.select("entity_id", "other_id").n_unique() == 3
    stored = set(
        store.sql(
            "select a.id, b.id from edge_user_views_image join node_user a on a.idx = src "
            "join node_image b on b.idx = dst"
        ).fetchall()
    )
    new = next((f"u{u}", f"i{i}") for u in range(40) for i in range(30) if (f"u{u}", f"i{i}") not in stored)
    assert gs.explain(store, run, ids=[new]).select("entity_id", "other_id").unique().rows() == [new]


@pytest.mark.parametrize("model", ["features_only", "bias", "majority"])
def test_networks_without_attention_have_modality_rows_only(store: gs.GraphStore, model: str) -> None:
    explanations = gs.explain(store, train(store, model), limit=5)
    assert set(explanations["kind"]) == {"modality"}
    values = explanations.filter(pl.col("name") == "image.vector")["value"]
    assert bool(values.abs().sum() > 0) == (model == "features_only")


def test_backbones_without_attention_have_no_neighbours(store: gs.GraphStore) -> None:
    run = train(store, "hmg_emo", **{**SMALL, "epochs": 1, "backbone": "sage", "combine": "none"})
    assert set(gs.explain(store, run, limit=2)["kind"]) == {"modality"}


def test_a_refused_explanation_changes_no_rows(
    store: gs.GraphStore, run: runs.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    gs.explain(store, run, limit=4)
    before = store.sql("select * from explanations order by all").fetchall()
    with pytest.raises(InputError, match="No image has the id 'nowhere'"):
        gs.explain(store, run, ids=[("u1", "nowhere")])
    with pytest.raises(InputError, match="'training' is no split role"):
        gs.explain(store, run, split="training")
    with pytest.raises(InputError, match="top and limit"):
        gs.explain(store, run, limit=0)
    assert store.sql("select * from explanations order by all").fetchall() == before


def test_training_again_drops_old_explanations(store: gs.GraphStore, tmp_path: Path) -> None:
    run = train(store, "features_only", epochs=1)
    gs.explain(store, run, limit=2)
    gs.train(store, "edge-emotion", model="features_only", settings={"epochs": 1}, features=HASHED, again=True)
    assert store.first("select count(*) from explanations where run_id = ?", [run.id]) == (0,)


def test_turns_are_explained_with_their_whole_dialogue(restored: RestoredRun, explained: ExplainedBatch) -> None:
    """A network that reads examples together gets the same ones as when it predicted them."""

    class Beside(type(restored.network)):  # type: ignore[misc]
        """The trained network, whose logits are averaged over the batch's examples of the same user."""

        def together(self, graph: SocialGraph) -> torch.Tensor:
            return graph.ends[0]

        def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, torch.Tensor]:
            logits = super().forward(graph, batch)["emotion"]
            same = (graph.ends[0][batch.examples][:, None] == graph.ends[0][batch.examples][None]).float()
            return {"emotion": same @ logits / same.sum(1, keepdim=True)}

    network = copy.deepcopy(restored.network)
    network.__class__ = Beside
    beside = replace(restored, network=network)
    (every,) = _batches(beside, restored.data, explained.examples)
    (one,) = _batches(beside, restored.data, explained.examples[5:6])
    assert 1 < len(one.batch_examples) < len(every.batch_examples)
    torch.testing.assert_close(one.full_scores["emotion"][0], every.full_scores["emotion"][5], atol=1e-5, rtol=0)
    listed, fidelity = neighbours(one, 1, seed=0)
    assert listed
    assert np.isnan(fidelity["emotion"]).all(), "copies have no dialogue of their own"
