"""EIJL's first experiment: both towers of CLIP are trained inside the network, from texts and from pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from contract import images as pictures
from contract import tiny_clip

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.featurizers.clip import Clip
from graphsocial.prediction import rebuild
from graphsocial.reproduction.eijl import CLIP_TUNED, PAPER
from graphsocial.runs import weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_clip(tmp_path_factory.mktemp("clip")))


@pytest.mark.parametrize("tower", ["text", "image"])
def test_upper_layers_give_the_output_of_the_whole_model(tiny: str, tower: str, tmp_path: Path) -> None:
    items = pictures(tmp_path)[:3] if tower == "image" else ["A sunset.", "a very, very long talk about nothing", "no"]
    for layers in (1, 2):
        encoder = Clip(tiny, tune=layers, tower=tower)  # type: ignore[arg-type]
        encoded = encoder.encode(items)
        upper = encoder.module().eval()
        for place, item in enumerate(items):
            assert encoded.offsets is not None
            states = torch.from_numpy(encoded.vectors[encoded.offsets[place] : encoded.offsets[place + 1]])[None]
            with torch.no_grad():
                pooled = upper(states, torch.ones(states.shape[:2], dtype=torch.bool))[0].numpy()
            whole = Clip(tiny, normalize=False).encode([item]).vectors[0]
            assert np.abs(pooled - whole).max() < 1e-4 * np.abs(whole).max()


def test_a_tower_has_to_be_named_and_reads_its_own_kind(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name the tower whose layers are trained"):
        Clip(tiny, tune=1)
    with pytest.raises(InputError, match="name the tower"):
        Clip(tiny, tower="text")
    with pytest.raises(InputError, match="name the other tower"):
        Clip(tiny, tune=1, tower="image").encode(["a text"])
    with pytest.raises(InputError, match="has 2 layers"):
        Clip(tiny, tune=3, tower="text").module()


def test_experiment_1_trains_both_towers(tiny: str, tmp_path: Path) -> None:
    covers = pictures(tmp_path)
    random = np.random.default_rng(0)
    with (tmp_path / "notes.jsonl").open("w") as file:
        for n in range(60):
            cover = None if n == 5 else covers[n % len(covers)].name
            note = {"note_id": f"n{n}", "text": None if n == 7 else f"a talk {n % 9}", "cover": cover, "likes": n}
            file.write(json.dumps({**note, "shares": int(random.integers(1, 200))}) + "\n")
    row = next(row for row in PAPER.table("2").rows if row.name.startswith("1"))
    assert row.features == CLIP_TUNED and row.model == "eijl"
    features = {
        name: spec and spec.replace("clip,tune=12", f"clip:{tiny},tune=1") for name, spec in row.features.items()
    }
    with gs.open(tmp_path / "s.duckdb") as store:
        gs.ingest(store, "xiaohongshu", tmp_path, dataset="notes")
        small = {"epochs": 2, "batch_size": 16, "width": 16, "encoder_rate": 0.01}
        run = gs.train(store, "popularity", model=row.model, features=features, settings={**row.settings, **small})
        state = weights.load(store, run.id).network
        for place, tower in enumerate(("text", "image")):
            before = Clip(tiny, tune=1, tower=tower).module().state_dict()  # type: ignore[arg-type]
            learnt = {name: state[f"tuned.{place}.upper.{name}"] for name in before}
            assert sum(not torch.equal(learnt[name], before[name]) for name in before) > 0.8 * len(before)
        restored = rebuild(store, run)
        assert np.isfinite(run.metrics["test"]["shares"]["mae"]) and not restored.network.training
        before_rows = store.sql("select * from predictions where run_id = ? order by all", [run.id]).pl()
        gs.predict(store, run)
        after = store.sql("select * from predictions where run_id = ? order by all", [run.id]).pl()
        assert after["value"].drop_nulls().to_numpy() == pytest.approx(before_rows["value"].drop_nulls().to_numpy())
