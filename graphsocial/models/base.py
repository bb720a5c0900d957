"""What a model is: settings that build a `torch.nn.Module` over a social graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph import Canonical, SocialGraph
from graphsocial.sampling import Batch
from graphsocial.types import Target


class Network(nn.Module):
    """A module that answers batches; one without parameters is not trained.

    `forward(graph, batch) -> {target: (B, K) logits, or (B,) numbers as the objective standardises them}`.

    Attributes:
        transductive: it holds parameters for each user or image, so that unseen ones get nothing of their own.
    """

    transductive: bool = False

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """What is said of the batch's examples, by target."""
        raise TypeError(f"{type(self).__name__} does not say how it answers.")

    def together(self, graph: SocialGraph) -> Tensor | None:
        """(P,) int64 where examples of one number are best answered in one batch, as the turns of one dialogue."""
        return None

    def gates(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """How much the parts of each answer weigh, where the network weighs some against others: name → (B,)."""
        return {}

    def attention(self, graph: SocialGraph, batch: Batch) -> tuple[dict[Canonical, Tensor], ...]:
        """Layer by layer the weight of each edge, where the network attends to neighbours: (E,), or (E, K heads)."""
        return ()

    def penalty(self) -> Tensor:
        """What is added to the mean loss of a batch, such as a Gaussian prior; nothing by default."""
        return torch.zeros(())


class Model(Protocol):
    """A frozen dataclass in `models/<name>.py` whose fields are its settings.

    Attributes:
        layers: how many message-passing layers it has; 0 for models that look at no edges.
        training: training settings that suit it better than the general defaults.

    One that has `sequences = True` reads sequences of vectors (tokens, frames) of what the task asks about, as well.
    """

    layers: int
    training: ClassVar[Mapping[str, Any]]

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: what it will run on: sizes, feature widths, classes.
            train: (n,) positions of the training examples; statistics may come from these alone.
            seed: for what is random beside the initial weights.
        """
        ...


def only_target(graph: SocialGraph, what: str) -> Target:
    """The target of what classifies pairs.

    Raises:
        InputError: the task asks about nodes, for several things, or for a number.
    """
    if isinstance(graph.entity, str) or len(graph.targets) > 1 or graph.target.kind != "multiclass":
        raise InputError(f"'{what}' is for edges with one class each; it does not fit this task.")
    return graph.target
