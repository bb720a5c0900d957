"""EIJL's Table 2: the printed figures, each experiment a configuration that differs where the paper says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import graphsocial as gs
from graphsocial.reproduction import reproduce
from graphsocial.reproduction.eijl import FORM, GIVEN, PAPER
from graphsocial.synthesis import SyntheticNotes, synthesize
from graphsocial.training.config import TrainOptions, design

PRINTED = [234, 233, 223, 226, 222, 219, 199, 187]
SETTINGS = Path(__file__).resolve().parents[2] / "examples" / "settings" / "eijl_paper.yaml"


def test_the_figures_equal_the_printed_ones() -> None:
    table = PAPER.table("2")
    assert [row.published["shares.mae"] for row in table.rows if row.published] == PRINTED
    assert [row.name[0] for row in table.rows if row.published] == list("12345678")
    assert {row.model for row in table.rows if row.published} == {"eijl"}
    vectors = PAPER.table("2-vectors")
    assert [row.published["shares.mae"] for row in vectors.rows if row.published] == PRINTED[2:]
    assert all(row.features == GIVEN for row in vectors.rows)


def test_the_experiments_differ_in_the_paper_s_settings() -> None:
    rows = {row.name[0]: row.settings for row in PAPER.table("2").rows if row.published and row.model}
    parts = {name: (given["branches"], given["joint"], given["emotion"]) for name, given in rows.items()}
    assert parts == {
        "1": ("none", False, False),
        "2": ("joint", False, False),
        "3": ("joint", False, False),
        "4": ("separate", False, False),
        "5": ("joint", True, False),
        "6": ("separate", True, False),
        "7": ("joint", True, True),
        "8": ("separate", True, True),
    }
    assert rows["1"]["model.projection"] and not any(rows[name]["model.projection"] for name in "2345678")
    given = yaml.safe_load(SETTINGS.read_text())
    assert {f"{part}.{name}": given[part][name] for part, name in (key.split(".") for key in FORM)} == FORM


@pytest.mark.slow
def test_the_table_is_trained_on_notes_with_vectors(tmp_path: Path) -> None:
    synthesize("notes", tmp_path / "notes", settings=SyntheticNotes(notes=200, authors=10))
    with gs.open(tmp_path / "s.duckdb") as store:
        gs.ingest(store, "xiaohongshu", tmp_path / "notes")
        for row in PAPER.table("2-vectors").rows:
            assert row.model is not None
            design(store, PAPER.task, TrainOptions(model=row.model, features=row.features, settings=row.settings))
        small = {"epochs": 1, "width": 8, "channels": 2, "tokens": 2}
        found = reproduce(store, "eijl", table="2-vectors", seeds=[0], settings=small)
        assert not found.papers_data
        ours = found.rows.filter(metric="shares.mae")
        assert ours["mean"].null_count() == 0 and ours.height == len(PAPER.table("2-vectors").rows)
        assert ours["published"].drop_nulls().to_list() == PRINTED[2:]
