"""Calibration: temperatures that mend what was spoilt, errors that agree with a second implementation."""

from __future__ import annotations

import numpy as np
import pytest

from graphsocial.comparison.calibration import (
    calibration_error,
    fit_temperature,
    reliability,
    risk_coverage,
    scaled,
    tables,
)
from graphsocial.comparison.outcomes import ClassOutcomes
from graphsocial.evaluation.metrics import multiclass


@pytest.fixture(scope="module")
def honest() -> ClassOutcomes:
    """Labels drawn from the probabilities that are said."""
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.full(4, 0.5), 20_000)
    target = (random.random((len(shares), 1)) > shares.cumsum(1)).sum(1)
    return ClassOutcomes(target.clip(max=3), shares.argmax(1), shares)


def test_honest_probabilities_need_no_temperature(honest: ClassOutcomes) -> None:
    assert fit_temperature(honest.probabilities, honest.target) == pytest.approx(1, abs=0.05)
    assert calibration_error(honest.probabilities, honest.target) < 0.015


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_the_temperature_undoes_what_was_done(honest: ClassOutcomes, temperature: float) -> None:
    spoilt = scaled(honest.probabilities, temperature)
    found = fit_temperature(spoilt, honest.target)
    assert found == pytest.approx(1 / temperature, rel=0.05)
    assert calibration_error(spoilt, honest.target) > 0.05
    assert calibration_error(scaled(spoilt, found), honest.target) < 0.015
    assert (spoilt.argmax(1) == honest.chosen).all()


def test_the_error_is_torchmetrics_and_the_bins_add_up(honest: ClassOutcomes) -> None:
    spoilt = scaled(honest.probabilities, 0.5)
    theirs = multiclass(spoilt, honest.target)["calibration_error"]
    assert calibration_error(spoilt, honest.target) == pytest.approx(theirs, abs=1e-4)
    bins = reliability(spoilt, honest.target)
    assert bins["rows"].sum() == len(spoilt)
    assert ((bins["confidence"] > bins["low"]) & (bins["confidence"] <= bins["high"] + 1e-12)).all()


def test_risk_falls_with_coverage_where_confidence_is_worth_something() -> None:
    confidence, errors = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.0, 0, 1, 1])
    assert risk_coverage(confidence, errors).tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert risk_coverage(-confidence, errors).tolist() == pytest.approx([1, 1, 2 / 3, 1 / 2])
    assert risk_coverage(np.ones(4), errors).tolist() == [0.5] * 4  # ties tell nothing, whatever their order


def test_tables_have_no_temperature_where_none_was_fitted(honest: ClassOutcomes) -> None:
    found = tables([honest], [])
    assert found["calibration"]["temperature"].to_list() == [None]
    assert set(found["reliability"]["probabilities"]) == {"as answered"}
    assert found["abstention"]["risk"][-1] == pytest.approx(honest.errors.mean())
    assert set(tables([honest], [1.2])["reliability"]["probabilities"]) == {"as answered", "at the temperature"}
