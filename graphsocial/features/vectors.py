"""Feature sets in the store: vectors keyed by encoder and content, written in batches and read as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graphsocial.errors import InputError
from graphsocial.featurizers.base import Encoded, Featurizer, FineTunable, Sequences
from graphsocial.store import GraphStore
from graphsocial.store.temporary import registered
from graphsocial.types import EdgeType, NodeType

BATCH = 1024  # rows fetched at a time
WHOLE_ROW = "*"
"""The column name of vectors of whole rows."""


@dataclass(frozen=True)
class FeatureRef:
    """A column, and the feature set that holds its vectors, or its sequences of vectors.

    Attributes:
        tuned: the encoder whose last layers are trained with the network that reads the sequences.
    """

    entry: NodeType | EdgeType
    column: str
    set_id: str
    dimension: int
    sequences: bool = False
    tuned: FineTunable | None = None

    def __str__(self) -> str:
        return f"{self.entry}.{self.column}"

    @classmethod
    def made_by(cls, encoder: Featurizer, set_id: str, entry: NodeType | EdgeType, column: str) -> FeatureRef:
        """The feature set of a column's vectors from an encoder.

        Args:
            encoder: the encoder.
            set_id: the key of the feature set.
            entry: the node or edge type.
            column: the column's name; `WHOLE_ROW` for whole rows.
        """
        tuned = encoder if isinstance(encoder, FineTunable) and encoder.tune else None
        return cls(entry, column, set_id, encoder.dimension, encoder.sequences, tuned)

    @property
    def table(self) -> str:
        """The table of the vectors: `vectors_384` or `sequences_384`."""
        return f"{'sequences' if self.sequences else 'vectors'}_{self.dimension}"

    @property
    def value(self) -> str:
        """The column of `table` that holds the vectors."""
        return "vectors" if self.sequences else "vector"


def make_table(store: GraphStore, use: FeatureRef) -> None:
    """Create `use.table` if it does not exist."""
    array = f"float[{use.dimension}]" + "[]" * use.sequences
    store.connection.execute(
        f"create table if not exists {use.table} "
        f"(set_id varchar not null, content varchar not null, {use.value} {array} not null)"
    )


def of_rows(store: GraphStore, node: NodeType, dataset: str, encoder: str) -> FeatureRef:
    """The newest vectors in the store that an encoder made of a type's whole rows.

    Args:
        store: the store with the vectors.
        node: the node type.
        dataset: the dataset's name.
        encoder: its name in `feature_sets`, or a unique prefix of it: `metadata`, `tmsam:tmsam-1a2b`.

    Raises:
        InputError: no encoder or several encoders with such vectors match.
    """
    rows = store.sql(
        "select encoder, set_id, dimension, sequences from feature_sets where set_id in "
        "(select set_id from feature_rows where dataset = ? and table_name = ? and column_name = ?) "
        "order by created_at desc",
        [dataset, node.table, WHOLE_ROW],
    ).fetchall()
    matching = [row for row in rows if row[0] == encoder] or [row for row in rows if row[0].startswith(encoder)]
    if len({row[0] for row in matching}) != 1:
        encoders = ", ".join(sorted({row[0] for row in matching or rows})) or "none"
        raise InputError(
            f"The store has no vectors that '{encoder}' alone made of the rows of '{node}'; there: {encoders}. "
            f"Make them first: graphsocial featurize {node} --encoder {encoder}"
        )
    _, set_id, dimension, sequences = matching[0]
    return FeatureRef(node, WHOLE_ROW, set_id, dimension, sequences)


def write(store: GraphStore, use: FeatureRef, contents: Sequence[str], encoded: Encoded) -> None:
    """Write one batch in a transaction: the vectors of what could be encoded (and captions), the reasons for the rest.

    Args:
        store: the store, open for writing.
        use: the feature set, whose table exists.
        contents: the N hashes of the items.
        encoded: the encoder's output for them.
    """
    good = np.array([index for index in range(len(contents)) if index not in encoded.rejects], dtype=np.int64)
    chosen = encoded.sequences.take(good)
    values = pa.FixedSizeListArray.from_arrays(pa.array(chosen.values.reshape(-1), pa.float32()), use.dimension)
    if use.sequences:
        values = pa.LargeListArray.from_arrays(pa.array(chosen.offsets, pa.int64()), values)
    keys = pa.array([contents[index] for index in good], pa.string())
    refused = pa.array([contents[index] for index in encoded.rejects], pa.string())
    tables = {
        use.table: (keys, values),
        "unreadable_contents": (refused, pa.array(list(encoded.rejects.values()), pa.string())),
    }
    if encoded.captions is not None:
        tables["captions"] = (keys, pa.array([encoded.captions[index] for index in good], pa.string()))
    with store.transaction():
        for name, columns in tables.items():
            if len(columns[0]):
                with registered(store.connection, pa.table(columns, names=["content", "value"])) as rows:
                    store.connection.execute(f"insert into {name} select ?, * from {rows}", [use.set_id])


def in_order(rows: pa.Table, by: str = "idx") -> pa.Table:
    """The rows by ascending `by`; rows that are sorted already, as they mostly are, are not copied."""
    values = rows[by].to_numpy()
    return rows if (values[1:] > values[:-1]).all() else rows.sort_by(by)


def read_vectors(
    store: GraphStore, use: FeatureRef, dataset: str, idx: NDArray[np.int64]
) -> tuple[pa.ChunkedArray, NDArray[np.int64] | None, NDArray[np.int64]]:
    """Read a feature set's vectors of these rows, as DuckDB fetched them.

    Args:
        store: the store.
        use: the column and its feature set, of single vectors.
        dataset: the dataset.
        idx: (N,) the rows' `idx`.

    Returns:
        The fetched vectors; which of them (M,) are the distinct vectors of the rows, in the order of the first row that
        has each, or None where that is all of them in order; and (N,) int64, the row's vector among these M, -1 where
        it has none.
    """
    keys = in_order(
        store.sql(
            f"select idx, {use.table}.rowid as vector_row from feature_rows join {use.table} using (set_id, content) "
            "where set_id = ? and dataset = ? and table_name = ? and column_name = ?",
            [use.set_id, dataset, use.entry.table, use.column],
        ).to_arrow_table()
    )
    # the last entry stands for rows that have no vector
    rows, vector_rows = np.append(keys["idx"].to_numpy(), -1), np.append(keys["vector_row"].to_numpy(), -1)
    position = np.searchsorted(rows[:-1], idx)
    present = rows[position] == idx
    distinct, first, inverse = np.unique(vector_rows[position[present]], return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    index = np.full(len(idx), -1, dtype=np.int64)
    index[present] = rank[inverse]
    lowest, highest = (int(distinct[0]), int(distinct[-1])) if len(distinct) else (0, -1)
    fetched = in_order(
        store.sql(
            f"select rowid as vector_row, vector from {use.table} where set_id = ? and rowid between ? and ?",
            [use.set_id, lowest, highest],
        ).to_arrow_table(),
        by="vector_row",
    )
    chosen = np.searchsorted(fetched["vector_row"].to_numpy(), distinct[order])
    return fetched["vector"], None if np.array_equal(chosen, np.arange(fetched.num_rows)) else chosen, index


def read_sequences(
    store: GraphStore, use: FeatureRef, dataset: str, idx: NDArray[np.int64]
) -> tuple[Sequences, NDArray[np.int64]]:
    """Read a feature set's sequences of these rows; `sequences.padded(index)` gives (N, T, D) and its mask (N, T).

    A single vector is read as a sequence of length 1, so that a model that attends over positions takes either.

    Args:
        store: the store.
        use: the column and its feature set.
        dataset: the dataset.
        idx: (N,) the rows' `idx`.

    Returns:
        M sequences, one for each distinct content; and (N,) int64, the row's sequence, -1 where it has none.
    """
    if not use.sequences:
        column, order, index = read_vectors(store, use, dataset, idx)
        vectors = column.combine_chunks().flatten().to_numpy().reshape(-1, use.dimension)
        return Sequences(vectors if order is None else vectors[order], np.arange(index.max(initial=-1) + 2)), index
    of_column = "set_id = ? and dataset = ? and table_name = ? and column_name = ?"
    key = [use.set_id, dataset, use.entry.table, use.column]
    source = f"from {use.table} where set_id = ? and content in (select content from feature_rows where {of_column})"
    stored = store.sql(f"select content, len(vectors) as length {source} order by content", [use.set_id, *key]).pl()
    contents, lengths = stored["content"].to_numpy(), stored["length"].to_numpy().astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.empty((offsets[-1], use.dimension), np.float32)
    # batch by batch, to their offsets: sorted by DuckDB or fetched as one table they would be in memory several times
    batches = store.sql(f"select content, vectors {source}", [use.set_id, *key]).to_arrow_reader(BATCH)
    for batch in batches:
        item = np.searchsorted(contents, batch["content"].to_numpy(zero_copy_only=False))
        steps = np.arange(lengths[item].sum()) - np.repeat(lengths[item].cumsum() - lengths[item], lengths[item])
        rows = np.repeat(offsets[item], lengths[item]) + steps
        values[rows] = batch["vectors"].flatten().flatten().to_numpy().reshape(-1, use.dimension)
    ranks = store.sql(
        "select idx, dense_rank() over (order by content) - 1 as item from feature_rows "
        f"where {of_column} order by idx",
        key,
    ).to_arrow_table()
    # the last entry stands for rows that have no sequence
    keyed, items = np.append(ranks["idx"].to_numpy(), -1), np.append(ranks["item"].to_numpy(), -1)
    position = np.searchsorted(keyed[:-1], idx)
    return Sequences(values, offsets), np.where(keyed[position] == idx, items[position], -1)
