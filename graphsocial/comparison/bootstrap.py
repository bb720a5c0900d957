"""How sure a score is: resampling test rows, whole clusters of them where rows depend on each other."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from graphsocial.comparison.outcomes import Array, Outcomes

CHUNK = 4_000_000  # weights that are held at once
LEVEL = 0.95


@dataclass(frozen=True)
class Part:
    """What is scored under one name.

    Attributes:
        outcomes: their scores are averaged, such as one configuration's seeds; over the same N rows each.
        rows: the rows that count.
    """

    outcomes: Sequence[Outcomes]
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Resamples:
    """Bootstrap samples of N rows (Efron 1979), the same ones for whatever is scored, so that differences are paired.

    Clusters are drawn with replacement and bring all their rows (Field & Welsh 2007): a user's rows share the user, so
    drawing them one by one would make intervals too narrow.

    Attributes:
        clusters: (N,) int64, which cluster a row belongs to, numbered from 0.
        samples: how many.
        seed: of the draws.
    """

    clusters: NDArray[np.int64]
    samples: int = 1000
    seed: int = 0

    @cached_property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.clusters.max()) + 1

    def weights(self) -> Iterator[Array]:
        """The samples in chunks: (b, C), how often each cluster was drawn."""
        generator = np.random.default_rng(self.seed)
        size = max(1, CHUNK // len(self.clusters))
        for start in range(0, self.samples, size):
            chunk = min(size, self.samples - start)
            drawn = generator.integers(0, self.count, (chunk, self.count)) + np.arange(chunk)[:, None] * self.count
            times = np.bincount(drawn.reshape(-1), minlength=chunk * self.count).reshape(chunk, self.count)
            yield times.astype(np.float64)

    def scores(self, parts: Mapping[Hashable, Part], metrics: Collection[str] | None = None) -> Scores:
        """The mean scores of each part, over all its rows and over each sample.

        Args:
            parts: what is scored.
            metrics: the ones that samples are scored by; all by default.
        """
        sampled: dict[Hashable, list[dict[str, Array]]] = {name: [] for name in parts}
        taken = {name: [one.take(part.rows) for one in part.outcomes] for name, part in parts.items()}
        used = {name: np.unique(self.clusters[part.rows], return_inverse=True) for name, part in parts.items()}
        for weights in self.weights():
            for name, (clusters, place) in used.items():
                drawn = weights[:, clusters]
                sampled[name].append(_mean([one.scores(drawn, place, metrics) for one in taken[name]]))
        whole = {
            name: _mean([one.scores(np.ones((1, len(parts[name].rows)))) for one in taken[name]]) for name in parts
        }
        return Scores(
            {name: {metric: float(value[0]) for metric, value in found.items()} for name, found in whole.items()},
            {
                name: {metric: np.concatenate([chunk[metric] for chunk in chunks]) for metric in chunks[0]}
                for name, chunks in sampled.items()
            },
        )


@dataclass(frozen=True)
class Scores:
    """What was measured, and what it would be on other samples.

    Attributes:
        value: part → metric → score on the rows themselves.
        sampled: part → metric → (samples,).
    """

    value: Mapping[Hashable, Mapping[str, float]]
    sampled: Mapping[Hashable, Mapping[str, Array]] = field(repr=False)

    def interval(self, name: Hashable, metric: str) -> dict[str, float | None]:
        """A score with its percentile interval: `value`, `low`, `high`."""
        return _interval(self.value[name][metric], self.sampled[name][metric])

    def difference(self, name: Hashable, other: Hashable, metric: str) -> dict[str, float | None]:
        """The first minus the other, on the same samples, with its interval."""
        return _interval(
            self.value[name][metric] - self.value[other][metric],
            self.sampled[name][metric] - self.sampled[other][metric],
        )


def _mean(each: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {metric: np.mean([found[metric] for found in each], axis=0) for metric in each[0]}


def _interval(value: float, sampled: Array) -> dict[str, float | None]:
    known = sampled[np.isfinite(sampled)]
    if not np.isfinite(value) or len(known) < len(sampled) / 2:  # a group that most samples do not have
        return {"value": value if np.isfinite(value) else None, "low": None, "high": None}
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": float(value), "low": float(low), "high": float(high)}


def paired_t(a: Sequence[float], b: Sequence[float]) -> tuple[float | None, float | None]:
    """Student's paired t and its two-sided p value; None where fewer than two pairs differ in size.

    >>> paired_t([0.70, 0.72, 0.71], [0.60, 0.61, 0.62])
    (17.32..., 0.003...)
    """
    differences = np.subtract(a, b)
    if len(differences) < 2 or not np.ptp(differences) > 1e-12:
        return None, None
    found = stats.ttest_rel(a, b)
    return float(found.statistic), float(found.pvalue)
