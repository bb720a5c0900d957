"""Checks of the labels that a task returns: lengths, idx, codes, numbers, times and context."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import polars as pl

from graphsocial.errors import DataError, InputError
from graphsocial.store import GraphStore
from graphsocial.tasks._labels import Context, LabelArray, Labels
from graphsocial.tasks.base import Task
from graphsocial.types import Column, EdgeType, NodeType, Target


def check_entity(entity: object, task: Task) -> NodeType | EdgeType:
    """The unchanged return value of `task.entity`, if it is a type of the task's level.

    Raises:
        InputError: it is not.
    """
    if not isinstance(entity, EdgeType if task.level == "edge" else NodeType):
        raise InputError(
            f"{type(task).__name__}.entity() returned {_kind(entity)}; it must return one of the schema's "
            f"{task.level} types, such as schema.{task.level}('…')."
        )
    return entity


def check_labels(
    labels: object, task: Task, store: GraphStore, entity: NodeType | EdgeType, dataset: str, as_of: datetime | None
) -> Labels:
    """The unchanged labels, if they are as `Labels` documents.

    Args:
        labels: the return value of `task.labels`.
        task: the task, for errors.
        store: the open store that the labels were read from.
        entity: the labelled node or edge type.
        dataset: the dataset's name.
        as_of: the time as of which they were read; None for all.

    Raises:
        InputError: a type, shape, idx, code or time is not as `Labels` documents.
        DataError: no example has a label.
    """
    subject = f"{type(task).__name__}.labels()"
    if not isinstance(labels, Labels):
        raise InputError(f"{subject} returned {_kind(labels)}; it must return Labels.")
    _check_targets(labels, subject)
    _check_keys(labels, subject, entity, store, dataset, as_of)
    for target in labels.targets:
        _check_target_labels(target, labels.target_labels[target.name], len(labels), subject)
    if not any(_labelled(labels.target_labels[target.name]) for target in labels.targets):
        raise DataError(f"{subject} has {len(labels):,} examples, and a label for none of them.")
    _check_times(labels, subject)
    if labels.context is not None:
        _check_context(labels.context, len(labels), subject)
    if type(task).labels is not Task.labels and task.targets:
        _check_declared(labels, task, subject)
    return labels


def _check_declared(labels: Labels, task: Task, subject: str) -> None:
    """The targets are among those that the task declares, for which the view of its predictions has columns."""
    declared = [(target.name, target.kind) for target in task.targets]
    for target in labels.targets:
        if (target.name, target.kind) not in declared:
            raise InputError(
                f"{subject} gave the target '{target.name}' ({target.kind}), and {type(task).__name__}.targets has "
                f"{_list(f'{name} ({kind})' for name, kind in declared)}. Declare it there, or declare none."
            )


def _check_keys(
    labels: Labels, subject: str, entity: NodeType | EdgeType, store: GraphStore, dataset: str, as_of: datetime | None
) -> None:
    """`src` and `dst` are sorted, unique idx of visible nodes of this dataset."""
    nodes = isinstance(entity, NodeType)
    if nodes != (labels.dst is None):
        takes = "dst=None, since its examples are nodes" if nodes else "dst, the idx of each pair's destination"
        raise InputError(f"{subject} is about '{entity}' and takes {takes}.")
    names = [entity.name] if isinstance(entity, NodeType) else [entity.src, entity.dst]
    keys = [labels.src] if labels.dst is None else [labels.src, labels.dst]
    for word, name, idx in zip(("src", "dst"), names, keys, strict=False):
        if not isinstance(idx, np.ndarray) or idx.ndim != 1 or not np.can_cast(idx.dtype, np.int64):
            raise InputError(f"{subject} gave {word} as {_kind(idx)}; it takes (P,) int64, the store's idx.")
        if len(idx) != len(labels):
            raise InputError(
                f"{subject} gave {len(labels):,} src and {len(idx):,} dst; they are the endpoints of the same pairs."
            )
        node = store.schema.node(name)
        span = store.span(node, dataset)
        outside = (idx < span.first) | (idx >= span.last)
        if outside.any():
            raise InputError(
                f"{subject} names {int(outside.sum()):,} {word} that are no '{name}' of '{dataset}', such as "
                f"{idx[outside][0]}; these have the idx {span.first} to {span.last - 1}."
            )
        if as_of is not None and node.time is not None:
            visible = store.sql(f"select idx from ({store.visible(node, dataset=dataset, as_of=as_of)})").fetchnumpy()
            later = ~np.isin(idx, visible["idx"])
            if later.any():
                raise InputError(
                    f"{subject} names {int(later.sum()):,} '{name}' nodes that did not exist as of {as_of:%Y-%m-%d}, "
                    f"such as idx {idx[later][0]}; read them from $rows, or by store.visible(…, as_of=as_of)."
                )
    if not len(labels):
        raise DataError(f"{subject} has no '{entity}' of '{dataset}'.")
    order = labels.src.astype(np.int64) << 32 | (0 if labels.dst is None else labels.dst)
    if (np.diff(order) > 0).all():
        return
    named, counts = np.unique(order, return_counts=True)
    if len(named) < len(order):
        row = int(np.flatnonzero(order == named[counts > 1][0])[0])
        example = ", ".join(str(key[row]) for key in keys)
        raise InputError(
            f"{subject} has {len(order):,} rows for {len(named):,} different examples: idx {example} is in it "
            f"{int(counts[counts > 1][0]):,} times. It takes one row an example."
        )
    raise InputError(f"{subject} is not sorted; sort its rows by {'idx' if nodes else '(src, dst)'}.")


def _check_targets(labels: Labels, subject: str) -> None:
    targets: object = labels.targets
    if not isinstance(targets, tuple) or not all(isinstance(target, Target) for target in targets):
        raise InputError(f"{subject} gave targets as {targets!r}; it takes a tuple of Target.")
    if not isinstance(labels.target_labels, Mapping):
        raise InputError(f"{subject} gave target_labels as {_kind(labels.target_labels)}; it takes a dict by target.")
    names = [target.name for target in labels.targets]
    if not names:
        raise InputError(f"{subject} gave no targets.")
    if set(names) != set(labels.target_labels) or len(set(names)) < len(names):
        raise InputError(
            f"{subject} gave labels of {_list(labels.target_labels)} and the targets {_list(names)}; they are the same "
            "names, each once."
        )
    for target in labels.targets:
        if target.kind == "multilabel" and not target.classes:
            raise InputError(f"{subject} gave the target '{target.name}' no classes.")
        if target.kind == "multiclass" and len(target.classes) < 2:
            raise InputError(
                f"{subject} gave the target '{target.name}' {len(target.classes)} classes; it takes two or more, or "
                "kind='regression' for a number."
            )


def _check_target_labels(target: Target, target_labels: object, count: int, subject: str) -> None:
    """(P,) codes below K, (P, K) of 0, 1 or -1, or finite numbers."""
    prefix = f"{subject} gave the labels '{target.name}'"
    kind = np.floating if target.kind == "regression" else np.integer
    shape = (len(target.classes),) if target.kind == "multilabel" else ()
    if (
        not isinstance(target_labels, np.ndarray)
        or target_labels.ndim < 1
        or target_labels.shape[1:] != shape
        or not np.issubdtype(target_labels.dtype, kind)
    ):
        takes = (
            "(P,) int64 codes, the position of each label in the target's classes and -1 where there is none"
            if target.kind == "multiclass"
            else f"(P, {len(target.classes)}) int64, 1 for each label that an example has, and -1 where there is none"
            if target.kind == "multilabel"
            else "(P,) float64 numbers, NaN where there is none"
        )
        raise InputError(f"{prefix} as {_kind(target_labels)}; it takes {takes}.")
    if len(target_labels) != count:
        raise InputError(
            f"{prefix} for {len(target_labels):,} of {count:,} examples; it takes one each, in the same order."
        )
    if target.kind == "regression":
        if np.isinf(target_labels).any():
            raise InputError(
                f"{prefix} {int(np.isinf(target_labels).sum()):,} infinite numbers; NaN stands for no label."
            )
        return
    if target.kind == "multilabel":
        if (
            not np.isin(target_labels, (-1, 0, 1)).all()
            or ((target_labels < 0).any(1) != (target_labels < 0).all(1)).any()
        ):
            raise InputError(f"{prefix} other numbers than 0 and 1, and -1 in all of a row without labels.")
        return
    wrong = (target_labels < -1) | (target_labels >= len(target.classes))
    if wrong.any():
        raise InputError(
            f"{prefix} the code {target_labels[wrong][0]}; with the {len(target.classes)} classes "
            f"{_list(target.classes)} codes are 0 to {len(target.classes) - 1}, and -1 where there is no label."
        )


def _check_times(labels: Labels, subject: str) -> None:
    for word, times in (("times", labels.times), ("label_time", labels.label_time)):
        if times is None:
            continue
        if not isinstance(times, np.ndarray) or times.dtype != np.dtype("datetime64[us]"):
            raise InputError(f"{subject} gave {word} as {_kind(times)}; it takes (P,) datetime64[us] in UTC, or None.")
        if times.shape != (len(labels),):
            raise InputError(f"{subject} gave {len(times):,} {word} for {len(labels):,} examples; it takes one each.")
    if labels.label_time is None:
        return
    if labels.times is None:
        raise InputError(f"{subject} gave label_time without times; a label is known at the example's time or later.")
    early = labels.label_time < labels.times  # NaT is not earlier
    if early.any():
        row = int(np.flatnonzero(early)[0])
        raise InputError(
            f"{subject} gave {int(early.sum()):,} label_time that are before the time of their example, such as row "
            f"{row}: {labels.label_time[row]} < {labels.times[row]}."
        )


def _check_context(context: object, count: int, subject: str) -> None:
    if not isinstance(context, Context):
        raise InputError(f"{subject} gave {_kind(context)} as context; it takes Context or None.")
    if not isinstance(context.rows, pl.DataFrame):
        raise InputError(f"{subject} gave a context's rows as {_kind(context.rows)}; they are a polars DataFrame.")
    names = [column.name for column in context.columns]
    if sorted(context.rows.columns) != sorted(names):
        raise InputError(
            f"{subject} gave a context with the rows' columns {context.rows.columns} and declared {names}."
        )
    if context.rows.height != count:
        raise InputError(
            f"{subject} gave a context of {context.rows.height:,} rows for {count:,} examples; it takes one each, "
            "in the same order."
        )
    for column in context.columns:
        _check_column(column, context.rows[column.name], subject)
    for part, columns in context.parts.items():
        if isinstance(columns, str):
            raise InputError(f"{subject} gave the context's part '{part}' as '{columns}'; it is a tuple of columns.")
        unknown = [name for name in columns if name not in names]
        if unknown:
            raise InputError(
                f"{subject} names the column '{unknown[0]}' in the context's part '{part}', and has {names}."
            )


def _check_column(column: Column, values: pl.Series, subject: str) -> None:
    """Columns of numbers hold numbers, finite or null."""
    if column.kind not in ("number", "integer") or values.dtype in (pl.Null, pl.Boolean):
        return
    prefix = f"{subject} gave the context's column '{column.name}'"
    if not values.dtype.is_numeric():
        raise InputError(f"{prefix}, a {column.kind}, as {values.dtype}; cast it to numbers, or declare another kind.")
    infinite = int(values.is_infinite().sum()) if values.dtype.is_float() else 0
    if infinite:
        raise InputError(f"{prefix} {infinite:,} infinite numbers; null stands for an unknown one.")


def _labelled(target_labels: LabelArray) -> bool:
    return bool(
        (target_labels >= 0).any()
        if np.issubdtype(target_labels.dtype, np.integer)
        else (~np.isnan(target_labels)).any()
    )


def _kind(value: object) -> str:
    """What a value is, in an error: `float64 (100,)`, `a value of type list`, `None`."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _list(names: object) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"  # type: ignore[attr-defined]  # any iterable of names
