"""The rows of a type as a polars table with the types of its columns."""

from __future__ import annotations

from typing import Any

import polars as pl

from graphsocial.errors import InputError
from graphsocial.types import EdgeType, NodeType

_DTYPES: dict[str, Any] = {
    "integer": pl.Int64,
    "number": pl.Float64,
    "boolean": pl.Boolean,
    "timestamp": pl.Datetime("us", "UTC"),
    "vector": pl.List(pl.Float32),
    "categories": pl.List(pl.String),
}


def dtypes(entry: NodeType | EdgeType) -> dict[str, Any]:
    """Key or column → polars type, in the order of the type; all kinds but a few are strings."""
    keys: dict[str, Any] = {"id": pl.String} if isinstance(entry, NodeType) else {"src": pl.Int64, "dst": pl.Int64}
    return keys | {column.name: _DTYPES.get(column.kind, pl.String) for column in entry.columns}


def typed(entry: NodeType | EdgeType, frame: pl.DataFrame | None) -> pl.DataFrame:
    """The rows with the type's keys and columns, in its order; a column that is not there is empty."""
    wanted = dtypes(entry)
    if frame is None:
        return pl.DataFrame(schema=wanted)
    unknown = sorted({*frame.columns} - {*wanted})
    if unknown or not {"id", "src", "dst"} & {*wanted} <= {*frame.columns}:
        raise InputError(f"Rows of '{entry}' have the columns {frame.columns}; the type has {list(wanted)}.")
    try:
        return frame.select(
            (pl.col(name) if name in frame.columns else pl.lit(None).alias(name)).cast(dtype)
            for name, dtype in wanted.items()
        )
    except pl.exceptions.PolarsError as error:
        raise InputError(f"Rows of '{entry}' do not have the types of their columns: {error}") from error
