"""Dialogues from files to SQL: what context adds, what a causal model must not see, and what may be missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

import graphsocial as gs
from graphsocial.cli.training import encodings
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph import SocialGraph
from graphsocial.models.absa import Absa
from graphsocial.models.base import Network
from graphsocial.models.lstm import Lstm
from graphsocial.models.msa import Msa
from graphsocial.models.tmsam import Tmsam
from graphsocial.prediction.embedding import embed, encoder_run
from graphsocial.reproduction import compare_data
from graphsocial.reproduction.base import Data
from graphsocial.training.config import TrainOptions, design
from graphsocial.training.data import make_loader, prepare

DIALOGUES = 60
SMALL = {"hidden": 16, "epochs": 12, "batch_size": 40, "learning_rate": 0.01, "dropout": 0.1}
MODELS = [
    Tmsam(hidden=8, width=8, heads=2, first_heads=2, second_heads=2, window=2),
    Tmsam(hidden=8, width=8, heads=2, first_heads=2, second_heads=2, layers=2),
    Lstm(hidden=8),
    Absa(hidden=8),
    Msa(hidden=8),
]


def write_dialogues(folder: Path, *, seed: int = 0) -> Path:
    """A segment's sentiment is its own sign; its emotion is how the segment before was, calm or upset."""
    random = np.random.default_rng(seed)
    folder.mkdir()
    with (folder / "segments.jsonl").open("w") as file:
        for dialogue in range(DIALOGUES):
            signs = random.integers(0, 2, random.integers(3, 9))
            for turn, sign in enumerate(signs):
                vector = [2.0 * sign - 1, *random.normal(0, 0.3, 3)]
                row = {
                    "dialogue": f"d{dialogue}",
                    "turn": turn,
                    "speaker": "ab"[turn % 2],
                    "emotion": None if not turn else ("upset", "calm")[signs[turn - 1]],
                    "sentiment": ("bad", "good")[sign],
                    "split": ("train", "train", "train", "validation", "test")[dialogue % 5],
                    "text_vector": vector if random.random() < 0.95 else None,
                    "audio_vector": [*vector[::-1], 0.0] if random.random() < 0.9 else None,
                }
                file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    folder = tmp_path_factory.mktemp("dialogues")
    with gs.open(folder / "s.duckdb") as opened:
        gs.ingest(opened, "dialogue", write_dialogues(folder / "talks"))
        yield opened


def train(store: gs.GraphStore, model: str, **settings: object) -> gs.Run:
    given = {name: value for name, value in {**SMALL, **settings}.items() if model == "tmsam" or name != "width"}
    return gs.train(store, "dialogue-emotion", model=model, split="column:split", settings=given)


def prepared_graph(store: gs.GraphStore) -> tuple[SocialGraph, torch.Tensor]:
    ready = prepare(store, design(store, "dialogue-emotion", TrainOptions(split="column:split")))
    return ready.graph, torch.nonzero(ready.roles == 0).squeeze(1)


def outputs_of(network: Network, store: gs.GraphStore, graph: SocialGraph, examples: torch.Tensor) -> torch.Tensor:
    layers = len(network.graph_context.convolutions) if getattr(network, "graph_context", None) else 0
    config = design(store, "dialogue-emotion", TrainOptions(split="column:split", settings={"layers": layers}))
    ready = replace(prepare(store, config), graph=graph)
    network.eval()
    with torch.no_grad():
        batch = next(make_loader(config, ready).batches(examples, len(examples)))
        return network(graph, batch)["emotion"]


def test_context_decides_and_both_answers_become_rows(store: gs.GraphStore) -> None:
    run = train(store, "tmsam", width=16)
    alone = gs.train(store, "dialogue-emotion", model="features-only", split="column:split", epochs=10)
    assert run.metrics["test"]["emotion"]["accuracy"] > 0.85 > 0.75 > alone.metrics["test"]["emotion"]["accuracy"]
    assert run.metrics["test"]["sentiment"]["accuracy"] > 0.9
    rows = store.sql(
        "select count(*), count(emotion), count(sentiment), count(true_emotion), min(emotion_confidence) >= 0.5 "
        "from dialogue_emotion_predictions where run_id = ? and split = 'test'",
        [run.id],
    ).fetchall()
    tested = store.sql("select count(*), count(emotion) from node_segment where split = 'test'").fetchall()
    assert rows == [(tested[0][0], tested[0][0], tested[0][0], tested[0][1], True)]
    before = store.sql("select * from predictions where run_id = ? and split = 'test' order by all", [run.id]).pl()
    one = before["entity_id"][0]
    assert gs.predict(store, run, ids=[one]) == 1
    after = store.sql("select * from predictions where run_id = ? and split = 'test' order by all", [run.id]).pl()
    assert after["label"].equals(before["label"])
    assert after["confidence"].to_numpy() == pytest.approx(before["confidence"].to_numpy(), abs=1e-5)


def test_data_with_columns_for_reference_is_not_called_synthetic(store: gs.GraphStore) -> None:
    same, sentence = compare_data(store, Data("six datasets", {"segment": 7}), "talks")
    assert not same and sentence.startswith("'talks' is not the paper's six datasets"), sentence


def test_the_model_decides_which_texts_are_read(store: gs.GraphStore) -> None:
    graph, train_rows = prepared_graph(store)
    (feature,) = (part for part in graph.node_features["segment"] if part.name == "segment.text_vector")
    words = replace(
        feature,
        name="segment.text",
        vectors=torch.randn(6, 9),
        offsets=torch.tensor([0, 2, 6]),
        index=feature.index * 0,
    )
    spoken = replace(graph, node_features={"segment": (words,)})
    network = Tmsam(hidden=8, width=8, heads=2, first_heads=2, second_heads=2, words=6, trees=True).build(
        spoken, train_rows, seed=0
    )
    (reader,) = network.words["text"]
    assert reader.out_features == 6 and reader.trees


def test_classes_are_named_by_the_weights_of_the_loss(store: gs.GraphStore) -> None:
    run = train(store, "msa", epochs=1, class_weights="balanced")
    shares = dict(
        store.sql(
            "select emotion, count(*) / sum(count(*)) over () from node_segment "
            "where split = 'train' and emotion is not null group by emotion"
        ).fetchall()
    )
    rows = store.sql(
        "select label, probabilities, confidence from predictions where run_id = ? and target = 'emotion'", [run.id]
    ).fetchall()
    likeliest = 0
    for label, probabilities, _ in rows:
        weighed = {name: p / shares[name] for name, p in probabilities.items()}
        assert label == max(weighed, key=weighed.__getitem__)
        likeliest += label == max(probabilities, key=probabilities.__getitem__)
    assert likeliest < len(rows)  # it makes a difference


@pytest.mark.parametrize("model", ["lstm", "absa", "msa"])
def test_rivals_learn(store: gs.GraphStore, model: str) -> None:
    run = train(store, model)
    assert run.metrics["test"]["sentiment"]["accuracy"] > 0.9
    assert run.metrics["test"]["emotion"]["accuracy"] > 0.75


@pytest.mark.parametrize("model", MODELS, ids=["tmsam", "graph", "lstm", "absa", "msa"])
@pytest.mark.parametrize("causal", [False, True])
def test_what_a_segment_sees_of_its_dialogue(store: gs.GraphStore, model: Tmsam, causal: bool) -> None:
    """Other dialogues do not matter, but where speakers link them; later segments only where it is not causal."""
    graph, rows = prepared_graph(store)
    if not isinstance(model, Lstm):
        model = replace(model, causal=causal)
    causal = causal or isinstance(model, Lstm)
    torch.manual_seed(0)
    network = model.build(graph, rows, seed=0)
    dialogue = network.together(graph)
    here = torch.nonzero(dialogue == dialogue[0]).squeeze(1)  # in the order of the file, so of the turns
    seeds = here[:2]
    before = outputs_of(network, store, graph, seeds)

    def changed(examples: torch.Tensor) -> SocialGraph:
        nodes = graph.ends[0][examples]
        features = []
        for feature in graph.node_features["segment"]:
            vectors = feature.vectors.clone()
            touched = feature.index[nodes]
            vectors[touched[touched >= 0]] *= torch.tensor([3.0, -2.0, 0.5, 1.0, 1.0])[: vectors.shape[1]]
            features.append(replace(feature, vectors=vectors))
        return replace(graph, node_features={**graph.node_features, "segment": tuple(features)})

    elsewhere = torch.nonzero(dialogue != dialogue[0]).squeeze(1)
    linked = getattr(model, "layers", 0) > 0 and not causal  # by their speakers
    assert torch.equal(outputs_of(network, store, changed(elsewhere), seeds), before) != linked
    assert torch.equal(outputs_of(network, store, changed(here[2:]), seeds), before) == causal
    assert not torch.equal(outputs_of(network, store, changed(here[:1]), seeds), before)
    together = torch.cat([seeds, elsewhere[:30]])
    torch.testing.assert_close(
        outputs_of(network, store, graph, together)[:2], before
    )  # the rest of the batch does not matter


def test_a_dialogue_is_dealt_out_whole_and_little_is_padded(store: gs.GraphStore) -> None:
    config = design(store, "dialogue-emotion", TrainOptions(split="column:split"))
    ready = prepare(store, config)
    rows = torch.nonzero(ready.roles == ROLES.index("train")).squeeze(1)
    network = MODELS[0].build(ready.graph, rows, seed=0)
    together = network.together(ready.graph)
    loader = make_loader(config, ready)
    orders, seen, places, waste = [], [], 0, 0
    for seed in (0, 1):
        batches = list(loader.batches(rows, 40, torch.Generator().manual_seed(seed), together))
        orders.append([batch.examples.tolist() for batch in batches])
        seen = [set(together[batch.examples].tolist()) for batch in batches]
        assert sum(map(len, seen)) == len(set.union(*seen)) == len(torch.unique(together[rows]))
        assert sorted(chain(*orders[-1])) == rows.tolist()
        assert all(len(batch.examples) <= 40 for batch in batches)
        for batch in batches:
            lengths = torch.unique(together[batch.examples], return_counts=True)[1]
            places += int(lengths.max()) * len(lengths)
            waste += int(lengths.max()) * len(lengths) - int(lengths.sum())
    assert orders[0] != orders[1]
    assert waste / places < 0.15
    (alone,) = list(loader.batches(rows[together[rows] == together[rows[0]]], 2, None, together))
    assert len(alone.examples) > 2  # a dialogue that is larger than a batch is one by itself


def test_a_modality_that_is_missing_has_no_influence(store: gs.GraphStore) -> None:
    graph, rows = prepared_graph(store)
    torch.manual_seed(0)
    network = MODELS[0].build(graph, rows, seed=0)
    assert network.dialogues.names == ("text", "audio")
    features = list(graph.node_features["segment"])
    position = next(n for n, feature in enumerate(features) if feature.name == "segment.audio_vector")
    gone = replace(features[position], index=torch.full_like(features[position].index, -1))
    without = replace(graph, node_features={"segment": (*features[:position], gone, *features[position + 1 :])})
    noise = replace(gone, vectors=torch.randn_like(gone.vectors))
    other = replace(graph, node_features={"segment": (*features[:position], noise, *features[position + 1 :])})
    seeds = rows[:20]
    assert torch.equal(outputs_of(network, store, without, seeds), outputs_of(network, store, other, seeds))
    assert not torch.equal(outputs_of(network, store, without, seeds), outputs_of(network, store, graph, seeds))
    silent = prepare(
        store,
        design(store, "dialogue-emotion", TrainOptions(split="column:split", features={"segment.audio_vector": None})),
    )
    assert [feature.name for feature in silent.graph.node_features["segment"]] == ["segment.text_vector"]
    with pytest.raises(InputError, match=r"'segment.audio_vector' is a vector; it takes no encoder"):
        prepare(store, design(store, "dialogue-emotion", TrainOptions(features={"segment.audio_vector": "audio"})))
    only = replace(MODELS[0], modalities=("audio",)).build(graph, rows, seed=0)
    assert only.dialogues.names == ("audio",)


@pytest.mark.parametrize(
    ("model", "settings", "read"),
    [
        ("absa", {"modality": "text"}, ["segment.text"]),
        ("absa", {"modality": "audio"}, ["segment.audio_vector"]),
        ("tmsam", {"modalities": "audio"}, ["segment.audio_vector"]),
        ("tmsam", {}, ["segment.text", "segment.audio_vector"]),
    ],
)
def test_what_is_not_read_is_neither_encoded_nor_loaded(
    model: str, settings: dict[str, str], read: list[str], tmp_path: Path
) -> None:
    rows = [
        {"dialogue": f"d{n // 3}", "turn": n % 3, "sentiment": ("bad", "good")[n % 2], "text": f"this is {n}"}
        | {"audio_vector": [float(n), 1.0]}
        for n in range(60)
    ]
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "segments.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with gs.open(tmp_path / "s.duckdb") as store:
        gs.ingest(store, "dialogue", tmp_path / "talks")
        config = design(
            store,
            "dialogue-emotion",
            TrainOptions(model=model, settings=settings, features={"segment.text": "hash_text"}),
        )
        ready = prepare(store, config)
        assert [feature.name for feature in ready.graph.node_features["segment"]] == read
        assert store.first("select count(*) from feature_sets") == ("segment.text" in read,)
        assert list(encodings(store, config)) == [
            f"Features of {name}: 60 rows, encoder hash_text" for name in read if name == "segment.text"
        ]
        with pytest.raises(UnknownNameError, match=r"modality is called 'video'.* Known: audio, text"):
            prepare(
                store, design(store, "dialogue-emotion", TrainOptions(model="lstm", settings={"modalities": "video"}))
            )
        assert store.first("select count(*) from feature_sets") == ("segment.text" in read,)


def test_a_run_is_an_encoder_of_its_segments(store: gs.GraphStore) -> None:
    run = train(store, "tmsam", width=16)
    named = encoder_run(store, "segment", f"tmsam:{run.id}")
    assert named is not None and encoder_run(store, "segment.text", "sentence:packaged:minilm") is None
    report = embed(store, named)
    segments = store.sql("select count(*) from node_segment").fetchall()[0][0]
    assert (report.rows, report.encoded, report.encoder) == (segments, segments, f"tmsam:{run.id}")
    assert embed(store, run.id).encoded == 0  # they are there
    rows = store.sql(
        f"select n.id, emotion, vector from feature_rows join vectors_{report.use.dimension} using (set_id, content) "
        "join node_segment as n using (idx) where set_id = ? and split = 'test' and emotion is not null",
        [report.use.set_id],
    ).pl()
    upset = np.stack(rows.filter(emotion="upset")["vector"].to_list()).mean(0)
    calm = np.stack(rows.filter(emotion="calm")["vector"].to_list()).mean(0)
    upper = np.stack(rows["vector"].to_list()) @ (upset - calm) > (upset + calm) @ (upset - calm) / 2
    assert (upper == (rows["emotion"] == "upset").to_numpy()).mean() > 0.85  # the classes lie apart
    plain = {"segment.text_vector": None, "segment.audio_vector": None}
    given = {"split": "column:split", "features": {**plain, "segment": f"tmsam:{run.id}"}}
    run_on_vectors = gs.train(store, "dialogue-emotion", model="features-only", epochs=10, **given)
    accuracy = run_on_vectors.metrics["test"]["emotion"]["accuracy"]
    assert accuracy > 0.85  # which the columns of segments alone do not reach: their vectors do
    assert gs.predict(store, run_on_vectors) > 0
    with pytest.raises(InputError, match=r"learnt from the training rows of the split .* Use the same split"):
        gs.train(store, "dialogue-emotion", model="features-only", **{**given, "split": "random"})
    for wrong, words in (("tmsam:nobody", "there: tmsam:tmsam-"), (None, "is a node type; leave out single columns")):
        with pytest.raises(InputError, match=words):
            gs.train(store, "dialogue-emotion", model="lstm", features={"segment": wrong})
    majority = gs.train(store, "dialogue-emotion", model="majority", split="column:split")
    with pytest.raises(InputError, match="majority' makes no vector"):
        embed(store, majority)
    with pytest.raises(InputError, match="is a run of majority about segment, not one of tmsam about 'user'"):
        encoder_run(store, "user", f"tmsam:{majority.id}")


def test_words_and_vectors_are_read_side_by_side(tmp_path: Path) -> None:
    """Two encoders of one column: one vector a text, and a sequence of its tokens."""
    folder = tmp_path / "words"
    folder.mkdir()
    phrases = {"good": ("I love it!", "Wonderful."), "bad": ("I hate it.", "Terrible!")}
    rows, random = ["dialogue,turn,text,sentiment,split"], np.random.default_rng(0)
    for dialogue in range(30):
        for turn, sentiment in enumerate(("good", "bad", "good", "bad")[dialogue % 2 :][:3]):
            text = phrases[sentiment][random.integers(len(phrases[sentiment]))]
            rows.append(
                f"d{dialogue},{turn},{text},{sentiment},{('train', 'train', 'validation', 'test')[dialogue % 4]}"
            )
    (folder / "segments.csv").write_text("\n".join(rows) + "\n")
    with gs.open(tmp_path / "s.duckdb") as store:
        gs.ingest(store, "dialogue", folder)
        run = gs.train(
            store,
            "dialogue-emotion",
            split="column:split",
            features={"segment.text": "text_style+sentence,pooling=tokens"},
            settings={**SMALL, "width": 16, "words": 16, "epochs": 12, "batch_size": 9},
        )
        assert run.metrics["test"]["sentiment"]["accuracy"] > 0.8
        kinds = store.sql("select encoder, sequences from feature_sets order by encoder").fetchall()
        assert kinds == [("sentence:packaged:minilm", True), ("text_style", False)]
        (used,) = store.sql("select feature_sets ->> 'segment.text' from runs").fetchall()[0]
        assert len(used.split("+")) == 2
        assert gs.predict(store, run, ids=["d3/0"]) == 1
        with pytest.raises(InputError, match=r"Sentence gives sequences; 'features_only' takes one vector"):
            gs.train(
                store,
                "dialogue-emotion",
                model="features-only",
                features={"segment.text": "sentence,pooling=tokens"},
                split="column:split",
            )


def test_one_question_alone(store: gs.GraphStore) -> None:
    run = gs.train(store, "dialogue-emotion", model="majority", split="column:split", settings={"emotion": ""})
    assert set(run.metrics["test"]) == {"sentiment"}


def test_what_does_not_fit_is_named(store: gs.GraphStore) -> None:
    def train_with(**settings: object) -> None:
        gs.train(store, "dialogue-emotion", split="column:split", settings=settings)

    with pytest.raises(InputError, match="Neither emotion nor sentiment"):
        train_with(emotion="", sentiment="")
    with pytest.raises(UnknownNameError, match=r"'emotoin'\. Did you mean 'emotion'"):
        train_with(emotion="emotoin")
    with pytest.raises(UnknownNameError, match=r"'mood'.* Without sentiment: --set sentiment= with nothing"):
        train_with(sentiment="mood")
    with pytest.raises(DataError, match="neither 'video' nor 'reply_to' has two different"):
        train_with(emotion="video", sentiment="reply_to")
    with pytest.raises(DataError, match=r"no 'segment after segment' edges .*between them: segment next segment"):
        train_with(order="after")
    with pytest.raises(UnknownNameError, match=r"modality is called 'sound'.*audio"):
        train_with(modalities=("sound",))
    with pytest.raises(UnknownNameError, match=r"'utterance'.* --set node=NAME"):
        train_with(node="utterance")
    with pytest.raises(InputError, match="windows is empty"):
        Msa(windows=())
