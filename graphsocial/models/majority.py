"""The class shares of the training examples, for everyone, and the median of numbers: the floor of any leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network
from graphsocial.nn.losses import class_shares, objectives


@dataclass(frozen=True)
class Majority(Model):
    """Predicts the commonest class, with the class shares as probabilities, and the median number."""

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Count the classes, sort the numbers."""
        said = {}
        for part in objectives(graph, train):
            if part.target.kind == "multiclass":
                said[part.target.name] = torch.log(class_shares(graph, train, part.target))
            else:
                said[part.target.name] = part.standardised(graph.answers[part.target.name][train]).nanmedian().float()
        return MajorityNetwork(said)


class MajorityNetwork(Network):
    """One answer, whatever is asked."""

    def __init__(self, said: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(said)
        for name, value in said.items():
            self.register_buffer(f"said_{name}", value)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log shares; (B,) medians."""
        count = len(batch.examples)
        said = {name: self.get_buffer(f"said_{name}") for name in self.names}
        return {name: value.expand(count, *value.shape) for name, value in said.items()}
