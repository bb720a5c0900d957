"""A graph as a networkx `MultiDiGraph`, and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from graphsocial.errors import InputError
from graphsocial.store.exchange.columns import dtypes
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

Canonical = tuple[str, str, str]
Parts = tuple[GraphSchema, dict[str, pl.DataFrame], dict[Canonical, pl.DataFrame]]


def write(schema: GraphSchema, nodes: Mapping[str, pl.DataFrame], edges: Mapping[Canonical, pl.DataFrame]) -> Any:
    """The graph with nodes `(type, id)` and edge keys `(relation, row number)`; missing values are absent.

    Args:
        schema: is kept as the graph's attribute `schema`, by which `read` knows the graph again.
        nodes: node type → one row per node.
        edges: canonical edge type → one row per edge, whose `src` and `dst` are row numbers of nodes.
    """
    import networkx

    graph = networkx.MultiDiGraph(schema=schema)
    for name, frame in nodes.items():
        for row in frame.iter_rows(named=True):
            graph.add_node((name, row.pop("id")), **_present(row))
    for (source, relation, destination), frame in edges.items():
        src_ids, dst_ids = nodes[source]["id"].to_list(), nodes[destination]["id"].to_list()
        for number, row in enumerate(frame.iter_rows(named=True)):
            ends = (source, src_ids[row.pop("src")]), (destination, dst_ids[row.pop("dst")])
            graph.add_edge(*ends, key=(relation, number), **_present(row))
    return graph


def read(graph: Any, *, node_type: str | None, relation: str | None) -> Parts:
    """Schema, nodes and edges of a networkx graph.

    Args:
        graph: a graph that `write` made, changed or not, or any other.
        node_type: the attribute that holds a node's type; None for the types that `write` kept, or `node` for all.
        relation: the attribute that holds an edge's relation; None for those that `write` kept, or `links` for all.
    """
    schema = graph.graph.get("schema")
    if isinstance(schema, GraphSchema) and node_type is None and relation is None:
        return _typed(graph, schema)
    return _any(graph, node_type, relation)


def _typed(graph: Any, schema: GraphSchema) -> Parts:
    nodes: dict[str, list[dict[str, Any]]] = {node.name: [] for node in schema.nodes}
    edges: dict[Canonical, list[tuple[int, dict[str, Any]]]] = {edge.canonical: [] for edge in schema.edges}
    rows = {}
    for node, attributes in graph.nodes(data=True):
        name, id_ = node if isinstance(node, tuple) and len(node) == 2 else (None, None)
        if name not in nodes:
            raise InputError(f"The node {node!r} is not (type, id) with a type of {sorted(nodes)}.")
        rows[node] = len(nodes[name])
        nodes[name].append({**attributes, "id": id_})
    for src, dst, key, attributes in graph.edges(keys=True, data=True):
        relation, number = key if isinstance(key, tuple) and len(key) == 2 else (None, 0)
        kind = (src[0], relation, dst[0])
        if kind not in edges:
            raise InputError(
                f"The edge {src!r} → {dst!r} has the key {key!r}; it must be (relation, number) with one of "
                f"{[' '.join(known) for known in edges]}."
            )
        edges[kind].append((number, {**attributes, "src": rows[src], "dst": rows[dst]}))
    ordered = {kind: [row for _, row in sorted(part, key=lambda pair: pair[0])] for kind, part in edges.items()}
    return (
        schema,
        {node.name: _frame(node, nodes[node.name]) for node in schema.nodes},
        {edge.canonical: _frame(edge, ordered[edge.canonical]) for edge in schema.edges},
    )


def _any(graph: Any, node_type: str | None, relation: str | None) -> Parts:
    nodes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    edges: dict[Canonical, list[dict[str, Any]]] = defaultdict(list)
    positions: dict[Any, tuple[str, int]] = {}
    for node, attributes in graph.nodes(data=True):
        name = _attribute(f"node {node!r}", attributes, node_type, "node")
        positions[node] = name, len(nodes[name])
        nodes[name].append({**_without(attributes, node_type), "id": str(node)})
    for src, dst, attributes in graph.edges(data=True):
        named = _attribute(f"edge {src!r} → {dst!r}", attributes, relation, "links")
        (source, src_row), (destination, dst_row) = positions[src], positions[dst]
        row = {**_without(attributes, relation), "src": src_row, "dst": dst_row}
        edges[source, named, destination].append(row)
    node_entries = [NodeType(name, _columns(name, rows, ("id",))) for name, rows in nodes.items()]
    edge_entries = [EdgeType(*kind, _columns(" ".join(kind), rows, ("src", "dst"))) for kind, rows in edges.items()]
    return (
        GraphSchema(tuple(node_entries), tuple(edge_entries)),
        {entry.name: _frame(entry, nodes[entry.name]) for entry in node_entries},
        {entry.canonical: _frame(entry, edges[entry.canonical]) for entry in edge_entries},
    )


def _attribute(what: str, attributes: Mapping[str, Any], name: str | None, default: str) -> str:
    if name is None:
        return default
    if not isinstance(attributes.get(name), str):
        raise InputError(f"The {what} has no text in its attribute '{name}', which was to name its type.")
    return str(attributes[name])


def _without(attributes: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key != name}


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _frame(entry: NodeType | EdgeType, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    wanted = dtypes(entry)
    unknown = {name for row in rows for name in row} - {*wanted}
    if unknown:
        raise InputError(f"'{entry}' has no column '{min(unknown)}'; it has {list(wanted)}.")
    try:
        return pl.DataFrame({name: pl.Series([row.get(name) for row in rows], dtype=of) for name, of in wanted.items()})
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise InputError(f"A column of '{entry}' has values of several types: {error}") from error


def _columns(entry: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> tuple[Column, ...]:
    names = dict.fromkeys(name for row in rows for name in row if name not in keys)
    return tuple(Column(name, _kind(entry, name, [row[name] for row in rows if name in row])) for name in names)


def _kind(entry: str, name: str, values: Sequence[Any]) -> Any:
    """The kind of column that holds all these values.

    Raises:
        InputError: none does.
    """
    types = {type(value) for value in values if value is not None}
    if types <= {list, tuple}:
        inner = {type(part) for value in values if value is not None for part in value}
        if inner and inner <= {str}:
            return "categories"
        if inner and inner <= {int, float}:
            return "vector"
    for allowed, kind in (
        ({bool}, "boolean"),
        ({int}, "integer"),
        ({int, float}, "number"),
        ({str}, "category"),
        ({datetime}, "timestamp"),
    ):
        if types and types <= allowed:
            return kind
    raise InputError(
        f"The attribute '{name}' of '{entry}' holds {', '.join(sorted(t.__name__ for t in types)) or 'nothing'}, which "
        "no column does: columns hold numbers, booleans, texts, times, or lists of numbers or texts."
    )
