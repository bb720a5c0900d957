"""Columns of label SQL as arrays: classes as codes, numbers, and times in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.tasks._labels import LabelArray
from graphsocial.types import Target


def read_target(
    target: Target, column: pa.ChunkedArray, owner: str, *, numeric: bool = False
) -> tuple[Target, LabelArray]:
    """A target with its classes filled in, and its labels as codes or numbers.

    Args:
        target: the target of the column.
        column: (P,) class names, lists of them, or numbers; null without a label.
        owner: entity and dataset for errors, such as `'post' of 'pages'`.
        numeric: classes are numbers, and sorted as such.

    Raises:
        DataError: no example has a label, or all have the same one.
        InputError: the target is a number, and the column holds text.
        UnknownNameError: a label is not among the target's classes.
    """
    if target.kind == "regression":
        try:
            numbers = column.cast(pa.float64()).to_numpy()
        except pa.ArrowException as error:
            raise InputError(
                f"The target '{target.name}' is a number, and its column holds {column.type} ({error}). Cast it in the "
                f"label SQL, or declare Target('{target.name}') for classes."
            ) from None
        known = numbers[~np.isnan(numbers)]
        if target.transform == "log1p" and (known <= -1).any():
            raise DataError(f"'{target.name}' of {owner} is {known.min():g} somewhere, which has no log(1 + x).")
        if not len(known) or known.min() == known.max():
            reason = f"all {len(known):,} known ones are equal" if len(known) else "none is known"
            raise DataError(f"There is nothing to learn about '{target.name}' of {owner}: {reason}.")
        return target, numbers
    several = target.kind == "multilabel"
    names = pc.list_flatten(column) if several else column
    classes = distinct_labels(names)
    if numeric:
        classes = sorted(classes, key=float)
    if len(classes) < 2 and not (several and classes and _varies(column)):
        reason = f"every one is '{classes[0]}'" if classes else "there is none"
        raise DataError(f"There is nothing to learn from the labels '{target.name}' of {owner}: {reason}.")
    labelled = target if target.classes else replace(target, classes=tuple(classes))
    return labelled, (label_sets if several else class_codes)(column, labelled.classes)


def label_sets(column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.int64]:
    """(P, K) 1 where a label is in the list, else 0; rows of -1 for null.

    Raises:
        UnknownNameError: a label is not among the classes.
    """
    lists = column.combine_chunks()
    sets = np.where(lists.is_valid().to_numpy(zero_copy_only=False)[:, None], 0, -1) * np.ones(len(classes), np.int64)
    rows = pc.list_parent_indices(lists).to_numpy()
    codes = class_codes(pa.chunked_array([pc.list_flatten(lists)]), classes)
    sets[rows[codes >= 0], codes[codes >= 0]] = 1
    return sets


def _varies(column: pa.ChunkedArray) -> bool:
    """Whether the lists of a single label are empty for some rows and not for others."""
    return len(pc.unique(pc.list_value_length(column).drop_null())) > 1


def distinct_labels(column: pa.ChunkedArray) -> list[str]:
    """The distinct labels of a column, sorted, without null."""
    return sorted(column.cast(pa.string()).unique().drop_null().to_pylist())


def class_codes(column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.int64]:
    """(P,) the index of each label in `classes`; -1 for null.

    Raises:
        UnknownNameError: a label is not among the classes.
    """
    label = column.cast(pa.string()).combine_chunks().dictionary_encode()
    names = label.dictionary.to_pylist()
    for name in sorted(names):
        if name not in classes:
            raise UnknownNameError.of("class", name, classes)
    code_of = np.asarray([classes.index(name) for name in names], dtype=np.int64)
    if not len(names):
        return np.full(len(label), -1)
    codes: NDArray[np.int64] = np.where(label.is_valid(), code_of[label.indices.fill_null(0)], -1)
    return codes


def read_times(rows: pa.Table, name: str) -> NDArray[np.datetime64] | None:
    """(P,) a column of times as datetime64[us] in UTC; None where it is absent or all null.

    Raises:
        InputError: the column holds something else.
    """
    if name not in rows.column_names or rows[name].null_count == rows.num_rows:
        return None
    if not pa.types.is_timestamp(rows[name].type) and not pa.types.is_date(rows[name].type):
        raise InputError(
            f"The label SQL selects '{name}' as {rows[name].type}; it takes a time: cast it to timestamptz."
        )
    times: NDArray[np.datetime64] = rows[name].cast(pa.timestamp("us")).to_numpy()
    return times
