"""The example on MELD prints its table, and features of texts say more of emotion than the commonest class does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "meld_text_quality.py"


def table(data: Path, *encoder: str) -> dict[tuple[str, str], float]:
    """Weighted F1 on test by target and model, as printed."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *encoder],
        env={**os.environ, "GRAPHSOCIAL_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[1:]
    assert len(lines) == 4
    return {(line[:10].strip(), line[11:36].strip()): float(line[36:].split()[0]) for line in lines}


def test_words_say_something(shared_data: Path) -> None:
    found = table(shared_data, "hash_text")
    for target in ("emotion", "sentiment"):
        assert found[target, "hash_text + LR"] > found[target, "majority class"] + 0.03


@pytest.mark.slow
def test_sentences_say_more(shared_data: Path) -> None:
    found = table(shared_data)
    assert found["emotion", "sentence + LR"] > 0.52 and found["sentiment", "sentence + LR"] > 0.58


def test_it_says_what_it_lacks() -> None:
    env = {name: value for name, value in os.environ.items() if name != "GRAPHSOCIAL_DATA"}
    done = subprocess.run([sys.executable, str(SCRIPT)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "GRAPHSOCIAL_DATA" in done.stderr
