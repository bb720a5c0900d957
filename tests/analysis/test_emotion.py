"""Emotions in dialogues: counts by hand, and likeness along replies that is planted or not."""

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
    # d1: after ana's joy, ben's is joy or anger; after ben's joy, his other segment is anger; d2: ana has no more joy
    steps = found.tables["emotion_transitions"].drop(drop)
    assert steps.rows() == [
        ("same speaker", "anger", "joy", 1, 1.0, 1.0, 1.0, None, None),
        ("same speaker", "joy", "anger", 1, 1.0, 1.0, 1.0, None, None),
        ("another speaker", "joy", "joy", 1, 1.0, 0.5, 2.0, None, None),
    ]
    course = found.tables["emotion_course"].drop(drop)
    assert course.row(0) == (1, "anger", 1, 0.5) and course["segments"].sum() == 5
    timeline = found.tables["emotion_timeline"].filter(dialogue="d1")
    assert timeline["emotion"].to_list() == ["joy", "joy", "anger", None]
    assert timeline["emotion_before"].to_list() == [None, "joy", "joy", "anger"]
    (row,) = found.tables["emotion_likeness"].drop(drop).to_dicts()  # ben's two segments reply to ana's joy
    assert (row["by"], row["emotion"], row["replies"]) == ("another speaker", "joy", 2)
    assert (row["shared"], row["by_chance"], row["excess"], row["p"]) == (0.5, 0.5, 0.0, 1.0)
    held = store.sql("select count(*) from emotion_timeline where source = 'labels emotion'").fetchall()
    assert held == [(6,)]


def talks(random: np.random.Generator, *, catching: bool, replying_to_oneself: bool = False) -> str:
    """60 dialogues of 12 turns by two speakers, who have a mood each in each dialogue."""
    rows = ["dialogue,turn,speaker,emotion,segment_id,reply_to"]
    for dialogue in range(60):
        moods, before = random.random(2), None
        for turn in range(12):
            speaker = turn // 2 % 2 if replying_to_oneself else turn % 2
            word = "joy" if random.random() < moods[speaker] else "calm"
            word = before if catching and before and random.random() < 0.5 else word
            answered = f"{dialogue}.{turn - 1}" if turn and (not replying_to_oneself or turn % 2) else ""
            rows.append(f"d{dialogue},{turn},{'ab'[speaker]},{word},{dialogue}.{turn},{answered}")
            before = word
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("catching", [True, False])
def test_likeness_is_significant_only_where_planted(store: gs.GraphStore, tmp_path: Path, catching: bool) -> None:
    """Speakers have moods either way; only where a reply takes on the emotion before it is there an excess."""
    text = talks(np.random.default_rng(0), catching=catching)
    found = analyze(ingested(store, tmp_path / "talks", text), "emotion", settings={"permutations": 199})
    likeness = found.tables["emotion_likeness"]
    assert likeness["by"].to_list() == ["another speaker"] * 2
    assert ((likeness["p_holm"] < 0.05).all()) == catching
    assert (likeness["p_holm"] >= likeness["p"]).all()
    assert ((likeness["low"] > 0).all()) == catching and (likeness["excess"] < likeness["high"]).all()
    assert likeness["shared"].to_list() == pytest.approx((likeness["by_chance"] + likeness["excess"]).to_list())


def test_replies_to_oneself_are_apart_and_moods_make_no_excess(store: gs.GraphStore, tmp_path: Path) -> None:
    text = talks(np.random.default_rng(1), catching=False, replying_to_oneself=True)
    ingested(store, tmp_path / "talks", text, replies="given")
    likeness = analyze(store, "emotion", settings={"permutations": 199}).tables["emotion_likeness"]
    assert likeness["by"].to_list() == ["same speaker"] * 2
    assert (likeness["shared"] > 0.55).all() and (likeness["p"] > 0.05).all()


def test_unknown_speakers_are_no_other_speakers(store: gs.GraphStore, tmp_path: Path) -> None:
    rows = [f"d{n // 4},{n % 4},{('a', '', 'b', '')[n % 4]},{'joy' if n % 3 else 'calm'}" for n in range(40)]
    rows = [f"{row},{n},{n - 1 if n % 4 else ''}" for n, row in enumerate(rows)]
    text = "\n".join(["dialogue,turn,speaker,emotion,segment_id,reply_to", *rows]) + "\n"
    found = analyze(
        ingested(store, tmp_path / "talks", text, replies="given"), "emotion", settings={"permutations": 19}
    )
    steps = found.tables["emotion_transitions"]
    assert set(steps["by"]) == {"unknown speaker"} and steps["segments"].sum() == 30 and steps["lift"].null_count()
    assert "emotion_likeness" not in found.tables
    assert found.notes[-1] == "Left out: 30 edges with an unknown speaker."


def test_likeness_of_an_earlier_analysis_of_the_same_key_is_replaced(store: gs.GraphStore, tmp_path: Path) -> None:
    ingested(store, tmp_path / "talks", TALKS)
    analyze(store, "emotion", settings={"permutations": 19})
    assert store.sql("select count(*) from emotion_likeness").fetchall() == [(1,)]
    analyze(store, "emotion", settings={"permutations": 19, "speaker": "said_at"})  # always unknown
    assert store.sql("select count(*) from emotion_likeness").fetchall() == [(0,)]


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
    assert "emotion_likeness" not in found.tables and "no likeness" in found.notes[0]
    assert isinstance(found.tables["emotion_course"], pl.DataFrame)
