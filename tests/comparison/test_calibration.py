"""Calibration: temperatures that undo a known scaling, errors that agree with a second implementation."""

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
def calibrated() -> ClassOutcomes:
    """Labels drawn from the predicted probabilities."""
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.full(4, 0.5), 20_000)
    target = (random.random((len(probabilities), 1)) > probabilities.cumsum(1)).sum(1)
    return ClassOutcomes(target.clip(max=3), probabilities.argmax(1), probabilities)


def test_calibrated_probabilities_have_temperature_one(calibrated: ClassOutcomes) -> None:
    assert fit_temperature(calibrated.probabilities, calibrated.target) == pytest.approx(1, abs=0.05)
    assert calibration_error(calibrated.probabilities, calibrated.target) < 0.015


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_the_fitted_temperature_undoes_a_known_scaling(calibrated: ClassOutcomes, temperature: float) -> None:
    miscalibrated = scaled(calibrated.probabilities, temperature)
    fitted = fit_temperature(miscalibrated, calibrated.target)
    assert fitted == pytest.approx(1 / temperature, rel=0.05)
    assert calibration_error(miscalibrated, calibrated.target) > 0.05
    assert calibration_error(scaled(miscalibrated, fitted), calibrated.target) < 0.015
    assert (miscalibrated.argmax(1) == calibrated.predicted).all()


def test_the_calibration_error_equals_torchmetrics(calibrated: ClassOutcomes) -> None:
    miscalibrated = scaled(calibrated.probabilities, 0.5)
    theirs = multiclass(miscalibrated, calibrated.target)["calibration_error"]
    assert calibration_error(miscalibrated, calibrated.target) == pytest.approx(theirs, abs=1e-4)
    bins = reliability(miscalibrated, calibrated.target)
    assert bins["rows"].sum() == len(miscalibrated)
    assert ((bins["confidence"] > bins["low"]) & (bins["confidence"] <= bins["high"] + 1e-12)).all()


def test_the_risk_coverage_curve_of_known_errors() -> None:
    confidence, errors = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.0, 0, 1, 1])
    assert risk_coverage(confidence, errors).tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert risk_coverage(-confidence, errors).tolist() == pytest.approx([1, 1, 2 / 3, 1 / 2])
    assert risk_coverage(np.ones(4), errors).tolist() == [0.5] * 4  # ties tell nothing, whatever their order


def test_tables_have_no_temperature_where_none_was_fitted(calibrated: ClassOutcomes) -> None:
    found = tables([calibrated], [])
    assert found["calibration"]["temperature"].to_list() == [None]
    assert set(found["reliability"]["probabilities"]) == {"unscaled"}
    assert found["abstention"]["risk"][-1] == pytest.approx(calibrated.errors.mean())
    assert set(tables([calibrated], [1.2])["reliability"]["probabilities"]) == {"unscaled", "temperature-scaled"}
