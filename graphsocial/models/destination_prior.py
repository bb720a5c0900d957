"""Smoothed class shares and mean numbers of the training pairs with the same destination: what others said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network
from graphsocial.nn.losses import Objective, encoded_labels, objectives, outputs_of_means


@dataclass(frozen=True)
class DestinationPrior(Model):
    """(labels of the destination's other visible pairs + strength · those of all pairs) / (their number + strength).

    Attributes:
        strength: number of pseudo-counts with the overall shares and means.
    """

    strength: float = 2.0

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Compute the overall shares and means.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training pairs.
            seed: unused; nothing is random.

        Raises:
            InputError: the task is about nodes.
        """
        if isinstance(graph.entity, str):
            raise InputError("'destination_prior' predicts pairs; this task is about nodes.")
        return DestinationPriorNetwork(objectives(graph, train), graph, train, self.strength)


class DestinationPriorNetwork(Network):
    """Shares and means of each destination's labels that are visible in the batch.

    Args:
        parts: the targets' objectives, with the scale of their numbers in the training pairs.
        graph: the graph with the labels.
        train: (n,) int64 positions of the training pairs.
        strength: number of pseudo-counts with the overall shares and means.
    """

    def __init__(self, parts: tuple[Objective, ...], graph: SocialGraph, train: Tensor, strength: float) -> None:
        super().__init__()
        self.parts, self.strength = parts, strength
        for part in parts:
            self.register_buffer(f"prior_{part.target.name}", part.prior(graph, train))
        self.register_load_state_dict_pre_hook(_with_present_names)  # type: ignore[no-untyped-call]

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """Target → (B, K) logits of the smoothed shares, or (B,) smoothed means."""
        destinations, outputs = graph.ends[1][batch.examples], {}
        for part in self.parts:
            labels = graph.target_labels[part.target.name]
            seen = torch.nonzero(batch.view.label & is_known(labels)).squeeze(1)
            values = encoded_labels(part, labels[seen])  # (S, K)
            size, prior = graph.num_nodes[graph.end_types[1]], self.get_buffer(f"prior_{part.target.name}")
            sums = torch.zeros(size, values.shape[1]).index_add_(0, graph.ends[1][seen], values)[destinations]
            counts = torch.bincount(graph.ends[1][seen], minlength=size)[destinations, None]
            outputs[part.target.name] = outputs_of_means(
                part.target, (sums + self.strength * prior) / (counts + self.strength)
            )
        return outputs


def _with_present_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Read the weights of earlier runs, which had the shares of the classes, and numbers whose mean is 0."""
    assert isinstance(module, DestinationPriorNetwork)
    if f"{prefix}shares" in state:
        shares = state.pop(f"{prefix}shares")
        state.pop(f"{prefix}scales", None)
        for part in module.parts:
            state[f"{prefix}prior_{part.target.name}"] = shares if part.target.classes else torch.zeros(1)
