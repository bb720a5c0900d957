"""What a social graph holds as the columns of a property graph, which goes to DGL, PyG and networkx; and back."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph.features import NEVER, Feature, micros
from graphsocial.types import Column, NodeType

Columns = tuple[tuple[Column, ...], dict[str, pl.Series]]


def node_columns(entry: NodeType, frame: pl.DataFrame, features: Sequence[Feature]) -> Columns:
    """The columns of a node type: those of `frame`, and a column of vectors for each feature.

    Args:
        entry: declares the columns of `frame`.
        frame: (N,) rows of numbers, categories and times.
        features: of (N,) rows.
    """
    plain = tuple(column for column in entry.columns if column.name in frame.columns)
    vectors = _vectors(features, [column.name for column in plain])
    return (*plain, *(column for column, _ in vectors)), {
        **{column.name: frame[column.name] for column in plain},
        **{column.name: values for column, values in vectors},
    }


def edge_columns(count: int, time: Tensor | None, features: Sequence[Feature]) -> Columns:
    """The columns of an edge type: `position`, `time` where there are times, and a column of vectors for each feature.

    Args:
        count: E, the number of edges.
        time: (E,) microseconds since 1970 UTC, `NEVER` where unknown.
        features: of (E,) rows.
    """
    columns = [(Column("position", "integer"), pl.Series(np.arange(count)))]
    if time is not None:
        known = pl.Series(time.numpy())
        columns.append((Column("time", "timestamp"), known.set(known == NEVER, None).cast(pl.Datetime("us", "UTC"))))
    columns += _vectors(features, ["position", "time"])
    return tuple(column for column, _ in columns), {column.name: values for column, values in columns}


def kept_positions(frame: pl.DataFrame, ends: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor]) -> Tensor:
    """(E,) the position that each edge had before; -1 for new edges.

    Args:
        frame: the edges, with `position` where they were edges before.
        ends: (E,) each, the local numbers of their ends.
        before: (E',) each, those of the edges before.
    """
    if "position" not in frame.columns or not len(before[0]):
        return torch.full((frame.height,), -1)
    given = torch.tensor(frame["position"].fill_null(-1).to_numpy())
    there = (given >= 0) & (given < len(before[0]))
    rows = torch.where(there, given, 0)
    same = (before[0][rows] == ends[0]) & (before[1][rows] == ends[1])  # DGL fills the data of added edges with zeros
    return torch.where(there & same, given, -1)


def edge_times(frame: pl.DataFrame) -> Tensor | None:
    """(E,) microseconds since 1970 UTC, `NEVER` where unknown; None where the edges have no `time`."""
    return micros(frame["time"].to_arrow()) if "time" in frame.columns else None


def rows_of(name: str, ids: pl.Series, known: NDArray[np.object_] | None) -> Tensor:
    """(n,) the local number of each id.

    Args:
        name: the node type.
        ids: (n,) ids.
        known: (N,) the ids of the graph's nodes; None where it has none of that type.

    Raises:
        InputError: an id that the graph does not have.
    """
    numbered = pl.DataFrame({"id": pl.Series([] if known is None else known, dtype=pl.String)}).with_row_index("row")
    rows = pl.DataFrame({"id": ids}).join(numbered, on="id", how="left", maintain_order="left")["row"]
    if rows.null_count():
        raise InputError(f"The graph has no node '{ids.filter(rows.is_null())[0]}' of type '{name}'.")
    return torch.tensor(rows.cast(pl.Int64).to_numpy())


def _vectors(features: Sequence[Feature], taken: Collection[str]) -> list[tuple[Column, pl.Series]]:
    """Features that are one vector a row as columns, null where a row has none.

    A column is named after the encoded one (`image.file` → `file`), with a number where the name is taken.
    """
    columns: list[tuple[Column, pl.Series]] = []
    for feature in features:
        if feature.offsets is None:
            base = re.sub(r"[^a-z0-9_]", "_", feature.name.rpartition(".")[2].lower())[:40]
            names = {*taken, *(column.name for column, _ in columns)}
            name = next(name for name in (base, *(f"{base}_{n}" for n in range(2, 1000))) if name not in names)
            width = pl.Array(pl.Float32, feature.vectors.shape[1])
            distinct = pl.Series(feature.vectors.numpy(), dtype=width).cast(pl.List(pl.Float32))
            rows = pl.Series(feature.index.numpy())
            columns.append((Column(name, "vector"), distinct.gather(rows.set(rows < 0, None))))
    return columns
