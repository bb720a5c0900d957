"""Columns that were computed from labels are told from causes by the labels' noise."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from graphsocial.auditing.label_means import LabelMeans


def test_the_reliability_of_a_mean_is_the_share_of_its_variance_that_is_no_noise() -> None:
    random = np.random.default_rng(0)
    level = random.normal(0, 1, 2000)
    labels = level[:, None] + random.normal(0, 2, (2000, 8))
    means = LabelMeans.of(np.repeat(np.arange(2000), 8), labels.reshape(-1, 1), max_nodes=5000)
    of_mean, of_level = means.explain(labels.mean(1)), means.explain(level)
    expected = 1 / (1 + 4 / 8)
    assert of_mean.reliability == pytest.approx(expected, abs=0.03) and of_mean.share == pytest.approx(1)
    assert of_level.share == pytest.approx(expected, abs=0.04)  # attenuated by the noise of the mean
    assert of_mean.leaks and not of_level.leaks


def test_nodes_with_one_label_and_constant_columns_say_nothing() -> None:
    means = LabelMeans.of(np.arange(50), np.ones((50, 1)), max_nodes=5000)
    assert len(means.nodes) == 0 and not means.explain(np.empty(0)).leaks
    labels = np.random.default_rng(0).normal(size=(200, 1))
    means = LabelMeans.of(np.repeat(np.arange(50), 4), labels, max_nodes=5000)
    assert not means.explain(np.ones(50)).leaks and not means.explain(np.full(50, np.nan)).leaks
    assert not means.explain_category(np.full(50, np.nan)).leaks


@pytest.mark.slow
def test_causes_raise_no_alarm_and_computed_columns_do() -> None:
    """The table in docs/statistics.md is from the same simulation."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    inference = importlib.import_module("inference")
    for line in inference.label_columns(40):
        assert line.share <= 0.1 if line.target == "0" else line.share >= 0.95, line
