"""Explanations of what is read in order: attention is a share, an effect is measured, both are rows that group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import graphsocial as gs
from graphsocial.explanation import _questions
from graphsocial.explanation.ablation import without_nodes
from graphsocial.explanation.attribution import Question
from graphsocial.explanation.sequences import surroundings
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import ForwardTrace, Network
from graphsocial.prediction import RestoredRun, rebuild
from graphsocial.reporting import embeddings, inner
from graphsocial.training.data import make_loader

SMALL = {"hidden": 16, "epochs": 12, "batch_size": 40, "learning_rate": 0.01, "dropout": 0.0}


def write_echoes(folder: Path) -> Path:
    """A segment's emotion is how the segment before it sounded: calm or upset; the speaker is known."""
    random = np.random.default_rng(0)
    folder.mkdir()
    with (folder / "segments.jsonl").open("w") as file:
        for dialogue in range(50):
            signs = random.integers(0, 2, random.integers(3, 8))
            for turn, sign in enumerate(signs):
                row = {
                    "dialogue": f"d{dialogue}",
                    "turn": turn,
                    "speaker": "ab"[turn % 2],
                    "emotion": None if not turn else ("upset", "calm")[signs[turn - 1]],
                    "split": ("train", "train", "train", "validation", "test")[dialogue % 5],
                    "text_vector": [2.0 * sign - 1, *random.normal(0, 0.3, 3)],
                    "audio_vector": random.normal(0, 1, 2).tolist(),
                }
                file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    folder = tmp_path_factory.mktemp("echoes")
    with gs.open(folder / "s.duckdb") as opened:
        gs.ingest(opened, "dialogue", write_echoes(folder / "talks"))
        yield opened


def train(store: gs.GraphStore, model: str, **settings: object) -> gs.Run:
    return gs.train(store, "dialogue-emotion", model=model, split="column:split", settings={**SMALL, **settings})


@pytest.fixture(scope="module")
def run(store: gs.GraphStore) -> gs.Run:
    return train(store, "tmsam", width=16)


@pytest.fixture(scope="module")
def restored(store: gs.GraphStore, run: gs.Run) -> RestoredRun:
    return rebuild(store, run)


@pytest.fixture(scope="module")
def question(restored: RestoredRun) -> Question:
    """All test examples."""
    tested = torch.nonzero(restored.data.roles == 2).squeeze(1)
    (found,) = _questions(restored, restored.data, tested)
    return found


def test_every_attention_is_a_share_of_the_dialogue(question: Question) -> None:
    around = surroundings(question)
    assert around is not None
    assert set(around.attention) == {
        *("text → audio", "audio → text", "text, first level", "audio, first level", "second level")
    }
    there = around.nodes >= 0
    for weights in around.attention.values():
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
        assert not weights[~there].any()
    own = np.take_along_axis(around.nodes, around.own[:, None], 1)[:, 0]
    assert (own == question.graph.ends[0][question.examples].numpy()).all()


def test_an_effect_is_that_of_data_without_the_segment(question: Question) -> None:
    """Held against a graph in which one segment really has no vectors and no speaker, one segment at a time."""
    around = surroundings(question)
    assert around is not None
    effects = around.effects["emotion"]
    graph = question.graph
    entry, frame = graph.plain["segment"]
    for row in (0, 7):
        for place in np.flatnonzero(around.nodes[row] >= 0):
            node = int(around.nodes[row, place])
            features = tuple(
                replace(part, index=part.index.masked_fill(torch.arange(len(part.index)) == node, -1))
                for part in graph.node_features["segment"]
            )
            rows = frame.with_columns(pl.when(pl.int_range(pl.len()) != node).then(pl.col("speaker")).alias("speaker"))
            bare = replace(graph, node_features={"segment": features}, plain={**graph.plain, "segment": (entry, rows)})
            left = question.support(bare, question.batch)["emotion"][row]
            assert effects[row, place] == pytest.approx(float(question.unchanged["emotion"][row] - left), abs=1e-5)
    assert np.isnan(effects[around.nodes < 0]).all()
    assert graph.node_features["segment"][0].present.all(), "the graph itself was changed"


def test_what_decides_is_found(question: Question) -> None:
    around = surroundings(question)
    assert around is not None
    distance = np.arange(around.nodes.shape[1]) - around.own[:, None]
    known = around.nodes >= 0
    means = {at: around.effects["emotion"][known & (distance == at)].mean() for at in (-2, -1, 0, 1)}
    assert means[-1] > 0.1, "the one before decides"
    assert means[-1] > max(abs(means[at]) for at in (-2, 0, 1)), means


def test_fidelity_is_exact_for_a_known_order(question: Question) -> None:
    around = surroundings(question)
    assert around is not None
    there = around.nodes >= 0
    best = replace(around, attention={"best": np.where(there, around.effects["emotion"] + 100, 0)})
    worst = replace(around, attention={"worst": np.where(there, 100 - around.effects["emotion"], 0)})
    assert np.nanmean(best.fidelity("best", "emotion", 1)) > 0.2 > 0 > np.nanmean(worst.fidelity("worst", "emotion", 1))
    row = int(np.argmax(there.sum(1)))
    effects = around.effects["emotion"][row][there[row]]
    expected = np.sort(effects)[-2:].sum() - 2 * effects.mean()
    assert best.fidelity("best", "emotion", 2)[row] == pytest.approx(expected)
    assert np.isnan(best.fidelity("best", "emotion", 50)).all(), "nothing to compare with"


def test_rows_group_and_join(store: gs.GraphStore, run: gs.Run) -> None:
    found = gs.explain(store, run)
    assert set(found["kind"]) == {"modality", "sequence", "attention", "gate"}
    sums = found.filter(kind="gate").group_by("target", "entity_id").agg(pl.col("value").sum())["value"]
    np.testing.assert_allclose(sums.to_numpy(), 1, atol=1e-5)
    by = store.sql(
        "select distance, avg(value) from explanations where run_id = ? and kind = 'sequence' group by all "
        "order by 2 desc limit 1",
        [run.id],
    ).fetchall()
    assert by[0][0] == -1
    joined = store.first(
        "select count(*), count(a.id), bool_and(a.dialogue = b.dialogue), bool_and(b.turn - a.turn = distance) "
        "from explanations join node_segment a on a.id = entity_id join node_segment b on b.id = neighbour_id "
        "where run_id = ? and kind = 'attention' and name = 'text → audio'",
        [run.id],
    )
    pairs = store.first(
        "select count(*) from node_segment a join node_segment b using (dialogue) where a.split = 'test' "
        "and a.emotion is not null"
    )
    assert joined == (pairs[0], pairs[0], True, True)  # type: ignore[index]
    ranks = found.filter(pl.col("kind") == "attention", pl.col("rank") == 1)
    assert ranks.height == 5 * found["entity_id"].n_unique()
    single = gs.explain(store, run, ids=[found["entity_id"][0]])
    both = single.join(
        found, on=["entity_id", "kind", "name", "neighbour_id"], how="left", nulls_equal=True, maintain_order="left"
    )
    np.testing.assert_allclose(both["value"].to_numpy(), both["value_right"].to_numpy(), atol=1e-5)


@pytest.mark.parametrize(("model", "kinds"), [("lstm", set()), ("absa", {"attention"}), ("msa", {"gate"})])
def test_other_networks_of_dialogues_say_what_they_have(store: gs.GraphStore, model: str, kinds: set[str]) -> None:
    found = gs.explain(store, train(store, model, epochs=2), limit=4)
    assert set(found["kind"]) == {"modality", "sequence"} | kinds
    if model == "msa":
        sums = found.filter(kind="gate").group_by("entity_id").agg(pl.col("value").sum())
        np.testing.assert_allclose(sums["value"].to_numpy(), 1, atol=1e-5)
    if model == "lstm":  # it reads the past alone
        after = found.filter(pl.col("kind") == "sequence", pl.col("distance") > 0)["value"]
        assert after.len() and after.abs().max() < 1e-6  # type: ignore[operator]


def test_any_network_may_say_what_it_read(restored: RestoredRun, question: Question) -> None:
    """The explanation asks `look`, whoever answers it, and knows of no network's parts."""

    class Says(type(restored.network)):  # type: ignore[misc]
        """The trained network, which owns up to the first place alone."""

        def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
            seen = super().trace(graph, batch)
            return ForwardTrace(beside=seen.beside[:, :1], places={"first": torch.ones(len(batch.examples), 1)})

    network = Says.__new__(Says)
    network.__dict__ = restored.network.__dict__
    around = surroundings(replace(question, network=network))
    assert around is not None and list(around.attention) == ["first"] and around.nodes.shape[1] == 1

    class Silent(Says):
        def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
            return Network.trace(self, graph, batch)

    network.__class__ = Silent
    assert surroundings(replace(question, network=network)) is None


def test_nodes_lose_all_that_is_known_of_them(question: Question) -> None:
    nodes = torch.tensor([3, 5])
    graph, _ = without_nodes(question.graph, question.batch, "segment", nodes)
    for before, after in zip(question.graph.node_features["segment"], graph.node_features["segment"], strict=True):
        changed = torch.nonzero(before.present & ~after.present).squeeze(1)
        assert set(changed.tolist()) == set(nodes.tolist())
    other = torch.ones(len(graph.tables["segment"]), dtype=torch.bool).index_fill(0, nodes, False)
    assert torch.equal(graph.tables["segment"][other], question.graph.tables["segment"][other])
    assert torch.equal(graph.tables["segment"][3], graph.tables["segment"][5])


def test_the_report_shows_where_attention_goes(store: gs.GraphStore, run: gs.Run, restored: RestoredRun) -> None:
    pytest.importorskip("altair", reason="the packages of the extra `report` are not installed")
    seen = embeddings.look(store, run)
    graph = restored.data.graph
    assert seen.before is not None and seen.after is not None
    loader = make_loader(restored.config, restored.data).exact
    batch = next(loader.batches(torch.arange(5), 5, together=restored.network.together(graph)))
    assert seen.before.shape[1] == restored.network.trace(graph, batch).before.shape[1]  # type: ignore[union-attr]
    for distance, weights in seen.attention.values():
        assert weights.sum() == pytest.approx(len(seen.after), rel=1e-4)
        assert distance.min() < 0 < distance.max()
    section = inner.attention(seen)
    assert section is not None
    table = section.parts[1]
    for row in table.rows:  # type: ignore[union-attr]
        assert sum(row[1:]) == pytest.approx(1, abs=1e-4)
    assert inner.attention(embeddings.look(store, train(store, "lstm", epochs=1))) is None
