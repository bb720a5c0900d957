"""The commands that judge, as people use them: a closed test part, looks, and audits."""

from __future__ import annotations

import json
from pathlib import Path

from test_cli import Call, call, fresh  # noqa: F401 - fixtures

IMAGE_PRIOR = ("train", "edge-emotion", "--model", "image-prior")


def test_the_test_part_stays_closed_until_it_is_asked_for(call: Call, fresh: Path) -> None:  # noqa: F811
    code, out, err = call(*IMAGE_PRIOR, "--no-test", "--store", fresh)
    assert (code, out) == (0, "") and "validation weighted_f1" in err and "evaluate image_prior-" in err
    err = call("runs", "--store", fresh)[2]
    assert "1 with the test part closed: image_prior-" in err and "no runs" not in err
    told = json.loads(call("evaluate", "latest", "--json", "--store", fresh)[1])
    assert told["split"] == "test" and told["targets"]["emotion"]["rows"] > 0
    out, err = call("runs", "--store", fresh)[1:]
    assert "image_prior" in out and "looks" not in out and "closed" not in err


def test_a_second_look_is_shown(call: Call, fresh: Path) -> None:  # noqa: F811
    for strength in ("2", "4"):
        out = call(*IMAGE_PRIOR, "--set", f"strength={strength}", "--store", fresh)[1]
    header, *lines = out.split("\n\n")[0].splitlines()[1:]
    assert header.split()[-3:] == ["config", "looks", "notes"]
    assert sorted(line.split()[-1] for line in lines) == ["1", "2"]
