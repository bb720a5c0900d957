"""Papers' tables: every row trained or with a reason, the published figures and ours in the store."""

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
from graphsocial.reproduction.hmg_emo import FORM
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


def test_hmg_emo_s_figures_equal_the_printed_ones() -> None:
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


def test_the_paper_s_form_equals_the_example_settings() -> None:
    settings = yaml.safe_load((EXAMPLES / "settings" / "hmg_emo_paper.yaml").read_text())
    flat = {
        **settings["model"],
        **settings["fitting"],
        **{f"visibility.{k}": v for k, v in settings["visibility"].items()},
    }
    assert flat == FORM


def test_a_table_is_trained_row_by_row_and_stored(store: GraphStore) -> None:
    steps: list[Step] = []
    found = reproduce(store, "hmg_emo", table="4", seeds=(0, 1), settings=TINY, report=steps.append)
    runs = [step.run for step in steps if step.run]
    assert len(runs) == 6 == steps[-1].of
    assert [step.number for step in steps if step.run] == [1, 2, 3, 4, 5, 6]
    assert any(step.epoch for step in steps)
    assert [run.config["model"]["backbone"] for run in runs] == ["gat", "gat", "sage", "sage", "graphconv", "graphconv"]
    assert {run.config["model"]["comments"] for run in runs} == {False}
    assert [run.config["split"]["seed"] for run in runs[:2]] == [0, 1]
    row = found.rows.filter((pl.col("row_name") == "GAT") & (pl.col("metric") == "weighted_f1")).to_dicts()[0]
    scores = [run.metrics["test"]["emotion"]["weighted_f1"] for run in runs[:2]]
    assert row["mean"] == pytest.approx(sum(scores) / 2)
    assert row["sd"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert (row["published"], row["published_sd"]) == (0.77, 0.002)
    kept = store.sql(
        "select row_name, metric, mean from reproductions where paper = 'hmg_emo' and table_number = '4' "
        "order by place, metric"
    ).fetchall()
    assert len(kept) == 12
    assert (row["row_name"], "weighted_f1", row["mean"]) in kept
    assert not found.papers_data
    assert "40 user (108,899)" in found.data


def test_reproducing_again_trains_nothing_and_replaces_its_rows(store: GraphStore) -> None:
    again: list[Step] = []
    first = reproduce(store, "hmg_emo", table="4", seeds=(0, 1), settings=TINY)
    second = reproduce(store, "hmg_emo", table="4", seeds=(0, 1), settings=TINY, report=again.append)
    assert first.rows.equals(second.rows)
    assert not [step for step in again if step.epoch]
    assert store.sql("select count(*) from reproductions where table_number = '4'").fetchall() == [(12,)]


def test_rows_that_are_not_trained_have_a_reason(store: GraphStore) -> None:
    found = reproduce(store, "hmg_emo", table="5", seeds=(0,), settings=TINY)
    notes = dict(found.rows.select("row_name", "note").rows())
    assert "Seed 0 cannot be trained on this data: There are too few pairs" in notes["W/ Negative Sampling"]
    lines = found.rows.filter(pl.col("metric") == "weighted_f1").to_dicts()
    assert [line["mean"] is None for line in lines] == [True, False]
    three = reproduce(store, "hmg_emo", table="3", seeds=(0,), settings={"epochs": 1, "width": 8})
    lines = three.rows.filter(pl.col("metric") == "weighted_f1").to_dicts()
    assert [line["model"] for line in lines] == ["comments_only", None]
    assert [line["mean"] is None for line in lines] == [False, True]
    assert "contain the label" in lines[1]["note"]


def test_comments_only_reads_comments_where_visible(store: GraphStore) -> None:
    """In this data a third of the edges carry a comment that names the emotion."""
    shown = gs.train(store, "edge-emotion", model="comments-only", settings={"visibility.asked": "full"}, epochs=15)
    hidden = gs.train(store, "edge-emotion", model="comments-only", epochs=15)
    rows = {
        run.id: store.sql(
            "select avg((p.label = p.true_label)::int) from predictions p join node_user u on u.id = p.entity_id "
            "join node_image i on i.id = p.other_id join edge_user_views_image e on e.src = u.idx and e.dst = i.idx "
            "where p.run_id = ? and p.split = 'test' and e.comment is not null",
            [run.id],
        ).fetchall()[0][0]
        for run in (shown, hidden)
    }
    assert rows[shown.id] > 0.9
    assert rows[hidden.id] < 0.8


def test_other_splits_and_settings(store: GraphStore) -> None:
    paper = paper_of("hmg_emo")
    folds = trainings(store, paper, table="4", seeds=(0,), split="kfold", settings={"folds": 3, **TINY})
    assert [one.config.split.fold for one in folds] == [0, 1, 2] * 3
    assert str(folds[1]) == "Table 4, GAT, seed 0, fold 1"
    assert len(trainings(store, paper, table="4", split="time")) == 9
    backbones = trainings(store, paper, table="2", settings={"heads": 2})
    assert {one.row.model for one in backbones if getattr(one.config.model, "heads", 0) == 2} == {"hmg_emo"}
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
ROWS = (Row("prior", {{"accuracy": 0.5}}, "image-prior"), Row("words", {{}}, "{second}", features=COLUMN))
PAPER = Paper("Mine", "edge-emotion", (Table("fig1", "Mine", ROWS, ("accuracy",)),), Data("small", {{"user": 40}}))
"""


def test_a_paper_is_one_file(store: GraphStore, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MINE.format(second="majority", column="user views image.comment"))
    found = reproduce(store, str(path))
    assert found.papers_data and found.data.startswith("'small' has the counts")
    assert store.sql("select distinct paper from reproductions where table_number = 'fig1'").fetchall() == [("mine",)]
    path.write_text(MINE.format(second="majority", column="user.name").replace("image-prior", "bayes-optimal"))
    with pytest.raises(DataError, match="true probabilities"):
        reproduce(store, str(path))
    path.write_text("PAPER = 3")
    with pytest.raises(InputError, match="not a Paper"):
        reproduce(store, str(path))


def test_a_row_without_a_model_needs_a_note() -> None:
    with pytest.raises(InputError, match="its note must say why"):
        Row("theirs", {"accuracy": 0.5})
    paper = Paper("P", "edge-emotion", (Table("1", "T", (Row("theirs", note="Not ours."),), ()),), Data("d", {}))
    assert paper.table("1").rows[0].model is None
