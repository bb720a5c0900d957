"""Emotions in dialogues: counts by hand, and contagion that is planted or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import graphsocial as gs
from graphsocial.analysis import analyze
from graphsocial.errors import DataError, InputError

TALKS = """dialogue,turn,speaker,emotion
d1,1,ana,joy
d1,2,ben,joy
d1,3,ben,anger
d1,4,ana,
d2,1,ana,anger
d2,2,ana,joy
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[gs.GraphStore]:
    with gs.open(tmp_path / "s.duckdb") as opened:
        yield opened


def ingested(store: gs.GraphStore, folder: Path, text: str, **settings: object) -> gs.GraphStore:
    folder.mkdir()
    (folder / "segments.csv").write_text(text)
    gs.ingest(store, "dialogue", folder, settings=settings)
    return store


def test_tables_are_counts(store: gs.GraphStore, tmp_path: Path) -> None:
    found = analyze(ingested(store, tmp_path / "talks", TALKS), "emotion", settings={"permutations": 19})
    drop = ["dataset", "source"]
    speakers = found.tables["emotion_speakers"].drop(drop)
    assert speakers.rows() == [
        ("ana", "joy", 2, pytest.approx(2 / 3)),
        ("ana", "anger", 1, pytest.approx(1 / 3)),
        ("ben", "anger", 1, 0.5),
        ("ben", "joy", 1, 0.5),
    ]
    steps = found.tables["emotion_transitions"].drop(drop)
    assert steps.rows() == [
        ("another", "joy", "joy", 1, 1.0, 1.0),
        ("same speaker", "anger", "joy", 1, 1.0, 2.0),
        ("same speaker", "joy", "anger", 1, 1.0, 2.0),
    ]
    course = found.tables["emotion_course"].drop(drop)
    assert course.row(0) == (1, "anger", 1, 0.5) and course["segments"].sum() == 5
    timeline = found.tables["emotion_timeline"].filter(dialogue="d1")
    assert timeline["emotion"].to_list() == ["joy", "joy", "anger", None]
    assert timeline["emotion_before"].to_list() == [None, "joy", "joy", "anger"]
    assert found.tables["emotion_contagion"].drop(drop).row(0)[:3] == ("joy", 2, 0.5)
    held = store.sql("select count(*) from emotion_timeline where source = 'labels emotion'").fetchall()
    assert held == [(6,)]


@pytest.mark.parametrize("catching", [True, False])
def test_contagion_is_significant_only_where_planted(store: gs.GraphStore, tmp_path: Path, catching: bool) -> None:
    """Dialogues have moods either way; only under contagion do neighbours share more than the permutations do."""
    random = np.random.default_rng(0)
    rows = ["dialogue,turn,speaker,emotion"]
    for dialogue in range(60):
        mood, before = random.random(), None
        for turn in range(12):
            word = "joy" if random.random() < mood else "calm"
            word = before if catching and before and random.random() < 0.5 else word
            rows.append(f"d{dialogue},{turn},{'ab'[turn % 2]},{word}")
            before = word
    text = "\n".join(rows) + "\n"
    found = analyze(ingested(store, tmp_path / "talks", text), "emotion", settings={"permutations": 199})
    contagion = found.tables["emotion_contagion"]
    assert (contagion["shared"] > contagion["of_all_answers"]).all()  # moods make answers alike anyway
    assert ((contagion["p"] < 0.01).all()) == catching
    assert (contagion["by_chance"] < contagion["shared"]).all() or not catching


def test_a_run_s_predictions_are_analyzed(store: gs.GraphStore, tmp_path: Path) -> None:
    rows = ["dialogue,turn,speaker,emotion"]
    rows += [f"d{n // 5},{n % 5},{'ab'[n % 2]},{('joy', 'anger', 'joy')[n % 3]}" for n in range(60)]
    ingested(store, tmp_path / "talks", "\n".join(rows) + "\n")
    run = gs.train(store, "dialogue-emotion", model="majority")
    found = analyze(store, "emotion", settings={"run": run.id, "permutations": 19})
    told = found.tables["emotion_timeline"]
    assert set(told["emotion"].drop_nulls()) == {"joy"} and told["source"][0] == f"{run.id} emotion"
    analyze(store, "emotion", settings={"permutations": 19})
    assert store.sql("select count(distinct source) from emotion_timeline").fetchall() == [(2,)]


def test_missing_columns_and_labels_are_errors(store: gs.GraphStore, tmp_path: Path) -> None:
    ingested(store, tmp_path / "talks", "dialogue,turn,text\nd,1,a\nd,2,b\n", replies="given")
    with pytest.raises(DataError, match="No 'segment' of 'talks' has a value of 'emotion'"):
        analyze(store, "emotion")
    with pytest.raises(InputError, match="no column 'mood'; it has"):
        analyze(store, "emotion", settings={"label": "mood"})
    with pytest.raises(InputError, match="permutations is at least 19"):
        analyze(store, "emotion", settings={"permutations": 3})
    given = "dialogue,turn,emotion\nd,1,joy\nd,2,joy\n"
    found = analyze(ingested(store, tmp_path / "more", given, replies="given"), "emotion", dataset="more")
    assert "emotion_contagion" not in found.tables and "no contagion" in found.notes[0]
    assert isinstance(found.tables["emotion_course"], pl.DataFrame)
