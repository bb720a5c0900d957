"""The same features without edges: the baseline that shows what the graph adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import ForwardTrace, Model, Network, head_name, of_ends
from graphsocial.nn.fusion import Classifier
from graphsocial.nn.inputs import NodeInputs


@dataclass(frozen=True)
class FeaturesOnly(Model):
    """HMG-Emo's inputs and classifier without message passing: the features of the node, or of both endpoints, and the
    context of the example.

    Attributes:
        width: hidden size of the classifier.
        node_width: size of the projected node features.
        dropout: dropout rate of inputs and classifier.
    """

    width: int = 64
    node_width: int = 128
    dropout: float = 0.2

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples; unused.
            seed: unused; the initial weights follow torch's global seed.
        """
        return FeaturesOnlyNetwork(self, graph)


class FeaturesOnlyNetwork(Network):
    """Project, concatenate, classify; a head for each target."""

    def __init__(self, settings: FeaturesOnly, graph: SocialGraph) -> None:
        super().__init__()
        self.inputs = NodeInputs(graph, settings.node_width, dropout=settings.dropout)
        known = graph.context_table.shape[1]
        self.context = nn.Linear(known, settings.node_width) if known else None
        width = (len(graph.ends) + bool(known)) * settings.node_width
        self.heads = nn.ModuleDict(
            {
                head_name(target): Classifier(width, settings.width, len(target.classes) or 1, dropout=settings.dropout)
                for target in graph.targets
            }
        )

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits, (B,) numbers."""
        joined = self._join(graph, batch, self.inputs(graph, batch.rows))
        outputs = {target: self.heads[head_name(target)](joined) for target in graph.targets}
        return {target.name: out if target.classes else out.squeeze(1) for target, out in outputs.items()}

    def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
        """The inputs of the endpoints, and the last hidden layers of all classifiers."""
        x = self.inputs(graph, batch.rows)
        joined = self._join(graph, batch, x)
        last: list[Tensor] = [self.heads[head_name(target)].hidden(joined) for target in graph.targets]  # type: ignore[operator]  # a Classifier
        return ForwardTrace(before=of_ends(x, graph, batch), after=torch.cat(last, dim=1))

    def _join(self, graph: SocialGraph, batch: Batch, x: Mapping[str, Tensor]) -> Tensor:
        """(B, D) the endpoints and the context, concatenated."""
        parts = [x[name][rows] for name, rows in zip(graph.end_types, batch.ends, strict=True)]
        if self.context is not None:
            parts.append(self.context(graph.context_table[batch.examples]))
        return torch.cat(parts, dim=1)
