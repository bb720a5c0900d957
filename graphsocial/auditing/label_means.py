"""Columns that were computed from the labels around a node: they follow the labels' noise, which no cause can.

The mean label of a node is its true level plus the noise of the labels that it happens to have. A column that causes
labels, such as a genre, follows the level alone; so its squared correlation with the mean is at most the mean's
reliability, the share of its variance that is not noise (the attenuation formula of Spearman 1904). A column above that
was computed from these labels. The reliability is estimated by halves of each node's labels, drawn at random, and the
formula of Spearman and Brown (1910) for twice the length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HALVINGS = 8  # random halves whose reliabilities are averaged
BOOTSTRAP_SAMPLES = 300
QUANTILE = 0.005  # of the bootstrap; above 0 there is a leak
MIN_EXPLAINED = 0.2  # R²; below it no column is worth the bootstrap
LIKE_A_CAUSE = 0.9  # R² of a column that is named although it may be a cause
MIN_NODES = 20  # with two labels or more
MAX_CATEGORIES = 10  # the most frequent ones of a category


@dataclass(frozen=True)
class Explained:
    """How well the labels around nodes explain a column.

    Attributes:
        share: R² of the column on the mean labels, adjusted for their number.
        reliability: of the mean labels that explain it, 0 to 1.
        excess: lower confidence bound of `share - reliability`; above 0 the column follows the labels' noise.
    """

    share: float
    reliability: float
    excess: float

    @property
    def leaks(self) -> bool:
        """Whether the column was computed from the labels."""
        return self.excess > 0


@dataclass(frozen=True)
class LabelMeans:
    """The mean labels of n nodes, and of halves of their labels.

    Attributes:
        nodes: (n,) the nodes that have two labels or more.
        whole: (n, P) functions of the mean label: of each class, and which is the most frequent.
        halves: pairs of (n, P) the same of two random halves of each node's labels.
    """

    nodes: NDArray[np.int64]
    whole: Array
    halves: tuple[tuple[Array, Array], ...]

    @classmethod
    def of(cls, nodes: NDArray[np.int64], labels: Array, *, max_nodes: int, seed: int = 0) -> LabelMeans:
        """The means of the labels of each node.

        Args:
            nodes: (m,) the node of each label.
            labels: (m, K) labels: one column for each class, 1 for the label's own; or one of numbers.
            max_nodes: number of nodes that are used, the first ones.
            seed: random seed of the halves.
        """
        distinct, index, counts = np.unique(nodes, return_inverse=True, return_counts=True)
        several = np.flatnonzero(counts >= 2)[:max_nodes]
        position = np.full(len(distinct), -1)
        position[several] = np.arange(len(several))
        kept = position[index] >= 0
        rows, values = position[index][kept], labels[kept]
        random = np.random.default_rng([seed, 19])
        halves = []
        for _ in range(HALVINGS):
            order = np.lexsort((random.random(len(rows)), rows))
            starts = np.cumsum(np.bincount(rows, minlength=len(several))) - np.bincount(rows, minlength=len(several))
            rank = np.empty(len(rows), dtype=np.int64)
            rank[order] = np.arange(len(rows)) - starts[rows[order]]
            first = (rank + random.integers(0, 2, len(several))[rows]) % 2 == 0
            halves.append(
                (
                    _functions(rows[first], values[first], len(several)),
                    _functions(rows[~first], values[~first], len(several)),
                )
            )
        return cls(distinct[several], _functions(rows, values, len(several)), tuple(halves))

    def explain(self, column: Array, *, seed: int = 0) -> Explained:
        """How well the mean labels explain a column of numbers.

        Args:
            column: (n,) its values of `nodes`, NaN where missing.
            seed: random seed of the bootstrap.
        """
        known = np.isfinite(column)
        width = self.whole.shape[1]
        count = int(known.sum())
        if count < max(MIN_NODES, 5 * width) or not np.ptp(column[known]) > 1e-12:
            return Explained(0.0, 1.0, -1.0)
        design = np.column_stack([np.ones(count), self.whole[known]])
        weights, _, rank, _ = np.linalg.lstsq(design, column[known], rcond=None)
        fitted, weights = design @ weights, weights[1:]
        halves = [(one[known] @ weights, other[known] @ weights) for one, other in self.halves]
        factor = (count - 1) / max(1, count - int(rank))

        def measure(rows: NDArray[np.int64]) -> tuple[Array, Array]:
            share = 1 - (1 - _correlation(column[known][rows], fitted[rows]) ** 2) * factor
            half = np.mean([_correlation(one[rows], other[rows]) for one, other in halves], axis=0).clip(0)
            return share, 2 * half / (1 + half)

        (share,), (reliability,) = measure(np.arange(count)[None])
        if share < MIN_EXPLAINED:
            return Explained(float(share), float(reliability), -1.0)
        drawn = np.random.default_rng([seed, 23]).integers(0, count, (BOOTSTRAP_SAMPLES, count))
        shares, reliabilities = measure(drawn)
        return Explained(float(share), float(reliability), float(np.quantile(shares - reliabilities, QUANTILE)))

    def explain_category(self, column: Array, *, seed: int = 0) -> Explained:
        """How well the mean labels explain a category: the one of its values that they explain best beyond a cause.

        Args:
            column: (n,) codes of the category, NaN where missing.
            seed: random seed of the bootstrap.
        """
        known = np.isfinite(column)
        values, counts = np.unique(column[known], return_counts=True)
        frequent = values[np.argsort(-counts, kind="stable")][:MAX_CATEGORIES]
        single = [np.where(known, (column == value).astype(np.float64), np.nan) for value in frequent]
        found = [self.explain(part, seed=seed) for part in single]
        return max(found, key=lambda one: (one.excess, one.share), default=Explained(0.0, 1.0, -1.0))


def _functions(rows: NDArray[np.int64], labels: Array, size: int) -> Array:
    """(size, P) the mean label of each node and, for classes, 1 for the most frequent one of all but the last class."""
    counts = np.bincount(rows, minlength=size).clip(1)[:, None]
    sums = np.stack([np.bincount(rows, weights=part, minlength=size) for part in labels.T], axis=1)
    means: Array = sums / counts
    if means.shape[1] == 1:
        return means
    return np.concatenate([means[:, :-1], np.eye(means.shape[1])[means.argmax(1)][:, :-1]], axis=1)


def _correlation(a: Array, b: Array) -> Array:
    """(B,) the correlation of each row of two (B, n) arrays; 0 where one is constant."""
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    scale = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    correlation: Array = np.where(scale > 1e-12, (a * b).sum(-1) / np.maximum(scale, 1e-12), 0.0)
    return correlation
