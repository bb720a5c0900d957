"""A bias per user and per image: multinomial logistic regression on their identities, with a Gaussian prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network, class_target
from graphsocial.nn.losses import class_shares


@dataclass(frozen=True)
class UserImageBias(Model):
    """logits = log shares + b_user + b_image, numbers likewise; unseen users and images have b = 0.

    Attributes:
        prior: precision of the Gaussian prior on each b, relative to the log loss of one example.
    """

    prior: float = 1.0

    reads: ClassVar[tuple[str, ...]] = ()
    training: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 0.05,
        "epochs": 40,
        "weight_decay": 0.0,
        "class_weights": "none",
    }

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Zero biases for every node.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples, whose class shares are stored.
            seed: unused; nothing is random.
        """
        class_target(graph, "user_image_bias")
        return UserImageBiasNetwork(graph, class_shares(graph, train), self.prior, len(train))


class UserImageBiasNetwork(Network):
    """One bias vector per node.

    Args:
        graph: the graph that it will run on.
        shares: (K,) class shares of the training pairs.
        prior: precision of the Gaussian prior on each b.
        observations: number of training pairs.
    """

    transductive = True
    shares: Tensor

    def __init__(self, graph: SocialGraph, shares: Tensor, prior: float, observations: int) -> None:
        super().__init__()
        sizes, outputs = graph.num_nodes, len(shares) + len(graph.numbers)
        user, image = graph.end_types
        self.user = nn.Parameter(torch.zeros(sizes[user], outputs))
        self.image = nn.Parameter(torch.zeros(sizes[image], outputs))
        self.prior, self.observations = prior, observations
        self.register_buffer("shares", shares)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits, and (B,) of each number."""
        bias = self.user[graph.ends[0][batch.examples]] + self.image[graph.ends[1][batch.examples]]
        class_bias, number_bias = bias[:, : len(self.shares)], bias[:, len(self.shares) :].unbind(1)
        numbers = dict(zip((target.name for target in graph.numbers), number_bias, strict=True))
        return {graph.target.name: torch.log(self.shares) + class_bias, **numbers}

    def penalty(self) -> Tensor:
        """The negative log prior, per training pair."""
        return self.prior / 2 / self.observations * (self.user.square().sum() + self.image.square().sum())
