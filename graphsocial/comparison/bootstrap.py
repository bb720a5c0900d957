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
SHARE, POSITIVE, CORRELATION = (0.0, 1.0), (0.0, float("inf")), (-1.0, 1.0)
RANGES = {
    **dict.fromkeys(("weighted_f1", "macro_f1", "accuracy"), SHARE),
    **dict.fromkeys(("log_loss", "mae", "rmse", "rmsle"), POSITIVE),
    "spearman": CORRELATION,
}
"""Metric → the smallest and the largest value that it can have."""


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
    other, so drawing rows one by one would make intervals too narrow. Rows of pairs depend on each other in two ways,
    by the user and by the image; then each way is drawn by itself, and the rows as well, and the variances are
    V = V_users + V_images - V_rows (Owen 2007, https://doi.org/10.1214/07-AOAS122; Cameron, Gelbach & Miller 2011,
    https://doi.org/10.1198/jbes.2010.07136).

    Attributes:
        ways: one or two ways to cluster: (N,) int64 cluster of each row, numbered from 0.
        samples: number of bootstrap samples of each drawing.
        seed: random seed of the draws.
    """

    ways: tuple[NDArray[np.int64], ...]
    samples: int = 1000
    seed: int = 0

    @cached_property
    def drawings(self) -> tuple[NDArray[np.int64], ...]:
        """The ways and, where there are two, the rows that they have in common: (N,) clusters each."""
        if len(self.ways) == 1:
            return self.ways
        one, other = self.ways
        common = np.unique(one * (other.max() + 1) + other, return_inverse=True)[1]
        return (one, other, common.astype(np.int64))

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of clusters of each way."""
        return tuple(int(way.max()) + 1 for way in self.ways)

    def weights(self, drawing: int = 0) -> Iterator[Array]:
        """The samples of one of the `drawings` in chunks: (b, C) counts of each cluster."""
        generator = np.random.default_rng([self.seed, drawing] if drawing else self.seed)
        clusters = self.drawings[drawing]
        count, size = int(clusters.max()) + 1, max(1, CHUNK // len(clusters))
        for start in range(0, self.samples, size):
            chunk = min(size, self.samples - start)
            drawn = generator.integers(0, count, (chunk, count)) + np.arange(chunk)[:, None] * count
            times = np.bincount(drawn.reshape(-1), minlength=chunk * count).reshape(chunk, count)
            yield times.astype(np.float64)

    def scores(self, parts: Mapping[Hashable, ScoredRows], metrics: Collection[str] | None = None) -> Scores:
        """The mean scores over the seeds, on the rows themselves and on each bootstrap sample.

        Args:
            parts: name → the rows that are scored.
            metrics: the metrics of the samples; all by default.
        """
        taken = {name: [seed.take(part.rows) for seed in part.outcomes] for name, part in parts.items()}
        sampled: dict[Hashable, dict[str, list[Array]]] = {name: {} for name in parts}
        for drawing, all_clusters in enumerate(self.drawings):
            used = {name: np.unique(all_clusters[part.rows], return_inverse=True) for name, part in parts.items()}
            chunks: dict[Hashable, list[dict[str, Array]]] = {name: [] for name in parts}
            for weights in self.weights(drawing):
                for name, (clusters, cluster_index) in used.items():
                    drawn = weights[:, clusters]
                    chunks[name].append(_mean([seed.scores(drawn, cluster_index, metrics) for seed in taken[name]]))
            for name, of_name in chunks.items():
                for metric in of_name[0]:
                    joined = np.concatenate([chunk[metric] for chunk in of_name])
                    sampled[name].setdefault(metric, []).append(joined)
        whole = {
            name: _mean([seed.scores(np.ones((1, len(parts[name].rows)))) for seed in taken[name]]) for name in parts
        }
        return Scores(
            {name: {metric: float(value[0]) for metric, value in scores.items()} for name, scores in whole.items()},
            sampled,
            {name: tuple(len(np.unique(way[part.rows])) for way in self.ways) for name, part in parts.items()},
        )


@dataclass(frozen=True)
class Scores:
    """Scores on the rows themselves and on the bootstrap samples.

    Attributes:
        value: name → metric → score on the rows themselves.
        sampled: name → metric → for each drawing (samples,) scores.
        clusters: name → number of clusters of each way among its rows.
    """

    value: Mapping[Hashable, Mapping[str, float]]
    sampled: Mapping[Hashable, Mapping[str, Sequence[Array]]] = field(repr=False)
    clusters: Mapping[Hashable, tuple[int, ...]]

    def interval(self, name: Hashable, metric: str) -> dict[str, float | None]:
        """A score with its confidence interval: `value`, `low`, `high`."""
        found = _interval(self.value[name][metric], self.sampled[name][metric], self.clusters[name])
        lowest, highest = RANGES[metric]
        return {
            "value": found["value"],
            "low": None if found["low"] is None else max(lowest, found["low"]),
            "high": None if found["high"] is None else min(highest, found["high"]),
        }

    def difference(self, name: Hashable, other: Hashable, metric: str) -> dict[str, float | None]:
        """One score minus another, with the interval of the paired bootstrap: both on the same samples.

        Args:
            name: name of the first part.
            other: name of the part whose score is subtracted.
            metric: name of the metric.
        """
        samples = zip(self.sampled[name][metric], self.sampled[other][metric], strict=True)
        clusters = zip(self.clusters[name], self.clusters[other], strict=True)
        return _interval(
            self.value[name][metric] - self.value[other][metric],
            [one - two for one, two in samples],
            tuple(map(min, clusters)),
        )


def _mean(seeds: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {metric: np.mean([scores[metric] for scores in seeds], axis=0) for metric in seeds[0]}


def _interval(value: float, drawings: Sequence[Array], clusters: tuple[int, ...]) -> dict[str, float | None]:
    """The value ± t · s: s² is the variance over the samples, t has the fewest clusters less one degrees of freedom.

    Drawing C clusters gives a variance that is too small by (C - 1) / C, which is corrected. With two ways the variance
    is that of one, plus that of the other, minus that of the rows, and at least that of each way.
    """
    finite = [samples[np.isfinite(samples)] for samples in drawings]
    too_few = any(len(part) < len(samples) / 2 for part, samples in zip(finite, drawings, strict=True))
    degrees = min(clusters) - 1
    if not np.isfinite(value) or too_few or degrees < 1:  # a group that most samples do not have
        return {"value": value if np.isfinite(value) else None, "low": None, "high": None}
    ways = [float(part.var()) * count / (count - 1) for part, count in zip(finite, clusters, strict=False)]
    variance = ways[0] if len(ways) == 1 else max(*ways, sum(ways) - float(finite[2].var()))
    half = float(stats.t.ppf((1 + LEVEL) / 2, degrees)) * variance**0.5
    return {"value": float(value), "low": float(value) - half, "high": float(value) + half}


def paired_t(
    a: Mapping[tuple[str, int], float], b: Mapping[tuple[str, int], float], *, test_share: float = 0.0
) -> tuple[float | None, float | None]:
    """A paired t test of the scores of two configurations: over seeds, or over folds.

    With one split the pairs are seeds, and the test is Student's. With several splits, such as the folds of a
    cross-validation, seeds are averaged first, since the seeds of a fold have their rows in common; and as the folds'
    training parts overlap, the variance of the mean is (1 / J + test / train) s² instead of s² / J (the corrected
    resampled t test of Nadeau & Bengio 2003, https://doi.org/10.1023/A:1024068626366).

    Args:
        a: (split, seed) → score of the first configuration.
        b: the same of the other; pairs that only one of them has do not count.
        test_share: number of test rows as a share of the number of training rows, for several splits.

    Returns:
        t and the two-sided p value; None with fewer than two pairs or equal differences.

    >>> paired_t({("s", 0): 0.70, ("s", 1): 0.72, ("s", 2): 0.71}, {("s", 0): 0.60, ("s", 1): 0.61, ("s", 2): 0.62})
    (17.32..., 0.003...)
    """
    by_split: dict[str, list[float]] = {}
    for split, seed in sorted(a.keys() & b.keys()):
        by_split.setdefault(split, []).append(a[split, seed] - b[split, seed])
    folds = len(by_split) > 1
    differences = np.asarray([np.mean(part) for part in by_split.values()] if folds else [*by_split.values()]).ravel()
    if len(differences) < 2 or not np.ptp(differences) > 1e-12:
        return None, None
    factor = 1 / len(differences) + (test_share if folds else 0.0)
    t = differences.mean() / np.sqrt(factor * differences.var(ddof=1))
    return float(t), float(2 * stats.t.sf(abs(t), len(differences) - 1))
