"""Outcomes of a run, as arrays of targets and predictions, and their weighted scores.

The scores are functions of row weights, so that the same code scores all rows, a group of them, or thousands of
bootstrap samples at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graphsocial.evaluation.metrics import LOG_LOSS_CLIP

Array = NDArray[np.float64]
Clusters = NDArray[np.int64]


@dataclass(frozen=True)
class ClassOutcomes:
    """One run's predictions of a target with classes.

    Attributes:
        target: (N,) true classes.
        predicted: (N,) predicted classes; not always the most probable ones, see the decision rule of `nn.losses`.
        probabilities: (N, K), rows sum to 1.
    """

    target: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: Array

    def take(self, rows: NDArray[np.int64]) -> ClassOutcomes:
        """The outcomes of some rows."""
        return ClassOutcomes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def scores(
        self, weights: Array, clusters: Clusters | None = None, metrics: Collection[str] | None = None
    ) -> dict[str, Array]:
        """Weighted F1, macro F1, accuracy, log loss (nats), as in `metrics.multiclass`, for each row of weights.

        Args:
            weights: (B, C) weight of each cluster of rows.
            clusters: (N,) the cluster of each row; by default each row is one.
            metrics: the metrics to return; all by default.

        Returns:
            Metric → (B,); NaN where all weights are 0.
        """
        classes = self.probabilities.shape[1]
        rows, last = np.arange(len(self.target)), np.full(len(self.target), classes * classes)
        cells = sparse.csr_array(  # two entries for each row: its cell of the confusion matrix, and its loss
            (
                np.concatenate([np.ones(len(rows)), self.losses]),
                (np.tile(rows, 2), np.concatenate([self.target * classes + self.predicted, last])),
            ),
            shape=(len(rows), classes * classes + 1),
        )
        sums = _weighted(cells, weights, clusters)
        confusion = sums[:, :-1].reshape(-1, classes, classes)  # (B, true, predicted)
        support, predicted = confusion.sum(2), confusion.sum(1)
        correct = np.diagonal(confusion, axis1=1, axis2=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = np.nan_to_num(2 * correct / (support + predicted))
            total = support.sum(1)
            scores = {
                "weighted_f1": (f1 * support).sum(1) / total,
                "macro_f1": f1.sum(1) / ((support + predicted) > 0).sum(1),
                "accuracy": correct.sum(1) / total,
                "log_loss": sums[:, -1] / total,
            }
        return {name: values for name, values in scores.items() if metrics is None or name in metrics}

    @property
    def losses(self) -> Array:
        """(N,) negative log probability of the true class in nats, with probabilities clipped at 1e-7."""
        clipped = np.clip(self.probabilities, LOG_LOSS_CLIP, 1)
        target_probabilities = clipped[np.arange(len(self.target)), self.target]
        losses: Array = np.log(clipped.sum(1)) - np.log(target_probabilities)
        return losses

    @property
    def errors(self) -> Array:
        """(N,) 1 where the prediction is wrong, else 0."""
        errors: Array = (self.predicted != self.target).astype(np.float64)
        return errors


@dataclass(frozen=True)
class ValueOutcomes:
    """One run's predictions of a numeric target, in the unit of the target.

    Attributes:
        target: (N,) true values.
        value: (N,) predicted values.
    """

    target: Array
    value: Array

    def take(self, rows: NDArray[np.int64]) -> ValueOutcomes:
        """The outcomes of some rows."""
        return ValueOutcomes(self.target[rows], self.value[rows])

    def scores(
        self, weights: Array, clusters: Clusters | None = None, metrics: Collection[str] | None = None
    ) -> dict[str, Array]:
        """Mean absolute error, root mean squared (logarithmic) error, Spearman's correlation, for each row of weights.

        Args:
            weights: (B, C) weight of each cluster of rows.
            clusters: (N,) the cluster of each row; by default each row is one.
            metrics: the metrics to return; all by default. The correlation takes far longer than the others.

        Returns:
            Metric → (B,); NaN where all weights are 0, for RMSLE where a value is negative, and for the correlation
            where the variance is 0.
        """
        error = self.value - self.target
        positive = min(self.value.min(), self.target.min()) >= 0
        ratio = np.log1p(self.value) - np.log1p(self.target) if positive else np.full(len(error), np.nan)
        cells = np.stack([np.ones(len(error)), np.abs(error), error**2, ratio**2], axis=1)
        total, absolute, squared, logarithmic = _weighted(cells, weights, clusters).T
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = {
                "mae": absolute / total,
                "rmse": np.sqrt(squared / total),
                "rmsle": np.sqrt(logarithmic / total),
            }
            if metrics is None or "spearman" in metrics:
                row_weights = weights if clusters is None else weights[:, clusters]  # (B, N)
                scores["spearman"] = _correlation(
                    _ranks(self.value, row_weights), _ranks(self.target, row_weights), row_weights
                )
        return {name: values for name, values in scores.items() if metrics is None or name in metrics}

    @property
    def errors(self) -> Array:
        """(N,) absolute errors."""
        errors: Array = np.abs(self.value - self.target)
        return errors


Outcomes = ClassOutcomes | ValueOutcomes


def is_classes(outcomes: Outcomes) -> TypeGuard[ClassOutcomes]:
    """Whether the target has classes rather than numbers."""
    return isinstance(outcomes, ClassOutcomes)


METRICS = {
    ClassOutcomes: ("weighted_f1", "macro_f1", "accuracy", "log_loss"),
    ValueOutcomes: ("mae", "rmse", "rmsle", "spearman"),
}


def _weighted(cells: Array | sparse.csr_array, weights: Array, clusters: Clusters | None) -> Array:
    """(B, M) the weighted sums of (N, M) cells; the rows of a cluster are added first."""
    if clusters is not None:
        rows = np.arange(len(clusters))
        cells = sparse.csr_array((np.ones(len(rows)), (clusters, rows)), shape=(weights.shape[1], len(rows))) @ cells
    sums: Array = (cells.T @ weights.T).T
    return sums


def _ranks(values: Array, weights: Array) -> Array:
    """(B, N) the mean rank of each value in a sample that has row n `weights[b, n]` times."""
    _, value_index = np.unique(values, return_inverse=True)
    order = np.argsort(value_index, kind="stable")
    starts = np.flatnonzero(np.diff(value_index[order], prepend=-1))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)  # (B, U) counts of each distinct value
    ranks: Array = (np.cumsum(counts, axis=1) - (counts - 1) / 2)[:, value_index]
    return ranks


def _correlation(a: Array, b: Array, weights: Array) -> Array:
    total = weights.sum(1, keepdims=True)
    a, b = (x - (weights * x).sum(1, keepdims=True) / total for x in (a, b))
    correlation: Array = (weights * a * b).sum(1) / np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1))
    return correlation
