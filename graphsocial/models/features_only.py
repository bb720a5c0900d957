"""The same features without edges: what the graph has to add to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphsocial.graph import SocialGraph
from graphsocial.loaders import Ends
from graphsocial.models.base import Network
from graphsocial.nn.fusion import Classifier
from graphsocial.nn.inputs import NodeInputs
from graphsocial.sampling import Batch


@dataclass(frozen=True)
class FeaturesOnly:
    """HMG-Emo's inputs and classifier with nothing between: the user's and the image's own features.

    Attributes:
        width: of the classifier.
        node_width: of the projected features.
        dropout: as in HMG-Emo.
    """

    width: int = 64
    node_width: int = 128
    dropout: float = 0.2

    layers: ClassVar[int] = 0
    training: ClassVar[Mapping[str, Any]] = {}

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network."""
        return FeaturesOnlyNetwork(self, graph)


class FeaturesOnlyNetwork(Network):
    """Project, concatenate, classify."""

    def __init__(self, settings: FeaturesOnly, graph: SocialGraph) -> None:
        super().__init__()
        self.inputs = NodeInputs(graph, settings.node_width, dropout=settings.dropout)
        self.classifier = Classifier(
            2 * settings.node_width, settings.width, len(graph.classes), dropout=settings.dropout
        )

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits."""
        ends = Ends.of(graph, batch.pairs)
        x = self.inputs(graph, {name: graph.rows(name, nodes) for name, nodes in ends.nodes.items()})
        user, image = x[graph.entity[0]][ends.src], x[graph.entity[2]][ends.dst]
        return {graph.target.name: self.classifier(torch.cat([user, image], dim=1))}
