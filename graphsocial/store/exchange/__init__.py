"""A typed graph with its columns as a value, to and from DGL, PyG and networkx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from graphsocial.errors import InputError
from graphsocial.store.exchange.columns import typed
from graphsocial.types import EdgeType, GraphSchema, NodeType

Canonical = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class PropertyGraph:
    """A typed graph with its columns and without a task: what the store, DGL, PyG and networkx exchange.

    `store.graph()` reads one, `store.write_graph(graph, dataset=…)` writes one. Two are equal when types, ids, edges
    and values are, row by row.

    Attributes:
        schema: node types and edge types with their columns.
        nodes: node type → one row per node: `id` and the type's columns.
        edges: canonical edge type → one row per edge: `src` and `dst`, which are row numbers in `nodes`, and the type's
            columns.

    Raises:
        InputError: rows that do not fit the schema, an id that is missing or there twice, an edge without its nodes.
    """

    schema: GraphSchema
    nodes: Mapping[str, pl.DataFrame]
    edges: Mapping[Canonical, pl.DataFrame]

    def __post_init__(self) -> None:
        unknown = {*self.nodes, *self.edges} - {node.name for node in self.schema.nodes}
        unknown -= {edge.canonical for edge in self.schema.edges}
        if unknown:
            raise InputError(f"The graph has rows of {sorted(map(str, unknown))}, which its schema does not declare.")
        nodes = {node.name: typed(node, self.nodes.get(node.name)) for node in self.schema.nodes}
        edges = {edge.canonical: typed(edge, self.edges.get(edge.canonical)) for edge in self.schema.edges}
        for name, frame in nodes.items():
            ids = frame["id"]
            if ids.null_count() or (ids == "").any():
                raise InputError(f"A node of type '{name}' has no id.")
            if ids.n_unique() != len(ids):
                raise InputError(f"Two nodes of type '{name}' have the id '{ids.filter(ids.is_duplicated())[0]}'.")
        for kind, frame in edges.items():
            for key, name in (("src", kind[0]), ("dst", kind[2])):
                rows = frame[key]
                if rows.null_count() or ((rows < 0) | (rows >= nodes[name].height)).any():
                    raise InputError(
                        f"Edges '{' '.join(kind)}' have a {key} that is not one of the {nodes[name].height} nodes of "
                        f"type '{name}'."
                    )
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "edges", edges)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PropertyGraph) or {*self.schema.types} != {*other.schema.types}:
            return False
        pairs = [(frame, other.nodes[name]) for name, frame in self.nodes.items()]
        pairs += [(frame, other.edges[kind]) for kind, frame in self.edges.items()]
        return all(frame.equals(other_frame) for frame, other_frame in pairs)

    __hash__ = None  # type: ignore[assignment]  # tables have no hash

    @classmethod
    def of_rows(
        cls, nodes: Sequence[NodeType], edges: Sequence[EdgeType], read: Callable[[NodeType | EdgeType], pl.DataFrame]
    ) -> PropertyGraph:
        """A graph from a store's rows, whose edges name the `idx` of their nodes.

        Args:
            nodes: the node types.
            edges: the edge types.
            read: gives the rows of one type, by ascending `idx`.
        """
        frames = {node.name: read(node) for node in nodes}
        idx = {name: frame["idx"].to_numpy() for name, frame in frames.items()}
        joined = {}
        for edge in edges:
            rows = read(edge)
            ends = {key: np.searchsorted(idx[name], rows[key]) for key, name in (("src", edge.src), ("dst", edge.dst))}
            joined[edge.canonical] = rows.drop("idx", "dataset").with_columns(
                **{key: pl.Series(rows_of) for key, rows_of in ends.items()}
            )
        plain = {name: frame.drop("idx", "dataset") for name, frame in frames.items()}
        return cls(GraphSchema(tuple(nodes), tuple(edges)), plain, joined)

    def with_ids(self, kind: Canonical) -> pl.DataFrame:
        """The edges of one type with the ids of their nodes as `src` and `dst`."""
        ends = {
            key: self.nodes[name]["id"][self.edges[kind][key]] for key, name in (("src", kind[0]), ("dst", kind[2]))
        }
        return self.edges[kind].with_columns(**ends)

    def to_dgl(self) -> Any:
        """The graph as a DGL heterograph; its columns are tensors in `ndata` and `edata` (see `tensors.encode`).

        Raises:
            PackageError: DGL is not installed.
            InputError: there is no edge type, or a column's vectors have several lengths.
        """
        from graphsocial.store.exchange import _dgl, tensors

        return _dgl.write(tensors.encode(self.schema, self.nodes, self.edges))

    @classmethod
    def from_dgl(cls, graph: Any, *, like: PropertyGraph | None = None) -> PropertyGraph:
        """The graph of a DGL graph that is no block; its data becomes columns.

        Args:
            graph: a homogeneous graph (nodes of type `node`, edges `node links node`) or a heterograph.
            like: the graph that it was made from, which has what tensors have not: ids, the kinds of columns and the
                texts behind codes. Subgraphs name their nodes in `ndata[dgl.NID]`. Without it, ids are those in
                `ndata["id"]`, or row numbers, and columns are numbers and vectors.

        Raises:
            InputError: data that no column holds, or nodes that are not those of `like`.
        """
        from graphsocial.store.exchange import _dgl, tensors

        return cls(*tensors.decode(_dgl.read(graph), *_parts(like)))

    def to_pyg(self) -> Any:
        """The graph as PyG's `HeteroData`; its columns are tensors of the node and edge stores (see `tensors.encode`).

        Raises:
            PackageError: PyG is not installed.
            InputError: a column has a name that PyG uses itself, or vectors of several lengths.
        """
        from graphsocial.store.exchange import _pyg, tensors

        return _pyg.write(tensors.encode(self.schema, self.nodes, self.edges))

    @classmethod
    def from_pyg(cls, data: Any, *, like: PropertyGraph | None = None) -> PropertyGraph:
        """The graph of PyG's `HeteroData`; its tensors become columns.

        Args:
            data: a graph, or one that `NeighborLoader` has sampled, which names its nodes in `n_id`.
            like: as for `from_dgl`; without it, ids are those in the node store's `id`, or row numbers.

        Raises:
            InputError: data that no column holds, or nodes that are not those of `like`.
        """
        from graphsocial.store.exchange import _pyg, tensors

        return cls(*tensors.decode(_pyg.read(data), *_parts(like)))

    def to_networkx(self) -> Any:
        """The graph as a `networkx.MultiDiGraph`.

        Nodes are `(type, id)`, keys of edges `(relation, row number)`. Columns are attributes; one that has no value is
        absent. `graph.graph["schema"]` is the schema.
        """
        from graphsocial.store.exchange import _networkx

        return _networkx.write(self.schema, self.nodes, self.edges)

    @classmethod
    def from_networkx(cls, graph: Any, *, node_type: str | None = None, relation: str | None = None) -> PropertyGraph:
        """The graph of a networkx graph: one that `to_networkx` made, changed or not, or any other.

        Of any other, a node's id is its name as text, and columns have the kinds that their values show: numbers,
        integers, booleans, times, categories, lists of these, vectors. An undirected edge is one edge.

        Args:
            graph: directed or not, with parallel edges or not.
            node_type: the attribute that holds a node's type; by default all are of type `node`.
            relation: the attribute that holds an edge's relation; `links` by default.

        Raises:
            InputError: an attribute that no column holds, or a name that no type or column can have.
        """
        from graphsocial.store.exchange import _networkx

        return cls(*_networkx.read(graph, node_type=node_type, relation=relation))


def _parts(like: PropertyGraph | None) -> tuple[Any, ...]:
    return () if like is None else (like.schema, like.nodes, like.edges)
