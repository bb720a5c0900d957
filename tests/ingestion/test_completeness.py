"""Rows in = rows stored + rejects + rows that a rule left out, over generated files and every format."""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.ingestion import IngestReport, ingest

MAPPING = """
dataset: d
files: {{t: {file}}}
nodes:
  post:
    file: t
    id: id
    where: "coalesce(n, '') <> '7'"
    columns: {{text: text, n: {{kind: number, maximum: 50}}}}
"""


def take(folder: Path, file: str, limit: float = 1.0) -> tuple[IngestReport, list[tuple[str, str | None]]]:
    (folder / "m.yaml").write_text(MAPPING.format(file=file))
    with gs.open(":memory:") as store:
        report = ingest(store, "table", folder / "m.yaml", reject_limit=limit)
        return report, store.sql("select id, text from node_post order by idx").fetchall()


def written(rows: list[tuple[str, str, str]], ending: str, stray: set[int]) -> str:
    """A file in which some rows have a quote at the beginning of their text that is never closed."""
    if ending.startswith("jsonl"):
        lines = [
            json.dumps({"id": key, "text": text, "n": n})[: -1 if number in stray else None]
            for number, (key, text, n) in enumerate(rows)
        ]
        return "".join(f"{line}\n" for line in lines)
    quoted = [f'"{text.replace(chr(34), chr(34) * 2)}"' for _, text, _ in rows]
    lines = [
        f"{key},{'' if number not in stray else chr(34)}{'word' if number in stray else text},{n}"
        for number, ((key, _, n), text) in enumerate(zip(rows, quoted, strict=True))
    ]
    return "".join(f"{line}\n" for line in ["id,text,n", *lines])


keys = st.integers(0, 40).map("p{}".format)
pieces = ["a", "well, yes", 'so "they" say', "é", "", "5, 6"]
numbers = st.sampled_from(["1", "7", "60", "x", ""])


def rows_of(*more: str) -> st.SearchStrategy[list[tuple[str, str, str]]]:
    texts = st.lists(st.sampled_from([*pieces, *more]), max_size=4).map(" ".join)
    return st.lists(st.tuples(keys, texts, numbers), min_size=2, max_size=25)


@given(st.booleans(), st.sampled_from(["csv", "csv.gz", "jsonl"]), st.data())
@settings(max_examples=15, deadline=None, phases=[Phase.reuse, Phase.generate])
def test_rows_in_are_rows_stored_rejects_and_rows_left_out(
    several_lines: bool, ending: str, data: st.DataObject
) -> None:
    rows = data.draw(rows_of("\n") if several_lines else rows_of())
    stray = set() if several_lines else data.draw(st.sets(st.integers(1, len(rows) - 1), max_size=2))
    with tempfile.TemporaryDirectory() as folder:
        content = written(rows, ending, stray).encode()
        file = Path(folder) / f"t.{ending}"
        file.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
        report, stored = take(Path(folder), file.name)
    assert report.read == {"t": len(rows)}
    assert sum(report.rows.values()) + report.rejected + sum(report.left_out.values()) == len(rows)
    sound = [(key, n, text) for i, (key, text, n) in enumerate(rows) if i not in stray and n in ("1", "")]
    first = {key: text.strip(" ") or None for key, _, text in reversed(sound)}
    assert dict(stored) == first


@pytest.mark.parametrize("close", [None, 1500])
def test_a_stray_quote_in_a_long_file_costs_one_row(tmp_path: Path, close: int | None) -> None:
    lines = [f'p{n},"text, {n}",{n % 5}' if n % 9 == 0 else f"p{n},text {n},{n % 5}" for n in range(20_000)]
    lines[10] = 'p10,"stray,1'
    if close:
        lines = [line.replace('"', "") if line != lines[10] else line for line in lines]
        lines = [line if line.count(",") == 2 else line.replace("text, ", "text ") for line in lines]
        lines[close] = f'p{close},end",1'
    (tmp_path / "t.csv").write_text("\n".join(["id,text,n", *lines]) + "\n")
    report, stored = take(tmp_path, "t.csv", 0.5)
    assert (report.read, report.rows, report.rejected) == ({"t": 20_000}, {"post": 19_999}, 1)
    assert {key for key, _ in stored} == {f"p{n}" for n in range(20_000)} - {"p10"}


def test_rows_that_are_swallowed_count_for_the_limit(tmp_path: Path) -> None:
    lines = [f'p{n},"stray,1' for n in range(30)] + [f"p{n},fine,1" for n in range(30, 50)]
    (tmp_path / "t.csv").write_text("\n".join(["id,text,n", *lines]) + "\n")
    with pytest.raises(InputError, match=r"30 of 50 rows of '.*t.csv' cannot be used"):
        take(tmp_path, "t.csv", 0.5)


def test_a_row_of_many_megabytes_is_one_reject(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "t.csv.gz", "wb", compresslevel=1) as file:
        file.write(b"id,text,n\na,x,1\nb,")
        for _ in range(40):
            file.write(b"x" * 1_000_000)
        file.write(b",1\n" + b"".join(b"c%d,x,1\n" % number for number in range(100)))
    report, _ = take(tmp_path, "t.csv.gz", 0.5)
    assert report.rows == {"post": 101} and report.rejects == {"t": {"the row is too long": 1}}


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,text,n\na,x,1\n")
    (tmp_path / "m.yaml").write_text(MAPPING.format(file="t.csv"))

    def append(what: str, done: int, of: int) -> None:
        with file.open("a") as more:
            more.write("b,y,1\n")

    with gs.open(tmp_path / "s.duckdb") as store:
        with pytest.raises(InputError, match="changed while they were read"):
            ingest(store, "table", tmp_path / "m.yaml", progress=append)
        assert store.datasets() == []
        assert ingest(store, "table", tmp_path / "m.yaml").rows == {"post": 2}


def test_parquet_rows_are_counted_too(tmp_path: Path) -> None:
    pl.DataFrame({"id": ["a", "b", "b"], "text": ["x", None, "y"], "n": ["1", "7", "60"]}).write_parquet(
        tmp_path / "t.parquet"
    )
    report, _ = take(tmp_path, "t.parquet")
    assert (report.read, report.rows, report.rejected, report.left_out) == ({"t": 3}, {"post": 1}, 1, {"post": 1})


WAITING = """
import sys, time
from pathlib import Path
from graphsocial.cli.main import main
import graphsocial.ingestion as ingestion

whole = ingestion.ingest
def slowly(store, *arguments, **settings):
    Path(sys.argv[1], "held").touch()
    while not Path(sys.argv[1], "go").exists():
        time.sleep(0.01)
    return whole(store, *arguments, **settings)
ingestion.ingest = slowly
sys.exit(main(["--store", "s.duckdb", "--quiet", "ingest", "table", "m.yaml"]))
"""


def test_of_two_first_ingests_the_one_without_the_lock_leaves_the_other_ones_store(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,text,n\na,x,1\n")
    (tmp_path / "m.yaml").write_text(MAPPING.format(file="t.csv"))
    first = subprocess.Popen([sys.executable, "-c", WAITING, str(tmp_path)], cwd=tmp_path, env=os.environ)
    while not (tmp_path / "held").exists():
        assert first.poll() is None
    command = [sys.executable, "-c", "import sys; from graphsocial.cli.main import main; sys.exit(main(sys.argv[1:]))"]
    words = ["--store", "s.duckdb", "ingest", "table", "m.yaml"]
    second = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    (tmp_path / "go").touch()
    assert first.wait() == 0
    assert second.returncode == 1 and "is held by process" in second.stderr
    with gs.open(tmp_path / "s.duckdb", read_only=True) as store:
        assert store.datasets() == ["d"]


def test_a_failed_first_ingest_leaves_no_file_and_a_later_one_leaves_the_store(tmp_path: Path) -> None:
    from graphsocial.cli.main import main

    (tmp_path / "m.yaml").write_text(MAPPING.format(file="t.csv"))
    words = ["--store", str(tmp_path / "s.duckdb"), "--quiet", "ingest", "table", str(tmp_path / "m.yaml")]
    assert main(words) == 1 and not list(tmp_path.glob("s.duckdb*"))
    (tmp_path / "t.csv").write_text("id,text,n\na,x,1\n")
    assert main(words) == 0
    (tmp_path / "t.csv").write_text("id,text\nb,x\n")
    assert main(words) == 1
    with gs.open(tmp_path / "s.duckdb", read_only=True) as store:
        assert store.sql("select id from node_post").fetchall() == [("a",)]


@pytest.mark.parametrize("place", ["mapping", "file"])
def test_a_name_that_is_too_long_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    from graphsocial.cli.main import main

    (tmp_path / "m.yaml").write_text(MAPPING.format(file=f"{'x' * 300}.csv"))
    mapping = tmp_path / ("m.yaml" if place == "file" else f"{'x' * 300}.yaml")
    assert main(["--store", str(tmp_path / "s.duckdb"), "ingest", "table", str(mapping)]) == 1
    assert "is too long for a file: a name has at most 255 bytes" in capsys.readouterr().err
