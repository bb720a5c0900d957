"""GraphSAGE and the higher-order graph convolution: layers in which all neighbors of a node have the same weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from graphsocial.graph.adjacency import CanonicalEtype, Relation, check_edges, check_graph, first_rows
from graphsocial.nn.aggregation import edge_weights, weighted_sum
from graphsocial.nn.named import NamedParameters
from graphsocial.nn.products import linear
from graphsocial.nn.sharing import ALL, Share, check_share, edge_key, node_key


class NeighbourConv(nn.Module):
    """A node's own features and those of its neighbors, each through a linear map, added up.

    Args:
        node_types: all node types of the graph.
        edge_types: all edge types, as (source type, relation, destination type).
        in_features: D, of every node type.
        out_features: H.
        share: `all`: one pair of maps for all types; `relation`: one map for each edge type's messages and one for each
            node type's own features.
        self_loops: whether the node's own features are added.
    """

    reduce: Literal["mean", "sum"]

    def __init__(
        self,
        node_types: Sequence[str],
        edge_types: Sequence[CanonicalEtype],
        in_features: int,
        out_features: int,
        *,
        share: Share = ALL,
        self_loops: bool = True,
    ) -> None:
        super().__init__()
        check_share(share)
        self.node_types, self.edge_types = tuple(node_types), tuple(edge_types)
        self.in_features, self.out_features, self.share = in_features, out_features, share
        messages = [ALL] if share == ALL else [edge_key(etype, share) for etype in self.edge_types]
        nodes = [ALL] if share == ALL else [node_key(name, share) for name in self.node_types]
        shape = (out_features, in_features)
        self.weight = NamedParameters({key: nn.Parameter(torch.empty(shape)) for key in messages})
        self.self_weight = NamedParameters({key: nn.Parameter(torch.empty(shape)) for key in nodes if self_loops})
        self.bias = NamedParameters({key: nn.Parameter(torch.empty(out_features)) for key in nodes})
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform weights, zero biases."""
        for parameter in self.parameters():
            nn.init.xavier_uniform_(parameter) if parameter.dim() == 2 else nn.init.zeros_(parameter)

    def forward(
        self,
        x: Mapping[str, Tensor],
        relations: Mapping[CanonicalEtype, Relation],
        *,
        edge_mask: Mapping[CanonicalEtype, Tensor] | None = None,
        num_dst: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the layer: {node_type: (N, D)} to {node_type: (num_dst, H)}; see `GraphAttention.forward`.

        Args:
            x: {node_type: (N, D)}; the first num_dst rows of a type are its destinations.
            relations: one for each edge type.
            edge_mask: {edge_type: bool (E,)}; edges that are False are left out.
            num_dst: {node_type: count} of destinations; all nodes of types that it does not name.
        """
        counts = check_graph(x, relations, self.node_types, self.edge_types, self.in_features, num_dst)
        masks = check_edges("edge_mask", edge_mask, relations, dict.fromkeys(self.edge_types, ()))
        keys = {etype: edge_key(etype, self.share) for etype in self.edge_types}
        needed = dict.fromkeys((etype[0], key) for etype, key in keys.items())
        values = {(name, key): linear(x[name], self.weight[key]) for name, key in needed}  # (N, H)
        result = {}
        for name, count in counts.items():
            etypes = [etype for etype in self.edge_types if etype[2] == name]
            key = node_key(name, self.share)
            y = self.bias[key].expand(count, -1)
            if key in self.self_weight:
                y = linear(first_rows(x[name], count), self.self_weight[key], self.bias[key])
            if etypes:
                y = y + weighted_sum(
                    [relations[etype] for etype in etypes],
                    [edge_weights(relations[etype], self.reduce, masks.get(etype), x[name].dtype) for etype in etypes],
                    [values[etype[0], keys[etype]] for etype in etypes],
                )
            result[name] = y
        return result  # {node_type: (num_dst, H)}


class SageConv(NeighbourConv):
    r"""GraphSAGE with the mean aggregator (Hamilton et al. 2017, https://arxiv.org/abs/1706.02216).

    .. math:: x'_i = W_1 x_i + \sum_r W_2^r \operatorname{mean}_{j \in N_r(i)} x_j + b
    """

    reduce = "mean"


class GraphConv(NeighbourConv):
    r"""The higher-order network's 1-dimensional layer (Morris et al. 2019, https://arxiv.org/abs/1810.02244).

    .. math:: x'_i = W_1 x_i + \sum_r W_2^r \sum_{j \in N_r(i)} x_j + b
    """

    reduce = "sum"
