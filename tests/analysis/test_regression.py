"""The regression of popularity: the jackknife by hand, separation, collinear terms, and simulations."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsocial.analysis._regression import inflation, jackknife, regress, separation
from graphsocial.evaluation.multiple_tests import holm


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_jackknife_leaves_out_each_cluster(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = np.column_stack([np.ones(60), random.normal(size=(60, 2)) * [1, 100]])
    clusters = np.unique(random.integers(0, 7, 60), return_inverse=True)[1]
    y = x @ [1, 2, 0.03] + random.normal(size=7)[clusters] + random.normal(size=60)
    fit = sm.OLS(y, x).fit()
    count = int(clusters.max()) + 1
    without = [sm.OLS(y[clusters != g], x[clusters != g]).fit().params - fit.params for g in range(count)]
    expected = (count - 1) / count * np.stack(without).T @ np.stack(without)
    np.testing.assert_allclose(jackknife(x, np.ones(60), fit.resid, clusters), expected, rtol=1e-6)
    each = 59 / 60 * sm.OLS(y, x).fit(cov_type="HC3").cov_params()
    np.testing.assert_allclose(jackknife(x, np.ones(60), fit.resid, np.arange(60)), each, rtol=1e-6)
    vif = [1 / (1 - sm.OLS(x[:, j], np.delete(x, j, axis=1)).fit().rsquared) for j in (1, 2)]
    np.testing.assert_allclose(inflation(x), vif, rtol=1e-6)


def test_a_logistic_regression_s_jackknife_is_near_the_refitted_one() -> None:
    random = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 25)
    text = random.normal(size=1000)
    shares = np.exp(0.5 * text + 0.5 * random.normal(size=40)[clusters] + random.normal(size=1000)).round()
    rows = pl.DataFrame({"shares": shares, "text": text, "cluster": clusters})
    found = regress(rows)[0].filter(model="logit", term="text").to_dicts()[0]
    y, x = (shares > np.quantile(shares, 0.8)).astype(float), sm.add_constant(text)
    refitted = [sm.Logit(y[clusters != g], x[clusters != g]).fit(disp=False).params[1] for g in range(40)]
    expected = np.sqrt(39 / 40 * np.sum((np.array(refitted) - found["coefficient"]) ** 2))
    assert found["standard_error"] == pytest.approx(expected, rel=0.02) and found["clusters"] == 40


def test_a_term_that_one_cluster_determines_has_no_standard_error() -> None:
    random = np.random.default_rng(0)
    clusters = np.repeat(np.arange(10), 20)
    image = ((clusters == 3) & (np.arange(200) % 2 == 0)).astype(float)  # faces on one page alone
    rows = pl.DataFrame(
        {
            "shares": random.integers(0, 100, 200).astype(float),
            "text": random.normal(size=200),
            "image": image,
            "cluster": clusters,
        }
    )
    found, notes = regress(rows)
    of_terms = {row["term"]: row for row in found.filter(model="log_shares").to_dicts()}
    assert of_terms["text"]["standard_error"] > 0 and of_terms["image"]["coefficient"] is not None
    assert [of_terms["image"][name] for name in ("standard_error", "p", "p_holm", "low", "high")] == [None] * 5
    assert any("without one cluster there is no estimate: image" in note for note in notes)


@pytest.mark.parametrize("complete", [True, False])
def test_separation_is_said_and_not_printed(complete: bool) -> None:
    """Completely: text tells all popular rows; in part: no row with a face is popular."""
    random = np.random.default_rng(0)
    shares = np.arange(200, dtype=float)
    popular = shares > 159
    columns = {"text": popular.astype(float) if complete else random.normal(size=200)}
    columns |= {} if complete else {"image": (~popular & (random.random(200) < 0.3)).astype(float)}
    found, notes = regress(pl.DataFrame({"shares": shares, **columns}))
    assert "logit" not in set(found["model"]) and {"ols", "log_shares"} <= set(found["model"])
    (note,) = (note for note in notes if "has no solution" in note)
    assert ("text" if complete else "image") in note and "separates" in note
    assert found["standard_error"].max() < 1000  # type: ignore[operator]  # a number


def test_no_separation_is_none() -> None:
    random = np.random.default_rng(0)
    x = np.column_stack([np.ones(100), random.normal(size=(100, 2))])
    y = (x[:, 1] > 0).astype(float)
    assert separation(x, y)[1]
    y[:2] = [1, 0]
    x[:2, 1] = [-3, 3]
    x[:2, 2] = 0
    assert not separation(x, y).any()


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_factors_that_become_constant_or_collinear_are_left_out(seed: int) -> None:
    """Values are missing at random and by rule: some factor has one value left, or a product equals another term."""
    random = np.random.default_rng(seed)
    rows = pl.DataFrame(
        {
            "shares": random.integers(0, random.choice([1, 3, 1000]), 200).astype(float) + 1.0,
            "text": random.integers(1, random.choice([2, 3, 6]), 200).astype(float),
            "image": (random.random(200) < random.choice([0.0, 0.02, 0.5])).astype(float),
            "likability": random.integers(0, 3, 200).astype(float),
        }
    )
    one_left = random.choice(["text", "image", "likability"])
    holes = random.choice(["text", "image", "likability"])
    if holes != one_left:  # where `holes` is known, `one_left` is constant
        rows = rows.with_columns(pl.when(pl.col(one_left) == rows[one_left][0]).then(pl.col(holes)).alias(holes))
    found, notes = regress(rows)
    assert notes
    if found.height:
        assert found["coefficient"].is_finite().all() and found["vif"].drop_nulls().is_finite().all()
        assert set(found["model"]) >= {"log_shares"}
        assert (found["low"] <= found["coefficient"]).drop_nulls().all()


def test_holm_is_over_the_table_without_constants() -> None:
    random = np.random.default_rng(0)
    rows = pl.DataFrame({"shares": random.integers(0, 99, 300), "text": random.normal(size=300)})
    rows = rows.with_columns(image=pl.Series(random.random(300)), likability=pl.Series(random.integers(0, 3, 300)))
    found, _ = regress(rows)
    tested = found.filter(pl.col("term") != "constant")
    assert tested["p_holm"].to_list() == pytest.approx(holm(tested["p"].to_list()))
    assert found.filter(term="constant")["p_holm"].null_count() == 4
    vif = {model: part["vif"].max() for (model,), part in found.group_by("model")}
    assert vif["log_shares_centred"] < 1.5 < vif["log_shares"] == vif["ols"]  # type: ignore[operator]  # numbers


@pytest.mark.slow
def test_no_effect_is_found_where_pages_differ_alone() -> None:
    """The table in docs/statistics.md is from the same simulation."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    inference = importlib.import_module("inference")
    for line in inference.regression(150):
        assert line.share <= 0.11, line
