"""A graph's tensors as PyG's `HeteroData`, and back."""

from __future__ import annotations

from typing import Any

from graphsocial._compat.pyg import import_pyg
from graphsocial.errors import InputError
from graphsocial.store.exchange.tensors import EdgeTensors, NodeTensors, Tensors

OWN = frozenset(
    [
        "num_nodes",
        "edge_index",
        "n_id",
        "e_id",
        "input_id",
        "batch_size",
        "num_sampled_nodes",
        "num_sampled_edges",
        "seed_time",
    ]
)
"""What PyG and its loaders keep beside the data."""


def write(tensors: Tensors) -> Any:
    """The `HeteroData`, node for node and edge for edge."""
    import torch

    data = import_pyg().data.HeteroData()
    nodes, edges = tensors
    for name, part in nodes.items():
        data[name].num_nodes = part.count
    for kind, edge in edges.items():
        data[kind].edge_index = torch.stack([edge.src, edge.dst])
    for key, columns in [
        *((name, part.data) for name, part in nodes.items()),
        *((k, e.data) for k, e in edges.items()),
    ]:
        for column, values in columns.items():
            if column in OWN:
                raise InputError(f"PyG uses the name '{column}' itself; rename the column of '{key}'.")
            data[key][column] = values
    return data


def read(data: Any) -> Tensors:
    """The tensors of a `HeteroData`."""
    if not isinstance(data, import_pyg().data.HeteroData):
        raise InputError(f"PyG's HeteroData is read, not {type(data).__name__}; see Data.to_heterogeneous().")
    nodes, edges = {}, {}
    for name in data.node_types:
        store = data[name]
        if store.num_nodes is None:
            raise InputError(f"The number of nodes of type '{name}' is unknown; set data['{name}'].num_nodes.")
        nodes[name] = NodeTensors(int(store.num_nodes), _columns(store), store.get("n_id"))
    for kind in data.edge_types:
        store = data[kind]
        if "edge_index" not in store:
            raise InputError(f"The edges '{' '.join(kind)}' have no edge_index, which is what is read.")
        src, dst = store.edge_index
        edges[kind] = EdgeTensors(src, dst, _columns(store))
    for name in {end for kind in edges for end in (kind[0], kind[2])} - {*nodes}:
        raise InputError(f"Edges end in nodes of type '{name}', which the data does not have.")
    return nodes, edges


def _columns(store: Any) -> dict[str, Any]:
    return {name: values for name, values in store.items() if name not in OWN}
