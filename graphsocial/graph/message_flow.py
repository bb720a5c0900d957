"""A batch as DGL's message-flow graphs: one graph per layer, which holds only what the batch may see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphsocial._compat.dgl import import_dgl
from graphsocial.errors import InputError
from graphsocial.graph import Canonical, Feature, NodeRows, SocialGraph, is_known
from graphsocial.graph.layers import Layer
from graphsocial.graph.visibility import View, shown_vectors

if TYPE_CHECKING:
    from dgl import DGLGraph

Ends = dict[Canonical, tuple[Tensor, Tensor]]


def message_flow_graphs(
    graph: SocialGraph, view: View, layers: Sequence[Layer], rows: Mapping[str, NodeRows] | None = None
) -> list[DGLGraph]:
    """One DGL graph per layer, the first to be computed first: edges that the view hides are absent.

    Where every layer is the whole graph, each is the same heterograph with the graph's own node numbers. Otherwise
    each is a block whose destination nodes are its first source nodes and the source nodes of the next block. Either
    way `for conv, g in zip(convs, batch.to_dgl(graph)): h = conv(g, h)` computes the rows that `batch.ends` counts.

    Source nodes of the first graph have, by node type:

    - `x` (N, D) float32: all inputs concatenated: for each feature its vector, standardised on its own (zeros where
      missing), and a flag, 1 where there is a vector and 0 where it is missing; then the encoded numbers and
      categories. A single 1 where the type has no inputs. `input_widths` gives D.
    - `feat:<column>` (N, D) float32, such as `feat:image.file`: the encoder's vector as it is, zeros where there is
      none; `present:<column>` (N,) bool says where there is one. A further encoder of the same column is
      `feat:<column>:1`. Sequences of vectors stay in `SocialGraph.node_features`.
    - `table` (N, D) float32: the encoded numbers and categories.
    - `label:<target>` (N,), for tasks on nodes: class codes, -1 where the label is hidden or unknown; or float64
      numbers, NaN there.

    Nodes of every graph have `dgl.NID` (N,) int64, the local node numbers of `SocialGraph.ids`. Edges have, by
    canonical edge type:

    - `dgl.EID` (E,) int64: positions in `SocialGraph.edges`.
    - `time` (E,) int64 microseconds since 1970 UTC, where the type has times; the largest integer where unknown.
    - `x`, `feat:<column>`, `present:<column>`, where the type has features; features that the view hides are absent.
    - `label:<target>` (E,), where the type is the supervised one or its reverse: as above.

    Args:
        graph: the graph that the batch is of.
        view: what the batch may see.
        layers: the batch's layers.
        rows: the batch's rows; None where all nodes are read.

    Raises:
        PackageError: DGL is not installed.
        InputError: the graph has no edge types, of which DGL needs one.
    """
    dgl = import_dgl()
    if not graph.edges:
        raise InputError("DGL has no graphs without edge types; this graph has nodes only.")
    cut = next((depth for depth, layer in enumerate(layers) if depth and layer.take is not None), 0)
    taken = layers[cut].take if cut else None
    order = _order(graph, taken)
    nodes = {name: part[order[name]] if order else part for name, part in _input_nodes(graph, layers, rows).items()}
    whole = not cut and all(layer.num_dst is None for layer in layers)
    graphs: list[DGLGraph] = []
    for depth, layer in enumerate(layers):
        if depth and (whole or depth < cut - 1) and _same_edges(layer, layers[depth - 1]):
            graphs.append(graphs[-1])
            continue
        num_dst = _sizes(nodes) if layer.num_dst is None else dict(layer.num_dst)
        if taken and depth == cut - 1:  # the next layer reads some of this one's nodes, which come first
            num_dst = _sizes(taken)
        edge_ids, ends = _visible_edges(graph, layer)
        if depth < cut:
            edge_ids, ends = _reordered(edge_ids, ends, order, num_dst)
        made = _numbered(nodes, edge_ids, ends, None if whole else num_dst)
        for kind, ids in edge_ids.items():
            made.edges[kind].data.update(_edge_data(graph, view, kind, ids))
        nodes = {name: part[: num_dst[name]] for name, part in nodes.items()}
        graphs.append(made)
    for name in graph.num_nodes if graphs else ():
        data = graphs[0].srcnodes[name].data
        data.update(_node_data(graph, view, name, data[dgl.NID], rows))
    return graphs


def _same_edges(layer: Layer, before: Layer) -> bool:
    return layer.relations is before.relations and layer.mask is before.mask


def _sizes(nodes: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: len(part) for name, part in nodes.items()}


def _numbered(
    nodes: Mapping[str, Tensor], edge_ids: Mapping[Canonical, Tensor], ends: Ends, num_dst: Mapping[str, int] | None
) -> DGLGraph:
    """A block, or without `num_dst` a graph, with the local numbers of its nodes and edges as `dgl.NID`, `dgl.EID`."""
    dgl = import_dgl()
    count = _sizes(nodes)
    made: DGLGraph = dgl.heterograph(ends, count) if num_dst is None else dgl.create_block(ends, count, num_dst)
    for name, part in nodes.items():
        made.srcnodes[name].data[dgl.NID] = part
        if num_dst is not None:
            made.dstnodes[name].data[dgl.NID] = part[: num_dst[name]]
    for kind, ids in edge_ids.items():
        made.edges[kind].data[dgl.EID] = ids
    return made


def input_widths(graph: SocialGraph) -> dict[str | Canonical, int]:
    """Node type, or edge type that has features → D, the width of its `x` in `message_flow_graphs`."""
    widths: dict[str | Canonical, int] = {}
    for name in graph.num_nodes:
        table = graph.tables[name].shape[1] if name in graph.tables else 0
        widths[name] = _width(graph.node_features.get(name, ())) + table or 1
    return widths | {kind: _width(features) for kind, features in graph.edge_features.items() if _width(features)}


def _width(features: Sequence[Feature]) -> int:
    return sum(feature.vectors.shape[1] + 1 for feature in features if feature.offsets is None)


def _input_nodes(graph: SocialGraph, layers: Sequence[Layer], rows: Mapping[str, NodeRows] | None) -> dict[str, Tensor]:
    """Node type → the local numbers of the first layer's source nodes."""
    if rows is not None:
        return {name: part.nodes for name, part in rows.items()}
    if layers and layers[0].take is not None:
        return dict(layers[0].take)
    return {name: torch.arange(size) for name, size in graph.num_nodes.items()}


def _order(graph: SocialGraph, first: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Node type → all nodes, with these first."""
    order = {}
    for name, nodes in (first or {}).items():
        rest = torch.ones(graph.num_nodes[name], dtype=torch.bool)
        rest[nodes] = False
        order[name] = torch.cat([nodes, torch.nonzero(rest).squeeze(1)])
    return order


def _visible_edges(graph: SocialGraph, layer: Layer) -> tuple[dict[Canonical, Tensor], Ends]:
    """The edges that the layer's mask leaves: their positions in the graph, and their ends among the layer's nodes."""
    edge_ids, ends = {}, {}
    for kind, edges in graph.edges.items():
        if layer.edge_ids is None:
            ids, src, dst = torch.arange(len(edges)), edges.src, edges.dst
        else:
            relation = layer.relations[kind]
            ids, src, dst = layer.edge_ids[kind], relation.unsort(relation.src), relation.unsort(relation.dst)
        mask = layer.mask[kind]
        if mask is not None:
            ids, src, dst = ids[mask], src[mask], dst[mask]
        edge_ids[kind], ends[kind] = ids, (src.long(), dst.long())
    return edge_ids, ends


def _reordered(
    edge_ids: Mapping[Canonical, Tensor], ends: Ends, order: Mapping[str, Tensor], num_dst: Mapping[str, int]
) -> tuple[dict[Canonical, Tensor], Ends]:
    """The edges between reordered nodes, without those into nodes that are no destinations."""
    ids, moved = {}, {}
    rank = {name: torch.argsort(part) for name, part in order.items()}
    for kind, (src, dst) in ends.items():
        src, dst = rank[kind[0]][src], rank[kind[2]][dst]
        kept = dst < num_dst[kind[2]]
        ids[kind], moved[kind] = edge_ids[kind][kept], (src[kept], dst[kept])
    return ids, moved


def _node_data(
    graph: SocialGraph, view: View, name: str, nodes: Tensor, rows: Mapping[str, NodeRows] | None
) -> dict[str, Tensor]:
    if rows is not None:
        features, table = rows[name].features, rows[name].table
        data = _vectors(features, [feature.index for feature in features])
    else:
        features, table = graph.node_features.get(name, ()), graph.tables.get(name)
        table = None if table is None else table[nodes]
        data = _vectors(features, [feature.index[nodes] for feature in features])
    if table is not None:
        data["table"] = table
        data["x"] = torch.cat([data["x"], table], dim=1) if "x" in data else table
    data.setdefault("x", torch.ones(len(nodes), 1))
    if name == graph.entity:
        for target, values in _shown_labels(graph, view).items():
            of_nodes = _unknown(values, graph.num_nodes[name])
            of_nodes[graph.ends[0]] = values
            data[f"label:{target}"] = of_nodes[nodes]
    return data


def _edge_data(graph: SocialGraph, view: View, kind: Canonical, edge_ids: Tensor) -> dict[str, Tensor]:
    edges, data = graph.edges[kind], dict[str, Tensor]()
    if kind in graph.edge_features:
        data |= _vectors(graph.edge_features[kind], shown_vectors(graph, kind, view.features, edge_ids))
    if edges.time is not None:
        data["time"] = edges.time[edge_ids]
    if edges.example is not None:
        example = edges.example[edge_ids]
        data |= {f"label:{target}": values[example] for target, values in _shown_labels(graph, view).items()}
    return data


def _vectors(features: Sequence[Feature], rows: Sequence[Tensor]) -> dict[str, Tensor]:
    """Features with one vector per row: each unchanged, its presence, and the model inputs concatenated as `x`."""
    data: dict[str, Tensor] = {}
    inputs: list[Tensor] = []
    encoders = Counter[str]()
    for feature, index in zip(features, rows, strict=True):
        if feature.offsets is None:
            name = f"{feature.name}:{encoders[feature.name]}" if encoders[feature.name] else feature.name
            encoders[feature.name] += 1
            present = index >= 0
            data[f"feat:{name}"], data[f"present:{name}"] = _spread(feature.vectors, index, present), present
            inputs += [_spread(feature.standard, index, present), present[:, None].float()]
    return {**data, "x": torch.cat(inputs, dim=1)} if inputs else data


def _spread(vectors: Tensor, index: Tensor, present: Tensor) -> Tensor:
    """(N, D) the vector of each row, zeros where it has none."""
    values = vectors.new_zeros(len(index), vectors.shape[1])
    values[present] = vectors[index[present]]
    return values


def _shown_labels(graph: SocialGraph, view: View) -> dict[str, Tensor]:
    """Target → (P,) the labels that may be seen: codes, or numbers; -1 or NaN where they may not."""
    return {
        name: torch.where(view.label & is_known(labels), labels, _unknown(labels, len(labels)))
        for name, labels in graph.target_labels.items()
    }


def _unknown(labels: Tensor, count: int) -> Tensor:
    return labels.new_full((count,), float("nan") if labels.is_floating_point() else -1)
