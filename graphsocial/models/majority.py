"""The most frequent class or median number of the training examples, for every example: a leaderboard's baseline."""

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
    """Predicts the most frequent class, with the class shares as probabilities, and the median number."""

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Compute class shares and medians.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples.
            seed: unused; nothing is random.
        """
        outputs = {}
        for part in objectives(graph, train):
            if part.target.kind == "multiclass":
                outputs[part.target.name] = torch.log(class_shares(graph, train, part.target))
            else:
                outputs[part.target.name] = (
                    part.standardised(graph.target_labels[part.target.name][train]).nanmedian().float()
                )
        return MajorityNetwork(outputs)


class MajorityNetwork(Network):
    """The same prediction for every example."""

    def __init__(self, outputs: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(outputs)
        for name, value in outputs.items():
            self.register_buffer(f"said_{name}", value)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log shares; (B,) medians."""
        count = len(batch.examples)
        outputs = {name: self.get_buffer(f"said_{name}") for name in self.names}
        return {name: value.expand(count, *value.shape) for name, value in outputs.items()}
