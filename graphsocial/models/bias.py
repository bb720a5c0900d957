"""A bias for each source and each destination: regression on their identities, with a Gaussian prior."""

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
from graphsocial.nn.losses import objectives, outputs_of_means

FORMER = {"user": "source", "image": "destination"}
"""Former name of a parameter, in the weights of earlier runs → its present name."""


@dataclass(frozen=True)
class Bias(Model):
    """logits = log shares + b_source + b_destination, numbers likewise; unseen nodes have b = 0.

    Attributes:
        prior: precision of the Gaussian prior on each b, relative to the loss of one example.
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
            train: (n,) int64 positions of the training pairs, whose class shares are stored.
            seed: unused; nothing is random.

        Raises:
            InputError: the task is about nodes.
        """
        if isinstance(graph.entity, str):
            raise InputError("'bias' predicts pairs; this task is about nodes.")
        return BiasNetwork(graph, train, self.prior)


class BiasNetwork(Network):
    """One bias vector per source and one per destination.

    Args:
        graph: the graph that it will run on.
        train: (n,) int64 positions of the training pairs.
        prior: precision of the Gaussian prior on each b.
    """

    transductive = True
    shares: Tensor

    def __init__(self, graph: SocialGraph, train: Tensor, prior: float) -> None:
        super().__init__()
        parts = {part.target.name: part for part in objectives(graph, train)}
        self.slices = [part.target for part in parts.values() if part.target.classes]
        self.slices += [part.target for part in parts.values() if not part.target.classes]
        means = [parts[target.name].prior(graph, train) for target in self.slices]
        self.sizes = [len(mean) for mean in means]
        source, destination = (graph.num_nodes[name] for name in graph.end_types)
        self.source = nn.Parameter(torch.zeros(source, sum(self.sizes)))
        self.destination = nn.Parameter(torch.zeros(destination, sum(self.sizes)))
        self.prior, self.observations = prior, len(train)
        # numbers are standardised, so their mean is 0
        self.register_buffer(
            "shares",
            torch.cat([mean for mean, t in zip(means, self.slices, strict=True) if t.classes] or [torch.zeros(0)]),
        )
        self.register_load_state_dict_pre_hook(_with_present_names)  # type: ignore[no-untyped-call]

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """Target → (B, K) logits, or (B,) numbers."""
        bias, outputs, begin = self.parts(graph, batch), {}, 0
        for target, part in zip(self.slices, torch.split(bias, self.sizes, dim=1), strict=True):
            if target.classes:
                share = self.shares[begin : begin + len(target.classes)]
                outputs[target.name] = outputs_of_means(target, share[None]) + part
                begin += len(target.classes)
            else:
                outputs[target.name] = part.squeeze(1)
        return outputs

    def parts(self, graph: SocialGraph, batch: Batch) -> Tensor:
        """(B, Σ K) what is added to the log shares, and to the mean of each number."""
        bias: Tensor = self.source[graph.ends[0][batch.examples]] + self.destination[graph.ends[1][batch.examples]]
        return bias

    def penalty(self) -> Tensor:
        """The negative log prior, per training pair."""
        return self.prior / 2 / self.observations * (self.source.square().sum() + self.destination.square().sum())


def _with_present_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    for old, new in FORMER.items():
        if f"{prefix}{old}" in state:
            state[f"{prefix}{new}"] = state.pop(f"{prefix}{old}")
