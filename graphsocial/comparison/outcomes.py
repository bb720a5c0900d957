"""What runs answered beside what was true: the labelled rows of `predictions` as arrays that can be scored again.

Every score here is a function of weighted rows, so that the same lines score all rows, a group of them, or thousands
of resamples at once.
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
    """The rows that all compared runs answered, in the order of their ids.

    Attributes:
        target: what was asked.
        entity_type: what the rows are: `user views image`, or a node type.
        ends: the node types of the ids: one, or two.
        ids: per end, (N,) the source's ids.
        split_ids: (N,) the split whose part the row is in; folds of one data set have one each.
        classes: the classes in order; none for numbers.
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
    """One run's answers to a question with classes.

    Attributes:
        target: (N,) true classes.
        chosen: (N,) the classes that were answered; not always the likeliest ones, where rare classes weigh more.
        probabilities: (N, K), rows sum to 1.
    """

    target: NDArray[np.int64]
    chosen: NDArray[np.int64]
    probabilities: Array

    def take(self, rows: NDArray[np.int64]) -> ClassOutcomes:
        """Some rows."""
        return ClassOutcomes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def scores(
        self, weights: Array, clusters: Clusters | None = None, metrics: Collection[str] | None = None
    ) -> dict[str, Array]:
        """Weighted F1, macro F1, accuracy, log loss (nats), as in `metrics.multiclass`, for each row of weights.

        Args:
            weights: (B, C), how often each cluster of rows counts.
            clusters: (N,) the cluster of each row; each row is one by default.
            metrics: the ones that are wanted; all by default.

        Returns:
            Metric → (B,); NaN where all weights are 0.
        """
        classes = self.probabilities.shape[1]
        rows, last = np.arange(len(self.target)), np.full(len(self.target), classes * classes)
        cells = sparse.csr_array(  # two numbers a row: its cell of the confusion matrix, and its loss
            (
                np.concatenate([np.ones(len(rows)), self.losses]),
                (np.tile(rows, 2), np.concatenate([self.target * classes + self.chosen, last])),
            ),
            shape=(len(rows), classes * classes + 1),
        )
        sums = _weighted(cells, weights, clusters)
        confusion = sums[:, :-1].reshape(-1, classes, classes)  # (B, true, chosen)
        support, named = confusion.sum(2), confusion.sum(1)
        right = np.diagonal(confusion, axis1=1, axis2=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = np.nan_to_num(2 * right / (support + named))
            total = support.sum(1)
            found = {
                "weighted_f1": (f1 * support).sum(1) / total,
                "macro_f1": f1.sum(1) / ((support + named) > 0).sum(1),
                "accuracy": right.sum(1) / total,
                "log_loss": sums[:, -1] / total,
            }
        return {name: values for name, values in found.items() if metrics is None or name in metrics}

    @property
    def losses(self) -> Array:
        """(N,) nats: minus the log of what was given to the true class, cut at 1e-7."""
        clipped = np.clip(self.probabilities, 1e-7, 1)
        at = clipped[np.arange(len(self.target)), self.target]
        found: Array = np.log(clipped.sum(1)) - np.log(at)
        return found

    @property
    def errors(self) -> Array:
        """(N,) 1 where the answer is wrong."""
        found: Array = (self.chosen != self.target).astype(np.float64)
        return found


@dataclass(frozen=True)
class ValueOutcomes:
    """One run's answers to a question about a number, both in its own unit; (N,) each."""

    target: Array
    value: Array

    def take(self, rows: NDArray[np.int64]) -> ValueOutcomes:
        """Some rows."""
        return ValueOutcomes(self.target[rows], self.value[rows])

    def scores(
        self, weights: Array, clusters: Clusters | None = None, metrics: Collection[str] | None = None
    ) -> dict[str, Array]:
        """Mean absolute error, root mean squared (logarithmic) error, Spearman's correlation, for each row of weights.

        Args:
            weights: (B, C), how often each cluster of rows counts.
            clusters: (N,) the cluster of each row; each row is one by default.
            metrics: the ones that are wanted; all by default. The correlation takes far longer than the others.

        Returns:
            Metric → (B,); NaN where all weights are 0, for RMSLE where a number is negative, and for the correlation
            where nothing varies.
        """
        error = self.value - self.target
        positive = min(self.value.min(), self.target.min()) >= 0
        ratio = np.log1p(self.value) - np.log1p(self.target) if positive else np.full(len(error), np.nan)
        cells = np.stack([np.ones(len(error)), np.abs(error), error**2, ratio**2], axis=1)
        total, absolute, squared, logarithmic = _weighted(cells, weights, clusters).T
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {
                "mae": absolute / total,
                "rmse": np.sqrt(squared / total),
                "rmsle": np.sqrt(logarithmic / total),
            }
            if metrics is None or "spearman" in metrics:
                each = weights if clusters is None else weights[:, clusters]  # (B, N)
                found["spearman"] = _correlation(_ranks(self.value, each), _ranks(self.target, each), each)
        return {name: values for name, values in found.items() if metrics is None or name in metrics}

    @property
    def errors(self) -> Array:
        """(N,) absolute errors."""
        found: Array = np.abs(self.value - self.target)
        return found


Outcomes = ClassOutcomes | ValueOutcomes


def is_classes(outcomes: Outcomes) -> TypeGuard[ClassOutcomes]:
    """Whether the answers are classes rather than numbers."""
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
    found: Array = (cells.T @ weights.T).T
    return found


def _ranks(values: Array, weights: Array) -> Array:
    """(B, N) the mean rank of each value where row n stands in the sample `weights[b, n]` times."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    tied = np.add.reduceat(weights[:, order], starts, axis=1)  # (B, U) how often each distinct value is there
    ranks: Array = (np.cumsum(tied, axis=1) - (tied - 1) / 2)[:, place]
    return ranks


def _correlation(a: Array, b: Array, weights: Array) -> Array:
    total = weights.sum(1, keepdims=True)
    a, b = (x - (weights * x).sum(1, keepdims=True) / total for x in (a, b))
    found: Array = (weights * a * b).sum(1) / np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1))
    return found


def one_target(store: GraphStore, runs: Sequence[Run], target: str | None) -> str:
    """The target that is meant, which the runs have in common.

    Raises:
        InputError: they answer several, and none was named; or none in common.
        UnknownNameError: they do not answer the one that was named.
    """
    found: list[set[str]] = []
    for run in runs:
        rows = store.sql("select distinct target from predictions where run_id = ?", [run.id]).fetchall()
        found.append({name for (name,) in rows})
    known = sorted(set.intersection(*found))
    if target is not None:
        if target not in known:
            raise UnknownNameError.of("target of these runs", target, known)
        return target
    if len(known) == 1:
        return known[0]
    if not known:
        raise DataError("These runs have no predicted target in common; write predictions with `predict RUN`.")
    raise InputError(f"These runs answer several targets: {', '.join(known)}. Name one with target=… (--target NAME).")


def read(
    store: GraphStore, answerers: Sequence[Sequence[Run]], target: str, split: str
) -> tuple[Examples, list[Outcomes], int]:
    """The labelled rows that all answerers answered.

    Args:
        answerers: each a run, or the runs of one seed on several folds; on the same splits.
        target: one that all of them answer.
        split: `train`, `validation` or `test`.

    Returns:
        The rows; each answerer's answers to them; how many rows were left out because one did not answer them.

    Raises:
        DataError: there is no such row.
    """
    if split not in ROLES:
        raise InputError(f"'{split}' is no part of a split; use one of {', '.join(ROLES)}.")
    frames = [_rows(store, [run.id for run in answerer], target, split) for answerer in answerers]
    shared = frames[0].select(KEYS)
    for frame in frames[1:]:
        shared = shared.join(frame.select(KEYS), on=KEYS, how="semi", nulls_equal=True)
    if not shared.height:
        everyone = [run for answerer in answerers for run in answerer]
        closed = [run.id for run in everyone if split == "test" and "test" not in run.metrics]
        if closed:
            raise DataError(
                f"The test part is still closed to {', '.join(closed)}: `evaluate RUN` opens it; or look at the "
                "validation part (--split validation)."
            )
        hint = "; write them with `predict RUN --train`" if split == "train" else ""
        names = ", ".join(run.id for run in everyone)
        raise DataError(f"No labelled '{split}' rows of '{target}' were answered by all of {names}{hint}.")
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
    given = [run_ids, target, split]
    first = store.first(f"select map_keys(probabilities) {clause} order by entity_id, other_id limit 1", given)
    classes = (first[0] if first else None) or []
    shares = ", ".join(f"probabilities[{literal(name)}]::double" for name in classes)
    names = ", ".join(literal(name) for name in classes)
    frame: pl.DataFrame = store.sql(
        f"select split_id, entity_id, other_id, entity_type, label, true_label, value, true_value, "
        f"[{names}]::varchar[] as classes, [{shares}]::double[] as shares {clause}",
        given,
    ).pl()
    return frame


def _outcomes(frame: pl.DataFrame, classes: tuple[str, ...]) -> Outcomes:
    own = list(frame["classes"][0])
    if sorted(own) != sorted(classes):
        raise DataError(f"The runs answer with different classes: {', '.join(classes)}, and {', '.join(own)}.")
    if not classes:
        return ValueOutcomes(*(frame[name].cast(pl.Float64).to_numpy() for name in ("true_value", "value")))
    shares = frame["shares"].explode().to_numpy().reshape(-1, len(own))[:, [own.index(name) for name in classes]]
    codes = dict(zip(classes, range(len(classes)), strict=True))
    target, chosen = (
        frame[name].replace_strict(codes, return_dtype=pl.Int64).to_numpy() for name in ("true_label", "label")
    )
    return ClassOutcomes(target, chosen, shares / shares.sum(1, keepdims=True))
