"""The example of the leaderboards, on some people of the real data: trained once, compared, audited, and printed."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

import graphsocial as gs

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--epochs", "1", "--features", "image.name=none", "--features", "image.file=none")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leaderboards", ROOT / "examples" / "leaderboards.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def some(shared_data: Path, tmp_path: Path) -> Path:
    """A folder like that of the real data, with 80 people: some of every part of both splits."""
    folder = tmp_path / "data"
    shutil.copytree(shared_data / "affectivedynamics", folder / "affectivedynamics")
    (folder / "oasis").mkdir()
    shutil.copy(shared_data / "oasis" / "OASIS.csv", folder / "oasis")
    unseen = shared_data / "splits" / "affectivedynamics_unseen_user"
    people = [
        pid
        for part, count in (("train", 60), ("val", 10), ("test", 10))
        for pid in pl.read_csv(unseen / f"{part}.csv.gz", infer_schema=False)["pid"].head(count)
    ]
    tables = [folder / "affectivedynamics" / name for name in ("edges_long.csv", "image_ratings_human.csv")]
    for file in tables:
        pl.read_csv(file, infer_schema=False).filter(pl.col("pid").is_in(people)).write_csv(file)
    for split in ("affectivedynamics_random", "affectivedynamics_unseen_user"):
        (folder / "splits" / split).mkdir(parents=True)
        for part in ("train", "val", "test"):
            keys = pl.read_csv(shared_data / "splits" / split / f"{part}.csv.gz", infer_schema=False)
            keys.filter(pl.col("pid").is_in(people)).write_csv(folder / "splits" / split / f"{part}.csv")
    return folder


@pytest.mark.slow
def test_every_table_is_printed_with_its_command(
    example: ModuleType, some: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(some))
    monkeypatch.chdir(tmp_path)
    example.main("affectivedynamics", extra=QUICK)
    output = capsys.readouterr().out
    commands = [line for line in output.splitlines() if line.startswith("$ graphsocial")]
    assert [line.split()[2] for line in commands] == ["ingest", *["train", "compare", "audit", "sql"] * 2]
    assert str(tmp_path) not in output and "file:$GRAPHSOCIAL_DATA/splits/affectivedynamics_unseen_user" in output
    assert output.count("```") == 2 * len(commands)
    assert output.count("graph lift") == 2 and output.count("shuffled training") == 2
    with gs.open("affectivedynamics.duckdb", read_only=True) as opened:
        assert opened.sql("select count(distinct split), count(distinct model) from runs").fetchall() == [(2, 6)]
        assert opened.sql("select count(*) from audits where verdict = 'leak'").fetchall() == [(0,)]
        begun = opened.sql("select run_id, started_at from runs order by 1").fetchall()
    example.main("affectivedynamics", extra=QUICK)
    with gs.open("affectivedynamics.duckdb", read_only=True) as opened:
        assert opened.sql("select run_id, started_at from runs order by 1").fetchall() == begun


def test_data_that_is_not_there_is_named(example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSOCIAL_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="hin_yelp"):
        example.main("hin_yelp")
