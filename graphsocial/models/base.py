"""What a model is: settings that build a `torch.nn.Module` over a social graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph import Canonical, SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.types import Target


@dataclass(frozen=True)
class ForwardTrace:
    """What a network lets one see of how it answered a batch of B examples; what it has not is None or empty.

    Attributes:
        before: (B, D) each example as it goes in: its nodes, side by side, before anything else is known of them.
        after: (B, H) each example as it comes out, for heads or classifiers to read.
        gates: name → (B,), how much the parts of each answer weigh against each other.
        edges: layer by layer, edge type → (E,) or (E, K heads): the share of each message in what its end hears.
        beside: (B, S) the nodes that were read in their order together with each example, itself among them, by their
            numbers in its node type; -1 fills up.
        places: name → (B, S), how much the example attends to each of `beside`.
    """

    before: Tensor | None = None
    after: Tensor | None = None
    gates: Mapping[str, Tensor] = field(default_factory=dict)
    edges: tuple[Mapping[Canonical, Tensor], ...] = ()
    beside: Tensor | None = None
    places: Mapping[str, Tensor] = field(default_factory=dict)


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

    def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
        """Answer the batch and tell what was looked at on the way; nothing by default."""
        return ForwardTrace()

    def penalty(self) -> Tensor:
        """What is added to the mean loss of a batch, such as a Gaussian prior; nothing by default."""
        return torch.zeros(())


def of_ends(inputs: Mapping[str, Tensor], graph: SocialGraph, batch: Batch) -> Tensor:
    """(B, …) the first representations of each example's ends, side by side.

    Args:
        inputs: node type → (N, H), of the nodes that the batch reads.
    """
    parts = []
    for name, end in zip(graph.end_types, graph.ends, strict=True):
        nodes = end[batch.examples]
        if batch.rows is not None:  # the inputs of some nodes only
            order = torch.argsort(batch.rows[name].nodes)
            nodes = order[torch.searchsorted(batch.rows[name].nodes[order], nodes)]
        parts.append(inputs[name][nodes])
    return torch.cat(parts, dim=1)


class Model(Protocol):
    """A frozen dataclass in `models/<name>.py` whose fields are its settings.

    Attributes:
        layers: how many message-passing layers it has; 0 for models that look at no edges.
        training: training settings that suit it better than the general defaults.

    One that has `reads`, of `nodes` and `edges`, reads encoded texts, images and sounds of these alone; () is of none.
    One that has `modalities`, where it names some, reads of the nodes that the task asks about the columns that are of
    these alone (`types.modality`).
    One that has `sequences = True` reads sequences of vectors (tokens, frames) of what the task asks about, as well;
    one that has `tunes = True` holds the last layers of encoders of it and trains them (`nn.tuned`).
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


def class_target(graph: SocialGraph, what: str) -> Target:
    """The target of what classifies pairs, and may say numbers of them too.

    Raises:
        InputError: the task asks about nodes, for several classes, or for numbers only.
    """
    others = [target.kind for target in graph.targets[1:]]
    if isinstance(graph.entity, str) or graph.target.kind != "multiclass" or "multiclass" in others:
        raise InputError(f"'{what}' is for edges with one class each; it does not fit this task.")
    return graph.target


def only_target(graph: SocialGraph, what: str) -> Target:
    """The target of what classifies pairs.

    Raises:
        InputError: the task asks about nodes, for several things, or for a number.
    """
    if isinstance(graph.entity, str) or len(graph.targets) > 1 or graph.target.kind != "multiclass":
        raise InputError(f"'{what}' is for edges with one class each; it does not fit this task.")
    return graph.target
