"""Dialogues from the command line: ingested, trained on, encoded as vectors, analysed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli import Call, call  # noqa: F401 - fixtures

import graphsocial as gs
from graphsocial.cli.training import encodings
from graphsocial.training.config import design

TINY = ("--set", "hidden=8", "--set", "width=8", "--set", "batch_size=20", "--epochs", "2", "--split", "column:split")


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    folder = tmp_path / "talks"
    folder.mkdir()
    rows = ["dialogue,turn,speaker,emotion,sentiment,split,text_vector,audio_vector"]
    for n in range(80):
        mood, part = n % 3 % 2, ("train", "train", "validation", "test")[n // 5 % 4]
        rows.append(
            f"d{n // 5},{n % 5},{'ab'[n % 2]},{('joy', 'anger')[mood]},{('good', 'bad')[mood]},{part},"
            f"{mood}|{1 - mood}|0.5,{n % 7}|1"
        )
    (folder / "segments.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_dialogues_from_files_to_predictions_vectors_and_analyses(call: Call, talks: Path, tmp_path: Path) -> None:  # noqa: F811
    store = ("--store", tmp_path / "talks.duckdb")
    code, out, _ = call("ingest", "dialogue", talks, *store)
    assert code == 0 and "segment replies segment" in out
    code, out, err = call("train", "dialogue-emotion", *TINY, *store)
    assert code == 0 and "emotion of the test part" in out and "sentiment of the test part" in out
    assert "dialogue_emotion_predictions" in err
    (report,) = json.loads(call("featurize", "segment", "--encoder", "tmsam:latest", "--json", *store)[1])
    assert report["rows"] == report["encoded"] == 80 and report["encoder"].startswith("tmsam:tmsam-")
    code, out, _ = call("analyze", "emotion", "--set", "permutations=19", *store)
    assert code == 0 and "emotion_transitions" in out and "emotion_likeness" in out
    code, out, _ = call("analyze", "robustness", "--run", "latest", "--set", "shares=0.5", *store)
    assert code == 0 and "segment.audio" in out and "50% of each" in out
    code, out, _ = call("explain", "latest", "--limit", "6", *store)
    assert code == 0 and "sequence" in out and "text → audio" in out
    heads = [line.split() for line in out.splitlines() if line.startswith("attention")]
    assert ["attention", "before", "itself", "after"] in heads
    code, out, _ = call("explain", "latest", "--node", "d3/2", "--top", "2", *store)
    assert code == 0 and "emotion of d3/2: attention" in out
    assert sum(line.startswith("second level") for line in out.splitlines()) == 4, "two places, two targets"
    grouped = "select name, count(*) from explanations where kind = 'sequence' group by all order by all"
    rows = json.loads(call("sql", grouped, "--json", *store)[1])
    assert [row["name"] for row in rows] == ["after", "before", "itself"]
    with gs.open(store[1], read_only=True) as opened:
        assert opened.sql("select count(*) from dialogue_emotion_predictions where split = 'test'").fetchall() == [
            (20,)
        ]
    code, _, err = call("featurize", "segment", "--encoder", "msa:latest", *store)
    assert code == 1 and "is a run of tmsam about segment, not one of msa" in err


def test_each_encoded_column_is_reported_once(tmp_path: Path) -> None:
    """A task about nodes asks about a type that is among the schema's."""
    (tmp_path / "talks").mkdir()
    rows = "\n".join(f"d{n},0,Hello,{('joy', 'anger')[n % 2]}" for n in range(8))
    (tmp_path / "talks" / "segments.csv").write_text(f"dialogue,turn,text,emotion\n{rows}\n")
    with gs.open(tmp_path / "s.duckdb") as store:
        gs.ingest(store, "dialogue", tmp_path / "talks")
        lines = list(encodings(store, design(store, "dialogue-emotion")))
    assert lines == ["Features of segment.text: 8 rows, encoder sentence:packaged:minilm"]


@pytest.mark.slow
def test_baselines_are_causal_where_the_model_is(call: Call, tmp_path: Path) -> None:  # noqa: F811
    """Without it a split by time, which only causal networks can answer, has no baselines."""
    (tmp_path / "talks").mkdir()
    rows = [
        f"d{n // 4},{n % 4},2024-01-{1 + n // 4:02d}T12:0{n % 4}:00,{('joy', 'anger')[n % 3 % 2]},{n % 3 % 2}|{n % 7}"
        for n in range(80)
    ]
    header = "dialogue,turn,said_at,emotion,text_vector"
    (tmp_path / "talks" / "segments.csv").write_text("\n".join([header, *rows]) + "\n")
    store = ("--store", tmp_path / "s.duckdb")
    assert call("ingest", "dialogue", tmp_path / "talks", *store)[0] == 0
    ask = ("train", "dialogue-emotion", "--split", "time", "--set", "hidden=8", "--set", "width=8", "--epochs", "1")
    code, _, err = call(*ask, "--baselines", *store)
    assert code == 1 and "add --set causal=true" in err
    code, out, err = call(*ask, "--set", "causal=true", "--baselines", *store)
    assert code == 0, err
    assert all(name in out for name in ("tmsam", "lstm", "absa", "msa", "features_only"))
