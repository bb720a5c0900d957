"""Means of the neighbors' vectors, computed once while the graph is built (HMG-Emo, eq. 1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from graphsocial.graph import Edges
from graphsocial.graph.features import Feature


def neighbor_means(
    edges: Iterable[tuple[str, str, Edges]],
    features: Mapping[str, Sequence[Feature]],
    num_nodes: Mapping[str, int],
) -> dict[str, list[Feature]]:
    """The means of vectors that nodes get from their neighbors of other types, over the edges that join them.

    Args:
        edges: source type, destination type and edges of each edge type.
        features: node type → features, for the types whose vectors are averaged.
        num_nodes: node type → N.

    Returns:
        Node type → means, in the order of the edge types; only for types that are not in `features`.
    """
    means: dict[str, list[Feature]] = {}
    for src_type, dst_type, part in edges:
        for name, neighbor, nodes, neighbors in (
            (src_type, dst_type, part.src, part.dst),
            (dst_type, src_type, part.dst, part.src),
        ):
            if neighbor in features and name not in features:
                means.setdefault(name, []).extend(
                    neighbor_mean(feature, nodes, neighbors, num_nodes[name]) for feature in features[neighbor]
                )
    return means


def neighbor_mean(feature: Feature, nodes: Tensor, neighbors: Tensor, num_nodes: int) -> Feature:
    """HMG-Emo, eq. 1: the mean of the neighbors' vectors, for nodes that have a neighbor with one.

    Args:
        feature: the neighbors' vectors.
        nodes: (E,) int64, the node of each edge.
        neighbors: (E,) int64, the neighbor at its other end.
        num_nodes: N.
    """
    present = feature.index[neighbors] >= 0
    nodes, order = torch.sort(nodes[present], stable=True)
    degree = torch.bincount(nodes, minlength=num_nodes)
    has_mean = degree > 0
    starts = (degree.cumsum(0) - degree)[has_mean]
    means = embedding_bag(feature.index[neighbors[present]][order], feature.vectors, starts, mode="mean")
    return Feature(f"mean of {feature.name}", means, torch.where(has_mean, has_mean.cumsum(0) - 1, -1))
