"""An encoder's last layers are trained inside a network, kept in the run's weights, and found again by every verb."""

from __future__ import annotations

import json
from collections.abc import Iterator

import contract
import numpy as np
import pytest
import torch

import graphsocial as gs
from graphsocial.analysis import analyze
from graphsocial.errors import InputError
from graphsocial.featurizers.sentence import Sentence
from graphsocial.prediction import rebuild
from graphsocial.prediction.embedding import embed
from graphsocial.runs import weights

SMALL = {"hidden": 8, "width": 8, "heads": 2, "first_heads": 2, "second_heads": 2, "batch_size": 40, "epochs": 6}
RATES = {"learning_rate": 0.01, "encoder_rate": 0.02, "warm_up": 0.1, "dropout": 0.0}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sentence:{contract.tiny_encoder(tmp_path_factory.mktemp('encoder') / 'bert')},tune=1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    """A segment's sentiment is what its first word says."""
    folder = tmp_path_factory.mktemp("talks")
    random = np.random.default_rng(0)
    (folder / "talks").mkdir()
    with (folder / "talks" / "segments.jsonl").open("w") as file:
        for dialogue in range(60):
            for turn, sign in enumerate(random.integers(0, 2, 5)):
                words = ["good", "bad"][sign] + " day" * int(random.integers(0, 3))
                row = {"dialogue": f"d{dialogue}", "turn": turn, "speaker": "ab"[turn % 2], "text": words}
                row |= {"sentiment": ("up", "down")[sign]}
                row |= {"split": ("train", "train", "train", "validation", "test")[dialogue % 5]}
                file.write(json.dumps(row) + "\n")
    with gs.open(folder / "s.duckdb") as opened:
        gs.ingest(opened, "dialogue", folder / "talks")
        yield opened


def train(store: gs.GraphStore, encoder: str, model: str = "tmsam", **settings: object) -> gs.Run:
    given = {**(SMALL if model == "tmsam" else {"hidden": 8, "batch_size": 40, "epochs": 1}), **RATES, **settings}
    features = {"segment.text": encoder}
    return gs.train(
        store, "dialogue-emotion", model=model, split="column:split", features=features, settings=given, again=True
    )


def test_training_changes_the_layers_and_rebuilding_finds_them(store: gs.GraphStore, encoder: str) -> None:
    run = train(store, encoder)
    state = weights.load(store, run.id).network
    learnt = {name: value for name, value in state.items() if "upper.layers" in name}
    path, _, settings = encoder.removeprefix("sentence:").partition(",")
    assert settings == "tune=1"
    pretrained = Sentence(path, tune=1).module().state_dict()
    assert len(learnt) == sum(name.startswith("layers") for name in pretrained)
    moved = [not torch.equal(value, pretrained[name[name.index("layers") :]]) for name, value in learnt.items()]
    assert sum(moved) > 0.9 * len(moved)
    assert run.metrics["test"]["sentiment"]["accuracy"] > 0.9
    restored = rebuild(store, run).network.state_dict()
    assert all(torch.equal(restored[name], value) for name, value in learnt.items())
    before = store.sql("select * from predictions where run_id = ? and split = 'test' order by all", [run.id]).pl()
    assert gs.predict(store, run, ids=[before["entity_id"][0]]) == 1
    after = store.sql("select * from predictions where run_id = ? and split = 'test' order by all", [run.id]).pl()
    assert after["confidence"].to_numpy() == pytest.approx(before["confidence"].to_numpy(), abs=1e-5)


def test_the_same_seed_gives_the_same_numbers(store: gs.GraphStore, encoder: str) -> None:
    first, second = (train(store, encoder, epochs=1, context=2).metrics for _ in range(2))
    assert first == second


def test_other_verbs_take_such_a_run(store: gs.GraphStore, encoder: str) -> None:
    run = train(store, encoder, epochs=1)
    report = embed(store, run)
    assert report.rows == 300 and report.use.dimension > 0
    findings = analyze(store, "robustness", settings={"run": run.id, "shares": (1.0,), "draws": 1})
    assert "segment.text" in findings.tables["robustness_scores"]["missing"].to_list()
    explanations = gs.explain(store, run, ids=["d4/0"])
    assert "segment.text" in explanations["name"].to_list()


@pytest.mark.parametrize("model", ["lstm", "absa", "msa"])
def test_other_models_of_dialogues_tune_too(store: gs.GraphStore, encoder: str, model: str) -> None:
    run = train(store, encoder, model)
    assert any("upper.layers" in name for name in weights.load(store, run.id).network)


def test_models_that_take_vectors_say_so(store: gs.GraphStore, encoder: str) -> None:
    with pytest.raises(InputError, match="leaves layers to be trained; 'features_only' takes one vector"):
        gs.train(store, "dialogue-emotion", model="features-only", features={"segment.text": encoder}, epochs=1)
