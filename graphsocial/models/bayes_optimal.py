"""The true probabilities of synthetic data: the score that no model can beat but by luck."""

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
    """Reads the `optimal` column of the labelled edges; only synthetic data has it."""

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Nothing to learn."""
        if graph.reference is None:
            raise DataError("This data does not say its true probabilities; only `synthesize` writes them.")
        return BayesOptimalNetwork()


class BayesOptimalNetwork(Network):
    """A look-up of the reference."""

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log true probabilities."""
        if graph.reference is None:
            raise DataError("This data does not say its true probabilities; only `synthesize` writes them.")
        return {graph.target.name: torch.log(graph.reference[batch.examples].clamp_min(1e-9))}
