"""A damaged store, a full disk and too little memory, in a sentence."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import duckdb
import pytest

import graphsocial as gs
from graphsocial.cli.main import main
from graphsocial.store.faults import readable_tables, sentence


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "social.duckdb"
    with gs.open(path) as store:
        store.connection.execute("create table big as select range as n, md5(range::varchar) as t from range(300000)")
        store.connection.execute("create table small as select range as n from range(10)")
    return path


def damage(path: Path, first: int, length: int = 4096) -> None:
    content = bytearray(path.read_bytes())
    for position in range(first, min(first + length, len(content))):
        content[position] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.slow
def test_a_damaged_store_says_what_can_be_read(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = path.read_bytes()
    draws, partly = random.Random(0), 0
    for _ in range(4):
        path.write_bytes(whole)
        damage(path, draws.randrange(12_288, len(whole)))
        code = main(["--store", str(path), "sql", "select sum(hash(big)) as n from big"])
        out, err = capsys.readouterr()
        if code == 0:  # the damage is elsewhere
            assert out.split()[0] == "n"
            continue
        assert "is damaged; DuckDB says" in err and "held by" not in err
        assert "wait" not in err.lower()
        if "can still be read" in err:
            partly += 1
            good, broken = readable_tables(path)
            assert "small" in good and "big" in broken
            assert "graphsocial sql 'select * from " in err
    assert partly


def test_a_cut_store_is_damaged_and_not_held(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(path.read_bytes()[:600_000])
    assert main(["--store", str(path), "info"]) == 1
    err = capsys.readouterr().err
    assert "damaged" in err and "held" not in err


def test_a_full_disk_names_the_disk(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "report.html"))
    words = sentence(full, tmp_path / "social.duckdb") or ""
    assert f"so '{tmp_path / 'report.html'}' could not be written" in words and "The disk '/" in words
    assert "left undone" in words
    of_duckdb = duckdb.IOException('IO Error: Could not write file "/tmp/x.duckdb.wal": No space left on device')
    assert "so '/tmp/x.duckdb.wal' could not be written" in (sentence(of_duckdb, tmp_path / "x.duckdb") or "")


def test_too_little_memory_is_said(tmp_path: Path) -> None:
    little = {"memory_limit": "20MB", "max_temp_directory_size": "0KB"}
    with duckdb.connect(config=little) as connection, pytest.raises(duckdb.Error) as raised:
        connection.execute("select list(md5(range::varchar)) from range(5000000)").fetchall()
    for error in (raised.value, MemoryError()):
        assert "There is not enough memory" in (sentence(error, tmp_path / "x.duckdb") or "")


def test_other_errors_have_no_such_sentence(tmp_path: Path) -> None:
    store = tmp_path / "x.duckdb"
    for error in (ValueError("a block"), KeyError("lock"), duckdb.BinderException("no column block"), OSError(2, "x")):
        assert sentence(error, store) is None
