"""`graphsocial report`: one file, its path on stdout, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli import TINY, write_views

from graphsocial.cli.main import main

pytest.importorskip("altair", reason="the packages of the extra `report` are not installed")
pytest.importorskip("vl_convert", reason="the packages of the extra `report` are not installed")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one run."""
    path = tmp_path_factory.mktemp("cli") / "tiny.duckdb"
    write_views(path, users=40)
    assert main(["--store", str(path), "--quiet", "train", "edge-emotion", *TINY]) == 0
    return path


def test_report_writes_a_page_and_prints_its_path(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--store", str(trained), "report", "latest", "--samples", "100", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (page,) = tmp_path.iterdir()
    assert printed == {"file": page.name, "bytes": page.stat().st_size}
    assert page.name.startswith("hmg_emo-")
    assert "<h1>hmg_emo on tiny</h1>" in page.read_text("utf-8")
    assert main(["--store", str(trained), "report", "latest", "--output", "again.html", "--no-inside"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("again.html")


def test_report_without_a_run_is_about_the_dataset(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--store", str(trained), "report"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("tiny.html")
    assert "<h1>tiny</h1>" in (tmp_path / "tiny.html").read_text("utf-8")
    assert main(["--store", str(trained), "report", "--dataset", "tin"]) == 1
    assert capsys.readouterr().err == "Error: No dataset is called 'tin'. Did you mean 'tiny'? Known: tiny.\n"


def test_report_errors_are_one_line(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--store", str(trained), "report", "majority"]) == 1
    assert main(["--store", str(trained), "report", "latest", "--output", "no/page.html"]) == 1
    assert main(["--store", str(trained), "report", "latest", "--by", "user.height"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("Error: No run is called 'majority'.")
    assert errors[1] == "Error: There is no folder 'no' for the report."
    assert errors[2].startswith("Error: The SQL does not run: ")
    assert not list(tmp_path.iterdir())
