"""Smoothed class shares and mean numbers of the same image's training pairs: the emotions of other users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network, class_target
from graphsocial.nn.losses import class_shares, number_scales, standardised_numbers


@dataclass(frozen=True)
class ImagePrior(Model):
    """Class shares and means of each destination's visible labels, shrunk towards those of all pairs.

    Attributes:
        strength: number of pseudo-counts with the overall shares and means per destination.
    """

    strength: float = 2.0

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Store the overall shares and means; the labels of a destination are looked up in each batch.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples, whose overall shares and means are stored.
            seed: unused; nothing is random.
        """
        class_target(graph, "image_prior")
        return ImagePriorNetwork(class_shares(graph, train), number_scales(graph, train), self.strength)


class ImagePriorNetwork(Network):
    """Shares and means of each destination's labels that are visible in the batch.

    Args:
        shares: (K,) class shares of all training pairs.
        scales: (M, 2) mean and standard deviation of each number in all training pairs.
        strength: number of pseudo-counts with the overall shares and means.
    """

    shares: Tensor
    scales: Tensor

    def __init__(self, shares: Tensor, scales: Tensor, strength: float) -> None:
        super().__init__()
        self.strength = strength
        self.register_buffer("shares", shares)
        self.register_buffer("scales", scales)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log smoothed shares, and (B,) smoothed means."""
        images = graph.ends[1][batch.examples]
        seen = torch.nonzero(batch.view.label).squeeze(1)
        classes, size = len(graph.classes), graph.num_nodes[graph.end_types[1]]
        flat = torch.bincount(graph.ends[1][seen] * classes + graph.codes[seen], minlength=size * classes)
        counts = flat.view(size, classes)[images]
        shares = (counts + self.strength * self.shares) / (counts.sum(1, keepdim=True) + self.strength)
        outputs = {graph.target.name: torch.log(shares)}
        for target, numbers in zip(
            graph.numbers, standardised_numbers(graph, self.scales)[seen].unbind(1), strict=True
        ):
            known = torch.nonzero(~torch.isnan(numbers)).squeeze(1)
            destination = graph.ends[1][seen[known]]
            sums = torch.zeros(size).index_add_(0, destination, numbers[known])[images]
            outputs[target.name] = sums / (torch.bincount(destination, minlength=size)[images] + self.strength)
        return outputs
