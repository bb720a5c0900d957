"""Outcomes: the same scores as the metrics, with any row weights."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from graphsocial.comparison.outcomes import ClassOutcomes, ValueOutcomes
from graphsocial.evaluation.metrics import multiclass, regression


def random_classes(rows: int = 200, classes: int = 4, seed: int = 0) -> ClassOutcomes:
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.ones(classes), rows)
    target = np.where(random.random(rows) < 0.5, shares.argmax(1), random.integers(0, classes - 1, rows))
    return ClassOutcomes(target, shares.argmax(1), shares)


def test_scores_equal_the_metrics() -> None:
    outcomes = random_classes()
    mine = outcomes.scores(np.ones((1, 200)))
    theirs = multiclass(outcomes.probabilities, outcomes.target)
    for metric, value in mine.items():
        assert value[0] == pytest.approx(theirs[metric], abs=1e-6), metric


def test_a_weight_of_two_equals_the_row_twice() -> None:
    outcomes = random_classes()
    times = np.random.default_rng(1).integers(0, 4, (3, 200))
    weighted = outcomes.scores(times.astype(float))
    for sample in range(3):
        again = outcomes.take(np.repeat(np.arange(200), times[sample])).scores(np.ones((1, times[sample].sum())))
        for metric in again:
            assert weighted[metric][sample] == pytest.approx(again[metric][0], abs=1e-6), metric


def test_accuracy_is_of_the_predicted_not_the_most_probable_class() -> None:
    shares = np.array([[0.6, 0.4], [0.7, 0.3]])
    outcomes = ClassOutcomes(np.array([1, 0]), np.array([1, 0]), shares)
    assert outcomes.scores(np.ones((1, 2)))["accuracy"] == [1]
    assert outcomes.errors.tolist() == [0, 0]


def test_scores_of_numbers_equal_scipy_s_with_ties_and_repeats() -> None:
    random = np.random.default_rng(0)
    target, value = random.integers(0, 9, 100).astype(float), random.normal(size=100).round(1)
    times = random.integers(0, 3, (1, 100))
    found = ValueOutcomes(target, value).scores(times.astype(float))
    a, b = (np.repeat(x, times[0]) for x in (value, target))
    assert found["mae"][0] == pytest.approx(np.abs(a - b).mean())
    assert found["rmse"][0] == pytest.approx(np.sqrt(((a - b) ** 2).mean()))
    assert np.isnan(found["rmsle"][0])  # a number is negative
    positive = ValueOutcomes(target, np.abs(value)).scores(times.astype(float))
    assert positive["rmsle"][0] == pytest.approx(regression(np.abs(a), b)["rmsle"])
    assert found["spearman"][0] == pytest.approx(stats.spearmanr(a, b).statistic)


def test_scores_of_no_rows_are_nan() -> None:
    assert np.isnan(random_classes().scores(np.zeros((1, 200)))["weighted_f1"][0])
    assert np.isnan(ValueOutcomes(np.ones(3), np.ones(3)).scores(np.zeros((1, 3)))["mae"][0])
