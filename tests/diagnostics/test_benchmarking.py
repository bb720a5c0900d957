"""Epochs are timed on the store's data, on one thread and on all, and no run is written."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import graphsocial as gs
from graphsocial.cli.main import main
from graphsocial.errors import InputError, UnknownNameError


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    folder = tmp_path_factory.mktemp("talks")
    random = np.random.default_rng(0)
    (folder / "talks").mkdir()
    with (folder / "talks" / "segments.jsonl").open("w") as file:
        for dialogue in range(30):
            for turn in range(4):
                sign = int(random.integers(0, 2))
                row = {"dialogue": f"d{dialogue}", "turn": turn, "speaker": "ab"[turn % 2]}
                row |= {"sentiment": ("bad", "good")[sign], "text_vector": [float(sign), *random.normal(size=3)]}
                file.write(json.dumps(row) + "\n")
    with gs.open(folder / "s.duckdb") as opened:
        gs.ingest(opened, "dialogue", folder / "talks")
        yield opened


def test_models_are_timed_on_one_thread_and_on_all(store: gs.GraphStore) -> None:
    before = torch.get_num_threads()
    found = gs.benchmark(
        store, "acceleration", models=["tmsam", "lstm"], threads=2, rounds=1, settings={"hidden": 8, "width": 8}
    )
    assert [one.model for one in found] == ["tmsam", "lstm"]
    for one in found:
        assert one.ratio == pytest.approx(one.serial_seconds / one.parallel_seconds)
        assert one.examples_per_second == pytest.approx(one.examples / one.parallel_seconds)
        assert (one.examples, one.threads) == (96, 2)
    assert found[0].parameters > found[1].parameters > 0
    assert (found[0].published, found[1].published) == (1.61, 1.17)
    assert torch.get_num_threads() == before
    assert store.sql("select count(*) from runs").fetchall() == [(0,)]


def test_models_that_are_not_trained_are_left_out_or_refused(store: gs.GraphStore) -> None:
    with pytest.raises(InputError, match="'majority' is not trained"):
        gs.benchmark(store, "acceleration", models=["majority"], threads=2, rounds=1)


def test_unknown_benchmarks_and_settings_are_errors(store: gs.GraphStore) -> None:
    with pytest.raises(UnknownNameError, match="benchmark is called 'speed'"):
        gs.benchmark(store, "speed")
    with pytest.raises(UnknownNameError, match="setting is called 'heights'"):
        gs.benchmark(store, "acceleration", models=["lstm"], settings={"heights": 3})
    with pytest.raises(InputError, match="1 threads and 3 rounds cannot be compared"):
        gs.benchmark(store, "acceleration", threads=1)


def test_the_command_prints_a_table_or_json(store: gs.GraphStore, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["benchmark", "acceleration", "--models", "lstm", "--rounds", "1", "--threads", "2", "--set", "hidden=8"]
    store.close()
    assert main(["--store", str(store.path), *asked]) == 0
    shown = capsys.readouterr().out
    assert "an epoch of 96 examples" in shown and "1.17" in shown
    assert main(["--store", str(store.path), *asked, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["model"] == "lstm" and row["ratio"] > 0 and row["published"] == 1.17
