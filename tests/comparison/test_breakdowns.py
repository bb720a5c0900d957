"""Breakdowns: every row in its group, by training degree, by class, and by SQL over the endpoints' columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import write_social
from predicted import SPLIT, answer, write_run, write_training

import graphsocial as gs
from graphsocial import runs
from graphsocial.comparison import breakdowns
from graphsocial.comparison.bootstrap import BootstrapSamples
from graphsocial.comparison.examples import Examples, read
from graphsocial.comparison.outcomes import Outcomes
from graphsocial.errors import InputError

PAIRS = [("u1", "i1"), ("u1", "i2"), ("u2", "i1"), ("u3", "i3"), ("u4", "i9")]


@pytest.fixture
def answered(social: gs.GraphStore) -> tuple[gs.GraphStore, Examples, Outcomes]:
    """Five test pairs; u1 has 3 training pairs, u2 has 1, u3 none, u4 none; i1 has 2, i2 and i3 have 1, i9 none."""
    rows = [answer(u, i, "awe" if n < 3 else "fear", [0.8, 0.1, 0.1]) for n, (u, i) in enumerate(PAIRS)]
    write_run(social, "a", rows)
    write_training(social, [("u1", "i1"), ("u1", "i2"), ("u1", "i5"), ("u2", "i1"), ("u7", "i3")])
    write_training(social, [("u3", "i3")], "another split")
    examples, (outcomes,), _ = read(social, [[runs.load(social, "a")]], "emotion", "test")
    return social, examples, outcomes


def test_degrees_are_those_of_the_split_s_training_pairs(answered: tuple[gs.GraphStore, Examples, Outcomes]) -> None:
    store, examples, _ = answered
    assert set(examples.split_ids) == {SPLIT}
    users, images = breakdowns.training_degrees(store, examples)
    assert users.tolist() == [3, 3, 1, 0, 0]
    assert images.tolist() == [2, 1, 2, 1, 0]
    groupings = breakdowns.cold_start(store, examples)
    assert groupings["training degree of the user"].to_list() == ["3–9", "3–9", "1–2", "0", "0"]
    assert groupings["cold start"].to_list() == ["both known", "both known", "both known", "new user", "both new"]
    assert breakdowns.degree_bins(np.array([0, 1, 2, 3, 9, 10, 400])).to_list() == [
        *("0", "1–2", "1–2", "3–9", "3–9", "10+", "10+")
    ]


def test_groups_are_values_of_an_sql_expression(answered: tuple[gs.GraphStore, Examples, Outcomes]) -> None:
    store, examples, _ = answered
    city = breakdowns.grouped_by(store, examples, "small", "user.city")
    assert city.to_list() == ["Lima", "Lima", "not known", "Oslo", "Lima"]
    expression = "case when age < 23 then 'young' else 'older' end"
    assert breakdowns.grouped_by(store, examples, "small", expression).to_list() == ["young"] * 3 + ["older"] * 2
    assert breakdowns.grouped_by(store, examples, "small", "image.id = 'i1'").to_list() == [
        *("true", "false", "true", "false", "false")
    ]
    assert breakdowns.grouped_by(store, examples, "elsewhere", "city").to_list() == ["not known"] * 5


@pytest.mark.parametrize("wrong", ["user.cty", "planet.size", "1 +"])
def test_sql_errors_list_the_columns(answered: tuple[gs.GraphStore, Examples, Outcomes], wrong: str) -> None:
    store, examples, _ = answered
    with pytest.raises(InputError, match=r"(?s)The SQL does not run.* Columns: user.age, user.city, image.vector\.$"):
        breakdowns.grouped_by(store, examples, "small", wrong)
    with pytest.raises(InputError, match="lists or structs"):
        breakdowns.grouped_by(store, examples, "small", "image.vector")
    assert breakdowns.grouped_by(store, examples, "small", "user.id").n_unique() == 4  # nothing is left behind


def test_many_numbers_become_quartiles_and_rare_strings_others() -> None:
    numbers = breakdowns._group_labels(pl.Series([float(n) for n in range(100)] + [None]))
    assert sorted(numbers.value_counts()["count"].to_list()) == [1, 25, 25, 25, 25]
    assert numbers[0] == "0 to 24.75"
    words = breakdowns._group_labels(pl.Series([f"w{n}" for n in range(25)] + [f"w{n}" for n in range(20)]))
    assert words.n_unique() == breakdowns.MAX_GROUPS + 1
    assert words.unique().sort().to_list() == [*(f"w{n}" for n in range(20)), "5 others"]
    assert (words == "5 others").sum() == 5


def test_endpoints_of_one_type_are_source_and_destination(tmp_path: Path) -> None:
    with gs.open(tmp_path / "one.duckdb") as store:
        write_social(store)
        write_run(store, "a", [answer("u1", "u2", "awe", [1, 0, 0])], entity_type="user connects user")
        examples, _, _ = read(store, [[runs.load(store, "a")]], "emotion", "test")
        expression = "source.city || destination.id"
        assert breakdowns.grouped_by(store, examples, "small", expression).to_list() == ["Limau2"]
        assert list(breakdowns.cold_start(store, examples)) == [
            *("training degree of the source", "training degree of the destination", "cold start")
        ]


def test_groups_are_compared_with_all_other_rows(answered: tuple[gs.GraphStore, Examples, Outcomes]) -> None:
    store, examples, outcomes = answered
    groupings = {"city": breakdowns.grouped_by(store, examples, "small", "city")}
    clusters = examples.ids[0].rank("dense").to_numpy().astype(np.int64) - 1
    table = breakdowns.by_group(BootstrapSamples((clusters,), 200), {"m": [outcomes, outcomes]}, groupings, "accuracy")
    assert table["group"].to_list() == ["Lima", "Oslo", "not known"]
    assert table["rows"].to_list() == [3, 1, 1]
    assert table["clusters"].to_list() == [[2], [1], [1]]
    assert table["accuracy"].to_list() == pytest.approx([2 / 3, 0, 1], abs=1e-6)
    assert table["difference"][0] == pytest.approx(2 / 3 - 1 / 2, abs=1e-6)
    assert table["small"].all()


def test_classes_have_precision_and_recall(answered: tuple[gs.GraphStore, Examples, Outcomes]) -> None:
    _, examples, outcomes = answered
    table = breakdowns.by_class({"m": [outcomes, outcomes]}, examples.classes)
    assert table.row(0) == ("m", "awe", pytest.approx(0.6), 1.0, pytest.approx(0.75), 3, 5.0)
    assert table.row(1) == ("m", "fear", None, 0.0, 0.0, 2, 0.0)
    assert table["recall"][2] is None
