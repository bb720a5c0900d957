"""The doctor finds this machine well, and says so when something is broken."""

from __future__ import annotations

import json

import pytest

from graphsocial.cli.main import main
from graphsocial.diagnostics import doctor


def test_all_is_well_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == "" and len(lines) == len(doctor.CHECKS)
    assert all(line.startswith("ok ") for line in lines)
    assert "torch 2." in lines[0]


def test_what_is_broken_is_named_and_the_rest_still_checked(
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
    found = json.loads(capsys.readouterr().out)
    assert [(check["name"], check["ok"]) for check in found] == [("DGL", False), ("safetensors", True)]


def test_a_check_fails_when_its_work_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphsocial.training.checkpoints.read_tensors", lambda path: ({}, {}))
    monkeypatch.setattr(doctor, "CHECKS", {"safetensors": doctor.checkpoint})
    (check,) = doctor.examine()
    assert not check.ok and "KeyError" in check.detail
