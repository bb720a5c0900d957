"""Explanations: taking away is exact, attention is whose it says, bulk and single agree, rows land in one piece."""

from __future__ import annotations

import copy
from collections.abc import Iterator
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
from graphsocial.explanation import _questions
from graphsocial.explanation.ablation import Copies, edges_into, modalities, with_copies, without
from graphsocial.explanation.attribution import Question, modality_effects
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
def question(restored: RestoredRun) -> Question:
    """All test examples."""
    data = restored.data
    loader = make_loader(restored.config, data).exact
    examples = torch.nonzero(data.roles == 2).squeeze(1)
    return Question(restored.network, restored.objectives, loader, loader.view(examples), examples, examples)


def test_a_rebuilt_run_says_what_it_said(store: gs.GraphStore, run: runs.Run, question: Question) -> None:
    users, images = question.graph.example_ids(question.examples.numpy())
    said = store.sql(
        "select entity_id, other_id, ln(confidence) as value from predictions where run_id = ? and split = 'test'",
        [run.id],
    ).pl()
    mine = pl.DataFrame(
        {"entity_id": users, "other_id": images, "mine": question.unchanged["emotion"].numpy()},
        schema_overrides={"entity_id": pl.String, "other_id": pl.String},
    )
    both = said.join(mine, on=["entity_id", "other_id"])
    assert both.height == len(question.examples) > 20
    np.testing.assert_allclose(both["mine"].to_numpy(), both["value"].to_numpy(), atol=1e-5)


def test_every_kind_of_information_is_a_modality(question: Question) -> None:
    assert {(part.kind, part.name.partition(":")[0]) for part in modalities(question.graph, question.batch)} == {
        ("vectors", "image.vector"),
        ("vectors", "mean of group.description"),
        ("column", "user.age"),
        ("column", "user.city"),
        ("words", "user views image.comment"),
        ("labels", "labels"),
        ("edges", "user connects user"),
        ("edges", "user views image"),
    }


def test_what_is_taken_away_is_gone(question: Question) -> None:
    parts = {part.name: part for part in modalities(question.graph, question.batch)}
    whole = question.loader.batch(question.examples, question.view, cut=False)
    for batch in (question.batch, whole):
        graph, _ = without(question.graph, batch, [parts["user.age"]])
        assert torch.equal(graph.tables["user"][0], graph.tables["user"][1]) == torch.equal(
            graph.tables["user"][0, 2:], graph.tables["user"][1, 2:]
        )
        graph, changed = without(question.graph, batch, [parts["image.vector"], parts["labels"]])
        assert not graph.node_features["image"][0].present.any()
        assert not changed.view.label.any()
        if changed.rows is not None:
            assert not changed.rows["image"].features[0].present.any()
        _, changed = without(question.graph, batch, [parts["user views image"]])
        for layer in changed.layers:
            for kind in (("user", "views", "image"), ("image", "rev_views", "user")):
                mask = layer.mask[kind]
                assert mask is not None
                assert not mask.any()
    assert question.graph.node_features["image"][0].present.all(), "the graph itself was changed"


def test_a_column_with_two_encoders_is_one_modality(question: Question) -> None:
    twice = {"image": question.graph.node_features["image"] * 2}
    graph = replace(question.graph, node_features={**question.graph.node_features, **twice})
    (part,) = [part for part in modalities(graph, question.batch) if part.name == "image.vector"]
    changed, _ = without(graph, question.batch, [part])
    assert not any(feature.present.any() for feature in changed.node_features["image"])


def test_masked_edges_are_as_good_as_a_graph_without_them(question: Question) -> None:
    part = next(part for part in modalities(question.graph, question.batch) if part.name == "user connects user")
    contacts = [kind for kind in question.graph.edges if kind[0] == kind[2]]
    nothing = torch.empty(0, dtype=torch.int64)
    empty = {kind: replace(question.graph.edges[kind], src=nothing, dst=nothing) for kind in contacts}
    graph = replace(question.graph, edges={**question.graph.edges, **empty})
    other = replace(question, loader=replace(question.loader, graph=graph))
    left = question.support(*without(question.graph, question.batch, [part]))
    codes = question.named["emotion"]
    said = other._said(graph, other.batch, other.rows)["emotion"]
    np.testing.assert_allclose(left["emotion"], np.log(said[np.arange(len(codes)), codes]), atol=1e-6)


def test_copies_that_lose_nothing_answer_alike(question: Question) -> None:
    whole = question.loader.batch(question.examples, question.view, cut=False)
    rows = np.repeat(np.arange(len(question.examples)), 2)
    copies = Copies(question.examples[rows], ([{}] * len(rows), [{}] * len(rows)))
    found = question.support(question.graph, with_copies(question.graph, whole, copies), rows)["emotion"]
    torch.testing.assert_close(found, question.unchanged["emotion"][rows], atol=1e-5, rtol=0)


def test_a_copy_that_loses_all_is_an_end_without_edges(question: Question) -> None:
    """Held against a graph in which the pair's ends really have no incoming edges, but others hear them as before."""
    whole = question.loader.batch(question.examples, question.view, cut=False)
    graph, relations = question.graph, whole.layers[0].relations
    gone, expected = ([], []), []
    some = question.examples[:3]
    for row, example in enumerate(some):
        masks = dict(whole.layers[0].mask)
        for end, name in enumerate(graph.end_types):
            node = graph.ends[end][example][None]
            lost = {kind: edges_into(relations[kind], node)[0] for kind in relations if kind[2] == name}
            gone[end].append(lost)
            for kind, edges in lost.items():
                mask = masks[kind]
                mask = torch.ones(relations[kind].num_edges, dtype=torch.bool) if mask is None else mask.clone()
                mask[edges] = False
                masks[kind] = mask
        last = replace(whole.layers[-1], mask=masks)
        one = replace(whole, layers=(*whole.layers[:-1], last))
        first = replace(whole, layers=(last,) * len(whole.layers))
        assert not torch.equal(question.support(graph, one)["emotion"][row], question.unchanged["emotion"][row]), (
            "these edges matter"
        )
        expected.append((question.support(graph, one)["emotion"][row], question.support(graph, first)["emotion"][row]))
    copies = Copies(some, (gone[0], gone[1]))
    found = question.support(graph, with_copies(graph, whole, copies), np.arange(3))["emotion"]
    # the last layer is the same in both; in the first one only what reaches the ends by way of themselves differs
    isolated = torch.stack([first for _, first in expected])
    torch.testing.assert_close(found, isolated, atol=1e-5, rtol=0)


def test_attention_is_a_share_of_each_relation(question: Question) -> None:
    listed, _ = neighbours(question, 10_000, seed=0)
    totals: dict[tuple[object, ...], float] = {}
    for one in listed:
        key = (one.example, one.end, one.kind)
        totals[key] = totals.get(key, 0.0) + one.weight
    assert len(totals) > len(question.examples)
    np.testing.assert_allclose(list(totals.values()), 1, atol=1e-5)
    asked = {(one.example, one.end, one.node) for one in listed if one.kind[1].endswith("views")}
    for row, example in enumerate(question.examples.tolist()):
        user, image = (int(end[example]) for end in question.graph.ends)
        assert (row, 0, image) not in asked, "an asked pair's edge is hidden"
        assert (row, 1, user) not in asked


def test_heard_neighbours_are_neighbours(store: gs.GraphStore, run: runs.Run) -> None:
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


def test_bulk_says_what_single_says_and_replaces_it(store: gs.GraphStore, run: runs.Run) -> None:
    bulk = gs.explain(store, run, limit=6, top=2)
    keys = ["kind", "name", "end_id", "neighbour_id"]
    for pair in bulk.select("entity_id", "other_id").unique().rows():
        single = gs.explain(store, run, ids=[pair], top=2)
        of_bulk = bulk.filter((pl.col("entity_id") == pair[0]) & (pl.col("other_id") == pair[1]))
        both = single.join(of_bulk, on=keys, how="full", nulls_equal=True, coalesce=True)
        assert both.height == single.height == of_bulk.height
        for name in ("value", "fidelity"):
            mine, theirs = (both[column].fill_null(0).to_numpy() for column in (name, f"{name}_right"))
            np.testing.assert_allclose(mine, theirs, atol=1e-5)
    counts = store.first("select count(*), count(distinct (entity_id, other_id)) from explanations")
    again = gs.explain(store, run, limit=6, top=2)
    assert store.first("select count(*), count(distinct (entity_id, other_id)) from explanations") == counts
    assert again.equals(bulk)


def test_explanations_group_and_join(store: gs.GraphStore, run: runs.Run) -> None:
    found = gs.explain(store, run)
    assert set(found["kind"]) == {"modality", "gate", "neighbour"}
    grouped = store.sql(
        "select name, avg(e.value) from explanations e join predictions p using (run_id, target, entity_id, other_id) "
        "where e.kind = 'modality' and e.run_id = ? and p.split = 'test' group by all order by 2 desc",
        [run.id],
    ).fetchall()
    assert len(grouped) == 8
    leading = {name.partition(":")[0] for name, _ in grouped[:3]}
    assert leading <= {"image.vector", "labels", "user views image", "mean of group.description"}, "what decides leads"
    ranks = found.filter(pl.col("kind") == "modality").sort("entity_id", "other_id", "rank")
    falls = ranks.group_by("entity_id", "other_id", maintain_order=True).agg(pl.col("value").diff().max())
    assert (falls["value"] <= 0).all()
    sums = found.filter(pl.col("kind") == "gate").group_by("entity_id", "other_id").agg(pl.col("value").sum())
    np.testing.assert_allclose(sums["value"].to_numpy(), 1, atol=1e-6)


def test_fidelity_of_a_useful_order_is_positive(question: Question) -> None:
    effects = modality_effects(question, seed=0)["emotion"]
    assert effects.fidelity.mean() > 0
    _, fidelity = neighbours(question, 3, seed=0)
    assert np.isfinite(fidelity["emotion"]).mean() > 0.9
    _, everyone = neighbours(question, 10_000, seed=0)
    assert np.isnan(everyone["emotion"]).all(), "nothing to compare with"


def test_training_pairs_and_new_pairs_are_explained(store: gs.GraphStore, run: runs.Run) -> None:
    found = gs.explain(store, run, split="train", limit=3)
    assert found.select("entity_id", "other_id").n_unique() == 3
    known = set(
        store.sql(
            "select a.id, b.id from edge_user_views_image join node_user a on a.idx = src "
            "join node_image b on b.idx = dst"
        ).fetchall()
    )
    new = next((f"u{u}", f"i{i}") for u in range(40) for i in range(30) if (f"u{u}", f"i{i}") not in known)
    assert gs.explain(store, run, ids=[new]).select("entity_id", "other_id").unique().rows() == [new]


@pytest.mark.parametrize("model", ["features_only", "user_image_bias", "majority"])
def test_models_show_what_they_have(store: gs.GraphStore, model: str) -> None:
    found = gs.explain(store, train(store, model), limit=5)
    assert set(found["kind"]) == {"modality"}
    values = found.filter(pl.col("name") == "image.vector")["value"]
    assert bool(values.abs().sum() > 0) == (model == "features_only")


def test_backbones_without_attention_have_no_neighbours(store: gs.GraphStore) -> None:
    run = train(store, "hmg_emo", **{**SMALL, "epochs": 1, "backbone": "sage", "combine": "none"})
    assert set(gs.explain(store, run, limit=2)["kind"]) == {"modality"}


def test_nothing_is_half_written(store: gs.GraphStore, run: runs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gs.explain(store, run, limit=4)
    before = store.sql("select * from explanations order by all").fetchall()
    with pytest.raises(InputError, match="No image has the id 'nowhere'"):
        gs.explain(store, run, ids=[("u1", "nowhere")])
    with pytest.raises(InputError, match="'training' is no part of a split"):
        gs.explain(store, run, split="training")
    with pytest.raises(InputError, match="top and limit"):
        gs.explain(store, run, limit=0)
    assert store.sql("select * from explanations order by all").fetchall() == before


def test_a_run_anew_has_no_old_explanations(store: gs.GraphStore, tmp_path: Path) -> None:
    run = train(store, "features_only", epochs=1)
    gs.explain(store, run, limit=2)
    gs.train(store, "edge-emotion", model="features_only", settings={"epochs": 1}, features=HASHED, again=True)
    assert store.first("select count(*) from explanations where run_id = ?", [run.id]) == (0,)


def test_turns_are_explained_beside_the_others_of_their_dialogue(restored: RestoredRun, question: Question) -> None:
    """A network that reads examples beside each other gets the same ones as when it answered."""

    class Beside(type(restored.network)):  # type: ignore[misc]
        """The trained network, whose answers lean on the mean of what is asked of the same user."""

        def together(self, graph: SocialGraph) -> torch.Tensor:
            return graph.ends[0]

        def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, torch.Tensor]:
            logits = super().forward(graph, batch)["emotion"]
            same = (graph.ends[0][batch.examples][:, None] == graph.ends[0][batch.examples][None]).float()
            return {"emotion": same @ logits / same.sum(1, keepdim=True)}

    network = copy.deepcopy(restored.network)
    network.__class__ = Beside
    beside = replace(restored, network=network)
    (every,) = _questions(beside, restored.data, question.examples)
    (one,) = _questions(beside, restored.data, question.examples[5:6])
    assert 1 < len(one.answered) < len(every.answered)
    torch.testing.assert_close(one.unchanged["emotion"][0], every.unchanged["emotion"][5], atol=1e-5, rtol=0)
    listed, fidelity = neighbours(one, 1, seed=0)
    assert listed
    assert np.isnan(fidelity["emotion"]).all(), "copies have no dialogue"
