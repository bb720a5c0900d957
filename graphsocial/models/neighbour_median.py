"""The median of the other nodes of the same page, author or brand: the baseline of tasks on posts."""

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
    """The median number, or the class shares, of the training nodes with the same neighbor.

    Attributes:
        edge: the edge type to the neighbor, such as `page publishes post`; by default the one with most training nodes
            per neighbor (pages rather than links).
        strength: number of pseudo-counts with the overall class shares per neighbor.
    """

    edge: str | None = None
    strength: float = 2.0

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Compute medians and class shares.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples.
            seed: unused; nothing is random.

        Raises:
            InputError: the task is about pairs, or no edges join its nodes with others.
        """
        neighbour = _neighbour(graph, train, self.edge)
        groups = int(neighbour.max()) + 2  # the last one is for nodes without a neighbor
        group_of = neighbour[graph.ends[0]]
        group_of = torch.where(group_of < 0, groups - 1, group_of)
        outputs: dict[str, Tensor] = {}
        for part in objectives(graph, train):
            labels = graph.target_labels[part.target.name][train]
            known = is_known(labels)
            group, labels = group_of[train][known], labels[known]
            if part.target.kind == "multiclass":
                classes = len(part.target.classes)
                counts = torch.bincount(group * classes + labels, minlength=groups * classes).view(groups, classes)
                prior = class_shares(graph, train, part.target)
                outputs[part.target.name] = torch.log(
                    (counts + self.strength * prior) / (counts.sum(1)[:, None] + self.strength)
                )
            else:
                outputs[part.target.name] = _medians(part.standardised(labels), group, groups).float()
        return NeighbourMedianNetwork(outputs, neighbour)


class NeighbourMedianNetwork(Network):
    """The stored prediction of each node's neighbor."""

    neighbour: Tensor

    def __init__(self, outputs: Mapping[str, Tensor], neighbour: Tensor) -> None:
        super().__init__()
        self.names = tuple(outputs)
        self.register_buffer("neighbour", neighbour)
        for name, table in outputs.items():
            self.register_buffer(f"said_{name}", table)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log shares; (B,) medians."""
        group = self.neighbour[graph.ends[0][batch.examples]]  # -1 is the last row: that of all nodes
        return {name: self.get_buffer(f"said_{name}")[group] for name in self.names}


def _neighbour(graph: SocialGraph, train: Tensor, edge: str | None) -> Tensor:
    """(N,) each node's first neighbor along the edge type, -1 where it has none."""
    if not isinstance(graph.entity, str):
        raise InputError("'neighbour_median' predicts nodes; this task is about pairs.")
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
    neighbors = {name: _first(graph, kind) for name, kind in kinds.items()}
    if edge is not None:
        return neighbors[edge]
    nodes = graph.ends[0][train]
    return max(
        neighbors.values(), key=lambda index: float((index[nodes] >= 0).sum()) / max(1, len(torch.unique(index[nodes])))
    )


def _first(graph: SocialGraph, kind: tuple[str, str, str]) -> Tensor:
    edges = graph.edges[kind]
    neighbor = torch.full((graph.num_nodes[kind[2]],), -1)
    nodes, first_edge = np.unique(edges.dst.numpy(), return_index=True)
    neighbor[torch.from_numpy(nodes)] = edges.src[torch.from_numpy(first_edge)]
    return neighbor


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
