"""`benchmark acceleration`: epochs are timed on one thread and on all, and no run is written."""

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
    folder = tmp_path_factory.mktemp("dialogues")
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
    results = gs.benchmark(
        store, "acceleration", models=["tmsam", "lstm"], threads=2, rounds=1, settings={"hidden": 8, "width": 8}
    )
    assert [result.model for result in results] == ["tmsam", "lstm"]
    for result in results:
        assert result.ratio == pytest.approx(result.serial_seconds / result.parallel_seconds)
        assert result.examples_per_second == pytest.approx(result.examples / result.parallel_seconds)
        assert (result.examples, result.threads) == (96, 2)
    assert results[0].parameters > results[1].parameters > 0
    assert (results[0].published, results[1].published) == (1.61, 1.17)
    assert torch.get_num_threads() == before
    assert store.sql("select count(*) from runs").fetchall() == [(0,)]


def test_untrained_models_are_errors(store: gs.GraphStore) -> None:
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
    arguments = [
        "benchmark",
        "acceleration",
        "--models",
        "lstm",
        "--rounds",
        "1",
        "--threads",
        "2",
        "--set",
        "hidden=8",
    ]
    store.close()
    assert main(["--store", str(store.path), *arguments]) == 0
    output = capsys.readouterr().out
    assert "an epoch of 96 examples" in output and "1.17" in output
    assert main(["--store", str(store.path), *arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["model"] == "lstm" and row["ratio"] > 0 and row["published"] == 1.17
