"""Stores of earlier versions: brought up to date whole or not at all, with everything that they can do."""

from __future__ import annotations

import lzma
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import duckdb
import numpy as np
import pytest
import safetensors.numpy

import graphsocial as gs
from graphsocial import runs
from graphsocial._compat.hashing import hash_file
from graphsocial.auditing import audit
from graphsocial.errors import StoreError, TrainingError
from graphsocial.runs import weights
from graphsocial.schemas import names
from graphsocial.store import migrations
from graphsocial.training import carry_out
from graphsocial.training.config import RunConfig

FIXTURE = Path(__file__).parent / "fixtures" / "0.1.0"
VIEWS = (
    "select view_name, sql from duckdb_views() where not internal and view_name not like '%_predictions' order by all"
)
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}
"""The fixture was made on another processor, whose sums of float32 are rounded otherwise."""
WITHOUT_TEXTS = {"user views image.comment": None, "group.description": None}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of 0.1.0 with the weights beside it."""
    path = tmp_path / "store.duckdb"
    path.write_bytes(lzma.decompress((FIXTURE / "store.duckdb.xz").read_bytes()))
    with tarfile.open(FIXTURE / "runs.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return path


def counts(path: Path) -> dict[str, int]:
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = [name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()]
        return {
            name: connection.execute(f'select count(*) from "{name}"').fetchall()[0][0]
            for name in tables
            if name not in ("migrations", "weights", "run_edges")
        }


def finished(store: gs.GraphStore) -> list[str]:
    return [name for (name,) in store.sql("select run_id from runs where status = 'done' order by run_id").fetchall()]


def probabilities(store: gs.GraphStore, run_id: str) -> np.ndarray:
    rows = store.sql(
        "select coalesce(map_values(probabilities), [value, lower, upper]) from predictions where run_id = ? "
        "order by target, entity_id, other_id",
        [run_id],
    ).fetchall()
    return np.concatenate([np.asarray(values, dtype=float) for (values,) in rows])


def test_the_files_of_the_baseline_match_its_fingerprint() -> None:
    """They are history: a change of the tables is a new file."""
    assert migrations.fingerprint() == migrations.FINGERPRINT
    assert [int(name[:3]) for name in names("store", ".sql")] == list(range(1, len(migrations.migrations()) + 1))


def test_a_migrated_store_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    def tables(store: gs.GraphStore) -> list[tuple[str, str]]:
        return store.sql(
            "select table_name, sql from duckdb_tables() "
            "where table_name not similar to '(node|edge|vectors|network)_.*' "
            f"union all {VIEWS}"
        ).fetchall()

    with gs.open(old) as migrated, gs.open(tmp_path / "new.duckdb") as new:
        assert tables(migrated) == tables(new)
        query = "select number, name, version from migrations order by number"
        assert migrated.sql(query).fetchall() == new.sql(query).fetchall()


def test_nothing_is_lost_and_a_copy_is_kept(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    before, hashed = counts(old), old.read_bytes()
    gs.open(old, read_only=True).close()
    assert old.read_bytes() == hashed
    gs.open(old).close()
    assert counts(old) == before
    kept = old.with_name("store.before-005.duckdb")
    assert counts(kept) == before
    assert f"'{old}' was brought up to date with 005_migrations.sql to {names('store', '.sql')[-1]};" in caplog.text
    assert str(kept) in caplog.text
    beside = sorted(path.name for path in kept.with_suffix(".runs").iterdir())
    with gs.open(old) as store:
        assert (
            beside == finished(store) == sorted(name for (name,) in store.sql("select run_id from weights").fetchall())
        )
    assert [path.name for path in old.with_suffix(".runs").iterdir()] == ["hmg_emo-aa0f54eb"]  # not finished
    with duckdb.connect(str(kept), read_only=True) as connection:
        assert connection.execute("select fingerprint from store_version").fetchall() == [(migrations.FINGERPRINT,)]


def test_a_copy_is_never_overwritten(old: Path) -> None:
    taken = old.with_name("store.before-005.duckdb")
    taken.write_text("mine")
    gs.open(old).close()
    assert taken.read_text() == "mine"
    assert counts(old.with_name("store.before-005-2.duckdb")) == counts(old)


def test_an_old_store_is_read_without_writing(old: Path) -> None:
    before = old.read_bytes()
    with gs.open(old, read_only=True) as store:
        assert store.datasets() == ["iesn", "talks", "notes"]
        assert store.sql("select count(test_openings) from leaderboard").fetchall()[0][0] > 0
        assert runs.leaderboard(store, task="popularity").height > 0
        run = runs.load(store, "hmg_emo-171a1752")
        assert RunConfig.from_run(run).fitting.cold_start_share == 0.5
        with pytest.raises(
            TrainingError, match="no weights of the run 'hmg_emo-171a1752': open the store once for writ"
        ):
            weights.load(store, run.id)
    assert old.read_bytes() == before


AUDITS = (
    "insert into audits (run_id, name, verdict, examined, found, detail, examples) "
    "select 'hmg_emo-171a1752', unnest(?), 'pass', 1, 0, '', []"
)
RENAMED = {
    "answers shown": "visible labels",
    "averages of answers": "averages of labels",
    "changed answers": "changed labels",
    "forward edges": "forward edges",
    "later answers": "later labels",
}


@pytest.mark.parametrize("read_only", [False, True])
def test_checks_of_earlier_audits_have_the_new_names(old: Path, read_only: bool) -> None:
    with duckdb.connect(str(old)) as connection:
        connection.execute(AUDITS, [list(RENAMED)])
    query = "select name from audits where run_id = 'hmg_emo-171a1752' and detail = '' order by name"
    with gs.open(old, read_only=read_only) as store:
        assert [name for (name,) in store.sql(query).fetchall()] == sorted(RENAMED.values())


def test_every_finished_run_predicts_as_it_did(old: Path) -> None:
    with gs.open(old) as store:
        before = {run_id: probabilities(store, run_id) for run_id in finished(store)}
        assert len(before) == 11
        for run_id, values in before.items():
            opened = "test" in runs.load(store, run_id).metrics
            if not opened:
                gs.evaluate(store, run_id)  # a trial of a search, whose test part was closed
                values = probabilities(store, run_id)
            assert gs.predict(store, run_id) > 0
            np.testing.assert_allclose(probabilities(store, run_id), values, **ROUNDING, equal_nan=True)


def test_a_copied_file_is_the_whole_store(old: Path, tmp_path: Path) -> None:
    gs.open(old).close()
    (tmp_path / "elsewhere").mkdir()
    alone = Path(shutil.copy(old, tmp_path / "elsewhere" / "alone.duckdb"))
    with gs.open(alone) as store:
        before = probabilities(store, "tmsam-748027d9")
        gs.predict(store, "tmsam-748027d9")
        np.testing.assert_allclose(probabilities(store, "tmsam-748027d9"), before, **ROUNDING)


def test_an_old_run_is_judged_and_explained(old: Path) -> None:
    with gs.open(old) as store:
        run = runs.load(store, "hmg_emo-171a1752")
        recorded = run.metrics["test"]["emotion"]["weighted_f1"]
        scores = gs.evaluate(store, run)["targets"]["emotion"]["metrics"]
        assert scores["weighted_f1"] == pytest.approx(recorded, abs=1e-6)
        compared = gs.compare(store, ["hmg_emo-171a1752", "majority"], samples=100)
        assert {"hmg_emo", "majority"} <= set(compared.scores["model"])
        assert gs.explain(store, run, limit=2).height > 0
        assert audit(store, run, quick=True)
        assert len(runs.leaderboard(store, task="edge-emotion")) > 0


def test_an_old_training_is_the_same_run_and_gives_the_same_numbers(old: Path) -> None:
    """A renamed setting makes no other run of the same: ids are hashes of the names that settings had at first."""
    with gs.open(old) as store:
        run = runs.load(store, "hmg_emo-171a1752")
        config = RunConfig.from_run(run)
        assert config.fitting.cold_start_share == 0.5
        assert carry_out(store, config) == run
        before = probabilities(store, run.id)
        assert carry_out(store, config, again=True).id == run.id
        np.testing.assert_allclose(probabilities(store, run.id), before, rtol=1e-3, atol=1e-3)


def test_an_interrupted_training_goes_on(old: Path) -> None:
    epochs: list[int] = []
    with gs.open(old) as store:
        run = gs.train(
            store,
            "edge-emotion",
            dataset="iesn",
            epochs=5,
            seed=1,
            features=WITHOUT_TEXTS,
            settings={"layers": 1, "width": 8},
            report=lambda epoch: epochs.append(epoch.epoch),
        )
        assert (run.id, run.status) == ("hmg_emo-aa0f54eb", "done")
        assert epochs == list(range(epochs[0], 6))
        assert epochs[0] > 1
    assert not old.with_suffix(".runs").exists()


def test_a_search_goes_on(old: Path) -> None:
    trained: list[int] = []
    with gs.open(old) as store:
        study = gs.tune(
            store,
            "edge-emotion",
            space={"layers": ("1", "2")},
            trials=2,
            dataset="iesn",
            epochs=1,
            features=WITHOUT_TEXTS,
            settings={"width": 8},
            report=lambda step: trained.append(step.number) if step.epoch else None,
        )
    assert study.id == "9eb96cdc03d11214"
    assert trained == []  # both trials were there


def test_a_run_whose_weights_are_missing_or_broken_is_named(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = old.with_suffix(".runs")
    shutil.rmtree(folder / "majority-44fff12f")
    file = folder / "eijl-8cbcc2e5" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with gs.open(old) as store:
        for run_id in ("majority-44fff12f", "eijl-8cbcc2e5"):
            assert f"The run '{run_id}' has no weights" in caplog.text
            with pytest.raises(TrainingError, match=f"no weights of the run '{run_id}': train the run again"):
                gs.predict(store, run_id)
    assert file.exists()  # what was not taken in stays


KILLED = """
import os, pathlib, signal
import graphsocial as gs
from graphsocial.store import migrations
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
setattr({module}, {function!r}, kill)
gs.open({store!r})
"""


def opened_and_killed(path: Path, module: str, function: str) -> None:
    """Open a store in another process, which is killed where it calls a function of `migrations` or of `Path`."""
    child = KILLED.format(module=module, function=function, store=str(path))
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", child], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("migrations", "_copy"),
        ("migrations", "_note"),
        ("migrations", "_take_in_weights"),
        ("migrations.shutil", "copyfile"),
        ("pathlib.Path", "rename"),
    ],
)
def test_a_killed_migration_leaves_a_store_that_opens(old: Path, module: str, function: str) -> None:
    before = counts(old)
    opened_and_killed(old, module, function)
    assert counts(old) == before
    with duckdb.connect(str(old), read_only=True) as connection:
        assert connection.execute("select fingerprint from store_version").fetchall() == [(migrations.FINGERPRINT,)]
    assert not list(old.parent.glob("*.before-005*.duckdb"))
    with gs.open(old) as store:
        assert gs.predict(store, "hmg_emo-171a1752") > 0
        assert {path.name for path in old.parent.glob("store.before*")} == {
            "store.before-005.duckdb",
            "store.before-005.runs",
        }
        beside = sorted(path.parent.name for path in old.parent.glob("store.before-005.runs/*/weights.safetensors"))
        assert beside == finished(store)


def test_weights_that_a_killed_migration_left_are_removed_on_opening(old: Path) -> None:
    broken = old.with_suffix(".runs") / "eijl-8cbcc2e5" / "weights.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1] + b"x")
    opened_and_killed(old, "migrations", "remove_leftovers")  # just after the commit
    kept = old.with_name("store.before-005.runs")
    with duckdb.connect(str(old), read_only=True) as connection:
        taken = sorted(name for (name,) in connection.execute("select run_id from weights").fetchall())
    assert sorted(path.name for path in kept.iterdir()) == taken
    assert len(list(old.with_suffix(".runs").glob("*/weights.safetensors"))) == len(taken) + 1
    gs.open(old, read_only=True).close()
    assert len(list(old.with_suffix(".runs").glob("*/weights.safetensors"))) == len(taken) + 1
    gs.open(old).close()
    assert list(old.with_suffix(".runs").glob("*/weights.safetensors")) == [broken]
    assert sorted(path.name for path in kept.iterdir()) == taken


@pytest.mark.parametrize("what", ["copy of the store", "copy of weights", "commit"])
def test_a_migration_without_space_leaves_all_as_it_was(old: Path, what: str) -> None:
    """A limit of file sizes stands for a full disk."""
    size = old.stat().st_size
    if what != "copy of the store":
        content = safetensors.numpy.save({"noise": np.random.default_rng(0).integers(255, size=size, dtype=np.uint8)})
        with duckdb.connect(str(old)) as connection:
            for run_id in ("eijl-8cbcc2e5", "majority-44fff12f"):
                file = old.with_suffix(".runs") / run_id / "weights.safetensors"
                file.write_bytes(content)
                connection.execute("update runs set checkpoint_hash = ? where run_id = ?", [hash_file(file), run_id])
    largest = {"copy of the store": 1_000_000, "copy of weights": size, "commit": size + 1_000_000}[what]
    before, files = counts(old), sorted(old.parent.rglob("*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        with pytest.raises(StoreError) as raised:
            gs.open(old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"'{old}' is of an earlier version and cannot be brought up to date (" in str(raised.value)
    assert "space for a copy, or open it for reading only" in str(raised.value)
    assert "\n" not in str(raised.value)
    own = old.with_name(f"{old.name}.wal")  # DuckDB's own, of the failed commit
    assert [path for path in sorted(old.parent.rglob("*")) if path != own] == files
    assert counts(old) == before
    with gs.open(old) as store:
        assert len(finished(store)) == store.sql("select count(*) from weights").fetchall()[0][0] == 11


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_a_migration_in_a_folder_without_permission_says_how_to_read(old: Path) -> None:
    old.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError, match=r"make its folder writable, .*read_only=True"):
            gs.open(old)
        gs.open(old, read_only=True).close()
    finally:
        old.parent.chmod(0o700)


def test_a_copy_that_cannot_be_made_says_how_to_read(old: Path) -> None:
    (old.parent / "store.before-005.duckdb.part" / "mine").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot be brought up to date \(.*\); make its folder writable, .*read_only"):
        gs.open(old)
    gs.open(old, read_only=True).close()
    assert (old.parent / "store.before-005.duckdb.part" / "mine").is_dir()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("delete from migrations", "no rows"),
        ("delete from migrations where number = 5", "only the numbers 1, 2, 3, 4, 6"),
    ],
)
def test_a_store_whose_list_of_migrations_is_incomplete_is_refused(tmp_path: Path, change: str, said: str) -> None:
    path = tmp_path / "s.duckdb"
    gs.open(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute(change)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=f"s.duckdb' is damaged: its table `migrations`, .*has {said}.*; restore"):
            gs.open(path, read_only=read_only)


@pytest.mark.parametrize("by", ["9.9.9", version("graphsocial")])
def test_a_newer_store_is_refused_with_its_last_file_and_versions_that_differ(tmp_path: Path, by: str) -> None:
    path = tmp_path / "s.duckdb"
    gs.open(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("insert into migrations values (900, '900_later.sql', ?, now())", [by])
    versions = rf" \(9\.9\.9; this is {version('graphsocial')}\)" if by == "9.9.9" else ""
    for read_only in (False, True):
        with pytest.raises(
            StoreError, match=f"newer graphsocial{versions}, whose .* '900_later.sql'; this one's are .*"
        ):
            gs.open(path, read_only=read_only)
    assert list(tmp_path.iterdir()) == [path]


def test_a_development_store_is_refused(old: Path) -> None:
    with duckdb.connect(str(old)) as connection:
        connection.execute("update store_version set fingerprint = 'other'")
    with pytest.raises(StoreError, match=r"development version of graphsocial 0\.1\.0 with tables that no release had"):
        gs.open(old)
    with duckdb.connect(str(old)) as connection:
        connection.execute("drop table store_version")
    with pytest.raises(StoreError, match="development version of an early graphsocial"):
        gs.open(old)


def test_an_old_version_refuses_a_migrated_store(old: Path) -> None:
    """0.1.0 compares the fingerprint, and would read views that it does not know."""
    with gs.open(old) as store:
        assert store.sql("select fingerprint from store_version").fetchall() != [(migrations.FINGERPRINT,)]
