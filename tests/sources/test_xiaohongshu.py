"""Notes become a graph of notes, authors and brands; what the contract forbids is rejected with its reason."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import polars as pl
import pytest

import graphsocial as gs
from graphsocial.errors import MissingFileError
from graphsocial.ingestion import ingest
from graphsocial.schemas import text
from graphsocial.store import GraphStore
from graphsocial.synthesis import SyntheticNotes, synthesize

NOTES = """note_id,author_id,case,title,text,cover,published_at,likes,favourites,comments,shares,text_emotion,followers
n1,ana,tea,Cup,I love it,covers/1.jpg,2024-01-01T10:00:00Z,10,2,1,5,5,7
n2,ana,tea,,,,2024-01-02,,,,0,,
n3,,,Bag,Fine,,,4,0,0,3,3,
n3,ben,bag,Again,,,,1,1,1,1,,
n4,ben,bag,No shares,,,,1,1,1,,,
n5,ben,bag,Odd,,,,-1,1,1,2,,
n6,ben,bag,Grade,,,,1,1,1,2,6,
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    with gs.open(tmp_path / "s.duckdb") as opened:
        yield opened


def test_a_folder_of_the_layout_becomes_notes_authors_and_brands(store: GraphStore, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.csv").write_text(NOTES)
    report = ingest(store, "xiaohongshu", tmp_path / "notes", reject_limit=0.6)
    assert report.rows == {"note": 3, "author": 1, "brand": 1, "author posts note": 2, "note promotes brand": 2}
    assert report.rejects["notes"] == {
        "duplicate note_id": 1,
        "likes is less than 0": 1,
        "shares is missing": 1,
        "text_emotion is not between 1 and 5": 1,
    }
    assert report.missing_images == 1 and report.ignored == {"notes": ["followers"]}
    rows = store.sql('select id, title, "case", likes, shares, text_emotion from node_note order by idx').fetchall()
    assert rows == [
        ("n1", "Cup", "tea", 10, 5, 5.0),
        ("n2", None, "tea", None, 0, None),
        ("n3", "Bag", None, 4, 3, 3.0),
    ]
    roles = {column.name: column.role for column in store.schema.node("note").columns}
    assert {name for name, role in roles.items() if role == "label"} == {"likes", "favourites", "comments", "shares"}
    assert roles["case"] == "reference" and store.schema.node("note").time == "published_at"


def test_the_error_for_a_folder_without_notes_lists_its_files(store: GraphStore, tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("id\n")
    with pytest.raises(MissingFileError, match=r"has no table 'notes'.*There: .*posts\.csv"):
        ingest(store, "xiaohongshu", tmp_path)


def test_synthetic_notes_are_valid_by_the_schema(store: GraphStore, tmp_path: Path) -> None:
    settings = SyntheticNotes(notes=300, authors=20, brands=5)
    synthesize("notes", tmp_path / "notes", settings=settings)
    rows = json.loads(pl.read_parquet(tmp_path / "notes" / "notes.parquet").head(50).write_json())
    jsonschema.validate({"notes": rows}, json.loads(text("datasets", "xiaohongshu.schema.json")))
    report = ingest(store, "xiaohongshu", tmp_path / "notes")
    assert not report.rejected and report.rows["note"] == 300 and report.rows["brand"] <= 5
    sizes = store.sql("select distinct len(text_vector), len(cover_vector) from node_note").fetchall()
    assert sizes == [(settings.vector_size, settings.vector_size)]
