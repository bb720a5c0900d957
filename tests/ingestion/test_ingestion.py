"""Files written by each test go in; the store, the report and the table `rejects` say what became of every row."""

import csv
import gzip
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

import graphsocial as gs
from graphsocial.errors import InputError, MissingFileError, StoreError, UnknownNameError
from graphsocial.ingestion import IngestReport, ingest
from graphsocial.sources.base import Plan, RawColumn, RawTable, Rows
from graphsocial.store import GraphStore
from graphsocial.types import Column, EdgeType, NodeType

THING = NodeType(
    "thing",
    (
        Column("number", "number"),
        Column("whole", "integer"),
        Column("yes", "boolean"),
        Column("tone", "category"),
        Column("feelings", "categories"),
        Column("vector", "vector"),
        Column("at", "timestamp"),
        Column("words", "text"),
    ),
)
LIKES = EdgeType("thing", "likes", "thing")
THINGS = (
    RawColumn("key", required=True),
    RawColumn("number", "number", minimum=1, maximum=9),
    RawColumn("whole", "integer"),
    RawColumn("yes", "boolean"),
    RawColumn("tone", "category", values=("low", "high")),
    RawColumn("feelings", "categories", values=("awe", "fear")),
    RawColumn("vector", "vector"),
    RawColumn("at", "timestamp"),
    RawColumn("words"),
)


@dataclass(frozen=True)
class Things:
    """A source of one node table and, where there is a file, one edge table."""

    encoding: str = "utf-8"
    pattern: str = "things.*"

    def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
        files = tuple(sorted(path.glob(self.pattern)))
        tables = [RawTable("things", files, THINGS, encoding=self.encoding)]
        rows = [Rows(THING, "things", {"id": "key"}, {column.name: f'"{column.name}"' for column in THING.columns})]
        if likes := tuple(sorted(path.glob("likes.*"))):
            tables.append(RawTable("likes", likes, (RawColumn("a", required=True), RawColumn("b")), required=False))
            rows.insert(0, Rows(LIKES, "likes", {"src": "a", "dst": "b"}, where="b is null or b <> 'nobody'"))
        return Plan(tuple(tables), tuple(rows), path, dataset or path.name)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without data, to copy: quicker than to make one for every test."""
    path = tmp_path_factory.mktemp("empty") / "s.duckdb"
    gs.open(path).close()
    return path


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Iterator[GraphStore]:
    with gs.open(Path(shutil.copy(empty, tmp_path))) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


def put(folder: Path, text: str | bytes, name: str = "things.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def rejects(store: GraphStore) -> list[tuple[str, int, str]]:
    return store.sql("select file, line, reason from rejects order by file, line, reason").fetchall()


def take(store: GraphStore, folder: Path, **options: object) -> IngestReport:
    source = options.pop("source", Things())
    return ingest(store, source, folder, reject_limit=options.pop("reject_limit", 1.0), **options)  # type: ignore[arg-type]


# One bad row, and where it is

GOOD = "key,number,whole,yes,tone,feelings,vector,at,words\nk,5,5,true,low,awe|fear,1|2,2016-05-20,hello\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",5,,,,,,,", "key is missing"),
        ("  ,5,,,,,,,", "key is missing"),
        ("x,five,,,,,,,", "number is not a number: five"),
        ('x,"1,5",,,,,,,', "number is not a number: 1,5"),
        ("x,nan,,,,,,,", "number is not finite: nan"),
        ("x,-inf,,,,,,,", "number is not finite: -inf"),
        ("x,1e999,,,,,,,", "number is not finite: 1e999"),
        ("x,9.01,,,,,,,", "number is not between 1 and 9: 9.01"),
        ("x,0,,,,,,,", "number is not between 1 and 9: 0"),
        ("x,,3.7,,,,,,", "whole is not a whole number: 3.7"),
        ("x,,9223372036854775808,,,,,,", "whole is not a whole number: 9223372036854775808"),
        ("x,,,maybe,,,,,", "yes is not true or false: maybe"),
        ("x,,,,middle,,,,", "tone is not one of low, high: middle"),
        ("x,,,,,awe|joy,,,", "feelings is not among awe, fear: awe|joy"),
        ("x,,,,,awe||fear,,,", "feelings is a malformed list: awe||fear"),
        ('x,,,,,"[""awe"", null]",,,', 'feelings is a malformed list: ["awe", null]'),
        ('x,,,,,"[""awe""",,,', 'feelings is a malformed list: ["awe"'),
        ("x,,,,,,1|two,,", "vector is a malformed list of numbers: 1|two"),
        ("x,,,,,,1||2,,", "vector is a malformed list of numbers: 1||2"),
        ("x,,,,,,1|nan,,", "vector is a malformed list of numbers: 1|nan"),
        ("x,,,,,,1|1e300,,", "vector is a malformed list of numbers: 1|1e300"),
        ('x,,,,,,"[1, 2",,', "vector is a malformed list of numbers: [1, 2"),
        ("x,,,,,,1|2|3,,", "vector has another length: 3"),
        ("x,,,,,,,20/05/2016,", "at is not an ISO 8601 time: 20/05/2016"),
        ("x,,,,,,,2016-02-30,", "at is not an ISO 8601 time: 2016-02-30"),
        ("x,,,,,,,infinity,", "at is not an ISO 8601 time: infinity"),
        ("x,,,,,,,12016-01-01,", "at is not an ISO 8601 time: 12016-01-01"),
        ("x,1,2", "the row has 3 fields, not 9"),
        ("x,,,,,,,,,more", "the row has 10 fields, not 9"),
        ('x,,,,,,,,"open', "a quote is not closed, or text follows a closing quote"),
        ("k,,,,,,,,again", "duplicate id: k"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_reason(store: GraphStore, folder: Path, row: str, reason: str) -> None:
    put(folder, f"{GOOD}k2,,,,,,3|4,,\n\n{row}\n")
    report = take(store, folder)
    assert rejects(store) == [("things.csv", 5, reason)]
    assert report.rejects == {"things": {reason.split(": ")[0]: 1}}
    assert (report.read, report.rows) == ({"things": 3}, {"thing": 2})
    assert store.sql("select record from rejects").fetchall() == [(row,)]


def test_good_values_are_cast_trimmed_and_empty_ones_null(store: GraphStore, folder: Path) -> None:
    put(
        folder,
        f'{GOOD} x , 1 ,5.0,NO, HIGH ,"[\'Awe\', ""fear""]","[1, 2.5]",2016-05-20T12:00:00+02:00,  \ny,,,,,[],,,""\n',
    )
    take(store, folder)
    frame = store.read(THING).pl()
    assert frame.select("id", "number", "whole", "yes", "tone", "words").rows() == [
        ("k", 5.0, 5, True, "low", "hello"),
        ("x", 1.0, 5, False, "high", None),
        ("y", None, None, None, None, None),
    ]
    assert frame["feelings"].to_list() == [["awe", "fear"], ["awe", "fear"], None]
    assert frame["vector"].to_list() == [[1.0, 2.0], [1.0, 2.5], None]
    assert [str(time) for time in frame["at"].to_list()[:2]] == [
        "2016-05-20 00:00:00+00:00",
        "2016-05-20 10:00:00+00:00",
    ]


def test_edges_without_an_endpoint_are_rejected_and_every_row_is_accounted_for(store: GraphStore, folder: Path) -> None:
    put(folder, GOOD.replace("k,", "a,") + "b,,,,,,,,\nb,,,,,,,,\n")
    put(folder, "a,b\na,b\na,c\na,\n,b\na,b\nb,nobody\nb\n", "likes.csv")
    report = take(store, folder)
    assert rejects(store) == [
        ("likes.csv", 3, "no thing has the id: c"),
        ("likes.csv", 4, "the thing is missing"),
        ("likes.csv", 5, "a is missing"),
        ("likes.csv", 8, "the row has 1 fields, not 2"),
        ("things.csv", 4, "duplicate id: b"),
    ]
    assert report.read == {"things": 3, "likes": 7}
    assert report.rows == {"thing": 2, "thing likes thing": 2}  # the same pair twice is two edges
    assert report.left_out == {"thing likes thing": 1}
    assert sum(report.read.values()) == sum(report.rows.values()) + report.rejected + sum(report.left_out.values())
    assert json.loads(json.dumps(report.to_dict()))["rejected"] == 5


# Lines


def test_lines_are_right_after_comments_of_several_lines_blank_lines_and_other_rejects(
    store: GraphStore, folder: Path
) -> None:
    rows = [
        'a,,,,,,,,"one\ntwo, ""three""\n\nfour"\n',  # lines 2-5
        "b,x,,,,,,,\n",  # 6
        "\n",
        "c,1\n",  # 8
        'd,"bad\nnumber",,,,,,,\n',  # 9-10
        "e,,,,,,,,fine\n",  # 11
        "f,0,,,,,,,\n",  # 12
    ]
    for name, ending in (("things.csv", "\n"), ("things_crlf.csv", "\r\n")):
        put(folder, (GOOD.splitlines()[0] + "\n" + "".join(rows)).replace("\n", ending), name)
        take(store, folder, source=Things(pattern=name))
        lines = [(line, reason.split(":")[0]) for _, line, reason in rejects(store)]
        assert lines == [
            (6, "number is not a number"),
            (8, "the row has 2 fields, not 9"),
            (9, "number is not a number"),
            (12, "number is not between 1 and 9"),
        ]
        assert store.read(THING).pl()["words"].to_list()[0] == f'one{ending}two, "three"{ending}{ending}four'


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_of_mixed_line_ends_is_read_too(store: GraphStore, folder: Path, encoding: str) -> None:
    rows = [GOOD, "a,?,,,,,,,\r\n", 'b,,,,,,,,"é\r\ny"\n', "c,1\r", "\r\n", "d,?,,,,,,,\r\n", "e,,,,,,,,\n"]
    content = "".join(rows).encode(encoding)
    if encoding == "utf-8":
        content = content.replace(b"d,?,,", b"d,\xff,,")
    put(folder, content)
    take(store, folder, source=Things(encoding=encoding))
    assert store.read(THING).pl().select("id", "words").rows() == [("k", "hello"), ("b", "é\ny"), ("e", None)]
    assert [(line, reason.split(":")[0]) for _, line, reason in rejects(store)] == [
        (3, "number is not a number"),
        (6, "the row has 2 fields, not 9"),
        (8, "the row is not UTF-8; set `encoding` for this file, latin-1 for example")
        if encoding == "utf-8"
        else (8, "number is not a number"),
    ]


def test_lines_are_right_in_long_files(store: GraphStore, folder: Path) -> None:
    draw = random.Random(0)
    wrong: dict[str, tuple[int, str]] = {}
    line = 2
    with (folder / "things.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(column.name for column in THINGS)
        for number in range(30_000):
            words = "\n".join(f"word{number}" * draw.randint(1, 20) for _ in range(draw.randint(1, 3)))
            kind = draw.random()
            if kind < 0.001:
                wrong[f"n{number}"] = (line, "number is not a number")
                writer.writerow([f"n{number}", "?", *[""] * 6, words])
            elif kind < 0.002:
                wrong[f"n{number}"] = (line, "the row has 8 fields, not 9")
                writer.writerow([f"n{number}", *[""] * 6, words])
            else:
                writer.writerow([f"n{number}", *[""] * 7, words])
            line += 1 + words.count("\n")
    take(store, folder)
    located = store.sql("select split_part(record, ',', 1), line, split_part(reason, ':', 1) from rejects").fetchall()
    assert {key: (at, reason) for key, at, reason in located} == wrong and len(wrong) > 30


@pytest.mark.parametrize("sql", [None, "case when key in ('n1', 'n2', 'n3', 'n4', 'n5', 'n6') then 1 end"])
def test_rows_keep_the_order_of_a_file_that_is_read_in_pieces(store: GraphStore, folder: Path, sql: str | None) -> None:
    """DuckDB turns a long `in (…)` into a join, and joins put rows at the ends of its buffers elsewhere."""
    yes = RawColumn("yes", "boolean", sql=sql)
    tone = RawColumn("tone", "category", values=tuple(f"tone{number}" for number in range(9)))

    @dataclass(frozen=True)
    class Long(Things):
        def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
            table = RawTable("things", (path / "things.csv",), (RawColumn("key"), yes, tone))
            rows = Rows(NodeType("thing", (Column("yes", "boolean"),)), "things", {"id": "key"}, {"yes": "yes"})
            return Plan((table,), (rows,), path, "long")

    padding = "x" * 1000
    keys = [f"n{number}" for number in range(80_000)]
    bad = {key: line for line, key in enumerate(keys, start=2) if line % 9_999 == 0}
    put(
        folder, "key,yes,tone,more\n" + "".join(f"{key},1,{'?' if key in bad else 'tone8'},{padding}\n" for key in keys)
    )
    take(store, folder, source=Long())
    assert store.sql("select id from node_thing order by idx").pl()["id"].to_list() == [k for k in keys if k not in bad]
    assert dict(store.sql("select split_part(record, ',', 1), line from rejects").fetchall()) == bad


def test_several_files_are_one_table_and_rejects_name_theirs(store: GraphStore, folder: Path) -> None:
    put(folder, "key,number\na,1\nb,2\n", "things.1.csv")
    put(folder, "number,key\n3,c\nx,d\n5,e\n", "things.2.csv")  # in another order of columns
    report = take(store, folder)
    assert store.read(THING).pl().select("id", "number").rows() == [("a", 1.0), ("b", 2.0), ("c", 3.0), ("e", 5.0)]
    assert rejects(store) == [("things.2.csv", 3, "number is not a number: x")] and report.read == {"things": 5}


# Formats

TABLE = {
    "key": ["a", "b", "c", "d"],
    "number": [1.5, None, 3.0, 99.0],
    "feelings": [["awe"], ["awe", "fear"], None, None],
    "vector": [[1.0, 2.0], [0.5, 1e-7], None, None],
    "at": ["2016-05-20T12:00:00Z", None, "2016-05-21T00:00:00.5Z", None],
    "words": ['a "quoted", word', "line\nbreak", "näïve 😀", None],
}


def write_as(folder: Path, ending: str) -> None:
    lists = {name: ["|".join(map(str, v)) if v else None for v in TABLE[name]] for name in ("feelings", "vector")}
    flat = pl.DataFrame({**TABLE, **lists})
    frame = pl.DataFrame(TABLE)
    file = folder / f"things.{ending}"
    text = flat.write_csv(separator="\t" if "tsv" in ending else ";" if ending == "semicolon.csv" else ",")
    if "json" in ending:
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in frame.to_dicts()) + "\n"
    if ending == "parquet":
        times = pl.col("at").str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
        frame.with_columns(times, pl.col("vector").cast(pl.List(pl.Float64))).write_parquet(file)
    elif ending.endswith(".gz"):
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "ending", ["csv", "csv.gz", "tsv", "tsv.gz", "semicolon.csv", "parquet", "jsonl", "jsonl.gz", "ndjson"]
)
def test_every_format_gives_the_same_rows(store: GraphStore, folder: Path, ending: str) -> None:
    write_as(folder, ending)
    report = take(store, folder)
    frame = store.read(THING).pl()
    assert frame["id"].to_list() == ["a", "b", "c"]
    for name in ("number", "feelings", "words"):
        assert frame[name].to_list() == TABLE[name][:3]
    assert frame["vector"].to_list()[0] == [1.0, 2.0] and frame["vector"].to_list()[1][1] == pytest.approx(1e-7)
    assert [time and time.isoformat() for time in frame["at"].to_list()] == [
        "2016-05-20T12:00:00+00:00",
        None,
        "2016-05-21T00:00:00.500000+00:00",
    ]
    line = {"parquet": 4}.get(ending, 4 if "json" in ending else 6)  # b has two lines in text; Parquet counts rows
    assert rejects(store) == [(f"things.{ending}", line, "number is not between 1 and 9: 99.0")]
    assert "99.0" in store.sql("select record from rejects").fetchall()[0][0]
    assert report.read == {"things": 4}


def test_a_malformed_json_line_is_a_reject_and_a_blank_one_is_nothing(store: GraphStore, folder: Path) -> None:
    lines = [
        '{"key": "a", "words": "x"}',
        "{'key': 'b'}",
        "",
        "[1]",
        "3",
        '{"key": "c", "number": "?"}',
        '{"words": 1}',
        '{"key": "d"',
    ]
    put(folder, "\n".join(lines), "things.jsonl")
    report = take(store, folder)
    broken = "the line is not a JSON object"
    assert [(line, reason) for _, line, reason in rejects(store)] == [
        (2, broken),
        (4, broken),
        (5, broken),
        (6, "number is not a number: ?"),
        (7, "key is missing"),
        (8, broken),
    ]
    assert report.read == {"things": 7} and report.rows == {"thing": 1}
    assert store.sql("select record from rejects order by line limit 1").fetchall() == [("{'key': 'b'}",)]


def test_json_keys_may_be_strange(store: GraphStore, folder: Path) -> None:
    put(folder, json.dumps({"key": "a", "we/ird~ \"k'ey": 1, "a.b": 2, "words": {"deep": [1]}}), "things.jsonl")
    report = take(store, folder)
    assert report.ignored == {"things": ["a.b", "we/ird~ \"k'ey"]}
    assert store.read(THING).pl()["words"].to_list() == ['{"deep":[1]}']


# Encodings


def test_bytes_that_are_not_utf8_are_rejects_that_say_what_to_set(store: GraphStore, folder: Path) -> None:
    put(folder, GOOD.encode() + "b,,,,,,,,café\n".encode("latin-1") + "c,,,,,,,,café\n".encode())
    take(store, folder)
    assert rejects(store) == [
        ("things.csv", 3, "the row is not UTF-8; set `encoding` for this file, latin-1 for example")
    ]
    assert store.read(THING).pl()["words"].to_list() == ["hello", "café"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "gb18030", "utf-8-sig"])
def test_a_named_encoding_is_read(store: GraphStore, folder: Path, encoding: str) -> None:
    words = "你好" if encoding == "gb18030" else "café"
    put(folder, f"{GOOD}b,,,,,,,,{words}\nc,?,,,,,,,{words}\n".encode(encoding))
    take(store, folder, source=Things(encoding=encoding))
    assert store.read(THING).pl()["words"].to_list() == ["hello", words]
    assert store.sql("select line, record from rejects").fetchall() == [(4, f"c,?,,,,,,,{words}")]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (GOOD.encode("utf-16"), "utf-8", "is not UTF-8 but UTF-16; set `encoding: utf-16`"),
        ("ké,number\na,1\n".encode("latin-1"), "utf-8", "The header of .* is not UTF-8; set `encoding`"),
        (b"key,words\na,\xff\xff\n", "gb18030", "is not gb18030 throughout"),
        (b"key\na\n", "klingon", "'klingon' is no encoding"),
    ],
)
def test_a_wrong_encoding_is_an_error(
    store: GraphStore, folder: Path, content: bytes, encoding: str, message: str
) -> None:
    put(folder, content)
    with pytest.raises(InputError, match=message):
        take(store, folder, source=Things(encoding=encoding))


# Files that cannot be used at all


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; table 'things' needs some rows"),
        ("key,number\n", "has no rows; table 'things' needs some"),
        (
            "Key,number\na,1\n",
            "has no column 'key', which table 'things' needs. Did you mean 'Key'. There: Key, number",
        ),
        ("number\n1\n", "has no column 'key'.*There: number"),
        ("key,number,KEY\na,1,b\n", "two columns called 'KEY'"),
    ],
)
def test_a_file_without_rows_or_columns_is_an_error(
    store: GraphStore, folder: Path, content: str, message: str
) -> None:
    put(folder, content)
    with pytest.raises(InputError, match=message):
        take(store, folder)
    assert store.datasets() == [] and store.sql("select * from node_types").fetchall() == []


@pytest.mark.parametrize("content", ["", "a,b\n"])
def test_an_empty_file_of_an_optional_table_is_no_rows(store: GraphStore, folder: Path, content: str) -> None:
    put(folder, GOOD)
    put(folder, content, "likes.csv")
    assert take(store, folder).rows == {"thing": 1, "thing likes thing": 0}


@pytest.mark.parametrize("name", ["things.csv.gz", "things.parquet", "things.jsonl.gz"])
def test_a_broken_file_is_an_error_that_names_it(store: GraphStore, folder: Path, name: str) -> None:
    whole = gzip.compress(GOOD.encode() * 100) if name.endswith(".gz") else b"PAR1" + b"\0" * 40
    put(folder, whole[:-20], name)
    with pytest.raises(InputError, match=f"{name}' cannot be read"):
        take(store, folder)
    assert store.datasets() == []


def test_more_rejects_than_the_limit_are_an_error_and_nothing_is_written(store: GraphStore, folder: Path) -> None:
    put(folder, GOOD)
    take(store, folder)
    put(folder, f"{GOOD}x,a,,,,,,,\ny,b,,,,,,,\n")
    with pytest.raises(
        InputError, match=r"2 of 3 rows of '.*things.csv' cannot be used.*line 3: number is not a number: a"
    ):
        take(store, folder, reject_limit=0.5)
    assert store.read(THING).pl()["id"].to_list() == ["k"] and rejects(store) == []
    put(folder, f"{GOOD}x,a,,,,,,,\n")  # half is not more than half
    assert take(store, folder, reject_limit=0.5).rejected == 1


def test_edges_most_of_which_lack_an_endpoint_are_an_error(store: GraphStore, folder: Path) -> None:
    put(folder, GOOD)
    put(folder, "a,b\nk,k\nk,x\nk,y\n", "likes.csv")
    with pytest.raises(
        InputError,
        match=r"2 of 3 .*likes.csv.*expects: no thing has the id \(2\)\. line 3: no thing has the id: x; line 4",
    ):
        take(store, folder, reject_limit=0.5)
    assert store.datasets() == []


def test_an_error_about_missing_endpoints_names_the_rejected_nodes(store: GraphStore, folder: Path) -> None:
    put(folder, f"{GOOD}l,5,,,,,,,\nx,bad,,,,,,,\n")
    put(folder, "a,b\nk,k\nk,x\nx,l\n", "likes.csv")
    with pytest.raises(InputError, match=r"likes.csv.*Rejected as well: 1 of 'things'. Correct .* with --reject-limit"):
        take(store, folder, reject_limit=0.5)


def test_an_unknown_source_or_setting_and_a_read_only_store_are_refused(store: GraphStore, folder: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'iesn'\?"):
        ingest(store, "iens", folder)
    with pytest.raises(InputError, match="lables"):
        ingest(store, "iesn", folder, settings={"lables": "given"})
    with pytest.raises(MissingFileError, match="There is no folder"):
        ingest(store, "iesn", folder / "no")
    put(folder, GOOD)
    take(store, folder)
    store.close()
    with gs.open(store.path, read_only=True) as opened, pytest.raises(StoreError, match="reading only"):
        take(opened, folder)


# Again, and others


def test_the_same_files_again_change_nothing_and_others_replace(store: GraphStore, folder: Path) -> None:
    put(folder, f"{GOOD}x,?,,,,,,,\n")
    first = take(store, folder)
    assert first.changed and (first.dataset, first.rows) == ("data", {"thing": 1})
    before = store.data_hash("data")
    again = take(store, folder)
    assert (again.changed, again.rows, again.rejects) == (False, first.rows, first.rejects)
    assert len(rejects(store)) == 1 and store.data_hash("data") == before
    put(folder, "key,number\np,1\nq,2\n")
    assert take(store, folder).changed
    assert store.read(THING).pl()["id"].to_list() == ["p", "q"] and rejects(store) == []
    assert store.datasets() == ["data"]
    assert take(store, folder, source=Things(encoding="latin-1")).changed  # other settings
    assert len(store.sql("select name from datasets where settings like '%latin-1%'").fetchall()) == 1


def test_datasets_live_beside_one_another(store: GraphStore, folder: Path) -> None:
    put(folder, "key\na\nb\n")
    put(folder, "a,b\na,b\n", "likes.csv")
    take(store, folder, dataset="one")
    take(store, folder, dataset="two")
    put(folder, "key\na\nb\nc\n")
    take(store, folder, dataset="one")
    assert store.sql("select dataset, id from node_thing order by idx").fetchall() == [
        *[("two", key) for key in "ab"],
        *[("one", key) for key in "abc"],
    ]
    ends = store.sql(
        "select e.dataset, s.id, d.id, s.dataset from edge_thing_likes_thing e join node_thing s on s.idx = src "
        "join node_thing d on d.idx = dst order by e.idx"
    ).fetchall()
    assert ends == [("two", "a", "b", "two"), ("one", "a", "b", "one")]


def test_progress_is_called_and_source_and_root_are_recorded(store: GraphStore, folder: Path) -> None:
    put(folder, GOOD)
    steps: list[tuple[str, int, int]] = []
    take(store, folder, progress=lambda what, done, of: steps.append((what, done, of)))
    assert steps == [("read things", 0, 1), ("write thing", 0, 1)]
    assert store.sql("select source, root from datasets").fetchall() == [("test_ingestion", str(folder))]


def test_a_source_given_by_its_path_is_recorded_under_the_files_name(
    store: GraphStore, folder: Path, tmp_path: Path
) -> None:
    put(folder, "key\na\n")
    source = tmp_path / "reddit.py"
    source.write_text("""
from dataclasses import dataclass
from graphsocial.sources.base import Plan, RawColumn, RawTable, Rows
from graphsocial.types import NodeType

@dataclass(frozen=True)
class Reddit:
    def plan(self, path, *, dataset=None):
        table = RawTable("things", (path / "things.csv",), (RawColumn("key"),))
        return Plan((table,), (Rows(NodeType("thing"), "things", {"id": "key"}),), path, dataset or path.name)
""")
    assert ingest(store, str(source), folder).changed
    assert store.sql("select source from datasets").fetchall() == [("reddit.py",)]
    source.write_text(source.read_text() + "# the same plan\n")
    assert not ingest(store, str(source), folder).changed


def test_a_process_killed_in_the_middle_leaves_the_store_as_it_was_and_the_same_command_finishes(
    store: GraphStore, folder: Path
) -> None:
    put(folder, GOOD)
    take(store, folder)
    store.close()
    put(folder, "key,words\n" + "".join(f"k{number},{'word ' * 20}\n" for number in range(50_000)))
    put(folder, "a,b\nk1,k2\n", "likes.csv")
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import graphsocial as gs
from test_ingestion import Things, take
def kill(what, done, of):
    if what == "write thing likes thing":
        os.kill(os.getpid(), signal.SIGKILL)
with gs.open({str(store.path)!r}) as store:
    take(store, Path({str(folder)!r}), progress=kill)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with gs.open(store.path) as opened:
        assert opened.read(THING).pl()["id"].to_list() == ["k"] and opened.datasets() == ["data"]
        assert "thing likes thing" not in [str(entry) for entry in opened.schema.types]
        assert take(opened, folder).rows == {"thing": 50_000, "thing likes thing": 1}


TABLES = (
    "select table_name from duckdb_tables() union select view_name from duckdb_views() where not internal "
    "union select table_name from information_schema.tables"
)


def test_nothing_temporary_stays(store: GraphStore, folder: Path) -> None:
    put(folder, f"{GOOD}x,?,,,,,,,\ny,1\nx,,,,,,,,\nx,,,,,,,,\n")  # a bad value, a short row, an id twice
    put(folder, "a,b\nk,nobody at all\n", "likes.csv")
    known = set(store.sql(TABLES).fetchall())
    take(store, folder)
    assert len(rejects(store)) == 4
    assert set(store.sql(TABLES).fetchall()) - known == {("node_thing",), ("edge_thing_likes_thing",)}


@pytest.mark.parametrize(
    ("content", "outer"), [(GOOD + "x,?,,,,,,,\n", False), (GOOD + "x,?,,,,,,,\n", True), ("number\n1\n", False)]
)
def test_nothing_temporary_stays_after_an_error(store: GraphStore, folder: Path, content: str, outer: bool) -> None:
    put(folder, "key\nother\n", "a.things.csv")
    put(folder, content, "b.things.csv")
    known = set(store.sql(TABLES).fetchall())
    with pytest.raises(InputError), store.transaction() if outer else nullcontext():
        take(store, folder, source=Things(pattern="*.csv"), reject_limit=0.1)
    assert set(store.sql(TABLES).fetchall()) == known


def test_columns_may_have_any_name_that_a_type_takes(store: GraphStore, folder: Path) -> None:
    names = ("row", "row_number", "reason", "place", "position", "malformed", "record", "file", "c0", "r0")
    thing = NodeType("thing", tuple(Column(name, "text") for name in names))
    likes = EdgeType("thing", "likes", "thing", thing.columns)

    @dataclass(frozen=True)
    class Named:
        def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
            table = RawTable("things", (path / "things.csv",), tuple(RawColumn(name) for name in ("key", *names)))
            columns = {name: f'"{name}"' for name in names}
            rows = (
                Rows(thing, "things", {"id": "key"}, columns, distinct=True),
                Rows(likes, "things", {"src": "key", "dst": "key"}, columns, distinct=True),
            )
            return Plan((table,), rows, path, "named")

    values = [[f"{name} {key}" for name in names] for key in "ab"]
    put(folder, "\n".join(",".join(row) for row in (["key", *names], ["a", *values[0]], ["b", *values[1]])) + "\n")
    report = take(store, folder, source=Named())
    assert report.rows == {"thing": 2, "thing likes thing": 2} and not report.rejects
    for entry in (thing, likes):
        assert store.read(entry).pl().select(names).rows() == [tuple(row) for row in values]


def test_a_file_with_a_column_that_is_called_as_ours_is_an_error(store: GraphStore, folder: Path) -> None:
    put(folder, "key,__row_number\na,1\n")
    with pytest.raises(InputError, match="has a column '__row_number', which is a name of graphsocial's own"):
        take(store, folder)
