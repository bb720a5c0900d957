"""Columns of a graph as tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

Canonical = tuple[str, str, str]
PRESENT = "present:"


@dataclass(frozen=True)
class NodeTensors:
    """The nodes of one type: how many, their columns, and their rows in the graph that they come from, if known."""

    count: int
    data: Mapping[str, Any]
    rows: Tensor | None = None


@dataclass(frozen=True)
class EdgeTensors:
    """The edges of one type: (E,) int64 row numbers of their ends, and their columns."""

    src: Tensor
    dst: Tensor
    data: Mapping[str, Any]


Tensors = tuple[dict[str, NodeTensors], dict[Canonical, EdgeTensors]]


def encode(schema: GraphSchema, nodes: Mapping[str, pl.DataFrame], edges: Mapping[Canonical, pl.DataFrame]) -> Tensors:
    """Every column of a graph as a tensor under its own name.

    | kind | tensor | a missing value |
    | --- | --- | --- |
    | `number` | (N,) float64 | 0, and `present:<column>` is False |
    | `integer` | (N,) int64 | as above |
    | `boolean` | (N,) bool | as above |
    | `timestamp` | (N,) int64, microseconds since 1970 UTC | as above |
    | `vector` | (N, D) float32 | zeros, and as above |
    | `categories` | (N, K) bool over the distinct values, sorted | as above |
    | all others | (N,) int64, which of the distinct values, sorted | -1 |

    `present:<column>` (N,) bool is there only for columns in which a value is missing.

    Args:
        schema: declares the columns.
        nodes: node type → one row per node.
        edges: canonical edge type → one row per edge, whose `src` and `dst` are row numbers of nodes.

    Raises:
        InputError: a column's vectors have several lengths.
    """
    return (
        {node.name: NodeTensors(nodes[node.name].height, _encoded(node, nodes[node.name])) for node in schema.nodes},
        {
            edge.canonical: EdgeTensors(
                torch.tensor(edges[edge.canonical]["src"].to_numpy()),
                torch.tensor(edges[edge.canonical]["dst"].to_numpy()),
                _encoded(edge, edges[edge.canonical]),
            )
            for edge in schema.edges
        },
    )


def decode(
    tensors: Tensors,
    schema: GraphSchema | None = None,
    nodes: Mapping[str, pl.DataFrame] | None = None,
    edges: Mapping[Canonical, pl.DataFrame] | None = None,
) -> tuple[GraphSchema, dict[str, pl.DataFrame], dict[Canonical, pl.DataFrame]]:
    """Schema, nodes and edges of tensors.

    Args:
        tensors: the tensors of each type.
        schema: of the graph that the tensors were made from, where it is known.
        nodes: of the same.
        edges: of the same.

    Raises:
        InputError: data that no column holds, or nodes that are not those of the graph.
    """
    entries = {entry.table: entry for entry in (schema.types if schema else ())}
    types, node_frames, edge_frames = GraphSchema(), {}, {}
    of_nodes, of_edges = tensors
    for name, given in of_nodes.items():
        entry = entries.get(NodeType(name).table, NodeType(name))
        frame = None if nodes is None else nodes.get(name)
        data = dict(given.data)
        ids = _ids(name, given, data.pop("id", None), frame)
        columns, rows = _decoded(entry, data, given.count, frame)
        types = GraphSchema((*types.nodes, NodeType(name, columns, _time(entry, columns))))
        node_frames[name] = pl.DataFrame({"id": ids, **rows})
    kinds = []
    for kind, given_edges in of_edges.items():
        edge = entries.get(EdgeType(*kind).table, EdgeType(*kind))
        frame = None if edges is None else edges.get(kind)
        columns, rows = _decoded(edge, dict(given_edges.data), len(given_edges.src), frame)
        kinds.append(EdgeType(*kind, columns, _time(edge, columns)))
        edge_frames[kind] = pl.DataFrame({"src": _numpy(given_edges.src), "dst": _numpy(given_edges.dst), **rows})
    return GraphSchema(types.nodes, tuple(kinds)), node_frames, edge_frames


def _ids(name: str, given: NodeTensors, ids: Any, frame: pl.DataFrame | None) -> pl.Series:
    """The ids of nodes: their own, those of the rows that they come from, or their numbers."""
    if frame is not None:
        rows = torch.arange(given.count) if given.rows is None else given.rows
        if (given.rows is None and given.count != frame.height) or (len(rows) and int(rows.max()) >= frame.height):
            raise InputError(
                f"The graph has {given.count} nodes of type '{name}', and `like` has {frame.height}; a subgraph has to "
                "name its nodes (dgl.NID, n_id)."
            )
        return frame["id"][_numpy(rows)]
    if ids is None:
        return pl.Series(range(given.count), dtype=pl.Int64).cast(pl.String)
    values = _numpy(ids) if isinstance(ids, Tensor) else list(ids)
    if len(values) != given.count or (isinstance(ids, Tensor) and (ids.dim() != 1 or ids.is_floating_point())):
        raise InputError(f"The ids of '{name}' must be {given.count} integers or texts.")
    return pl.Series([str(value) for value in values], dtype=pl.String)


def _time(entry: NodeType | EdgeType, columns: Sequence[Column]) -> str | None:
    return entry.time if entry.time in [column.name for column in columns] else None


def _encoded(entry: NodeType | EdgeType, frame: pl.DataFrame) -> dict[str, Tensor]:
    data: dict[str, Tensor] = {}
    for column in entry.columns:
        values = frame[column.name]
        data[column.name] = _tensor(entry, column, values)
        if values.null_count() and column.kind in _FILL:
            data[PRESENT + column.name] = torch.tensor(values.is_not_null().to_numpy())
    return data


_FILL: dict[str, Any] = {"number": 0.0, "integer": 0, "boolean": False, "timestamp": 0, "vector": [], "categories": []}


def _tensor(entry: NodeType | EdgeType, column: Column, values: pl.Series) -> Tensor:
    if column.kind not in _FILL:
        return torch.tensor(_codes(values, _distinct(values)).to_numpy())
    if column.kind == "timestamp":
        values = values.dt.epoch("us")
    if column.kind == "vector":
        return _matrix(entry, column, values)
    if column.kind == "categories":
        names = _distinct(values.explode())
        table = torch.zeros(len(values), len(names), dtype=torch.bool)
        rows = pl.DataFrame({"row": np.arange(len(values)), "name": values}).explode("name").drop_nulls()
        table[torch.tensor(rows["row"].to_numpy()), torch.tensor(_codes(rows["name"], names).to_numpy())] = True
        return table
    return torch.tensor(values.fill_null(_FILL[column.kind]).to_numpy())


def _matrix(entry: NodeType | EdgeType, column: Column, values: pl.Series) -> Tensor:
    lengths = values.list.len().drop_nulls().unique().to_list()
    if len(lengths) > 1:
        raise InputError(
            f"The vectors in '{entry}.{column.name}' have several lengths ({sorted(lengths)[:5]}), which no tensor "
            "has; leave the column out."
        )
    table = torch.zeros(len(values), lengths[0] if lengths else 0)
    if table.shape[1]:
        numbers = values.drop_nulls().explode().fill_null(float("nan"))
        table[torch.tensor(values.is_not_null().to_numpy())] = torch.tensor(numbers.to_numpy()).view(-1, table.shape[1])
    return table


def _distinct(values: pl.Series) -> pl.Series:
    return values.drop_nulls().unique().sort()


def _codes(values: pl.Series, names: pl.Series) -> pl.Series:
    """(N,) int64, the position of each value among `names`, -1 where there is none."""
    return values.cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(-1)


def _decoded(
    entry: NodeType | EdgeType, data: Mapping[str, Any], count: int, frame: pl.DataFrame | None
) -> tuple[tuple[Column, ...], dict[str, pl.Series]]:
    """The columns of one type, those that `entry` declares first, and their values."""
    declared = {column.name: column for column in entry.columns}
    names = [name for name in declared if name in data]
    names += [name for name in data if name not in declared and not name.startswith(PRESENT)]
    columns, rows = [], {}
    for name in names:
        values = data[name]
        if not isinstance(values, Tensor) or len(values) != count:
            raise InputError(f"'{entry}.{name}' is no tensor of {count} rows; delete it, or make it one.")
        column = declared.get(name) or Column(name, _kind(entry, name, values))
        before = frame[name] if frame is not None and name in declared else None
        if name in declared:
            _check(entry, column, values, before)
        series = _series(column, values, before)
        present = data.get(PRESENT + name)
        if present is not None:
            mask = pl.Series(_numpy(present))
            series = pl.select(pl.when(mask).then(series).otherwise(None)).to_series()
        columns.append(column)
        rows[name] = series
    return tuple(columns), rows


def _kind(entry: NodeType | EdgeType, name: str, values: Tensor) -> Any:
    if values.dim() == 2 and values.is_floating_point():
        return "vector"
    if values.dim() == 1 and not values.is_complex():
        return "boolean" if values.dtype == torch.bool else "number" if values.is_floating_point() else "integer"
    raise InputError(
        f"'{entry}.{name}' is a tensor of shape {tuple(values.shape)} and type {values.dtype}, which no column holds: "
        "(N,) numbers, integers or booleans, or (N, D) floats."
    )


def _check(entry: NodeType | EdgeType, column: Column, values: Tensor, before: pl.Series | None) -> None:
    """Raise `InputError` unless a tensor is what `encode` makes of a column, perhaps with other values."""
    distinct = 0
    if before is not None and (column.kind == "categories" or column.kind not in _FILL):
        distinct = len(_distinct(before.explode() if column.kind == "categories" else before))
    dimensions = 2 if column.kind in ("vector", "categories") else 1
    floats = column.kind in ("vector", "number")
    if values.dim() != dimensions or values.is_floating_point() != floats:
        raise InputError(
            f"'{entry}.{column.name}' is a tensor of shape {tuple(values.shape)} and type {values.dtype}; a column of "
            f"kind {column.kind} is {dimensions}-dimensional, {'floats' if floats else 'no floats'}. Rename it."
        )
    if column.kind == "categories" and values.shape[1] != distinct:
        raise InputError(f"'{entry}.{column.name}' has {values.shape[1]} columns for {distinct} categories.")
    if column.kind not in _FILL and len(values) and int(values.max()) >= distinct:
        raise InputError(f"'{entry}.{column.name}' has the code {int(values.max())} for {distinct} distinct values.")


def _series(column: Column, values: Tensor, before: pl.Series | None) -> pl.Series:
    """A column's values; `before` are those in the graph that the tensors were made from."""
    table = _numpy(values)
    if column.kind == "vector":
        if not table.shape[1]:
            return pl.Series([[]] * len(table), dtype=pl.List(pl.Float32))
        return pl.Series(table, dtype=pl.Array(pl.Float32, table.shape[1])).cast(pl.List(pl.Float32))
    if column.kind == "timestamp":
        return pl.Series(table.astype(np.int64)).cast(pl.Datetime("us", "UTC"))
    if column.kind in _FILL and column.kind != "categories":
        return pl.Series(table)
    assert before is not None  # only a column that is declared has these kinds
    if column.kind == "categories":
        names = _distinct(before.explode()).to_list()
        return pl.Series(
            [[name for name, present in zip(names, row, strict=True) if present] for row in table.tolist()],
            dtype=pl.List(pl.String),
        )
    codes = pl.Series(table).cast(pl.Int64)
    return _distinct(before).gather(pl.select(pl.when(codes >= 0).then(codes)).to_series())


def _numpy(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().cpu().numpy()
    return array
