"""Confidence intervals of scores: the bootstrap over test rows, or over clusters of rows that depend on each other."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from graphsocial.comparison.outcomes import Array, Outcomes

CHUNK = 4_000_000  # weights in memory at once
LEVEL = 0.95


@dataclass(frozen=True)
class ScoredRows:
    """Rows whose scores get a confidence interval.

    Attributes:
        outcomes: the outcomes of one configuration's seeds on the same N rows; their scores are averaged.
        rows: the rows that are scored, a subset of the N.
    """

    outcomes: Sequence[Outcomes]
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class BootstrapSamples:
    """Bootstrap samples of N rows (Efron 1979), the same ones for all that is scored, so that differences are paired.

    Clusters are drawn with replacement, each with all its rows (Field & Welsh 2007): a user's rows depend on each
    other, so drawing rows one by one would make intervals too narrow.

    Attributes:
        clusters: (N,) int64 cluster of each row, numbered from 0.
        samples: number of bootstrap samples.
        seed: random seed of the draws.
    """

    clusters: NDArray[np.int64]
    samples: int = 1000
    seed: int = 0

    @cached_property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.clusters.max()) + 1

    def weights(self) -> Iterator[Array]:
        """The samples in chunks: (b, C) counts of each cluster."""
        generator = np.random.default_rng(self.seed)
        size = max(1, CHUNK // len(self.clusters))
        for start in range(0, self.samples, size):
            chunk = min(size, self.samples - start)
            drawn = generator.integers(0, self.count, (chunk, self.count)) + np.arange(chunk)[:, None] * self.count
            times = np.bincount(drawn.reshape(-1), minlength=chunk * self.count).reshape(chunk, self.count)
            yield times.astype(np.float64)

    def scores(self, parts: Mapping[Hashable, ScoredRows], metrics: Collection[str] | None = None) -> Scores:
        """The mean scores over the seeds, on the rows themselves and on each bootstrap sample.

        Args:
            parts: name → the rows that are scored.
            metrics: the metrics of the samples; all by default.
        """
        sampled: dict[Hashable, list[dict[str, Array]]] = {name: [] for name in parts}
        taken = {name: [seed.take(part.rows) for seed in part.outcomes] for name, part in parts.items()}
        used = {name: np.unique(self.clusters[part.rows], return_inverse=True) for name, part in parts.items()}
        for weights in self.weights():
            for name, (clusters, cluster_index) in used.items():
                drawn = weights[:, clusters]
                sampled[name].append(_mean([seed.scores(drawn, cluster_index, metrics) for seed in taken[name]]))
        whole = {
            name: _mean([seed.scores(np.ones((1, len(parts[name].rows)))) for seed in taken[name]]) for name in parts
        }
        return Scores(
            {name: {metric: float(value[0]) for metric, value in scores.items()} for name, scores in whole.items()},
            {
                name: {metric: np.concatenate([chunk[metric] for chunk in chunks]) for metric in chunks[0]}
                for name, chunks in sampled.items()
            },
        )


@dataclass(frozen=True)
class Scores:
    """Scores on the rows themselves and on the bootstrap samples.

    Attributes:
        value: name → metric → score on the rows themselves.
        sampled: name → metric → (samples,) scores.
    """

    value: Mapping[Hashable, Mapping[str, float]]
    sampled: Mapping[Hashable, Mapping[str, Array]] = field(repr=False)

    def interval(self, name: Hashable, metric: str) -> dict[str, float | None]:
        """A score with its percentile interval: `value`, `low`, `high`."""
        return _interval(self.value[name][metric], self.sampled[name][metric])

    def difference(self, name: Hashable, other: Hashable, metric: str) -> dict[str, float | None]:
        """One score minus another, with the interval of the paired bootstrap: both on the same samples.

        Args:
            name: name of the first part.
            other: name of the part whose score is subtracted.
            metric: name of the metric.
        """
        return _interval(
            self.value[name][metric] - self.value[other][metric],
            self.sampled[name][metric] - self.sampled[other][metric],
        )


def _mean(seeds: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {metric: np.mean([scores[metric] for scores in seeds], axis=0) for metric in seeds[0]}


def _interval(value: float, sampled: Array) -> dict[str, float | None]:
    finite = sampled[np.isfinite(sampled)]
    if not np.isfinite(value) or len(finite) < len(sampled) / 2:  # a group that most samples do not have
        return {"value": value if np.isfinite(value) else None, "low": None, "high": None}
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": float(value), "low": float(low), "high": float(high)}


def paired_t(a: Sequence[float], b: Sequence[float]) -> tuple[float | None, float | None]:
    """Student's paired t statistic and two-sided p value; None with fewer than two pairs or equal differences.

    >>> paired_t([0.70, 0.72, 0.71], [0.60, 0.61, 0.62])
    (17.32..., 0.003...)
    """
    differences = np.subtract(a, b)
    if len(differences) < 2 or not np.ptp(differences) > 1e-12:
        return None, None
    test = stats.ttest_rel(a, b)
    return float(test.statistic), float(test.pvalue)
