"""A class drawn at random by the class shares of the training examples: the baseline of guessing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network
from graphsocial.nn.losses import class_shares, objectives


@dataclass(frozen=True)
class Stratified(Model):
    """Draws classes by their training shares, as scikit-learn's stratified dummy does, and numbers from training."""

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Draw one prediction for every example.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples, whose classes and numbers are drawn.
            seed: seed of the draws.
        """
        generator = torch.Generator().manual_seed(seed)
        count = graph.num_examples
        guesses = {}
        for part in objectives(graph, train):
            name = part.target.name
            if part.target.kind == "multiclass":
                shares = class_shares(graph, train, part.target)
                guesses[name] = torch.multinomial(shares, count, replacement=True, generator=generator)
            else:
                numbers = part.standardised(graph.target_labels[name][train])
                numbers = numbers[~torch.isnan(numbers)].float()
                guesses[name] = numbers[torch.randint(len(numbers), (count,), generator=generator)]
        return StratifiedNetwork(guesses)


class StratifiedNetwork(Network):
    """A fixed guess for each example."""

    def __init__(self, guesses: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in guesses.items():
            self.register_buffer(f"guesses_{name}", value)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits of probabilities near 1; (B,) numbers."""
        outputs = {}
        for target in graph.targets:
            guesses = self.get_buffer(f"guesses_{target.name}")
            guess = guesses[batch.examples % len(guesses)]  # examples added after training reuse one
            outputs[target.name] = one_hot(guess, len(target.classes)).float() * 20 if target.classes else guess
        return outputs
