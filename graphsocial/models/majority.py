"""The class shares of the training pairs, for everyone: the floor of any leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphsocial.graph import SocialGraph
from graphsocial.models.base import Network, class_shares
from graphsocial.sampling import Batch


@dataclass(frozen=True)
class Majority:
    """Predicts the commonest class, with the class shares as probabilities."""

    layers: ClassVar[int] = 0
    training: ClassVar[Mapping[str, Any]] = {}

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Count the classes."""
        return MajorityNetwork(class_shares(graph, train))


class MajorityNetwork(Network):
    """One distribution, whatever is asked."""

    shares: Tensor

    def __init__(self, shares: Tensor) -> None:
        super().__init__()
        self.register_buffer("shares", shares)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log shares."""
        return {graph.target.name: torch.log(self.shares).expand(len(batch.pairs), -1)}
