"""Explanations of networks that read sequences: attention sums to one, effects are measured, both are rows in SQL."""

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
from graphsocial.explanation import _batches
from graphsocial.explanation.ablation import without_nodes
from graphsocial.explanation.attribution import ExplainedBatch
from graphsocial.explanation.sequences import sequence_context
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import ForwardTrace, Network
from graphsocial.prediction import RestoredRun, rebuild
from graphsocial.reporting import embeddings, inner
from graphsocial.training.data import make_loader

SMALL = {"hidden": 16, "epochs": 12, "batch_size": 40, "learning_rate": 0.01, "dropout": 0.0}


def write_echoes(folder: Path) -> Path:
    """A segment's emotion is the sign of the text vector of the segment before it: calm or upset."""
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
def explained(restored: RestoredRun) -> ExplainedBatch:
    """All test examples."""
    tested = torch.nonzero(restored.data.roles == 2).squeeze(1)
    (batch,) = _batches(restored, restored.data, tested)
    return batch


def test_every_attention_sums_to_one_over_the_dialogue(explained: ExplainedBatch) -> None:
    context = sequence_context(explained)
    assert context is not None
    assert set(context.attention) == {
        *("text → audio", "audio → text", "text, first level", "audio, first level", "second level")
    }
    present = context.nodes >= 0
    for weights in context.attention.values():
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
        assert not weights[~present].any()
    own = np.take_along_axis(context.nodes, context.position[:, None], 1)[:, 0]
    assert (own == explained.graph.ends[0][explained.examples].numpy()).all()


def test_an_effect_equals_that_of_a_graph_without_the_segment(explained: ExplainedBatch) -> None:
    """Compared with a graph in which one segment has no vectors and no speaker, one segment at a time."""
    context = sequence_context(explained)
    assert context is not None
    effects = context.effects["emotion"]
    graph = explained.graph
    entry, frame = graph.plain["segment"]
    for row in (0, 7):
        for position in np.flatnonzero(context.nodes[row] >= 0):
            node = int(context.nodes[row, position])
            features = tuple(
                replace(part, index=part.index.masked_fill(torch.arange(len(part.index)) == node, -1))
                for part in graph.node_features["segment"]
            )
            rows = frame.with_columns(pl.when(pl.int_range(pl.len()) != node).then(pl.col("speaker")).alias("speaker"))
            blanked = replace(
                graph, node_features={"segment": features}, plain={**graph.plain, "segment": (entry, rows)}
            )
            without = explained.scores(blanked, explained.batch)["emotion"][row]
            assert effects[row, position] == pytest.approx(
                float(explained.full_scores["emotion"][row] - without), abs=1e-5
            )
    assert np.isnan(effects[context.nodes < 0]).all()
    assert graph.node_features["segment"][0].present.all(), "the graph itself was changed"


def test_the_segment_before_has_the_largest_effect(explained: ExplainedBatch) -> None:
    context = sequence_context(explained)
    assert context is not None
    distance = np.arange(context.nodes.shape[1]) - context.position[:, None]
    present = context.nodes >= 0
    means = {at: context.effects["emotion"][present & (distance == at)].mean() for at in (-2, -1, 0, 1)}
    assert means[-1] > 0.1, "the one before decides"
    assert means[-1] > max(abs(means[at]) for at in (-2, 0, 1)), means


def test_fidelity_is_exact_for_a_known_ranking(explained: ExplainedBatch) -> None:
    context = sequence_context(explained)
    assert context is not None
    present = context.nodes >= 0
    best = replace(context, attention={"best": np.where(present, context.effects["emotion"] + 100, 0)})
    worst = replace(context, attention={"worst": np.where(present, 100 - context.effects["emotion"], 0)})
    assert np.nanmean(best.fidelity("best", "emotion", 1)) > 0.2 > 0 > np.nanmean(worst.fidelity("worst", "emotion", 1))
    row = int(np.argmax(present.sum(1)))
    effects = context.effects["emotion"][row][present[row]]
    expected = np.sort(effects)[-2:].sum() - 2 * effects.mean()
    assert best.fidelity("best", "emotion", 2)[row] == pytest.approx(expected)
    assert np.isnan(best.fidelity("best", "emotion", 50)).all(), "nothing to compare with"


def test_sequence_rows_group_and_join(store: gs.GraphStore, run: gs.Run) -> None:
    explanations = gs.explain(store, run)
    assert set(explanations["kind"]) == {"modality", "sequence", "attention", "gate"}
    sums = explanations.filter(kind="gate").group_by("target", "entity_id").agg(pl.col("value").sum())["value"]
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
    ranks = explanations.filter(pl.col("kind") == "attention", pl.col("rank") == 1)
    assert ranks.height == 5 * explanations["entity_id"].n_unique()
    single = gs.explain(store, run, ids=[explanations["entity_id"][0]])
    both = single.join(
        explanations,
        on=["entity_id", "kind", "name", "neighbour_id"],
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    np.testing.assert_allclose(both["value"].to_numpy(), both["value_right"].to_numpy(), atol=1e-5)


@pytest.mark.parametrize(("model", "kinds"), [("lstm", set()), ("absa", {"attention"}), ("msa", {"gate"})])
def test_other_networks_of_dialogues_have_their_kinds_of_rows(
    store: gs.GraphStore, model: str, kinds: set[str]
) -> None:
    explanations = gs.explain(store, train(store, model, epochs=2), limit=4)
    assert set(explanations["kind"]) == {"modality", "sequence"} | kinds
    if model == "msa":
        sums = explanations.filter(kind="gate").group_by("entity_id").agg(pl.col("value").sum())
        np.testing.assert_allclose(sums["value"].to_numpy(), 1, atol=1e-5)
    if model == "lstm":  # it reads the past alone
        after = explanations.filter(pl.col("kind") == "sequence", pl.col("distance") > 0)["value"]
        assert after.len() and after.abs().max() < 1e-6  # type: ignore[operator]


def test_any_network_may_return_a_trace(restored: RestoredRun, explained: ExplainedBatch) -> None:
    """The explanation reads `trace` and no other part of a network."""

    class Traced(type(restored.network)):  # type: ignore[misc]
        """The trained network, whose trace has the first position alone."""

        def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
            trace = super().trace(graph, batch)
            return ForwardTrace(
                sequence=trace.sequence[:, :1], sequence_attention={"first": torch.ones(len(batch.examples), 1)}
            )

    network = Traced.__new__(Traced)
    network.__dict__ = restored.network.__dict__
    context = sequence_context(replace(explained, network=network))
    assert context is not None and list(context.attention) == ["first"] and context.nodes.shape[1] == 1

    class Untraced(Traced):
        def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
            return Network.trace(self, graph, batch)

    network.__class__ = Untraced
    assert sequence_context(replace(explained, network=network)) is None


def test_blanked_nodes_have_missing_values_only(explained: ExplainedBatch) -> None:
    nodes = torch.tensor([3, 5])
    graph, _ = without_nodes(explained.graph, explained.batch, "segment", nodes)
    for before, after in zip(explained.graph.node_features["segment"], graph.node_features["segment"], strict=True):
        changed = torch.nonzero(before.present & ~after.present).squeeze(1)
        assert set(changed.tolist()) == set(nodes.tolist())
    other = torch.ones(len(graph.tables["segment"]), dtype=torch.bool).index_fill(0, nodes, False)
    assert torch.equal(graph.tables["segment"][other], explained.graph.tables["segment"][other])
    assert torch.equal(graph.tables["segment"][3], graph.tables["segment"][5])


def test_report_shows_attention_by_distance(store: gs.GraphStore, run: gs.Run, restored: RestoredRun) -> None:
    pytest.importorskip("altair", reason="the packages of the extra `report` are not installed")
    traces = embeddings.trace_test_examples(store, run)
    graph = restored.data.graph
    assert traces.before is not None and traces.after is not None
    loader = make_loader(restored.config, restored.data).exact
    batch = next(loader.batches(torch.arange(5), 5, together=restored.network.together(graph)))
    assert traces.before.shape[1] == restored.network.trace(graph, batch).before.shape[1]  # type: ignore[union-attr]
    for distance, weights in traces.attention.values():
        assert weights.sum() == pytest.approx(len(traces.after), rel=1e-4)
        assert distance.min() < 0 < distance.max()
    section = inner.attention(traces)
    assert section is not None
    table = section.parts[1]
    for row in table.rows:  # type: ignore[union-attr]
        assert sum(row[1:]) == pytest.approx(1, abs=1e-4)
    assert inner.attention(embeddings.trace_test_examples(store, train(store, "lstm", epochs=1))) is None
