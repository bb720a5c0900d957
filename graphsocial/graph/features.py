"""Vectors of a type's rows as tensors that share memory with DuckDB's result; equal content is stored as one vector.

Encoders of tokens or frames give a sequence of vectors instead of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import layer_norm
from torch.utils.dlpack import from_dlpack

from graphsocial.errors import DataError
from graphsocial.features import FeatureRef
from graphsocial.features.vectors import in_order, read_sequences, read_vectors
from graphsocial.featurizers.base import FineTunable, Sequences
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.store.time import exists_from
from graphsocial.types import EdgeType, NodeType

EXISTS_FROM = "exists_from"
NEVER = int(np.iinfo(np.int64).max)  # stands for an unknown time


@dataclass(frozen=True)
class Feature:
    """Vectors of a type's N rows, or sequences of vectors; rows with equal content share one.

    `feature.vectors[feature.index[feature.present]]` are the vectors of the rows that have one.

    Attributes:
        name: the column it was made from, such as `image.file`.
        vectors: (M, D) float32, the distinct vectors, or the vectors of all sequences one after the other.
        index: (N,) int64, the row's vector (a row of `vectors`) or sequence (0 to S - 1); -1 where it has none.
        offsets: (S + 1,) int64 for sequences: sequence s is `vectors[offsets[s]:offsets[s + 1]]`; None for single
            vectors.
        tuned: the encoder whose last layers, in the network that trains them, turn a sequence into one vector.
    """

    name: str
    vectors: Tensor
    index: Tensor
    offsets: Tensor | None = None
    tuned: FineTunable | None = None

    @property
    def present(self) -> Tensor:
        """(N,) bool, which rows have a vector or sequence."""
        return self.index >= 0

    @cached_property
    def standard(self) -> Tensor:
        """(M, D) the vectors, each standardised to mean 0 and variance 1 over D: encoders differ in scale."""
        return layer_norm(self.vectors, self.vectors.shape[1:])

    def take(self, rows: Tensor) -> Feature:
        """The feature of these rows (n,) alone, without the vectors of other rows."""
        used, index = torch.unique(self.index[rows], return_inverse=True)
        missing = int(len(used) > 0 and used[0] < 0)
        used = used[missing:]
        if self.offsets is None:
            return Feature(self.name, self.vectors[used], index - missing)
        lengths = self.offsets.diff()[used]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        kept = torch.arange(int(offsets[-1])) + torch.repeat_interleave(self.offsets[used] - offsets[:-1], lengths)
        return Feature(self.name, self.vectors[kept], index - missing, offsets, self.tuned)

    def as_of(self, before: Tensor) -> Feature:
        """The feature as of a time of each row, (N,) int64 microseconds, exclusive: the same, as content has no times.

        `TimedMeans` differ: they are over the edges that exist before that time.
        """
        return self

    def first(self, count: int) -> Feature:
        """The feature of the first `count` rows."""
        return replace(self, index=self.index[:count])

    def padded(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """These sequences (n,), zero-padded to the longest: (n, T, D), and the mask (n, T) bool.

        Raises:
            DataError: the rows have one vector each.
        """
        if self.offsets is None:
            raise DataError(f"'{self.name}' has one vector per row, not sequences of vectors.")
        padded, mask = Sequences(self.vectors.numpy(), self.offsets.numpy()).padded(sequences.numpy())
        return torch.from_numpy(padded), torch.from_numpy(mask)


@dataclass(frozen=True)
class TimedMeans(Feature):
    """Means of neighbors' vectors over edges with times: for each node, one vector after each of its edges.

    `index` refers to the means over all edges; `as_of` gives those over the edges before a time.

    Attributes:
        times: (M,) int64, the time of the last edge of each mean; ascending within a node.
        starts: (N + 1,) int64: the means of node n are `vectors[starts[n]:starts[n + 1]]`.
    """

    times: Tensor = field(kw_only=True)
    starts: Tensor = field(kw_only=True)

    def as_of(self, before: Tensor) -> Feature:
        """The means over each node's edges that exist before a time; missing where there are none.

        Args:
            before: (N,) int64 microseconds, exclusive.
        """
        nodes = torch.repeat_interleave(torch.arange(len(before)), self.starts.diff())
        earlier = torch.bincount(nodes[self.times < before[nodes]], minlength=len(before))
        index = torch.where((earlier > 0) & self.present, self.starts[:-1] + earlier - 1, -1)
        return Feature(self.name, self.vectors, index)


def visible_rows(
    store: GraphStore,
    entry: NodeType | EdgeType,
    dataset: str,
    columns: Sequence[str] = (),
    as_of: datetime | None = None,
    *,
    with_time: bool = False,
) -> pa.Table:
    """`idx` and these columns of the visible rows, by ascending `idx`.

    Args:
        store: the store.
        entry: the node or edge type.
        dataset: the dataset.
        columns: names of columns.
        as_of: only rows that existed at this time; all by default.
        with_time: add the column `EXISTS_FROM`, the time from which each row exists, unless the type is timeless.
    """
    visible = store.visible(entry, dataset=dataset, as_of=as_of)
    chosen = ["idx", *(quote(name) for name in columns)]
    if with_time and (since := exists_from(entry, store.schema, "visible")):
        chosen.append(f"{since} as {EXISTS_FROM}")
    return in_order(store.sql(f"select {', '.join(chosen)} from ({visible}) as visible").to_arrow_table())


def tensor(column: pa.ChunkedArray | pa.Array) -> Tensor:
    """A column of numbers without nulls as a tensor; a column of a single chunk is not copied."""
    return from_dlpack(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)


def micros(times: pa.Array | pa.ChunkedArray) -> Tensor:
    """(M,) int64 microseconds since 1970 UTC; `NEVER` for null."""
    return tensor(pc.fill_null(times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64()), NEVER))


def table_of(column: pa.ChunkedArray, width: int) -> Tensor:
    """A column of lists of `width` float32 as (M, width); null lists are left out, null numbers are NaN."""
    flat = column.combine_chunks().flatten()
    return tensor(pc.fill_null(flat, float("nan")) if flat.null_count else flat).view(-1, width)


def encoded(store: GraphStore, use: FeatureRef, dataset: str, idx: NDArray[np.int64]) -> Feature:
    """A feature set's vectors of the visible rows.

    Vectors are in the order of the first row that has each, sequences in that of their contents.

    Args:
        store: the store.
        use: the column and its feature set.
        dataset: the dataset.
        idx: (N,) the rows' `idx`, ascending.
    """
    if use.sequences:
        sequences, index = read_sequences(store, use, dataset, idx)
        values = torch.from_numpy(np.require(sequences.values, requirements=["W"]))  # a copy where Arrow's is read-only
        return Feature(str(use), values, torch.from_numpy(index), torch.from_numpy(sequences.offsets), use.tuned)
    column, order, index = read_vectors(store, use, dataset, idx)
    vectors = table_of(column, use.dimension)
    if order is not None:
        vectors = vectors[torch.from_numpy(order)]
    return Feature(str(use), vectors, torch.from_numpy(index))


def vector_columns(node: NodeType, rows: pa.Table) -> list[Feature]:
    """The vector columns that the data itself has.

    Raises:
        DataError: a column's vectors have several lengths.
    """
    features = []
    for column in node.columns:
        if column.kind != "vector" or column.role != "feature":
            continue
        values = rows[column.name]
        lengths = pc.unique(pc.list_value_length(values).drop_null()).to_pylist()
        if len(lengths) > 1:
            raise DataError(f"The vectors in '{node}.{column.name}' have several lengths: {sorted(lengths)[:5]}.")
        if lengths:
            present = values.is_valid().to_numpy()
            index = np.where(present, np.cumsum(present) - 1, -1)
            features.append(Feature(f"{node}.{column.name}", table_of(values, lengths[0]), torch.from_numpy(index)))
    return features
