"""Scores of a run of two modalities fall when the informative one is missing, and only then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphsocial as gs
from graphsocial.analysis import analyze
from graphsocial.errors import DataError, InputError


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[gs.GraphStore, gs.Run]:
    """Audio determines the label and video is noise."""
    folder: Path = tmp_path_factory.mktemp("robust")
    random, rows = np.random.default_rng(0), ["dialogue,turn,sentiment,split,audio_vector,video_vector"]
    for n in range(240):
        sign = random.integers(0, 2)
        audio, video = (
            "|".join(f"{x:.3f}" for x in part) for part in (random.normal(4.0 * sign - 2, 1, 3), random.random(3))
        )
        part = ("train", "train", "validation", "test")[n // 4 % 4]
        rows.append(f"d{n // 4},{n % 4},{('bad', 'good')[sign]},{part},{audio},{video}")
    (folder / "talks").mkdir()
    (folder / "talks" / "segments.csv").write_text("\n".join(rows) + "\n")
    store = gs.open(folder / "s.duckdb")
    gs.ingest(store, "dialogue", folder / "talks")
    settings = {"hidden": 8, "epochs": 8, "batch_size": 24, "learning_rate": 0.01}
    return store, gs.train(store, "dialogue-emotion", model="msa", split="column:split", settings=settings)


def test_only_the_informative_modality_lowers_the_scores(trained: tuple[gs.GraphStore, gs.Run]) -> None:
    store, run = trained
    found = analyze(store, "robustness", settings={"run": run.id, "shares": (0.5, 1.0), "draws": 2})
    (frame,) = found.tables.values()
    score = dict(frame.select("missing", "accuracy").rows())
    assert list(score) == ["nothing", "segment.audio", "segment.video", "50% of each", "100% of each"]
    assert score["nothing"] == pytest.approx(run.metrics["test"]["sentiment"]["accuracy"])
    assert score["nothing"] > 0.9 and score["segment.video"] > 0.9
    assert score["segment.audio"] < 0.75 and score["100% of each"] < 0.75
    assert score["segment.audio"] < score["50% of each"] < score["nothing"]
    assert found.key == {"run_id": run.id}
    again = analyze(store, "robustness", settings={"run": run.id, "shares": (0.5, 1.0), "draws": 2})
    assert again.tables["robustness_scores"].equals(frame)


def test_wrong_runs_and_settings_are_errors(trained: tuple[gs.GraphStore, gs.Run], tmp_path: Path) -> None:
    store, _ = trained
    with pytest.raises(InputError, match="shares are above 0"):
        analyze(store, "robustness", settings={"shares": (0.0,)})
    with gs.open(tmp_path / "s.duckdb") as bare:
        (tmp_path / "bare").mkdir()
        rows = "".join(f"d{n // 2},{n % 2},{'ab'[n % 3 % 2]}\n" for n in range(40))
        (tmp_path / "bare" / "segments.csv").write_text("dialogue,turn,sentiment\n" + rows)
        gs.ingest(bare, "dialogue", tmp_path / "bare")
        run = gs.train(bare, "dialogue-emotion", model="majority")
        with pytest.raises(DataError, match="uses no vectors of nodes"):
            analyze(bare, "robustness", settings={"run": run.id})
