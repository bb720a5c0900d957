import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import polars as pl
import pytest

import graphsocial as gs
from graphsocial.errors import InputError, MissingFileError
from graphsocial.ingestion import ingest
from graphsocial.schemas import text
from graphsocial.store import GraphStore

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "dialogues"
SEGMENTS = """dialogue,turn,speaker,text,starts,emotion,split,text_vector,mood
d1,2,ben,And you?,1.5,joy,train,1|2,x
d1,1,ana,Fine.,0,joy,train,1|0,x
d1,3,ben,Tell me!,2,anger,train,,x
d1,4,ana,No.,3,anger,train,0|0,x
d2,1,ana,Hello?,,,test,,x
d2,2,,(noise),,,test,,x
d2,x,ana,Hm.,,,test,,x
d2,3,ana,Odd.,-1,,test,,x
d2,3.5,ben,Yes.,1,fear,dev,,x
"""
MAPPING = """
dataset: talks
root: talks
files: {first: a.csv, second: b.csv}
segments:
  - file: first
    columns: {dialogue: talk, turn: nr, speaker: who, text: words, emotion: {sql: "replace(felt, '!', '')"}}
  - file: second
    columns: {segment_id: id, dialogue: talk, turn: nr, speaker: who, reply_to: re, said_at: at}
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    with gs.open(tmp_path / "s.duckdb") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "small"
    made.mkdir()
    (made / "segments.csv").write_text(SEGMENTS)
    return made


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    data = tmp_path / "talks"
    data.mkdir()
    (data / "a.csv").write_text("talk,nr,who,words,felt\nt,1,A,Hi,joy!\nt,2,B,Ho,\n")
    (data / "b.csv").write_text("id,talk,nr,who,re,at\ns1,t,3,A,t/1,2020-01-01\ns2,u,1,A,,2020-01-02\n")
    file = tmp_path / "talks.yaml"
    file.write_text(MAPPING)
    return file


def edges(store: GraphStore, relation: str, src: str = "segment") -> list[tuple[str, str]]:
    return (
        store.sql(
            f"select a.id, b.id from edge_{src}_{relation}_segment e join node_{src} a on a.idx = e.src "
            "join node_segment b on b.idx = e.dst order by e.idx"
        )
        .pl()
        .rows()
    )


def test_a_folder_becomes_segments_speakers_and_their_order(store: GraphStore, folder: Path) -> None:
    report = ingest(store, "dialogue", folder)
    assert report.dataset == "small" and report.ignored == {"segments": ["mood"]}
    assert report.rows == {
        "segment": 6,
        "user": 2,
        "user speaks segment": 5,
        "segment next segment": 4,
        "segment replies segment": 3,
    }
    assert store.sql("select line, reason from rejects order by line").fetchall() == [
        (8, "turn is not a number: x"),
        (9, "starts is less than 0: -1"),
        (10, "split is not one of train, validation, test: dev"),
    ]
    assert edges(store, "next") == [
        ("d1/2", "d1/3"),
        ("d1/1", "d1/2"),
        ("d1/3", "d1/4"),
        ("d2/1", "d2/2"),
    ]
    assert edges(store, "replies") == [("d1/2", "d1/1"), ("d1/3", "d1/1"), ("d1/4", "d1/3")]
    assert edges(store, "speaks", "user")[:2] == [("ben", "d1/2"), ("ana", "d1/1")]
    assert store.read(store.schema.node("segment")).pl()["text_vector"].to_list()[:3] == [[1, 2], [1, 0], None]
    roles = {column.name: column.role for column in store.schema.node("segment").columns}
    assert (roles["emotion"], roles["sentiment"], roles["split"], roles["text"]) == (
        "label",
        "label",
        "reference",
        "feature",
    )


def test_a_mapping_joins_files_and_keeps_given_replies(store: GraphStore, mapping: Path) -> None:
    assert ingest(store, "dialogue", mapping).dataset == "talks"
    assert edges(store, "next") == [("t/1", "t/2"), ("t/2", "s1")]  # across files
    assert edges(store, "replies") == [("t/2", "t/1"), ("s1", "t/1")]  # the second is given, and would be t/2
    frame = store.read(store.schema.node("segment")).pl().select("id", "emotion", "said_at")
    assert frame["emotion"].to_list() == ["joy", None, None, None]
    assert store.read(store.schema.node("segment"), as_of="2020-01-01").pl()["id"].to_list() == ["s1"]
    ingest(store, "dialogue", mapping, settings={"replies": "given", "speakers": "per_dialogue"})
    assert edges(store, "replies") == [("s1", "t/1")]
    assert sorted(store.sql("select id from node_user").pl()["id"]) == ["t/A", "t/B", "u/A"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("turn: nr,", "trun: nr,", "segments.0: No column of a segment is called 'trun'. Did you mean 'turn'"),
        ("dialogue: talk, turn: nr, speaker: who, text", "turn: nr, text", "segments.0: columns needs 'dialogue'"),
        ("file: second", "file: secnd", "segments.1: No file is called 'secnd'. Did you mean 'second'"),
        ("file: second", "file: first", "segments.1: the file 'first' is read already"),
        ("file: second", "fiel: second", "No key of segments.1 is called 'fiel'. Did you mean 'file'"),
        ("root: talks", "root: tlks", "there is no folder"),
        ("speaker: who, reply_to", "speaker: wo, reply_to", "has no column 'wo'.*Did you mean 'who'"),
        ("replace(felt", "replac(felt", "emotion: the SQL .* there is no function replac\\(\\)"),
        ("segments:", "segmets:", "No key of the mapping is called 'segmets'. Did you mean 'segments'"),
    ],
)
def test_a_mistake_in_the_mapping_is_named(store: GraphStore, mapping: Path, old: str, new: str, message: str) -> None:
    assert old in MAPPING
    mapping.write_text(MAPPING.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        ingest(store, "dialogue", mapping)
    assert store.datasets() == []


def test_a_missing_folder_or_table_is_named(store: GraphStore, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="There is no folder"):
        ingest(store, "dialogue", tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match=r"no table 'segments': expected segments.csv .* There: nothing"):
        ingest(store, "dialogue", tmp_path / "empty")


def test_the_schema_accepts_what_the_source_reads(folder: Path) -> None:
    contract = json.loads(text("datasets", "dialogue.schema.json"))
    jsonschema.Draft202012Validator.check_schema(contract)
    row = {"dialogue": "d", "turn": 1, "emotion": "joy", "text_vector": [0.5], "split": "train"}
    jsonschema.validate({"segments": [row]}, contract)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"segments": [{"dialogue": "d"}]}, contract)


# The examples, on the real data


def test_meld(store: GraphStore, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(shared_data))
    report = ingest(store, "dialogue", EXAMPLES / "meld.yaml")
    assert report.rejected == 0
    assert report.rows == {
        "segment": 13_708,
        "user": 304,
        "user speaks segment": 13_708,
        "segment next segment": 12_276,
        "segment replies segment": 11_670,
    }
    counts = "select split, count(*), count(distinct dialogue) from node_segment group by all order by split"
    assert store.sql(counts).fetchall() == [("test", 2610, 280), ("train", 9989, 1038), ("validation", 1109, 114)]
    assert store.sql("select starts, ends from node_segment where id = 'train-0/0'").fetchall() == [(976.059, 981.731)]


def test_mosi_aligns_its_files(store: GraphStore, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(shared_data))
    report = ingest(store, "dialogue", EXAMPLES / "mosi.yaml")
    assert report.rejected == 0 and report.rows["segment"] == 2199 and report.rows["segment next segment"] == 2106
    split = pl.concat(
        pl.read_csv(shared_data / "splits" / "mosi_given" / f"{part}.csv.gz").with_columns(role=pl.lit(part == "test"))
        for part in ("train", "val", "test")
    )
    for kind, width in (("text", 100), ("audio", 73), ("video", 100)):
        held = store.sql(f"select id, sentiment, split, {kind}_vector as vector from node_segment").pl()
        files = {
            part == "test": pl.read_csv(shared_data / "mosi" / kind / f"{kind}_{part}0.csv", has_header=False)
            for part in ("train", "test")
        }
        assert held["vector"].list.len().unique().to_list() == [width]
        positions = {f"{video}_{utterance}": (role, pos) for video, utterance, pos, role in split.iter_rows()}
        for name, sentiment, part, vector in held.sample(200, seed=0).iter_rows():
            role, pos = positions[name]
            row = files[role].row(pos)
            assert role == (part == "test") and sentiment == ("negative", "positive")[row[-1]]
            assert vector == pytest.approx(row[:-1], rel=1e-5, abs=1e-5)


def test_a_repeated_segment_is_rejected_and_is_once_in_the_order(store: GraphStore, tmp_path: Path) -> None:
    """A file that was exported twice: the repeats are rejects, and neither order nor replies nor speakers know them."""
    rows = ["d1,1,ana,Hello?", "d1,2,ben,Yes.", "d1,3,ana,Well."]
    (tmp_path / "talk").mkdir()
    (tmp_path / "talk" / "segments.csv").write_text("\n".join(["dialogue,turn,speaker,text", *rows, *rows[:2]]) + "\n")
    report = ingest(store, "dialogue", tmp_path / "talk")
    assert report.rows["segment"] == 3 and report.rejects == {"segments": {"duplicate id": 2}}
    assert edges(store, "next") == [("d1/1", "d1/2"), ("d1/2", "d1/3")]
    assert edges(store, "replies") == [("d1/2", "d1/1"), ("d1/3", "d1/2")]
    assert edges(store, "speaks", "user") == [("ana", "d1/1"), ("ben", "d1/2"), ("ana", "d1/3")]
