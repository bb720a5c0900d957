"""The edges of one message-passing layer of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from graphsocial.graph import Canonical
from graphsocial.graph.adjacency import Relation


@dataclass(frozen=True)
class Layer:
    """The edges along which one message-passing layer sends messages, and its source and destination nodes.

    The source nodes of a type are the rows of the previous layer's output (or of the inputs), picked by `take`. The
    destination nodes, whose representations the layer computes, are the first `num_dst` of them.

    Attributes:
        relations: canonical edge type → adjacency, sorted by destination, between these source and destination rows.
        mask: canonical edge type → (E,) bool, which edges may be used; None where all may.
        edge_ids: canonical edge type → (E,) int64, each edge's position in `SocialGraph.edges`; None where the layer
            has all of the graph's edges in their order.
        num_dst: node type → number of destination nodes; None where all source nodes are destinations.
        take: node type → (n,) int64 rows of the previous layer's output that are the source nodes; None where all are,
            in order.
    """

    relations: Mapping[Canonical, Relation]
    mask: Mapping[Canonical, Tensor | None]
    edge_ids: Mapping[Canonical, Tensor] | None = None
    num_dst: Mapping[str, int] | None = None
    take: Mapping[str, Tensor] | None = None
