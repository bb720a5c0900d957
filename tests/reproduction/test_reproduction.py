"""Reproductions of papers' tables: training of every row, published figures, rows in the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from conftest import write_social

import graphsocial as gs
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.plugins import names
from graphsocial.reproduction import Step, paper_of, reproduce, trainings
from graphsocial.reproduction.base import Data, Paper, Row, Table
from graphsocial.reproduction.hmg_emo import PAPER_SETTINGS
from graphsocial.store import GraphStore

TINY = {"epochs": 1, "layers": 1, "width": 8, "node_width": 8, "edge_width": 8, "batch_size": 128}
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphStore]:
    """The small social graph, with its texts already encoded by the default encoder."""
    with gs.open(tmp_path_factory.mktemp("papers") / "social.duckdb") as opened:
        write_social(opened)
        yield opened


@pytest.mark.parametrize("name", names("paper"))
def test_rows_of_every_paper_have_valid_settings_and_figures(name: str, store: GraphStore) -> None:
    paper = paper_of(name)
    assert len({table.number for table in paper.tables}) == len(paper.tables)
    for table in paper.tables:
        assert len({row.name for row in table.rows}) == len(table.rows)
        for row in table.rows:
            assert set(row.published) <= set(table.metrics), row.name
            assert row.model or row.note
    if paper.task == "edge-emotion":
        assert trainings(store, paper)


def test_figures_of_hmg_emo_equal_the_published_ones() -> None:
    figures = {
        (table.number, row.name): tuple(score[0] for score in row.published.values() if isinstance(score, tuple))
        for table in paper_of("hmg-emo").tables
        for row in table.rows
    }
    assert figures["2", "HMG-Emo"] == (0.77, 0.97, 0.65)
    assert figures["2", "RMTHG (Fusion)"] == (0.60, 0.50, 0.72)
    assert figures["3", "HMG-T comments only"] == (0.30, 0.31, 0.34)
    assert figures["4", "GraphConv"] == (0.76, 0.93, 0.66)
    assert figures["5", "W/ Negative Sampling"] == (0.71, 0.80, 0.64)
    assert figures["5", "W/o Negative Sampling"] == figures["2", "HMG-Emo-{T, AC}"]


def test_paper_settings_equal_the_example_settings() -> None:
    settings = yaml.safe_load((EXAMPLES / "settings" / "hmg_emo_paper.yaml").read_text())
    flat = {
        **settings["model"],
        **settings["fitting"],
        **{f"visibility.{k}": v for k, v in settings["visibility"].items()},
    }
    assert flat == PAPER_SETTINGS


def test_table_is_trained_row_by_row_and_stored(store: GraphStore) -> None:
    steps: list[Step] = []
    result = reproduce(store, "hmg_emo", table="4", seeds=(0, 1), settings=TINY, report=steps.append)
    runs = [step.run for step in steps if step.run]
    assert len(runs) == 6 == steps[-1].of
    assert [step.number for step in steps if step.run] == [1, 2, 3, 4, 5, 6]
    assert any(step.epoch for step in steps)
    assert [run.config["model"]["backbone"] for run in runs] == ["gat", "gat", "sage", "sage", "graphconv", "graphconv"]
    assert {run.config["model"]["comments"] for run in runs} == {False}
    assert [run.config["split"]["seed"] for run in runs[:2]] == [0, 1]
    row = result.rows.filter((pl.col("row_name") == "GAT") & (pl.col("metric") == "weighted_f1")).to_dicts()[0]
    scores = [run.metrics["test"]["emotion"]["weighted_f1"] for run in runs[:2]]
    assert row["mean"] == pytest.approx(sum(scores) / 2)
    assert row["sd"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert (row["published"], row["published_sd"]) == (0.77, 0.002)
    stored = store.sql(
        "select row_name, metric, mean from reproductions where paper = 'hmg_emo' and table_number = '4' "
        "order by place, metric"
    ).fetchall()
    assert len(stored) == 12
    assert (row["row_name"], "weighted_f1", row["mean"]) in stored
    assert not result.papers_data
    assert "40 user (108,899)" in result.data


def test_second_reproduction_trains_nothing_and_replaces_its_rows(store: GraphStore) -> None:
    steps: list[Step] = []
    first = reproduce(store, "hmg_emo", table="4", seeds=(0, 1), settings=TINY)
    second = reproduce(store, "hmg_emo", table="4", seeds=(0, 1), settings=TINY, report=steps.append)
    assert first.rows.equals(second.rows)
    assert not [step for step in steps if step.epoch]
    assert store.sql("select count(*) from reproductions where table_number = '4'").fetchall() == [(12,)]


def test_rows_that_are_not_trained_have_a_reason(store: GraphStore) -> None:
    result = reproduce(store, "hmg_emo", table="5", seeds=(0,), settings=TINY)
    notes = dict(result.rows.select("row_name", "note").rows())
    assert "Seed 0 cannot be trained on this data: There are too few pairs" in notes["W/ Negative Sampling"]
    lines = result.rows.filter(pl.col("metric") == "weighted_f1").to_dicts()
    assert [line["mean"] is None for line in lines] == [True, False]
    result = reproduce(store, "hmg_emo", table="3", seeds=(0,), settings={"epochs": 1, "width": 8})
    lines = result.rows.filter(pl.col("metric") == "weighted_f1").to_dicts()
    assert [line["model"] for line in lines] == ["comments_only", None]
    assert [line["mean"] is None for line in lines] == [False, True]
    assert "contain the label" in lines[1]["note"]


def test_comments_only_reads_comments_where_visible(store: GraphStore) -> None:
    """In this data a third of the edges carry a comment that names the emotion."""
    visible = gs.train(
        store, "edge-emotion", model="comments-only", settings={"visibility.predicted": "full"}, epochs=15
    )
    hidden = gs.train(store, "edge-emotion", model="comments-only", epochs=15)
    rows = {
        run.id: store.sql(
            "select avg((p.label = p.true_label)::int) from predictions p join node_user u on u.id = p.entity_id "
            "join node_image i on i.id = p.other_id join edge_user_views_image e on e.src = u.idx and e.dst = i.idx "
            "where p.run_id = ? and p.split = 'test' and e.comment is not null",
            [run.id],
        ).fetchall()[0][0]
        for run in (visible, hidden)
    }
    assert rows[visible.id] > 0.9
    assert rows[hidden.id] < 0.8


def test_split_policy_and_settings_replace_those_of_the_paper(store: GraphStore) -> None:
    paper = paper_of("hmg_emo")
    folds = trainings(store, paper, table="4", seeds=(0,), split="kfold", settings={"folds": 3, **TINY})
    assert [training.config.split.fold for training in folds] == [0, 1, 2] * 3
    assert str(folds[1]) == "Table 4, GAT, seed 0, fold 1"
    assert len(trainings(store, paper, table="4", split="time")) == 9
    backbones = trainings(store, paper, table="2", settings={"heads": 2})
    assert {training.row.model for training in backbones if getattr(training.config.model, "heads", 0) == 2} == {
        "hmg_emo"
    }
    with pytest.raises(InputError, match="No row of table 2 has a setting 'hedas'"):
        trainings(store, paper, table="2", settings={"hedas": 2})
    with pytest.raises(InputError, match="cannot take heads='two'"):
        trainings(store, paper, table="2", settings={"heads": "two"})
    with pytest.raises(UnknownNameError, match="No table of this paper is called '6'"):
        reproduce(store, "hmg_emo", table="6")
    with pytest.raises(UnknownNameError, match="Did you mean 'hmg_emo'"):
        reproduce(store, "hmg_emu")


MINE = """
from graphsocial.reproduction.base import Data, Paper, Row, Table
COLUMN = {{"{column}": "hash_text"}}
ROWS = (Row("prior", {{"accuracy": 0.5}}, "destination-prior"), Row("words", {{}}, "{second}", features=COLUMN))
PAPER = Paper("Mine", "edge-emotion", (Table("fig1", "Mine", ROWS, ("accuracy",)),), Data("small", {{"user": 40}}))
"""


def test_paper_in_a_file_is_reproduced(store: GraphStore, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MINE.format(second="majority", column="user views image.comment"))
    result = reproduce(store, str(path))
    assert result.papers_data and result.data.startswith("'small' has the counts")
    assert store.sql("select distinct paper from reproductions where table_number = 'fig1'").fetchall() == [("mine",)]
    path.write_text(MINE.format(second="majority", column="user.name").replace("destination-prior", "bayes-optimal"))
    with pytest.raises(DataError, match="true probabilities"):
        reproduce(store, str(path))
    path.write_text("PAPER = 3")
    with pytest.raises(InputError, match="not a Paper"):
        reproduce(store, str(path))


def test_row_without_a_model_needs_a_note() -> None:
    with pytest.raises(InputError, match="its note must say why"):
        Row("theirs", {"accuracy": 0.5})
    paper = Paper("P", "edge-emotion", (Table("1", "T", (Row("theirs", note="Not ours."),), ()),), Data("d", {}))
    assert paper.table("1").rows[0].model is None
