"""Stores beside another process that writes them, their rights, and their neighbors in the folder."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import write_social

import graphsocial as gs
from graphsocial.cli.main import main
from graphsocial.errors import InputError, StoreError
from graphsocial.store.beside import file_name, runs_folder

WRITER = """
import sys
import time
import graphsocial as gs
with gs.open(sys.argv[1]) as store:
    store.connection.execute("create table a (n bigint, t varchar)")
    store.connection.execute("create table b (n bigint, t varchar)")
    print("ready", flush=True)
    for step in range(10_000):
        with store.transaction():
            for name in "ab":
                store.connection.execute(
                    f"insert into {name} select ?, md5(range::varchar) from range(?)", [step, 1 + step * 977 % 9_000]
                )
        if step % 5 == 4:
            store.connection.execute("checkpoint")
        time.sleep(0.02)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with gs.open(tmp_path / "social.duckdb") as store:
        write_social(store)
    return tmp_path / "social.duckdb"


@pytest.fixture
def writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes two tables alike, in transactions, and merges them into the file now and then."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_what_is_read_beside_a_writer_is_a_committed_state(path: Path, writer: subprocess.Popen[str]) -> None:
    states = []
    for _ in range(12):
        with gs.open(path, read_only=True) as store:
            assert store.is_copy and store.path == path
            rows = [store.first(f"select count(*), coalesce(max(n), -1), bit_xor(hash(n, t)) from {x}") for x in "ab"]
            assert rows[0] == rows[1]
            states.append(rows[0])
    assert [state[0] for state in states] == sorted(state[0] for state in states)
    assert len(set(states)) > 2
    assert writer.poll() is None


def test_commands_that_read_work_beside_a_writer(
    path: Path, writer: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["sql", "select count(*) as n from node_user"], ["info"], ["runs"]):
        assert main(["--store", str(path), *command]) == 0
        assert "this is its last committed state" in capsys.readouterr().err
    assert main(["--store", str(path), "ingest", "iesn", str(path.parent)]) == 1
    assert f"is held by process {writer.pid}" in capsys.readouterr().err


def test_wait_waits_for_the_writer(path: Path, writer: subprocess.Popen[str]) -> None:
    code = "import sys; from graphsocial.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["--store", str(path), "sql", "select count(*) as n from node_user", "--wait"]
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True) as waiting:
        time.sleep(1.5)
        assert waiting.poll() is None
        writer.kill()
        out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0 and out.split() == ["n", "40"]


def test_a_store_has_its_owners_rights_alone(tmp_path: Path) -> None:
    path = tmp_path / "social.duckdb"
    with gs.open(path) as store:
        write_social(store)
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        assert set(modes.values()) == {0o600} and "social.duckdb.wal" in modes
    path.chmod(0o640)  # its owner may open it to others
    with gs.open(path) as store, store.transaction():
        store.connection.execute("create table x as select 1 as n")
    with gs.open(path) as store:
        write_social(store, dataset="more")
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o640}


def test_stores_of_two_endings_are_two_stores(tmp_path: Path) -> None:
    assert runs_folder(tmp_path / "x.duckdb") != runs_folder(tmp_path / "x.db")
    assert runs_folder(tmp_path / "x.duckdb") == tmp_path / "x.runs"


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "a\\b", "..", "", "two\nlines", "x" * 300])
def test_a_datasets_name_is_no_path(tmp_path: Path, name: str) -> None:
    with gs.open(tmp_path / "social.duckdb") as store, pytest.raises(InputError, match="names the dataset"):
        write_social(store, dataset=name)


@pytest.mark.parametrize("name", ["../../escaped", "/etc/passwd", "..", "a\x00b", "ж" * 300, ".hidden"])
def test_a_name_from_a_store_gives_a_file_in_the_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{file_name(name)}.html"
    path.write_text("")
    assert path.resolve().parent == tmp_path and list(tmp_path.iterdir()) == [path]


def test_a_locked_store_sees_no_other_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with gs.open(path) as store:  # views of someone else's store are data too
        store.connection.execute(f"create view spy as select * from read_csv('{tmp_path / 'secret.csv'}')")
    with gs.open(path, locked=True) as store:
        for query in (
            "select * from spy",
            f"copy (select 1) to '{tmp_path / 'out.csv'}'",
            f"copy (select 1) to '{path}'",
            f"attach '{tmp_path / 'other.duckdb'}' as other",
            "set enable_external_access = true",
            "install httpfs",
        ):
            with pytest.raises(InputError, match=r"disabled|locked|extensions"):
                store.sql(query).fetchall()
        with store.transaction():
            store.connection.execute("create table still_writable as select 1 as n")


def test_names_that_are_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be the name of a store"):
        gs.open(tmp_path / ("x" * 300))
    with pytest.raises(StoreError, match="There is no folder"):
        gs.open(tmp_path / "absent" / "x.duckdb")
