"""The log-normal distribution of whole numbers above zero, such as counts of shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphsocial.analysis._measures import Floats

DENSE = 100  # above it the probability of a whole number is the density there


@dataclass(frozen=True)
class LogNormalCounts:
    """A log-normal quantity, rounded to a whole number, given that this is above zero.

    P(X ≤ n) = (Φ(n + ½) - Φ(½)) / (1 - Φ(½)), where Φ is the log-normal's distribution function.

    Attributes:
        mean: mean of the logarithm before rounding.
        deviation: its standard deviation.
    """

    mean: float
    deviation: float

    @classmethod
    def fit(cls, counts: Floats) -> LogNormalCounts:
        """The maximum-likelihood estimate from whole numbers above zero that are not all equal."""
        from scipy import optimize

        values, times = np.unique(counts, return_counts=True)
        logs = np.log(counts)

        def loss(parameters: Floats) -> float:
            return -float(times @ cls(parameters[0], float(np.exp(parameters[1])))._log_probability(values))

        found = optimize.minimize(loss, [logs.mean(), np.log(logs.std())], method="Nelder-Mead")
        return cls(float(found.x[0]), float(np.exp(found.x[1])))

    def cdf(self, at: Floats) -> Floats:
        """Probability of a number up to `at`, which is cut at n + ½."""
        from scipy import stats

        below = stats.norm.cdf(self._z(np.asarray(0.5)))
        return np.asarray((stats.norm.cdf(self._z(np.maximum(at, 0.5))) - below) / (1 - below))

    def distance(self, counts: Floats) -> float:
        """Kolmogorov's distance: the largest difference between observed and fitted shares of numbers up to n."""
        values, times = np.unique(counts, return_counts=True)
        return float(np.abs(times.cumsum() / times.sum() - self.cdf(values + 0.5)).max())

    def _z(self, at: Floats) -> Floats:
        return np.asarray((np.log(at) - self.mean) / self.deviation)

    def _log_probability(self, values: Floats) -> Floats:
        """(N,) log P(X = n) of whole numbers n."""
        from scipy import stats

        z, high, low = (self._z(values + offset) for offset in (0.0, 0.5, -0.5))
        side = np.where(z > 0, -1, 1)  # the smaller tail, which keeps digits
        width = np.abs(stats.norm.cdf(side * high) - stats.norm.cdf(side * low))
        density = stats.norm.logpdf(z) - np.log(values * self.deviation)
        rounded = np.where(values > DENSE, density, np.log(np.maximum(width, 1e-300)))
        return np.asarray(rounded - stats.norm.logsf(self._z(np.asarray(0.5))))
