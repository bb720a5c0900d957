"""Runs whose task or model is a file: the file's code is part of the run."""

from __future__ import annotations

import json
import shutil
import sys
from hashlib import blake2b
from pathlib import Path

import pytest

import graphsocial as gs
from graphsocial.cli.main import main
from graphsocial.errors import InputError, MissingFileError
from graphsocial.training.config import TrainOptions, design

TASK = """
from dataclasses import dataclass

from graphsocial.extending import NodeTask, Target


@dataclass(frozen=True)
class Mood(NodeTask):
    node = "post"
    targets = (Target("mood", weight=1.0),)
    sql = "mood.sql"
"""
SQL = "select idx, mood from $rows"
MODEL = """
from dataclasses import dataclass

import torch
from graphsocial.extending import Model, Network


@dataclass(frozen=True)
class Constant(Model):
    def build(self, graph, train, *, seed):
        return ConstantNetwork()


class ConstantNetwork(Network):
    def forward(self, graph, batch):
        return {t.name: torch.zeros(len(batch.examples), len(t.classes)) for t in graph.targets}
"""


@pytest.fixture
def files(posts: gs.GraphStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gs.GraphStore:
    monkeypatch.chdir(tmp_path)
    for name, text in (("mood.py", TASK), ("mood.sql", SQL), ("constant.py", MODEL)):
        Path(name).write_text(text)
    return posts


@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("mood.py", "weight=1.0", "weight=0.5", "task"),
        ("mood.sql", "mood from", "case mood when 'loud' then 'calm' else 'loud' end as mood from", "task"),
        ("constant.py", "torch.zeros(", "torch.ones(", "model"),
    ],
)
def test_changed_code_is_another_run(files: gs.GraphStore, file: str, old: str, new: str, part: str) -> None:
    run = gs.train(files, "./mood.py", model="./constant.py")
    assert gs.train(files, "./mood.py", model="./constant.py") == run
    assert gs.predict(files, run) > 0
    before = Path(file).read_text()
    Path(file).write_text(before.replace(old, new))
    with pytest.raises(InputError, match=f"The code of the {part} '.*' has changed since the run '{run.id}'"):
        gs.predict(files, run)
    assert gs.train(files, "./mood.py", model="./constant.py").id != run.id
    Path(file).write_text(before)
    assert gs.predict(files, run) > 0


def test_a_missing_file_is_named_with_its_run(files: gs.GraphStore) -> None:
    run = gs.train(files, "./mood.py", model="majority")
    Path("mood.py").unlink()
    with pytest.raises(MissingFileError, match=f"The run '{run.id}' has its task from the file"):
        gs.predict(files, run)


FAILING = {
    "forward": MODEL.replace("return {t.name", "raise ValueError('broken'); return {t.name"),
    "penalty": MODEL
    + """
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def penalty(self):
        raise ValueError("broken")
""",
}


@pytest.mark.parametrize("where", FAILING)
def test_a_training_that_fails_is_no_unfinished_run(files: gs.GraphStore, where: str) -> None:
    Path("constant.py").write_text(FAILING[where])
    with pytest.raises(ValueError, match="broken"):
        gs.train(files, "./mood.py", model="./constant.py")
    assert files.sql("select status from runs").fetchall() == [("failed",)]


TRAP = "from pathlib import Path\nPath('trap.txt').write_text('ran')\n"


@pytest.fixture
def sent(files: gs.GraphStore) -> tuple[Path, str]:
    """A store from someone else: with a run whose task and model are files that this process has not run."""
    run = gs.train(files, "./mood.py", model="./constant.py")
    path = files.path
    files.close()
    for name in list(sys.modules):
        if name.startswith("_graphsocial_") and name.split("_")[3] in ("mood", "constant"):
            del sys.modules[name]
    return path, run.id


def forge(path: Path, run: str, **features: str) -> None:
    """Record the hashes of the files as they are, as the store's author can, and encoders of columns."""
    hashes = {"task": _hash(Path("mood.py"), Path("mood.sql")), "model": _hash(Path("constant.py"))}
    with gs.open(path) as store:
        config = json.loads(store.first("select config from runs where run_id = ?", [run])[0])
        config |= {"code": hashes, "features": features}
        store.connection.execute("update runs set config = ? where run_id = ?", [json.dumps(config), run])


@pytest.mark.parametrize(
    "command", [("predict",), ("explain", "--limit", "2"), ("audit", "--quick"), ("report",), ("what-if", "p0")]
)
def test_a_store_runs_no_file(
    sent: tuple[Path, str], command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = sent
    if command == ("report",):
        pytest.importorskip("altair")
    for name in ("mood.py", "constant.py"):
        Path(name).write_text(TRAP + Path(name).read_text())
    forge(path, run)
    name, *others = command
    assert main(["--store", str(path), name, run, *others]) == 1
    assert "--allow-code" in capsys.readouterr().err
    assert not Path("trap.txt").exists()


def test_an_encoder_that_a_store_names_is_not_run_either(
    sent: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = sent
    Path("helper.py").write_text(TRAP)
    forge(path, run, **{"post.text": "sentence+./helper.py,size=1"})
    assert main(["--store", str(path), "predict", run, "--allow-code"]) == 1
    assert "has no hash of the file './helper.py'" in capsys.readouterr().err
    assert not Path("trap.txt").exists()


def test_allowed_files_run_if_they_are_those_of_the_run(
    sent: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = sent
    assert main(["--store", str(path), "predict", run]) == 1
    assert "is not run unasked" in capsys.readouterr().err
    before = Path("mood.py").read_text()
    Path("mood.py").write_text(TRAP + before)
    assert main(["--store", str(path), "predict", run, "--allow-code"]) == 1
    assert "has changed since the run" in capsys.readouterr().err and not Path("trap.txt").exists()
    Path("mood.py").write_text(before)
    assert main(["--store", str(path), "predict", run, "--allow-code"]) == 0


def test_the_code_of_an_encoder_is_part_of_the_run(posts: gs.GraphStore, tmp_path: Path) -> None:
    file = tmp_path / "custom_featurizer.py"
    shutil.copy(Path(__file__).parents[2] / "examples" / "custom_featurizer.py", file)
    options = {"features": {"post.text": str(file)}}
    config = design(posts, "popularity", TrainOptions(**options))
    assert config.to_json()["code"] == {str(file): blake2b(file.read_bytes(), digest_size=8).hexdigest()}


def _hash(*files: Path) -> str:
    return blake2b(b"\0".join(file.read_bytes() for file in files), digest_size=8).hexdigest()
