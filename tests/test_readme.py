"""The README's commands, Python, SQL and source run on a smaller synthetic dataset, and its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import graphsocial as gs
from graphsocial.cli.main import app
from graphsocial.synthesis import SyntheticIesn

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SMALL = SyntheticIesn(users=80, images=30, views=900, contacts=400, groups=8, image_size=48)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    (folder / "demo").mkdir()
    gs.synthesize("iesn", folder / "demo" / "iesn", settings=SMALL)
    return folder


def test_the_five_commands_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    commands = re.findall(r"^\$ graphsocial (.*)$", "\n".join(blocks("console")), flags=re.MULTILINE)
    assert [c.split()[0] for c in commands] == ["synthesize", "ingest", "train", "sql", "evaluate"]
    for command in commands:
        arguments = shlex.split(command)
        if arguments[0] == "synthesize":
            arguments[-1] += "-again"
            arguments += ["--users", "40", "--images", "20", "--views", "200", "--contacts", "100", "--groups", "4"]
        if arguments[0] == "train":
            arguments += ["--epochs", "2", "--set", "layers=2"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (command, result.output, result.exception)
        if arguments[0] in ("sql", "evaluate"):
            assert len(result.stdout.splitlines()) > 5


def test_the_python_and_the_sql_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    assert names["frame"].height > 0  # type: ignore[attr-defined]
    store = names["store"]
    assert isinstance(store, gs.GraphStore)
    (query,) = blocks("sql")
    assert store.sql(query).pl().columns == ["sad_user", "contacts", "sadness_of_contacts"]
    store.close()


def test_the_source_in_one_file_works(tmp_path: Path) -> None:
    (tmp_path / "forum.py").write_text(blocks("python")[2])
    (tmp_path / "votes.csv").write_text("who,picture,felt\nann,p1,awe\nbob,p1,fear\nann,p2,\n,p2,awe\n")
    with gs.open(tmp_path / "forum.duckdb") as store:
        report = gs.ingest(store, str(tmp_path / "forum.py"), tmp_path)
        assert report.rows == {"user": 2, "image": 2, "user views image": 3}
        assert report.rejected == 1
        emotions = store.sql("select emotions from edge_user_views_image order by idx").fetchall()
    assert emotions == [(["awe"],), (["fear"],), ([None],)]


def test_the_task_in_one_file_is_the_example() -> None:
    example = (ROOT / "examples" / "custom_task.py").read_text()
    assert [line for line in blocks("python")[1].splitlines() if line not in example.splitlines()] == []


PAGES = [path for pattern in ("*.md", "docs/*.md", "benchmarks/*.md") for path in sorted(ROOT.glob(pattern))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?://)([^)#]+)[^)]*\)", text)
    paths = re.findall(r"`((?:docs|examples|schemas)/[\w/.]+\w)`", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []
