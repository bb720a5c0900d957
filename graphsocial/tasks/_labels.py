"""The labels of a task: its examples with their label values, times and context, in arrays of the same length."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.types import Column, Target

LabelArray = NDArray[np.int64] | NDArray[np.float64]
"""The labels of one target: (P,) class codes, -1 without a single label; (P, K) 0 or 1 for each of several labels, -1
without any; or (P,) numbers, NaN without one."""


@dataclass(frozen=True)
class Context:
    """Columns about each example that are known at its time, such as how often its page's earlier posts were shared.

    They belong to the example, not to the node: models join them to the example's representation and send them along
    no edge, because the context of later examples may reveal the labels of earlier ones.

    Attributes:
        columns: numbers, categories and times; those with the role `feature` are encoded with statistics of the
            training examples, the others are for models that read them by name.
        rows: (P,) one row per example, in the order of the labels.
        parts: group of columns, such as those about the page → their names; explanations ablate a group as one.
    """

    columns: tuple[Column, ...]
    rows: pl.DataFrame
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def without(self, names: Collection[str]) -> Context:
        """The same context with these columns set to null."""
        blank = [pl.lit(None, dtype=self.rows.schema[name]).alias(name) for name in names]
        return replace(self, rows=self.rows.with_columns(blank))


@dataclass(frozen=True)
class Labels:
    """The examples of a task: each a node or, for edges, a distinct pair of nodes, labelled or not.

    Attributes:
        src: idx of the node in the store, or of the pair's source, (P,) int64; rows are sorted by (src, dst).
        dst: idx of the pair's destination, (P,) int64; None where examples are nodes.
        target_labels: target → (P,) int64 codes into `target.classes`, -1 without a single label; (P, K) int64, 1 for
            each label that an example has and 0 for others, rows of -1 without labels; or (P,) float64 numbers, NaN
            without a label.
        targets: the targets, with their classes filled in.
        times: (P,) datetime64[us] in UTC, NaT where unknown; None where the data has no times.
        label_time: (P,) when each label became known, where that is later than `times`.
        context: columns about each example beside the graph; None for none.
    """

    src: NDArray[np.int64]
    dst: NDArray[np.int64] | None
    target_labels: Mapping[str, LabelArray]
    targets: tuple[Target, ...]
    times: NDArray[np.datetime64] | None = None
    label_time: NDArray[np.datetime64] | None = None
    context: Context | None = None

    def __len__(self) -> int:
        return len(self.src)
