"""The table of benchmarks holds what the result files hold, with targets met or not."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

TABLE = runpy.run_path(str(Path(__file__).resolve().parents[1] / "benchmarks" / "_table.py"))


def result(name: str, ours: float, theirs: float, **row: object) -> dict[str, Any]:
    seconds = {
        side: {"minimum": median / 2, "median": median, "rounds": 5} for side, median in (("a", ours), ("b", theirs))
    }
    return {
        "benchmark": name,
        "measured_at": "2026-11-21T10:00:00+00:00",
        "host": {"cpu": "x86_64", "threads": 2, "packages": {"torch": "2.13.0"}},
        "seconds": seconds,
        "row": {"what": name, "peer": "the peer", "ours": "a", "theirs": "b", **row},
    }


@pytest.mark.parametrize(
    ("row", "memory", "ending"),
    [
        ({"most": 2.5}, None, "2.00 × | ≤ 2.5 × | yes |  |"),
        ({"most": 1.5}, None, "2.00 × | ≤ 1.5 × | no |  |"),
        ({"least": 0.5}, 3.25, "0.5 × faster | ≥ 0.5 × faster | yes | 3.2 × |"),
        ({"least": 0.5, "memory_least": 3}, 2.0, "0.5 × faster | ≥ 0.5 × faster, memory ≥ 3 × | no | 2.0 × |"),
        ({}, None, "2.00 × |  |  |  |"),
    ],
)
def test_each_result_is_a_row_of_the_table(row: dict[str, object], memory: float | None, ending: str) -> None:
    measured = result("store", 4.0, 2.0, **row)
    if memory is not None:
        measured["memory_ratio"] = memory
    lines = TABLE["table"]([measured]).splitlines()
    assert lines[2] == f"| store | the peer | 2 / 4 | 1 / 2 | {ending}"
    assert lines[-1] == "2026-11-21: x86_64, 2 threads; torch 2.13.0."


def test_renew_changes_the_readme_only_between_its_marks(tmp_path: Path) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results"
    results.mkdir()
    odd = {key: value for key, value in result("odd", 1, 1).items() if key != "row"}
    for measured in (result("store", 4.0, 2.0, most=2.5), odd):
        (results / f"{measured['benchmark']}.json").write_text(json.dumps(measured))
    readme.write_text(f"before\n\n{TABLE['BEGIN']}\nold\n{TABLE['END']}\n\nafter\n")
    for _ in range(2):
        TABLE["renew"](readme, results)
        text = readme.read_text()
        assert text.startswith("before\n\n") and text.endswith(f"{TABLE['END']}\n\nafter\n")
        assert text.count("| store | the peer |") == 1 and "old" not in text
        assert "Also in `results/`: odd." in text
    readme.write_text("nothing")
    with pytest.raises(ValueError, match="needs the lines"):
        TABLE["renew"](readme, results)
