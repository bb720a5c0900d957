"""Vectors of a type's rows as tensors that share memory with what DuckDB fetched; equal content is one vector.

Encoders of tokens or frames give a sequence of vectors in the place of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from graphsocial.features.vectors import read_sequences
from graphsocial.featurizers.base import FineTunable
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.types import EdgeType, NodeType

NEVER = int(np.iinfo(np.int64).max)  # a time that is not known


@dataclass(frozen=True)
class Feature:
    """Vectors of some rows of a node or edge type, or sequences of them; equal content is one vector or sequence.

    Attributes:
        name: where it comes from, such as `image.file`.
        vectors: (M, D) float32.
        index: (N,) int64, which vector, or which sequence, each row has; -1 where it has none.
        offsets: (S + 1,) int64 where rows have sequences: the vectors of sequence s begin there, and the next one's.
        tuned: the encoder whose last layers turn a sequence into one vector, in the network that holds them.
    """

    name: str
    vectors: Tensor
    index: Tensor
    offsets: Tensor | None = None
    tuned: FineTunable | None = None

    @property
    def present(self) -> Tensor:
        """(N,) bool."""
        return self.index >= 0

    @cached_property
    def standard(self) -> Tensor:
        """(M, D) the vectors, each scaled to mean 0 and variance 1 over D, so that encoders of any scale fit."""
        return layer_norm(self.vectors, self.vectors.shape[1:])

    def take(self, rows: Tensor) -> Feature:
        """The same for these rows only, with only the vectors that they have."""
        used, index = torch.unique(self.index[rows], return_inverse=True)
        missing = int(len(used) > 0 and used[0] < 0)
        used = used[missing:]
        if self.offsets is None:
            return Feature(self.name, self.vectors[used], index - missing)
        lengths = self.offsets.diff()[used]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        places = torch.arange(int(offsets[-1])) + torch.repeat_interleave(self.offsets[used] - offsets[:-1], lengths)
        return Feature(self.name, self.vectors[places], index - missing, offsets, self.tuned)

    def first(self, count: int) -> Feature:
        """The same for the first rows only."""
        return replace(self, index=self.index[:count])

    def padded(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """These sequences (n,) side by side: (n, T, D), zeros behind the end of each, and (n, T) bool, the mask.

        Raises:
            DataError: the rows have one vector each.
        """
        if self.offsets is None:
            raise DataError(f"'{self.name}' has one vector a row, not a sequence of them.")
        lengths = self.offsets.diff()[sequences]
        steps = torch.arange(int(lengths.max()) if len(lengths) else 0)
        mask = steps < lengths[:, None]
        padded = self.vectors.new_zeros(*mask.shape, self.vectors.shape[1])
        padded[mask] = self.vectors[(self.offsets[sequences][:, None] + steps)[mask]]
        return padded, mask


def in_order(rows: pa.Table, by: str = "idx") -> pa.Table:
    """The rows by ascending `by`. They mostly lie so in the file already, and a look costs less than a sort."""
    values = rows[by].to_numpy()
    return rows if (values[1:] > values[:-1]).all() else rows.sort_by(by)


def visible_rows(
    store: GraphStore,
    entry: NodeType | EdgeType,
    dataset: str,
    columns: Sequence[str] = (),
    as_of: datetime | None = None,
) -> pa.Table:
    """`idx` and these columns of the visible rows, by ascending `idx`."""
    visible = store.visible(entry, dataset=dataset, as_of=as_of)
    chosen = ", ".join(["idx", *(quote(name) for name in columns)])
    return in_order(store.sql(f"select {chosen} from ({visible})").to_arrow_table())


def tensor(column: pa.ChunkedArray | pa.Array) -> Tensor:
    """A column of numbers without nulls as a tensor; a column that came in one piece is not copied."""
    return from_dlpack(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)


def micros(times: pa.Array | pa.ChunkedArray) -> Tensor:
    """(M,) int64 microseconds since 1970 UTC; `NEVER` where there is no time."""
    return tensor(pc.fill_null(times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64()), NEVER))


def table_of(column: pa.ChunkedArray, width: int) -> Tensor:
    """A column of lists of `width` float32 each as (M, width); its nulls are left out, null entries are NaN."""
    flat = column.combine_chunks().flatten()
    return tensor(pc.fill_null(flat, float("nan")) if flat.null_count else flat).view(-1, width)


def encoded(store: GraphStore, use: FeatureRef, dataset: str, idx: NDArray[np.int64]) -> Feature:
    """One feature set's vectors for the visible rows `idx` (ascending).

    They are in the order of the first row that has each, whatever order they were encoded in; sequences in that of
    their contents.
    """
    if use.sequences:
        found, place = read_sequences(store, use, dataset, idx)
        values = torch.from_numpy(np.require(found.values, requirements=["W"]))  # a copy where Arrow's is read-only
        return Feature(str(use), values, torch.from_numpy(place), torch.from_numpy(found.offsets), use.tuned)
    held = f"vectors_{use.dimension}"
    pointed = in_order(
        store.sql(
            f"select idx, {held}.rowid as place from feature_rows join {held} using (set_id, content) "
            "where set_id = ? and dataset = ? and table_name = ? and column_name = ?",
            [use.set_id, dataset, use.entry.table, use.column],
        ).to_arrow_table()
    )
    rows, place = pointed["idx"].to_numpy(), pointed["place"].to_numpy()
    at = np.searchsorted(idx, rows)
    here = at < len(idx)
    here[here] = idx[at[here]] == rows[here]
    places, first, inverse = np.unique(place[here], return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    index = np.full(len(idx), -1, dtype=np.int64)
    index[at[here]] = number[inverse]
    lowest, highest = (int(places[0]), int(places[-1])) if len(places) else (0, -1)
    fetched = in_order(
        store.sql(
            f"select rowid as place, vector from {held} where set_id = ? and rowid between ? and ?",
            [use.set_id, lowest, highest],
        ).to_arrow_table(),
        by="place",
    )
    vectors = table_of(fetched["vector"], use.dimension)
    chosen = np.searchsorted(fetched["place"].to_numpy(), places[order])
    if not np.array_equal(chosen, np.arange(len(vectors))):
        vectors = vectors[torch.from_numpy(chosen)]
    return Feature(str(use), vectors, torch.from_numpy(index))


def came_along(node: NodeType, rows: pa.Table) -> list[Feature]:
    """Vector columns that came with the data.

    Raises:
        DataError: a column's vectors have several lengths.
    """
    found = []
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
            found.append(Feature(f"{node}.{column.name}", table_of(values, lengths[0]), torch.from_numpy(index)))
    return found
