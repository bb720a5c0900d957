"""The labels of a node's neighbors: their class shares or mean number, the baseline of tasks on nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network
from graphsocial.nn.labelled import neighbor_labels
from graphsocial.nn.losses import Objective, objectives, outputs_of_means


@dataclass(frozen=True)
class NeighborVote(Model):
    """(labels of the neighbors that the batch may see + strength · those of all) / (their number + strength).

    Neighbors are the nodes that an edge of one type joins, in either direction; and, over every node of another type,
    such as a group, the other nodes that are joined to it, with a total weight of 1 for each such node.

    Attributes:
        strength: number of pseudo-counts with the overall shares and means.
    """

    strength: float = 1.0

    reads: ClassVar[tuple[str, ...]] = ()

    @property
    def layers(self) -> int:
        """1: labels are passed along edges, though no batch's layers are needed for it."""
        return 1

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Compute the overall shares and means.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training nodes.
            seed: unused; nothing is random.

        Raises:
            InputError: the task is about pairs, or no edge type joins its nodes with any.
        """
        if not isinstance(graph.entity, str):
            raise InputError("'neighbor_vote' predicts nodes; this task is about pairs.")
        if not any(graph.entity in (kind[0], kind[2]) and len(edges) for kind, edges in graph.edges.items()):
            raise InputError(f"'neighbor_vote' needs edges that join '{graph.entity}' with nodes; there are none.")
        return NeighborVoteNetwork(objectives(graph, train), graph, train, self.strength)


class NeighborVoteNetwork(Network):
    """Sums of the visible labels along edges, divided by their number.

    Args:
        parts: the targets' objectives, with the scale of their numbers in the training nodes.
        graph: the graph with the labels.
        train: (n,) int64 positions of the training nodes.
        strength: number of pseudo-counts with the overall shares and means.
    """

    def __init__(self, parts: tuple[Objective, ...], graph: SocialGraph, train: Tensor, strength: float) -> None:
        super().__init__()
        self.parts, self.strength = parts, strength
        for part in parts:
            self.register_buffer(f"prior_{part.target.name}", part.prior(graph, train))

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """Target → (B, K) logits of the smoothed shares, or (B,) smoothed means."""
        nodes, outputs = graph.ends[0][batch.examples], {}
        for part in self.parts:
            votes = neighbor_labels(graph, batch.view, part)[nodes]
            prior = self.get_buffer(f"prior_{part.target.name}")
            means = (votes[:, :-1] + self.strength * prior) / (votes[:, -1:] + self.strength)
            outputs[part.target.name] = outputs_of_means(part.target, means)
        return outputs
