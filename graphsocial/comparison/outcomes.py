"""Outcomes: the labelled rows of `predictions` as arrays of targets and predictions that can be scored again.

Every score here is a function of row weights, so that the same code scores all rows, a group of them, or thousands of
bootstrap samples at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import TypeGuard

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.evaluation.splits import ROLES
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal

Array = NDArray[np.float64]
Clusters = NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """The N rows that all compared runs predicted, ordered by their ids.

    Attributes:
        target: name of the target.
        entity_type: an edge type, such as `user views image`, or a node type.
        ends: node types of the endpoints: one for nodes, two for edges.
        ids: for each endpoint, (N,) ids as in the source.
        split_ids: (N,) split that the row belongs to; each fold of a cross-validation is a split.
        classes: names of the classes in order; empty for numeric targets.
    """

    target: str
    entity_type: str
    ends: tuple[str, ...]
    ids: tuple[pl.Series, ...]
    split_ids: pl.Series
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids[0])

    @property
    def frame(self) -> pl.DataFrame:
        """Columns `split_id`, `entity_id` and, where rows are pairs, `other_id`."""
        return pl.DataFrame([self.split_ids, *self.ids])


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
        clipped = np.clip(self.probabilities, 1e-7, 1)
        of_target = clipped[np.arange(len(self.target)), self.target]
        losses: Array = np.log(clipped.sum(1)) - np.log(of_target)
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
                of_rows = weights if clusters is None else weights[:, clusters]  # (B, N)
                scores["spearman"] = _correlation(_ranks(self.value, of_rows), _ranks(self.target, of_rows), of_rows)
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


KEYS = ["split_id", "entity_id", "other_id"]
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


def one_target(store: GraphStore, runs: Sequence[Run], target: str | None) -> str:
    """The given target, or the only one that the runs have in common.

    Args:
        store: the store of the runs.
        runs: runs with predictions.
        target: name of a target, or None for the only one.

    Raises:
        InputError: they have several in common, and none is given.
        DataError: they have none in common.
        UnknownNameError: they do not predict the given one.
    """
    by_run: list[set[str]] = []
    for run in runs:
        rows = store.sql("select distinct target from predictions where run_id = ?", [run.id]).fetchall()
        by_run.append({name for (name,) in rows})
    targets = sorted(set.intersection(*by_run))
    if target is not None:
        if target not in targets:
            raise UnknownNameError.of("target of these runs", target, targets)
        return target
    if len(targets) == 1:
        return targets[0]
    if not targets:
        raise DataError("These runs have no predicted target in common; write predictions with `predict RUN`.")
    raise InputError(
        f"These runs predict several targets: {', '.join(targets)}. Name one with target=… (--target NAME)."
    )


def read(
    store: GraphStore, run_groups: Sequence[Sequence[Run]], target: str, split: str
) -> tuple[Examples, list[Outcomes], int]:
    """The labelled rows that all groups of runs predicted.

    Args:
        store: the store of the runs.
        run_groups: each a single run, or the runs of one seed on several folds; all on the same splits.
        target: a target that all of them predict.
        split: `train`, `validation` or `test`.

    Returns:
        The rows; the outcomes of each group on them; the number of rows left out because some group has no prediction.

    Raises:
        InputError: an unknown split role.
        DataError: there is no such row.
    """
    if split not in ROLES:
        raise InputError(f"'{split}' is no split role; use one of {', '.join(ROLES)}.")
    frames = [_rows(store, [run.id for run in group], target, split) for group in run_groups]
    shared = frames[0].select(KEYS)
    for frame in frames[1:]:
        shared = shared.join(frame.select(KEYS), on=KEYS, how="semi", nulls_equal=True)
    if not shared.height:
        runs = [run for group in run_groups for run in group]
        closed = [run.id for run in runs if split == "test" and "test" not in run.metrics]
        if closed:
            raise DataError(
                f"The test set is still closed to {', '.join(closed)}: `evaluate RUN` opens it; or compare on the "
                "validation set (--split validation)."
            )
        hint = "; write them with `predict RUN --train`" if split == "train" else ""
        names = ", ".join(run.id for run in runs)
        raise DataError(f"No labelled '{split}' rows of '{target}' were predicted by all of {names}{hint}.")
    left_out = max(frame.height for frame in frames) - shared.height
    shared = shared.sort(KEYS)
    frames = [shared.join(frame, on=KEYS, how="left", nulls_equal=True, maintain_order="left") for frame in frames]
    classes = tuple(frames[0]["classes"][0])
    entity_type = str(frames[0]["entity_type"][0])
    ends = tuple(entity_type.split(" ")[::2])
    ids = tuple(shared[name] for name in KEYS[1 : 1 + len(ends)])
    examples = Examples(target, entity_type, ends, ids, shared["split_id"], classes)
    return examples, [_outcomes(frame, classes) for frame in frames], left_out


def _rows(store: GraphStore, run_ids: list[str], target: str, split: str) -> pl.DataFrame:
    clause = (
        "from predictions join runs using (run_id) where list_contains(?, run_id) and target = ? "
        "and predictions.split = ? and (true_label is not null or true_value is not null)"
    )
    parameters = [run_ids, target, split]
    first = store.first(f"select map_keys(probabilities) {clause} order by entity_id, other_id limit 1", parameters)
    classes = (first[0] if first else None) or []
    probabilities = ", ".join(f"probabilities[{literal(name)}]::double" for name in classes)
    names = ", ".join(literal(name) for name in classes)
    frame: pl.DataFrame = store.sql(
        f"select split_id, entity_id, other_id, entity_type, label, true_label, value, true_value, "
        f"[{names}]::varchar[] as classes, [{probabilities}]::double[] as class_probabilities {clause}",
        parameters,
    ).pl()
    return frame


def _outcomes(frame: pl.DataFrame, classes: tuple[str, ...]) -> Outcomes:
    run_classes = list(frame["classes"][0])
    if sorted(run_classes) != sorted(classes):
        raise DataError(f"The runs have different classes: {', '.join(classes)}, and {', '.join(run_classes)}.")
    if not classes:
        return ValueOutcomes(*(frame[name].cast(pl.Float64).to_numpy() for name in ("true_value", "value")))
    columns = [run_classes.index(name) for name in classes]
    probabilities = frame["class_probabilities"].explode().to_numpy().reshape(-1, len(run_classes))[:, columns]
    codes = dict(zip(classes, range(len(classes)), strict=True))
    target, predicted = (
        frame[name].replace_strict(codes, return_dtype=pl.Int64).to_numpy() for name in ("true_label", "label")
    )
    return ClassOutcomes(target, predicted, probabilities / probabilities.sum(1, keepdims=True))
