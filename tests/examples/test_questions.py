"""Each question of real data that nobody tuned for is asked in one command, as `docs/questions.md` shows."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from graphsocial.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FAST = ("bitcoin_alpha", "psycho_emotion", "reed98")
MAPPINGS = sorted(path.stem for path in (ROOT / "examples" / "questions").glob("*.yaml"))


def commands(name: str) -> list[list[str]]:
    """The words of each `train` command in a mapping's comment."""
    text = (ROOT / "examples" / "questions" / f"{name}.yaml").read_text()
    lines = re.findall(r"graphsocial (train .+)", text)
    return [[word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line) if word != "--baselines"] for line in lines]


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in MAPPINGS]
)
def test_each_question_is_one_command(
    name: str,
    tmp_path: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The floor is trained, whose predictions need no epoch: labels, split, baselines' settings, scores and rows."""
    if not (shared_data / "small").is_dir():
        pytest.skip("the small real data of ../shared/data/small is not on this machine")
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(shared_data))
    common = ["--quiet", "--json", "--store", str(tmp_path / "store.duckdb")]
    assert main([*common, "ingest", "table", str(ROOT / "examples" / "questions" / f"{name}.yaml")]) == 0
    assert commands(name)
    for words in commands(name):
        capsys.readouterr()
        assert main([*common, *words, "--model", "prior"]) == 0
        result = json.loads(capsys.readouterr().out)
        targets = {word.rpartition(".")[2].rpartition(" ")[2] for word in _after(words, "--target")}
        if words[1] == "link":
            targets = {_after(words, "--target")[0].split()[1]}
        assert {line["target"] for line in result["leaderboard"]} == targets
        assert result["runs"][0]["metrics"]["test"].keys() == targets


def _after(words: list[str], option: str) -> list[str]:
    return [value for word, value in pairwise(words) if word == option]
