"""`graphsocial link` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import graphsocial as gs
from graphsocial.cli.main import main
from graphsocial.types import Column, GraphSchema, NodeType

NOTE = NodeType("note", (Column("text", "text"), Column("cover", "vector")))


def test_link_adds_edges_and_reports_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.duckdb"
    vectors = np.random.default_rng(0).normal(size=(30, 3)).tolist()
    with gs.open(path) as store:
        store.declare(GraphSchema((NOTE,)))
        frame = {
            "id": [f"n{n}" for n in range(30)],
            "text": [f"a{n % 4} b{n % 3}" for n in range(30)],
            "cover": vectors,
        }
        store.write(NOTE, pl.DataFrame(frame), dataset="notes")

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--store", str(path), *arguments])
        return code, *capsys.readouterr()

    code, out, err = call("link", "note", "--by", "text=hash-text", "--by", "note.cover", "--k", "4", "--minimum", "-1")
    assert code == 0, err
    header, row = out.splitlines()
    assert header.split("  ")[0] == "edges" and "note similar note" in row and " 120 " in row
    assert "edge_note_similar_note order by similarity desc limit 5" in err
    code, out, err = call(
        "link", "note", "--by", "cover", "--by", "text=hash-text", "--k", "4", "--minimum", "-1", "--json"
    )
    assert json.loads(out)["edges"] == 120 and json.loads(out)["changed"]  # the columns stand in another order
    code, out, err = call(
        "link", "note", "--by", "cover", "--by", "text=hash-text", "--k", "4", "--minimum", "-1", "--quiet"
    )
    assert (code, err) == (0, "")
    code, out, err = call("link", "note", "--by", "cover", "--lists", "--relation", "near", "--seed", "1")
    assert code == 0 and "each node searched" in err and "note near note" in out
    code, out, err = call("link", "note", "--by", "colour")
    assert code == 1 and "No column of 'note' with content to compare is called 'colour'" in err
    assert call("link", "note")[0] == 2
