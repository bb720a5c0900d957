"""Biases and a product of learned factors of source and destination (Koren, Bell & Volinsky 2009, eqs. 4-5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network
from graphsocial.models.bias import BiasNetwork


@dataclass(frozen=True)
class MatrixFactorization(Model):
    """logits = log shares + b_source + b_destination + p_source · q_destination, numbers likewise.

    Attributes:
        rank: number of factors.
        prior: precision of the Gaussian prior on biases and factors, relative to the loss of one example.
    """

    rank: int = 8
    prior: float = 1.0

    reads: ClassVar[tuple[str, ...]] = ()
    training: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 0.05,
        "epochs": 40,
        "weight_decay": 0.0,
        "class_weights": "none",
    }

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"rank is 1 or more, not {self.rank}.")

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Zero biases and small random factors.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training pairs, whose class shares are stored.
            seed: unused; the factors follow torch's global seed.

        Raises:
            InputError: the task is about nodes.
        """
        if isinstance(graph.entity, str):
            raise InputError("'matrix_factorization' predicts pairs; this task is about nodes.")
        return MatrixFactorizationNetwork(graph, train, self.prior, self.rank)


class MatrixFactorizationNetwork(BiasNetwork):
    """Biases, and for each output a product of R factors.

    Args:
        graph: the graph that it will run on.
        train: (n,) int64 positions of the training pairs.
        prior: precision of the Gaussian prior.
        rank: R.
    """

    def __init__(self, graph: SocialGraph, train: Tensor, prior: float, rank: int) -> None:
        super().__init__(graph, train, prior)
        source, destination = (graph.num_nodes[name] for name in graph.end_types)
        self.p = nn.Parameter(torch.randn(source, rank) * 0.1)
        self.q = nn.Parameter(torch.randn(destination, rank) * 0.1)
        self.mix = nn.Parameter(torch.randn(rank, sum(self.sizes)) / rank**0.5)

    def parts(self, graph: SocialGraph, batch: Batch) -> Tensor:
        """(B, Σ K) biases and products."""
        source, destination = (end[batch.examples] for end in graph.ends)
        return super().parts(graph, batch) + (self.p[source] * self.q[destination]) @ self.mix

    def penalty(self) -> Tensor:
        """The negative log prior, per training pair."""
        factors = self.prior / 2 / self.observations * (self.p.square().sum() + self.q.square().sum())
        return super().penalty() + factors
