"""A log-normal of whole numbers is recovered, also where most numbers are small."""

from __future__ import annotations

import numpy as np
import pytest

from graphsocial.analysis._lognormal import LogNormalCounts


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 1.0), (2.0, 1.5), (6.0, 2.0)])
def test_rounded_counts_fit_their_own_distribution(mean: float, deviation: float) -> None:
    random = np.random.default_rng(0)
    counts = np.exp(random.normal(mean, deviation, 20_000)).round()
    counts = counts[counts > 0]
    fitted = LogNormalCounts.fit(counts)
    assert fitted.mean == pytest.approx(mean, abs=0.06) and fitted.deviation == pytest.approx(deviation, abs=0.04)
    assert fitted.distance(counts) < 0.886 / np.sqrt(len(counts))  # Lilliefors' bound at 5 %
    assert LogNormalCounts(mean + 0.3, deviation).distance(counts) > 0.05
    assert fitted.cdf(np.array([0.5, 1e12])) == pytest.approx([0, 1])


def test_probabilities_add_up_to_one() -> None:
    distribution, numbers = LogNormalCounts(1.0, 0.8), np.arange(1.0, 5000.0)
    probabilities = np.exp(distribution._log_probability(numbers))
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert probabilities.cumsum() == pytest.approx(distribution.cdf(numbers + 0.5), abs=1e-6)
