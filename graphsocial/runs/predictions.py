"""Predictions of a task's examples as arrays per target, their metrics, and their columns of `predictions`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graphsocial.evaluation.metrics import multiclass, multilabel, ranking, regression
from graphsocial.types import LINK, Target


@dataclass(frozen=True)
class TargetPredictions:
    """Predictions of one target for N examples, with the true labels or values.

    Attributes:
        target: the predicted target.
        predicted: (N, K) probabilities, whose rows sum to 1 unless there are several labels; or (N,) numbers.
        truth: (N,) class codes, -1 where unknown; (N, K) 0 or 1, -1 where unknown; or (N,) numbers, NaN where unknown.
        decisions: (N,) class codes by the decision rule, or (N, K) 1 for each predicted label; None for numbers.
        lower, upper: (N,) bounds of a number's prediction interval; None for classes and without intervals.
    """

    target: Target
    predicted: NDArray[np.float64]
    truth: NDArray[np.int64] | NDArray[np.float64]
    decisions: NDArray[np.int64] | None = None
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(N,) bool, True where the truth is known."""
        if self.decisions is None:
            return ~np.isnan(self.truth)
        known: NDArray[np.bool_] = self.truth >= 0
        return known if known.ndim == 1 else np.asarray(known.all(axis=1))

    @property
    def rows(self) -> int:
        """The number of rows of `predictions` for each example: one, or one for each of several labels."""
        return len(self.target.classes) if self.target.kind == "multilabel" else 1

    def metrics(self, rows: NDArray[np.bool_]) -> tuple[dict[str, float], int]:
        """The metrics on the labelled ones of these rows (N,), and their number; no metrics if it is 0."""
        rows = rows & self.labelled
        if not rows.any():
            return {}, 0
        if self.decisions is None:
            bounds = None if self.lower is None or self.upper is None else (self.lower[rows], self.upper[rows])
            return regression(self.predicted[rows], self.truth[rows].astype(np.float64), bounds), int(rows.sum())
        truth = self.truth[rows].astype(np.int64)
        if self.target.kind == "multilabel":
            return multilabel(self.predicted[rows], truth, self.decisions[rows]), int(rows.sum())
        return multiclass(self.predicted[rows], truth, self.decisions[rows]), int(rows.sum())

    def ranking(self, rows: NDArray[np.bool_], sources: NDArray[np.object_]) -> dict[str, float]:
        """How links of each source rank among the pairs without one; none for other targets.

        Args:
            rows: (N,) the rows to score.
            sources: (N,) the source of each pair.
        """
        rows = rows & self.labelled
        if self.target.classes != LINK or not rows.any():
            return {}
        return ranking(self.predicted[rows, 1], self.truth[rows].astype(np.int64), sources[rows])

    def columns(self) -> dict[str, pa.Array]:
        """Their columns of the table `predictions`, N · `rows` values each, example by example.

        A row about one of several labels has its probability as `confidence`, and 1 or 0 as `value` and `true_value`.
        """
        if self.decisions is None:
            values = {"value": self.predicted, "true_value": self.truth, "lower": self.lower, "upper": self.upper}
            return {name: pa.array(part, from_pandas=True) for name, part in values.items() if part is not None}
        if self.target.kind == "multilabel":
            flags = np.where(self.labelled[:, None], self.truth, np.nan).reshape(-1)
            return {
                "label": pa.array(
                    np.tile(np.asarray(self.target.classes, dtype=object), len(self.predicted)), pa.string()
                ),
                "confidence": pa.array(self.predicted.reshape(-1).astype(np.float32)),
                "value": pa.array(self.decisions.reshape(-1).astype(np.float64)),
                "true_value": pa.array(flags, from_pandas=True),
            }
        names = np.asarray(self.target.classes, dtype=object)
        count, classes = self.predicted.shape
        keys = pa.DictionaryArray.from_arrays(
            pa.array(np.tile(np.arange(classes, dtype=np.int16), count)), pa.array(list(self.target.classes))
        ).cast(pa.string())
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * classes)
        confidence = self.predicted[np.arange(count), self.decisions]
        probabilities = pa.array(self.predicted.reshape(-1).astype(np.float32))
        truth = np.where(self.labelled, names[self.truth.astype(np.int64).clip(0)], None)
        return {
            "label": pa.array(names[self.decisions], pa.string()),
            "confidence": pa.array(confidence.astype(np.float32)),
            "probabilities": pa.MapArray.from_arrays(offsets, keys, probabilities),
            "true_label": pa.array(truth, pa.string()),
        }


@dataclass(frozen=True)
class Predictions:
    """Predictions of the N examples of a task.

    Attributes:
        entity_type: node or edge type of the examples, such as `post` or `user views image`.
        ids: (N,) each, the source's ids of the node, or of the edge's source and destination.
        splits: (N,) `train`, `validation` or `test`; None for examples without a split role.
        targets: the predictions of each target of the task.
    """

    entity_type: str
    ids: tuple[NDArray[np.object_], ...]
    splits: NDArray[np.object_]
    targets: tuple[TargetPredictions, ...]

    def __len__(self) -> int:
        return len(self.splits)
