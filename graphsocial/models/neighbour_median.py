"""The median of what a page's, author's or brand's other nodes came to: the floor for questions about posts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network
from graphsocial.nn.losses import class_shares, objectives


@dataclass(frozen=True)
class NeighbourMedian(Model):
    """Of numbers the median, of classes the shares, among the training nodes that share the neighbour.

    Attributes:
        edge: the edge type to the neighbour, such as `page publishes post`; by default that whose neighbours have the
            most training nodes each (pages rather than links).
        strength: how many imaginary nodes with the overall shares are added to each neighbour's classes.
    """

    edge: str | None = None
    strength: float = 2.0

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Take the medians.

        Raises:
            InputError: the task asks about pairs, or no edges join its nodes with others.
        """
        neighbour = _neighbour(graph, train, self.edge)
        groups = int(neighbour.max()) + 2  # the last one is for nodes without a neighbour
        mine = neighbour[graph.ends[0]]
        mine = torch.where(mine < 0, groups - 1, mine)
        said: dict[str, Tensor] = {}
        for part in objectives(graph, train):
            told = graph.answers[part.target.name][train]
            known = is_known(told)
            group, told = mine[train][known], told[known]
            if part.target.kind == "multiclass":
                classes = len(part.target.classes)
                counts = torch.bincount(group * classes + told, minlength=groups * classes).view(groups, classes)
                prior = class_shares(graph, train, part.target)
                said[part.target.name] = torch.log(
                    (counts + self.strength * prior) / (counts.sum(1)[:, None] + self.strength)
                )
            else:
                said[part.target.name] = _medians(part.standardised(told), group, groups).float()
        return NeighbourMedianNetwork(said, neighbour)


class NeighbourMedianNetwork(Network):
    """A look-up by neighbour."""

    neighbour: Tensor

    def __init__(self, said: Mapping[str, Tensor], neighbour: Tensor) -> None:
        super().__init__()
        self.names = tuple(said)
        self.register_buffer("neighbour", neighbour)
        for name, table in said.items():
            self.register_buffer(f"said_{name}", table)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log shares; (B,) medians."""
        mine = self.neighbour[graph.ends[0][batch.examples]]  # -1 is the last row: the overall answer
        return {name: self.get_buffer(f"said_{name}")[mine] for name in self.names}


def _neighbour(graph: SocialGraph, train: Tensor, edge: str | None) -> Tensor:
    """(N,) each node's first neighbour along the edge type, -1 where it has none."""
    if not isinstance(graph.entity, str):
        raise InputError("'neighbour_median' answers questions about nodes; this task asks about pairs.")
    kinds = {
        " ".join(edges.reverse_of or kind): kind
        for kind, edges in graph.edges.items()
        if kind[2] == graph.entity != kind[0] and len(edges)
    }
    if not kinds or (edge is not None and edge not in kinds):
        known = ", ".join(f"'{name}'" for name in kinds) or "none"
        raise InputError(
            f"'neighbour_median' needs an edge type that joins '{graph.entity}' with others; known: {known}."
        )
    found = {name: _first(graph, kind) for name, kind in kinds.items()}
    if edge is not None:
        return found[edge]
    nodes = graph.ends[0][train]
    return max(found.values(), key=lambda of: float((of[nodes] >= 0).sum()) / max(1, len(torch.unique(of[nodes]))))


def _first(graph: SocialGraph, kind: tuple[str, str, str]) -> Tensor:
    edges = graph.edges[kind]
    found = torch.full((graph.num_nodes[kind[2]],), -1)
    nodes, place = np.unique(edges.dst.numpy(), return_index=True)
    found[torch.from_numpy(nodes)] = edges.src[torch.from_numpy(place)]
    return found


def _medians(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """(G,) the median of each group; the last one, and those without values, get that of all."""
    order = torch.argsort(values, stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    counts = torch.bincount(group, minlength=groups)
    starts = counts.cumsum(0) - counts
    ordered = values[order]
    lower, upper = ((starts + (counts - 1 + half) // 2).clamp(0, len(values) - 1) for half in (0, 1))
    middle = (ordered[lower] + ordered[upper]) / 2
    middle[counts == 0] = values.median()
    middle[-1] = values.median()
    return middle
