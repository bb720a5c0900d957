"""The commands tune, reproduce and analyze."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import graphsocial as gs
from graphsocial.cli.main import main

TINY = ("--set", "layers=1", "--set", "width=8", "--set", "node_width=8", "--epochs", "1")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a social graph without texts."""
    from conftest import CONNECTS, write_social

    result = tmp_path_factory.mktemp("studies") / "social.duckdb"
    with gs.open(result) as store:
        write_social(store)
        store.connection.execute("update node_group set description = null").fetchall()
        store.connection.execute("update edge_user_views_image set comment = null").fetchall()
        assert store.read(CONNECTS).fetchall()
    return result


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], path: Path) -> Call:
    """Run a command on the store; gives the exit code, stdout and stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--store", str(path), *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_reproduce_prints_published_and_reproduced_figures(call: Call) -> None:
    arguments = ("reproduce", "hmg_emo", "--table", "4", "--seeds", "1", *TINY)
    code, out, err = call(*arguments)
    assert code == 0, err
    assert "3 trainings for 3 rows" in err
    assert "3 of 3: Table 4, GraphConv, seed 0: hmg_emo-" in err
    header, *rows = out.splitlines()[1:5]
    assert header.split("  ")[0] == "row"
    assert [row.split()[0] for row in rows] == ["GAT", "GraphSAGE", "GraphConv"]
    assert all("0.650 ± " in row or "0.660 ± " in row for row in rows)
    assert "'small' is not the paper's IESN" in out.splitlines()[-1]
    code, out, err = call("--json", *arguments)
    result = json.loads(out)
    assert result["papers_data"] is False
    assert {row["metric"] for row in result["rows"]} >= {"weighted_f1", "macro_f1"}
    code, out, err = call("sql", "select count(*) as n from reproductions")
    assert out.split() == ["n", "12"]


def test_list_shows_papers_and_analyses(call: Call) -> None:
    assert "4 (Ablation study for different graph backbone, 3 rows)" in call("list", "papers", "hmg_emo")[1]
    assert "hmg_emo" in [entry["name"] for entry in json.loads(call("--json", "list", "paper")[1])]
    assert "pivots=0" in call("list", "analysis", "network")[1]
    code, _, err = call("list", "papers", "hmg")
    assert (code, "Did you mean 'hmg_emo'?" in err) == (1, True)


def test_tune_ranks_trials_and_prints_the_command_that_opens_the_test_part(call: Call) -> None:
    arguments = ("tune", "edge-emotion", "--model", "features-only", "--trials", "2", "--epochs", "1")
    arguments += ("--features", "group.description=none")
    space = ("--set-range", "learning_rate=0.001..0.01:log", "--choice", "width=8,16")
    code, out, err = call(*arguments, *space)
    assert code == 0, err
    assert out.splitlines()[1].split() == ["trial", "weighted_f1", "state", "epochs", "learning_rate", "width", "run"]
    command = err.splitlines()[-1].partition(": graphsocial ")[2].split()
    best = out.splitlines()[2].split()[-1]
    assert command[:2] == ["--store", command[1]]
    code, out, err = call(*command[2:])
    assert code == 0, err
    assert best in out
    study = json.loads(call("--json", *arguments, *space)[1])
    assert [trial["state"] for trial in study["trials"]] == ["complete", "complete"]
    assert call(*arguments, "--set-range", "width=8")[0] == 1
    code, _, err = call(*arguments, "--set-range", "width=8..9", "--choice", "width=8")
    assert (code, "has a range too" in err) == (2, True)


def test_analyze_prints_tables_and_exports_files(call: Call, tmp_path: Path) -> None:
    code, out, err = call("analyze", "network", "--set", "permutations=19", "--export", tmp_path / "out")
    assert code == 0, err
    assert "network_summary (network of small, edges user connects user)" in out
    assert "the first 10 of" not in out  # 40 nodes are few
    assert f"Written: {tmp_path / 'out' / 'network.graphml'}" in err
    result = json.loads(call("--json", "analyze", "network", "--edges", "user connects user")[1])
    assert len(result["tables"]["network_nodes"]) == 40
    code, _, err = call("analyze", "network", "--edges", "user connects users")
    assert (code, "Did you mean 'user connects user'?" in err) == (1, True)
