"""Numbers, categories and times: against scikit-learn, and blind to everything but the training rows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from graphsocial.featurizers._tabular import Tabular
from graphsocial.types import Column

COLUMNS = [
    Column("age", "number"),
    Column("likes", "integer"),
    Column("city", "category"),
    Column("joined", "timestamp"),
    Column("answer", "number", "label"),
]
MONDAY = datetime(2024, 1, 1, tzinfo=timezone.utc)


def frame(count: int = 200, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "age": [None if n % 9 == 0 else float(value) for n, value in enumerate(random.normal(40, 12, count))],
            "likes": random.geometric(0.01, count).tolist(),
            "city": [("Oslo", "Lima", "Oslo", "Rome", None)[n % 5] for n in range(count)],
            "joined": [None if n % 7 == 0 else MONDAY + timedelta(hours=5 * n) for n in range(count)],
            "answer": random.normal(size=count).tolist(),
        }
    )


def test_against_scikit_learn() -> None:
    data, train = frame(), np.arange(100)
    fitted = Tabular.fit(data, COLUMNS, train)
    encoded = fitted.encode(data)
    assert [part.column for part in fitted.parts] == ["age", "likes", "city"] and encoded.shape == (200, 2 + 2 + 5)
    ages = data["age"].to_numpy()[:, None]
    scaled = StandardScaler().fit(ages[train]).transform(ages)[:, 0]
    assert np.allclose(encoded[:, 0], np.nan_to_num(scaled), atol=1e-6) and (encoded[:, 1] == np.isnan(scaled)).all()
    cities = data["city"].fill_null("none").to_numpy()[:, None]
    order = [[*fitted.parts[2].values, "none"]]  # type: ignore[union-attr]
    peer = OneHotEncoder(categories=order, sparse_output=False).fit(cities[train]).transform(cities)
    assert (encoded[:, [4, 5, 6, 8]] == peer).all() and not encoded[:, 7].any()


def test_what_training_rows_do_not_show_changes_nothing() -> None:
    data, train = frame(), np.arange(50)
    other = pl.concat([data[:50], frame(150, seed=1).with_columns(pl.lit("Nice").alias("city"))])
    first, second = (Tabular.fit(d, COLUMNS, train, log_counts=True, periods=("day",)) for d in (data, other))
    assert first == second
    assert second.encode(other)[60, -4 - 1] == 1  # Nice has the place of cities that were not seen


def test_counts_are_taken_by_their_logarithm() -> None:
    data, rows = frame(), np.arange(200)
    plain, logged = (
        Tabular.fit(data, COLUMNS[1:2], rows, log_counts=flag).encode(data)[:, 0] for flag in (False, True)
    )
    expected = np.log1p(data["likes"].to_numpy())
    assert np.allclose(logged, (expected - expected.mean()) / expected.std(), atol=1e-5)
    assert not np.allclose(plain, logged, atol=0.1)
    signed = data.with_columns(pl.col("likes") - 5)
    assert Tabular.fit(signed, COLUMNS[1:2], rows, log_counts=True).parts[0].log is False  # type: ignore[union-attr]


def test_times_are_sines_and_cosines_of_clock_hands() -> None:
    times = [MONDAY, MONDAY + timedelta(hours=6), MONDAY + timedelta(days=7), MONDAY + timedelta(days=3.5), None]
    data = pl.DataFrame({"joined": times}, schema={"joined": pl.Datetime("us", "UTC")})
    fitted = Tabular.fit(data, COLUMNS[3:4], np.arange(5), periods=("day", "week"))
    encoded = fitted.encode(data)  # day sine, day cosine, week sine, week cosine, missing
    expected = [[0, 1, 0, 1, 0], [1, 0, None, None, 0], [0, 1, 0, 1, 0], [0, -1, 0, -1, 0], [0, 0, 0, 0, 1]]
    for row, wanted in zip(encoded, expected, strict=True):
        assert all(want is None or abs(value - want) < 1e-6 for value, want in zip(row, wanted, strict=True))
    assert Tabular.fit(data, COLUMNS[3:4], np.arange(5)).parts == ()


def test_columns_that_say_nothing_are_left_out() -> None:
    data = pl.DataFrame({"age": [3.0, 3.0], "city": [None, None]}, schema={"age": pl.Float64, "city": pl.String})
    empty = Tabular.fit(data, [COLUMNS[0], COLUMNS[2]], np.arange(2))
    assert empty.width == 0 and empty.encode(data).shape == (2, 0)


def test_the_most_frequent_values_have_columns() -> None:
    data = pl.DataFrame({"city": ["a", "b", "b", "c", "c", "c"]})
    fitted = Tabular.fit(data, [COLUMNS[2]], np.arange(6), most_values=2)
    assert fitted.encode(data).argmax(1).tolist() == [2, 1, 1, 0, 0, 0]


def test_the_state_is_json() -> None:
    data = frame()
    fitted = Tabular.fit(data, COLUMNS, np.arange(200), log_counts=True, periods=("day", "year"))
    again = Tabular.restore(json.loads(json.dumps(fitted.state())))
    assert again == fitted and (again.encode(data) == fitted.encode(data)).all()


@pytest.mark.parametrize("far", [1e12, -1e12])
def test_outliers_are_held_at_ten_deviations(far: float) -> None:
    data = pl.DataFrame({"age": [1.0, 2.0, 3.0, far]})
    assert abs(Tabular.fit(data, COLUMNS[:1], np.arange(3)).encode(data)[3, 0]) == 10
