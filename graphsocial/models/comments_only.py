"""Only the comments of the edges to predict, classified by HMG-Emo's classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphsocial.errors import DataError
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.visibility import shown_vectors
from graphsocial.models.base import Model, Network, only_target
from graphsocial.nn.fusion import Classifier
from graphsocial.nn.inputs import Projection


@dataclass(frozen=True)
class CommentsOnly(Model):
    """HMG-Emo's Table III: edge features, projected, averaged over a pair's edges, and classified.

    It reads the features of the edges to predict, which needs `visibility.predicted=full`. By default these are hidden,
    and it sees only whether there is a comment.

    Attributes:
        width: hidden size of the classifier.
        edge_width: size of the projected comment vectors.
        dropout: dropout rate of the classifier.
    """

    width: int = 64
    edge_width: int = 256
    dropout: float = 0.2

    reads: ClassVar[tuple[str, ...]] = ("edges",)

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples; unused.
            seed: unused; the initial weights follow torch's global seed.

        Raises:
            DataError: the edges have no comments.
        """
        return CommentsOnlyNetwork(self, graph)


class CommentsOnlyNetwork(Network):
    """Project, average, classify."""

    def __init__(self, settings: CommentsOnly, graph: SocialGraph) -> None:
        super().__init__()
        self.target = only_target(graph, "comments_only")
        assert not isinstance(graph.entity, str)
        features = graph.edge_features.get(graph.entity, ())
        if not features:
            raise DataError("The edges to predict have no text; use another model.")
        self.width = width = settings.edge_width
        self.features = nn.ModuleList([Projection(f.vectors.shape[1], width) for f in features])
        self.classifier = Classifier(width, settings.width, len(self.target.classes), dropout=settings.dropout)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits; a pair without a comment, or without an edge, has the shared missing vector."""
        assert not isinstance(graph.entity, str)
        example = graph.edges[graph.entity].example
        assert example is not None
        position = torch.full((graph.num_examples,), -1)
        position[batch.examples] = torch.arange(len(batch.examples))
        edges = torch.nonzero(position[example] >= 0).squeeze(1)
        shown = shown_vectors(graph, graph.entity, batch.view.features, edges)
        hidden = torch.zeros(len(batch.examples), self.width)
        project: Any  # a Projection
        for project, feature, index in zip(self.features, graph.edge_features[graph.entity], shown, strict=True):
            present = index >= 0
            rows = position[example[edges[present]]]
            vectors = project.linear(feature.standard)[index[present]]
            counts = torch.bincount(rows, minlength=len(hidden))[:, None]
            mean = torch.zeros_like(hidden).index_add(0, rows, vectors) / counts.clamp_min(1)
            hidden = hidden + torch.where(counts > 0, mean, project.missing)
        return {self.target.name: self.classifier(hidden)}
