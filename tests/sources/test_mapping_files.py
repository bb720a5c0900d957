"""What a mapping says about files and values: options, times, ids, numbers, labels, lists."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.ingestion import IngestReport, ingest, times
from graphsocial.store.sql import literal

PEOPLE = "dataset: d\nfiles: {t: FILE}\nnodes:\n  p: {file: t, id: id, columns: {COLUMNS}}\n"
Taken = tuple[IngestReport, list[tuple[Any, ...]], dict[int, str]]


@pytest.fixture
def take(tmp_path: Path, empty_store: Path) -> Callable[..., Taken]:
    def run(content: str | bytes, file: str = "t.csv", columns: str = "", name: str = "t.csv") -> Taken:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (tmp_path / "m.yaml").write_text(PEOPLE.replace("FILE", file).replace("COLUMNS", columns))
        with gs.open(Path(shutil.copy(empty_store, tmp_path))) as store:
            report = ingest(store, "table", tmp_path / "m.yaml", reject_limit=1.0)
            rows = store.sql("select * exclude (idx, dataset) from node_p order by idx").fetchall()
            return report, rows, dict(store.sql("select line, reason from rejects order by line").fetchall())

    return run


Take = Callable[..., Taken]
NOON = datetime(2021, 7, 15, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1626350400", NOON),
        ("1626350400000", NOON),
        ("1626350400000000", NOON),
        ("1626350400.5", NOON + timedelta(seconds=0.5)),
        ("Thu, 15 Jul 2021 14:00:00 +0200", NOON),
        ("Thu, 15 Jul 2021 08:00:00 EDT", NOON),
        ("15 Jul 2021 12:00:00 GMT", NOON),
        ("Thu Jul 15 12:00:00 +0000 2021", NOON),
        ("2021-07-15 08:00:00 EDT", NOON),
        ("2021-07-15 07:00:00 EST", NOON),
        ("2021-07-15 08:00:00 America/New_York", NOON),
        ("2021-07-15 14:00 CEST", NOON),
        ("2021-07-15T12:00:00Z", NOON),
        ("2021/07/15", NOON - timedelta(hours=12)),
    ],
)
def test_usual_notations_of_times_are_read(take: Take, text: str, time: datetime) -> None:
    assert take(f'id,at\na,"{text}"\n', columns="at: timestamp")[1] == [("a", time)]


@given(st.datetimes(datetime(1975, 1, 1), datetime(2030, 1, 1)).map(lambda time: time.replace(microsecond=0)))
@settings(max_examples=15, deadline=None)
def test_a_time_is_the_same_in_every_notation(time: datetime) -> None:
    utc = time.replace(tzinfo=timezone.utc)
    texts = [utc.isoformat(), str(int(utc.timestamp())), str(int(utc.timestamp()) * 1000), format_datetime(utc)]
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        read = [connection.sql(f"select {times.value(None, literal(text))}").fetchall()[0][0] for text in texts]
        written = literal(time.strftime("%d/%m/%Y %H:%M"))
        day = connection.sql(f"select {times.value('%d/%m/%Y %H:%M', written)}").fetchall()
    assert read == [utc] * 4
    assert day == [(utc.replace(second=0),)]


@pytest.mark.parametrize(
    "text", ["14/05/23", "5/14/23 10:00", "14.05.23", "1-2-03", "2021-07-15 10:00 XYZ", "14.05.2023"]
)
def test_ambiguous_times_are_rejects_and_a_format_reads_them(take: Take, text: str) -> None:
    _, rows, rejects = take(f"id,at\na,{text}\n", columns="at: timestamp")
    assert not rows and text in rejects[2]
    assert ("two digits" in rejects[2]) == (text not in ("2021-07-15 10:00 XYZ", "14.05.2023"))
    content = "id,at\na,03/01/23\nb,31/12/23 \nc,2023-01-01\n"
    _, rows, rejects = take(content, columns='at: {kind: timestamp, format: "%d/%m/%y"}')
    assert [time.date().isoformat() for _, time in rows] == ["2023-01-03", "2023-12-31"]
    assert rejects == {4: "at is not a time written like %d/%m/%y: 2023-01-01"}


def test_ids_of_doubles_are_whole_numbers_or_rejects(take: Take) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"id": [1.294030472427835393e18, 5.0, 2.0**53 - 1]}).write_parquet(buffer)
    _, rows, rejects = take(buffer.getvalue(), "t.parquet", name="t.parquet")
    assert rows == [("5",), ("9007199254740991",)] and "rounded" in rejects[1]
    _, rows, rejects = take("id\n12e34\n1294030472427835393\n1,2E+10\n".replace("1,2E", "1.2E"))
    assert rows == [("12e34",), ("1294030472427835393",)] and list(rejects) == [4]


@pytest.mark.parametrize(
    ("content", "file", "numbers"),
    [
        ("id;n\na;1,5\nb;1.234\n", "t.csv", [1.5, 1234]),
        ("id;n\na;1.5\nb;1,234\n", "t.csv", [1.5, None]),
        ("id;n\na;1,234\n", "t.csv", [None]),
        ('id,n\na,"1,234.5"\nb,"1,23"\n', '{path: t.csv, thousands: ","}', [1234.5, None]),
        ('id,n\na,"-1 234,5"\n', '{path: t.csv, thousands: " ", decimal: ","}', [-1234.5]),
    ],
)
def test_separators_of_numbers(take: Take, content: str, file: str, numbers: list[float | None]) -> None:
    _, rows, rejects = take(content, file, "n: number")
    assert [number for _, number in rows] == [number for number in numbers if number is not None]
    assert len(rejects) == numbers.count(None)


@pytest.mark.parametrize(
    ("content", "file", "rows", "line"),
    [
        ("junk\nmore, junk\nid,n\n#x,9\na,1\nb,?\n", '{path: t.csv, skip: 2, comment: "#"}', [("a", 1)], 6),
        ('// junk\nid,n\na,1\n// b\n"// c",3\nd,?\n', '{path: t.csv, comment: "//"}', [("a", 1), ("// c", 3)], 6),
        ("#love,5\nhate,3\n#x,?\n", "{path: t.csv, header: false, names: [id, n]}", [("#love", 5), ("hate", 3)], 3),
        ("# by us\n# id,n\na,1\nb,?\n", "t.csv", [("a", 1)], 4),
        ("# by us, 2020\nid,n\na,1\nb,?\n", "t.csv", [("a", 1)], 4),
        ("\n\nid,n\na,1\nb,?\n", "t.csv", [("a", 1)], 5),
    ],
)
def test_lines_that_are_no_rows(take: Take, content: str, file: str, rows: list[tuple[str, int]], line: int) -> None:
    _, stored, rejects = take(content, file, "n: number")
    assert (stored, list(rejects)) == (rows, [line])


RECORDS = [{"id": "a", "n": 1}, {"id": "b", "n": 2.5}, {"id": "ü", "n": None}]


@pytest.mark.parametrize("form", ["lines", "array", "pretty array", "run together", "pretty", "document", "by id"])
@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.txt"])
def test_json_in_every_form(take: Take, form: str, name: str) -> None:
    lines = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
    content = {
        "lines": "\n".join(lines),
        "array": json.dumps(RECORDS),
        "pretty array": json.dumps(RECORDS, indent=1),
        "run together": "".join(lines),
        "pretty": "\n".join(json.dumps(record, indent=1) for record in RECORDS),
        "document": json.dumps({"data": {"items": RECORDS}, "more": 1}),
        "by id": json.dumps({"data": {"items": {record["id"]: record for record in RECORDS}}}, indent=1),
    }[form]
    file = f"{{path: {name}, records: data.items}}" if form in ("document", "by id") else name
    assert take(content, file, "n: number", name)[1] == [("a", 1), ("b", 2.5), ("ü", None)]


@pytest.mark.parametrize(
    ("content", "file", "message"),
    [
        ('{"id":"a"}', '{path: t.jsonl, delimiter: ";"}', "is a JSON file, for which `delimiter` does nothing"),
        ('{"id":"a"}', "{path: t.jsonl, header: false}", "is a JSON file, for which `header` does nothing"),
        ('{"id":"a"}', "{path: t.jsonl, records: x.y}", "has no 'x' of `records: x.y`. There: id"),
        ('{"a":[{"id":"a"}],\n"b":1}', "t.jsonl", "say where they are: `records: a`"),
        ('{"id":"a"}'.encode("utf-16"), "t.jsonl", "is not UTF-8 but UTF-16; set `encoding: utf-16`"),
        ("{\n'id': 1}", "t.jsonl", "is not JSON from line 2 on"),
    ],
)
def test_json_that_is_not_read_is_said(take: Take, content: str | bytes, file: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        take(content, file, name="t.jsonl")


def test_labels_without_answers(take: Take) -> None:
    content = "id,e\na,1\nb,1.0\nc,Joy\nd,joy\ne,-\nf,NaN\ng,none\n"
    report, rows, _ = take(content, columns="e: {kind: category, role: label}")
    assert [label for _, label in rows] == ["1", "1.0", "Joy", "joy", None, None, "none"]
    assert report.notes[0].startswith("2 values of 'e' are no answers") and len(report.notes) == 3
    _, rows, _ = take(content, columns="e: {kind: category, role: label, no_answer: [none]}")
    assert [label for _, label in rows] == ["1", "1.0", "Joy", "joy", "-", "NaN", None]
    assert take(content, columns="e: category")[1][4:] == [("e", "-"), ("f", "NaN"), ("g", "none")]


TWEETS = [
    {"id": "t1", "author": "ann", "m": ["bob", "cid"], "o": [{"id": "bob"}]},
    {"id": "t2", "author": "bob", "m": [], "o": []},
    {"id": "t3", "author": "cid", "m": ["ann", None, "zed"], "o": [{"id": "x"}]},
    {"id": "t4", "author": "dan"},
]
LISTS = """dataset: d
files: {t: FILE}
nodes:
  tweet: {file: t, id: id}
  user: {ids_from: [t.author, {each: t.o, entry: id}]}
edges:
  - {type: tweet mentions user, file: t, src: id, each: m}
  - {type: tweet tags user, file: t, src: id, each: o, dst: {entry: id}}
  - {type: user named tweet, file: t, each: m, dst: id, where: "id <> 't1'"}
"""


def ends(store: gs.GraphStore, table: str) -> list[tuple[str, str]]:
    entry = next(edge for edge in store.schema.edges if edge.table == table)
    return store.sql(
        f"select s.id, d.id from {table} e join node_{entry.src} s on s.idx = e.src "
        f"join node_{entry.dst} d on d.idx = e.dst order by e.idx"
    ).fetchall()


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_entries_of_lists_become_edges_and_each_is_accounted_for(tmp_path: Path, name: str) -> None:
    if name == "t.jsonl":
        (tmp_path / name).write_text("\n".join(map(json.dumps, TWEETS)))
    else:
        pl.DataFrame(TWEETS).write_parquet(tmp_path / name)
    (tmp_path / "m.yaml").write_text(LISTS.replace("FILE", name))
    with gs.open(tmp_path / "s.duckdb") as store:
        report = ingest(store, "table", tmp_path / "m.yaml", reject_limit=1.0)
        assert ends(store, "edge_tweet_mentions_user") == [("t1", "bob"), ("t1", "cid"), ("t3", "ann")]
        assert ends(store, "edge_tweet_tags_user") == [("t1", "bob"), ("t3", "x")]
        assert ends(store, "edge_user_named_tweet") == [("ann", "t3")]
        reasons = sorted(reason for (reason,) in store.sql("select reason from rejects").fetchall())
    assert reasons == ["no user has the id: zed"] * 2 + ["the user is missing"] * 2
    assert report.left_out["user named tweet"] == 2  # of t1


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ("{type: tweet mentions user, file: t, src: id}", "needs src and dst"),
        ("{type: tweet mentions user, file: t, each: m}", "needs src and dst"),
        ("{type: tweet mentions user, file: t, src: id, dst: {entry: id}}", "needs src and dst"),
        ("{type: tweet mentions user, file: t, src: id, each: nothing}", "has no column 'nothing'"),
    ],
)
def test_edges_without_an_end_are_errors(tmp_path: Path, edge: str, message: str) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, TWEETS)))
    (tmp_path / "m.yaml").write_text(f"{LISTS.partition('edges')[0].replace('FILE', 't.jsonl')}edges:\n  - {edge}\n")
    with gs.open(tmp_path / "s.duckdb") as store, pytest.raises(InputError, match=message):
        ingest(store, "table", tmp_path / "m.yaml")


def test_rules_of_one_type_add_their_rows_and_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,author,reply_to,quoted,at\n1,a,b,c,2020-01-01\n2,b,c,,2020-01-02\n3,c,a,b,\n")
    mapping = """dataset: d
files: {t: t.csv}
nodes: {user: {ids_from: [t.author]}}
edges:
  - {type: user names user, file: t, src: author, dst: reply_to, columns: {how: {kind: category, sql: "'reply'"}}}
  - {type: user names user, file: t, src: author, dst: quoted, where: quoted is not null, time: at,
     columns: {how: {kind: category, sql: "'quote'"}}}
"""
    (tmp_path / "m.yaml").write_text(mapping)
    with gs.open(tmp_path / "s.duckdb") as store:
        report = ingest(store, "table", tmp_path / "m.yaml")
        assert report.rows["user names user"] == 5 and report.left_out["user names user"] == 1
        assert store.sql(
            'select how, count(*), count("at") from edge_user_names_user group by 1 order by 1'
        ).fetchall() == [
            ("quote", 2, 1),
            ("reply", 3, 0),
        ]
        (tmp_path / "m.yaml").write_text(mapping.replace("kind: category, sql: \"'quote'\"", 'kind: number, sql: "1"'))
        with pytest.raises(InputError, match=r"'how' of 'user names user' is category .* in one place and number"):
            ingest(store, "table", tmp_path / "m.yaml")


def test_exact_absolute_and_hidden_names(tmp_path: Path, take: Take) -> None:
    (tmp_path / "far [1].csv").write_text("id\nz\n")
    assert take("", f'"{tmp_path / "far [1].csv"}"', name="empty.csv")[1] == [("z",)]
    (tmp_path / "parts").mkdir()
    for name in ("a.csv", "._a.csv", ".b.csv"):
        (tmp_path / "parts" / name).write_text("id\nq\n" if name == "a.csv" else "\0junk")
    assert take("", f'"{tmp_path}/parts/*.csv"', name="empty.csv")[1] == [("q",)]
    assert take("", "parts", name="empty.csv")[1] == [("q",)]
