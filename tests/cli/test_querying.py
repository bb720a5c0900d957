"""The command sql: one statement, the store alone, results as tables, CSV, JSON and files."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from conftest import write_social
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial.cli.main import main
from graphsocial.cli.values import CONTROL, FORMULA, escaped, unformulaic


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sql") / "social.duckdb"
    with gs.open(path) as store:
        write_social(store)
    return path


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("copy (select 1) to 'x.csv'", "sees the store and nothing else"),
        ("copy node_user to 'social.duckdb'", "sees the store and nothing else"),
        ("select * from read_text('/etc/passwd')", "--unlocked"),
        ("select * from glob('/etc/*')", "--unlocked"),
        ("attach 'other.duckdb' as other", "--unlocked"),
        ("install httpfs", "--unlocked"),
        ("export database 'folder'", "--unlocked"),
        ("set enable_external_access = true", "sees the store and nothing else"),
        ("select 1; select 2", "2 statements"),
        ("select 1; copy (select 1) to 'x.csv'", "2 statements"),
        ("drop table node_user", "only reads"),
    ],
)
def test_sql_reads_the_store_alone(
    path: Path, query: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    before, files = path.read_bytes(), sorted(path.parent.iterdir())
    assert main(["--store", str(path), "sql", query]) == 1
    assert words in capsys.readouterr().err
    assert path.read_bytes() == before and sorted(path.parent.iterdir()) == files


def test_unlocked_says_what_it_opens(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more.csv").write_text("a\n1\n2\n")
    query = f"select sum(a) as n from read_csv('{tmp_path / 'more.csv'}')"
    assert main(["--store", str(path), "sql", query, "--unlocked"]) == 0
    out, err = capsys.readouterr()
    assert out.split() == ["n", "3"] and "read and write every file" in err


def test_out_writes_what_the_query_gives(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "select id, age, [age] as ages, date '2016-01-02' as day from node_user order by idx"
    for suffix in ("parquet", "csv", "json"):
        file = tmp_path / f"users.{suffix}"
        file.write_text("older")
        assert main(["--store", str(path), "sql", query, "--out", str(file)]) == 0
    ids = [f"u{n}" for n in range(40)]
    parquet = pl.read_parquet(tmp_path / "users.parquet")
    assert parquet["id"].to_list() == ids and parquet.schema["ages"] == pl.List(pl.Float64)
    with (tmp_path / "users.csv").open(newline="") as lines:
        assert [row["id"] for row in csv.DictReader(lines)] == ids
    assert [row["age"] for row in json.loads((tmp_path / "users.json").read_text())] == parquet["age"].to_list()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["users.csv", "users.json", "users.parquet"]
    capsys.readouterr()
    for name, words in (("x.txt", "must end with"), ("absent/x.csv", "There is no folder")):
        assert main(["--store", str(path), "sql", query, "--out", str(tmp_path / name)]) in (1, 2)
        assert words in capsys.readouterr().err
    failing = "select case when range > 100000 then error('boom') end as x from range(200000)"
    assert main(["--store", str(path), "sql", failing, "--out", str(tmp_path / "users.csv")]) == 1
    assert (tmp_path / "users.csv").read_text().startswith("id,age")  # the older file is whole
    assert main(["--store", str(path), "sql", "select 1 as a where false", "--out", str(tmp_path / "no.parquet")]) == 0
    assert pl.read_parquet(tmp_path / "no.parquet").shape == (0, 1)


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"], ["--csv-safe"]])
@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::date",
        "'-infinity'::timestamp",
        "'0044-03-15 (BC)'::date",
        "'20000-01-01'::timestamptz",
        "['infinity'::date]",
        "{'a': '0044-03-15 (BC)'::timestamp}",
        "interval '400000 years'",
    ],
)
def test_times_that_python_does_not_know_are_printed(
    path: Path, value: str, form: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(path), "sql", f"select {value} as t, 1 as n", *form]) == 0
    assert "n" in capsys.readouterr().out


@given(st.text())
def test_control_characters_are_escaped(text: str) -> None:
    assert not CONTROL.search(escaped(text))
    assert escaped(text) == text or CONTROL.search(text)


@given(st.text())
def test_no_cell_of_safe_csv_begins_like_a_formula(text: str) -> None:
    assert not unformulaic(text).lstrip(" ").startswith(FORMULA)
    assert unformulaic(text) in (escaped(text), f"'{escaped(text)}")


@settings(max_examples=10, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_json_keeps_every_text(path: Path, text: str) -> None:
    literal = "'" + text.replace("'", "''").replace("\0", "") + "'"
    file = path.parent / "text.json"
    assert main(["--store", str(path), "--quiet", "sql", f"select {literal} as t", "--out", str(file)]) == 0
    assert json.loads(file.read_text(encoding="utf-8")) == [{"t": text.replace("\0", "")}]


def test_a_terminal_gets_a_screenful(path: Path) -> None:
    lines = _on_terminal("--store", path, "sql", "select range as n from range(100000000)")
    assert len(lines) < 60 and lines[0].endswith("n") and "The first" in lines[-1]
    lines = _on_terminal("--store", path, "sql", "select range as n from range(500)", "--all")
    assert lines[-1].strip() == "499"


def _on_terminal(*arguments: str | Path) -> list[str]:
    controller, terminal = pty.openpty()
    code = "from graphsocial.cli.main import run; run()"
    with subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=terminal, stderr=terminal):
        os.close(terminal)
        printed = b""
        while True:
            try:
                piece = os.read(controller, 65536)
            except OSError:  # the terminal's other end is closed
                break
            printed += piece
    os.close(controller)
    return printed.decode().replace("\x1b[36m", "").replace("\x1b[0m", "").splitlines()
