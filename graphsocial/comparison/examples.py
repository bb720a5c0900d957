"""The labelled rows of `predictions` that several runs have in common, read as outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from graphsocial.comparison.outcomes import ClassOutcomes, Outcomes, ValueOutcomes
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.evaluation.splits import ROLES
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal

KEYS = ["split_id", "entity_id", "other_id"]


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
    if not classes and frames[0]["label"].null_count() < frames[0].height:
        raise InputError(
            f"'{target}' has several labels per example; comparisons take one class or a number. The leaderboard "
            "(graphsocial runs) and 'evaluate' have its scores."
        )
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
