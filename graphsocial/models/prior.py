"""The class shares, label frequencies and mean numbers of the training examples, for every example: the floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network
from graphsocial.nn.losses import objectives, outputs_of_means


@dataclass(frozen=True)
class Prior(Model):
    """The best constant prediction by log loss and squared error; `majority` has medians instead of means."""

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Compute shares and means.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples.
            seed: unused; nothing is random.
        """
        return PriorNetwork(graph, train)


class PriorNetwork(Network):
    """The same prediction for every example.

    Args:
        graph: the graph with the labels.
        train: (n,) int64 positions of the training examples.
    """

    def __init__(self, graph: SocialGraph, train: Tensor) -> None:
        super().__init__()
        for part in objectives(graph, train):
            self.register_buffer(f"prior_{part.target.name}", part.prior(graph, train))

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """Target → (B, K) logits, or (B,) means."""
        means = {target: self.get_buffer(f"prior_{target.name}")[None] for target in graph.targets}
        return {
            target.name: outputs_of_means(target, mean.expand(len(batch.examples), -1))
            for target, mean in means.items()
        }
