"""What others felt at the same image: the class shares of the image's training pairs, smoothed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphsocial.graph import SocialGraph
from graphsocial.models.base import Network, only_target
from graphsocial.objectives import class_shares
from graphsocial.sampling import Batch


@dataclass(frozen=True)
class ImagePrior:
    """Per destination (image, business): its visible labels' shares, shrunk towards all pairs' shares.

    Attributes:
        strength: how many imaginary pairs with the overall shares are added to each image.
    """

    strength: float = 2.0

    layers: ClassVar[int] = 0
    reads: ClassVar[tuple[str, ...]] = ()
    training: ClassVar[Mapping[str, Any]] = {}

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Nothing is learnt but the overall shares; an image's labels are looked up when it is asked about."""
        only_target(graph, "image_prior")
        return ImagePriorNetwork(class_shares(graph, train), self.strength)


class ImagePriorNetwork(Network):
    """A look-up in the labels that the batch may see."""

    shares: Tensor

    def __init__(self, shares: Tensor, strength: float) -> None:
        super().__init__()
        self.strength = strength
        self.register_buffer("shares", shares)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log smoothed shares."""
        images = graph.ends[1][batch.examples]
        seen = torch.nonzero(batch.view.label).squeeze(1)
        classes, size = len(graph.classes), graph.num_nodes[graph.end_types[1]]
        flat = torch.bincount(graph.ends[1][seen] * classes + graph.codes[seen], minlength=size * classes)
        counts = flat.view(size, classes)[images]
        shares = (counts + self.strength * self.shares) / (counts.sum(1, keepdim=True) + self.strength)
        return {graph.target.name: torch.log(shares)}
