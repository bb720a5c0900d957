"""Runs whose task or model is a file: the file's code is part of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

import graphsocial as gs
from graphsocial.errors import InputError, MissingFileError

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
