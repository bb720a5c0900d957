"""A graph's tensors as a DGL heterograph, and back."""

from __future__ import annotations

from typing import Any

from graphsocial._compat.dgl import import_dgl
from graphsocial.errors import InputError
from graphsocial.store.exchange.tensors import EdgeTensors, NodeTensors, Tensors

NAMES = {"_N": "node", "_E": "links"}
"""DGL's own names of the types of a homogeneous graph → ours."""


def write(tensors: Tensors) -> Any:
    """The heterograph, node for node and edge for edge."""
    nodes, edges = tensors
    if not edges:
        raise InputError("DGL has no graphs without edge types; this graph has nodes only.")
    graph = import_dgl().heterograph(
        {kind: (part.src, part.dst) for kind, part in edges.items()},
        {name: part.count for name, part in nodes.items()},
    )
    for name, part in nodes.items():
        graph.nodes[name].data.update(part.data)
    for kind, edge in edges.items():
        graph.edges[kind].data.update(edge.data)
    return graph


def read(graph: Any) -> Tensors:
    """The tensors of a heterograph."""
    dgl = import_dgl()
    if graph.is_block:
        raise InputError("A block has its nodes twice, as sources and destinations; give the graph it was made from.")
    nodes, edges = {}, {}
    for name in graph.ntypes:
        data = dict(graph.nodes[name].data)
        rows = data.pop(dgl.NID, None)
        nodes[NAMES.get(name, name)] = NodeTensors(graph.num_nodes(name), data, rows)
    for kind in graph.canonical_etypes:
        data = dict(graph.edges[kind].data)
        data.pop(dgl.EID, None)
        src, dst = graph.edges(etype=kind, order="eid")
        source, relation, destination = (NAMES.get(name, name) for name in kind)
        edges[source, relation, destination] = EdgeTensors(src, dst, data)
    return nodes, edges
