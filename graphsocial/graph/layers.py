"""The messages of one layer of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from graphsocial.graph import Canonical
from graphsocial.graph.adjacency import Relation


@dataclass(frozen=True)
class Layer:
    """The messages of one layer: relations, which of their edges are there, and where these stand in the graph.

    Attributes:
        relations: canonical edge type → sorted structure.
        mask: canonical edge type → (E,) bool, or None where all edges are there.
        edge_ids: canonical edge type → (E,) positions in `SocialGraph.edges`; None when the relation is whole.
        num_dst: node type → how many of the first source rows are destinations too; None when all are.
        take: node type → which rows of the layer before are this one's sources; None when all are, in order.
    """

    relations: Mapping[Canonical, Relation]
    mask: Mapping[Canonical, Tensor | None]
    edge_ids: Mapping[Canonical, Tensor] | None = None
    num_dst: Mapping[str, int] | None = None
    take: Mapping[str, Tensor] | None = None
