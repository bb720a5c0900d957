"""What-if: another text or number gives another answer, and the store is as it was."""

from collections.abc import Iterator

import pytest

import graphsocial as gs
from graphsocial.errors import InputError, UnknownNameError
from graphsocial.synthesis import SyntheticNotes, synthesize

TABLES = ("node_note", "feature_rows", "feature_sets", "vectors_256", "predictions", "runs", "test_openings")


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    folder = tmp_path_factory.mktemp("alternatives")
    synthesize("notes", folder / "notes", settings=SyntheticNotes(notes=600, authors=20, likability=2.0, noise=0.2))
    with gs.open(folder / "s.duckdb") as store:
        gs.ingest(store, "xiaohongshu", folder / "notes")
        gs.train(
            store,
            "popularity",
            epochs=8,
            features={"note.text": "hash_text", "note.title": None},
            settings={"task.likability": True, "width": 32, "batch_size": 64, "branches": "none"},
        )
        yield store


def contents(store: gs.GraphStore) -> list[object]:
    return [store.sql(f"select * from {table} order by all").fetchall() for table in TABLES]


def test_more_likes_predict_more_shares_and_the_store_is_unchanged(notes: gs.GraphStore) -> None:
    before = contents(notes)
    few, many = (gs.what_if(notes, "latest", "n000007", {"likes": likes}).answers.to_dicts() for likes in (1, 10**6))
    assert [row["target"] for row in few] == ["popularity", "shares"] == [row["target"] for row in many]
    assert few[1]["value"] == many[1]["value"] and few[1]["value_if"] < 0.5 * many[1]["value_if"]
    assert many[1]["lower_if"] <= many[1]["value_if"] <= many[1]["upper_if"]
    said = notes.sql("select value from predictions where entity_id = 'n000007' and target = 'shares'").fetchall()
    assert all(value == pytest.approx(few[1]["value"]) for (value,) in said)
    assert contents(notes) == before


def test_another_text_is_encoded_and_not_stored(notes: gs.GraphStore) -> None:
    before = contents(notes)
    found = gs.what_if(notes, "latest", "n000007", {"text": "Words that no other note has", "cover": None})
    row = found.answers.to_dicts()[1]
    assert row["value"] != row["value_if"]
    same = notes.sql("select text from node_note where id = 'n000007'").fetchall()[0][0]
    unchanged = gs.what_if(notes, "latest", "n000007", {"text": same}).answers.to_dicts()[1]
    assert unchanged["value"] == unchanged["value_if"] == row["value"]
    assert contents(notes) == before


def test_wrong_columns_values_and_ids_are_errors(notes: gs.GraphStore) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'text'"):
        gs.what_if(notes, "latest", "n000007", {"texts": "a"})
    with pytest.raises(InputError, match="'high' does not fit the column 'text_emotion', which holds a number"):
        gs.what_if(notes, "latest", "n000007", {"text_emotion": "high"})
    with pytest.raises(InputError, match="No note has the id 'x'"):
        gs.what_if(notes, "latest", "x", {"text": "a"})
    with pytest.raises(InputError, match="Name at least one column"):
        gs.what_if(notes, "latest", "n000007", {})
