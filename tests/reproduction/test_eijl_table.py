"""EIJL's Table 2: published figures, and the settings in which the experiments differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import graphsocial as gs
from graphsocial.reproduction import reproduce
from graphsocial.reproduction.eijl import PAPER, PAPER_SETTINGS, PRECOMPUTED
from graphsocial.synthesis import SyntheticNotes, synthesize
from graphsocial.training.config import TrainOptions, design

PUBLISHED = [234, 233, 223, 226, 222, 219, 199, 187]
SETTINGS = Path(__file__).resolve().parents[2] / "examples" / "settings" / "eijl_paper.yaml"


def test_figures_equal_the_published_ones() -> None:
    table = PAPER.table("2")
    assert [row.published["shares.mae"] for row in table.rows if row.published] == PUBLISHED
    assert [row.name[0] for row in table.rows if row.published] == list("12345678")
    assert {row.model for row in table.rows if row.published} == {"eijl"}
    vectors = PAPER.table("2-vectors")
    assert [row.published["shares.mae"] for row in vectors.rows if row.published] == PUBLISHED[2:]
    assert all(row.features == PRECOMPUTED for row in vectors.rows)


def test_experiments_differ_in_the_settings_of_the_paper() -> None:
    rows = {row.name[0]: row.settings for row in PAPER.table("2").rows if row.published and row.model}
    parts = {name: (settings["branches"], settings["joint"], settings["emotion"]) for name, settings in rows.items()}
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
    example = yaml.safe_load(SETTINGS.read_text())
    assert {
        f"{part}.{name}": example[part][name] for part, name in (key.split(".") for key in PAPER_SETTINGS)
    } == PAPER_SETTINGS


@pytest.mark.slow
def test_table_is_trained_on_notes_with_precomputed_vectors(tmp_path: Path) -> None:
    synthesize("notes", tmp_path / "notes", settings=SyntheticNotes(notes=200, authors=10))
    with gs.open(tmp_path / "s.duckdb") as store:
        gs.ingest(store, "xiaohongshu", tmp_path / "notes")
        for row in PAPER.table("2-vectors").rows:
            assert row.model is not None
            design(store, PAPER.task, TrainOptions(model=row.model, features=row.features, settings=row.settings))
        small = {"epochs": 1, "width": 8, "channels": 2, "tokens": 2}
        result = reproduce(store, "eijl", table="2-vectors", seeds=[0], settings=small)
        assert not result.papers_data
        errors = result.rows.filter(metric="shares.mae")
        assert errors["mean"].null_count() == 0 and errors.height == len(PAPER.table("2-vectors").rows)
        assert errors["published"].drop_nulls().to_list() == PUBLISHED[2:]
