"""A closed test part, its openings in the leaderboard, and `graphsocial audit`."""

from __future__ import annotations

import json
from pathlib import Path

from test_cli import TINY, Call, call, fresh  # noqa: F401 - fixtures

import graphsocial as gs

IMAGE_PRIOR = ("train", "edge-emotion", "--model", "destination-prior")


def test_the_test_part_stays_closed_until_evaluate_opens_it(call: Call, fresh: Path) -> None:  # noqa: F811
    code, out, err = call(*IMAGE_PRIOR, "--no-test", "--store", fresh)
    assert code == 0 and out.startswith("Edges that batches may use") and "weighted_f1" not in out
    assert "validation weighted_f1" in err and "evaluate destination_prior-" in err
    err = call("runs", "--store", fresh)[2]
    assert "1 with the test part closed: destination_prior-" in err and "no runs" not in err
    evaluation = json.loads(call("evaluate", "latest", "--json", "--store", fresh)[1])
    assert evaluation["split"] == "test" and evaluation["targets"]["emotion"]["rows"] > 0
    out, err = call("runs", "--store", fresh)[1:]
    assert "destination_prior" in out and "test_openings" not in out and "closed" not in err


def test_a_second_test_opening_is_shown(call: Call, fresh: Path) -> None:  # noqa: F811
    for strength in ("2", "4"):
        out = call(*IMAGE_PRIOR, "--set", f"strength={strength}", "--store", fresh)[1]
    header, *lines = out.split("\n\n")[0].splitlines()[1:]
    assert header.split()[-3:] == ["config", "test_openings", "notes"]
    assert sorted(line.split()[-1] for line in lines) == ["1", "2"]


def test_an_audit_is_printed_and_marks_the_leaderboard(call: Call, fresh: Path) -> None:  # noqa: F811
    """In this data the image's first number decides the emotion: a column that gives the answer away."""
    assert call("train", "edge-emotion", *TINY, "-q", "--store", fresh)[0] == 0
    code, out, err = call("audit", "latest", "--quick", "--store", fresh)
    assert code == 1 and "shuffled labels" not in err
    title, header, first, *_ = out.splitlines()
    assert title.startswith("hmg_emo-") and header.split() == ["check", "verdict", "examined", "found"]
    assert first.startswith("columns of nodes") and first.split()[3:] == ["leak", "3", "1"]
    assert "Such as: image.vector[0]." in out.splitlines()[-1]
    assert "1 leak; the leaderboard marks the run." in err and "Not applicable: " in err
    for each in ((), ("--each",)):
        assert "leak: columns of nodes" in call("runs", *each, "--store", fresh)[1]
    code, out, err = call("audit", "latest", "--json", "--store", fresh)
    report = json.loads(out)
    assert code == 1 and "about" in err and "--quick skips it" in err
    assert report["leaks"] == ["columns of nodes"]
    assert {"forward edges", "changed labels", "shuffled training"} <= {check["name"] for check in report["checks"]}


def test_an_audit_without_leaks_exits_with_zero(call: Call, fresh: Path) -> None:  # noqa: F811
    write_random_labels(fresh)
    assert call(*IMAGE_PRIOR, "-q", "--store", fresh)[0] == 0
    code, out, err = call("audit", "latest", "--store", fresh)
    assert code == 0 and "leak" not in out and "No leak was found" in err
    query = err.partition('sql "')[2].split('"')[0]
    assert "one-hop look-up" in call("sql", query, "--store", fresh)[1]
    assert "audited" in call("runs", "--store", fresh)[1]


def write_random_labels(path: Path) -> None:
    """The same store with emotions that nothing decides."""
    with gs.open(path) as store, store.transaction():
        store.connection.execute(
            "update edge_user_views_image set emotions = [case when hash(idx) % 2 = 0 then 'awe' else 'fear' end]"
        )
