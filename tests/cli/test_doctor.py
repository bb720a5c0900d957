"""`graphsocial doctor`: passes on this machine, and names what fails."""

from __future__ import annotations

import json

import pytest

from graphsocial.cli.main import main
from graphsocial.diagnostics import doctor


def test_doctor_passes_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == "" and len(lines) == len(doctor.CHECKS)
    assert all(line.startswith("ok ") for line in lines)
    assert "torch 2." in lines[0]


def test_doctor_names_a_failure_and_runs_the_other_checks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise ImportError("libfoo.so:\nno such file")

    monkeypatch.setattr(doctor, "CHECKS", {"DGL": broken, "safetensors": doctor.checkpoint})
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "failed  DGL: ImportError: libfoo.so: no such file",
        "ok      safetensors: wrote and read 4 numbers",
    ]
    assert main(["doctor", "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)
    assert [(check["name"], check["ok"]) for check in checks] == [("DGL", False), ("safetensors", True)]


def test_a_check_fails_when_its_result_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphsocial.training.checkpoints.read_tensors", lambda path: ({}, {}))
    monkeypatch.setattr(doctor, "CHECKS", {"safetensors": doctor.checkpoint})
    (check,) = doctor.examine()
    assert not check.ok and "KeyError" in check.detail
