"""The true class probabilities of synthetic data: an upper bound that a model exceeds only by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphsocial.errors import DataError
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network


@dataclass(frozen=True)
class BayesOptimal(Model):
    """Predicts the `optimal` column of the labelled edges, which only synthetic data has."""

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Nothing is trained.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples; unused.
            seed: unused; nothing is random.

        Raises:
            DataError: the data has no true probabilities.
        """
        if graph.reference is None:
            raise DataError("This data has no true probabilities; only `synthesize` writes them.")
        return BayesOptimalNetwork()


class BayesOptimalNetwork(Network):
    """The stored true probabilities of each example."""

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log true probabilities."""
        if graph.reference is None:
            raise DataError("This data has no true probabilities; only `synthesize` writes them.")
        return {graph.target.name: torch.log(graph.reference[batch.examples].clamp_min(1e-9))}
