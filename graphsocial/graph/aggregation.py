"""Means of the neighbors' vectors as a feature of a node (HMG-Emo, eq. 1), as of any time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from graphsocial.graph import Edges
from graphsocial.graph.features import Feature, TimedMeans


def neighbor_means(
    edges: Iterable[tuple[str, str, Edges]],
    features: Mapping[str, Sequence[Feature]],
    averages: Mapping[str, Sequence[str]],
    num_nodes: Mapping[str, int],
) -> dict[str, list[Feature]]:
    """The means of vectors that nodes get from their neighbors, over the edges that join them.

    Args:
        edges: source type, destination type and edges of each edge type.
        features: node type → features.
        averages: name of a feature → the node types whose nodes get its mean over their neighbors.
        num_nodes: node type → N.

    Returns:
        Node type → means, in the order of the edge types.
    """
    means: dict[str, list[Feature]] = {}
    for src_type, dst_type, part in edges:
        for name, neighbor, nodes, neighbors in (
            (src_type, dst_type, part.src, part.dst),
            (dst_type, src_type, part.dst, part.src),
        ):
            for feature in features.get(neighbor, ()):
                if name in averages.get(feature.name, ()):
                    means.setdefault(name, []).append(
                        neighbor_mean(feature, nodes, neighbors, num_nodes[name], time=part.time)
                    )
    return means


def neighbor_mean(
    feature: Feature, nodes: Tensor, neighbors: Tensor, num_nodes: int, *, time: Tensor | None = None
) -> Feature:
    """HMG-Emo, eq. 1: the mean of the neighbors' vectors, for nodes that have a neighbor with one.

    Args:
        feature: the neighbors' vectors.
        nodes: (E,) int64, the node of each edge.
        neighbors: (E,) int64, the neighbor at its other end.
        num_nodes: N.
        time: (E,) int64, from when each edge exists; the result is `TimedMeans` then.
    """
    present = feature.index[neighbors] >= 0
    nodes, neighbors, time = nodes[present], neighbors[present], None if time is None else time[present]
    if time is not None:
        order = torch.argsort(time, stable=True)
        nodes, neighbors, time = nodes[order], neighbors[order], time[order]
    nodes, order = torch.sort(nodes, stable=True)
    rows = feature.index[neighbors][order]
    degree = torch.bincount(nodes, minlength=num_nodes)
    has_mean = degree > 0
    starts = degree.cumsum(0) - degree
    name = f"mean of {feature.name}"
    if time is None:
        means = embedding_bag(rows, feature.vectors, starts[has_mean], mode="mean")
        return Feature(name, means, torch.where(has_mean, has_mean.cumsum(0) - 1, -1))
    from graphsocial.graph._running_means import running_means  # compiles on its first use

    ends = starts + degree
    return TimedMeans(
        name,
        running_means(feature.vectors, rows, starts, ends),
        torch.where(has_mean, ends - 1, -1),
        times=time[order],
        starts=torch.cat([starts, ends[-1:]]),
    )
