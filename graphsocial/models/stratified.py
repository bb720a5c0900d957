"""A class drawn at random by the class shares of the training pairs: what guessing scores."""

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
class Stratified:
    """Guesses by the class shares; sure of each guess, as scikit-learn's stratified dummy is."""

    layers: ClassVar[int] = 0
    training: ClassVar[Mapping[str, Any]] = {}

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Draw a guess for every pair, once."""
        generator = torch.Generator().manual_seed(seed)
        guesses = torch.multinomial(class_shares(graph, train), graph.num_pairs, replacement=True, generator=generator)
        return StratifiedNetwork(guesses)


class StratifiedNetwork(Network):
    """A fixed guess for each pair."""

    guesses: Tensor

    def __init__(self, guesses: Tensor) -> None:
        super().__init__()
        self.register_buffer("guesses", guesses)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits that leave no doubt."""
        place = batch.pairs % len(self.guesses)  # pairs that came after training get somebody's guess
        chosen = torch.nn.functional.one_hot(self.guesses[place], len(graph.classes))
        return {graph.target.name: chosen.float() * 20}
