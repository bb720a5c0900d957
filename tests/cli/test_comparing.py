"""`graphsocial compare`: tables, JSON, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli import TINY, write_views

from graphsocial.cli.main import main


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two seeds of two models; tests only read it."""
    path = tmp_path_factory.mktemp("cli") / "tiny.duckdb"
    write_views(path, users=40)
    train = ("--store", str(path), "--quiet", "train", "edge-emotion", "--seeds", "2")
    assert main([*train, *TINY]) == 0
    assert main([*train, "--model", "features-only", "--epochs", "2", "--set", "width=8"]) == 0
    return path


def test_compare_prints_scores_differences_groups_and_calibration(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(trained), "compare", "hmg_emo", "--by", "user.age < 40", "--samples", "100"]) == 0
    out, err = capsys.readouterr()
    titles = [
        line for line in out.splitlines() if line.startswith(("emotion of", "graph lift", "weighted_f1 by", "F1"))
    ]
    assert titles[0] == "emotion of edge-emotion on tiny, split random: 27 test rows"
    assert "weighted_f1 by user.age < 40" in titles
    assert "hmg_emo − features_only" in out
    assert "bootstrap of test rows by" in err


def test_compare_as_json_equals_the_library_s_result(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", str(trained), "compare", "hmg_emo", "features-only", "--samples", "100", "--json"]) == 0
    comparison = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in comparison["scores"]} == {"hmg_emo", "features_only"}
    assert {row["runs"] for row in comparison["scores"]} == {2}
    assert comparison["differences"] == comparison["lift"]
    assert 0.04 < comparison["calibration"][0]["temperature"] < 21


def test_compare_errors_are_one_line(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", str(trained), "compare", "hmg_emu"]) == 1
    assert main(["--store", str(trained), "compare", "hmg_emo", "--by", "user.height"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert "Did you mean 'hmg_emo'" in errors[0]
    assert errors[1].startswith("Error: The SQL does not run: ")
    assert main(["--store", str(trained), "compare"]) == 2
