"""Aspect-based attention over a dialogue, where the aspect is the segment to predict.

Wang, Huang, Zhao and Zhu 2016, "Attention-based LSTM for Aspect-level Sentiment Classification" (ATAE-LSTM), eqs. 7-12:
the text-only baseline of TMSAM, whose paper names an aspect-based model without further detail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models._dialogue import TRAINING, DialogueNetwork, Seen
from graphsocial.models.base import Model, Network
from graphsocial.nn.cross_modal import CrossAttention
from graphsocial.nn.temporal import RecurrentContext


@dataclass(frozen=True)
class Absa(Model):
    """The segment's own text is the aspect, which attends to the dialogue's other segments; both are classified.

    Attributes:
        modality: the modality that is used.
        hidden: hidden size of each direction of the recurrent unit.
        heads: number of attention heads.
        dropout: dropout rate of inputs and hidden states.
        causal: use only the past of the dialogue.
        order: the edge type between segments that gives their order.
    """

    modality: str = "text"
    hidden: int = 100
    heads: int = 4
    dropout: float = 0.3
    causal: bool = False
    order: str = "next"

    sequences: ClassVar[bool] = True
    tunes: ClassVar[bool] = True
    training: ClassVar[Mapping[str, Any]] = TRAINING

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modality that is used."""
        return (self.modality,)

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples; unused.
            seed: unused; the initial weights follow torch's global seed.
        """
        return AbsaNetwork(self, graph)


class AbsaNetwork(DialogueNetwork):
    """Recurrent unit over the text; attention from the aspect to its states; tanh(W_p r + W_x h) is classified."""

    def __init__(self, settings: Absa, graph: SocialGraph) -> None:
        super().__init__(graph, settings.order, settings.modalities, dropout=settings.dropout, causal=settings.causal)
        width = 2 * settings.hidden
        (size,) = self.widths.values()
        self.aspect = nn.Linear(size, width)
        self.context = RecurrentContext(size + width, settings.hidden, causal=settings.causal)
        self.to_aspect = CrossAttention(width, width, width, settings.heads)
        self.read_out, self.own = nn.Linear(width, width), nn.Linear(width, width)
        self.add_heads(graph, width)

    def embed(self, graph: SocialGraph, batch: Batch, seen: Seen | None = None) -> Tensor:
        """tanh(W_p r + W_x h) of the batch's segments: (B, 2 * hidden).

        Args:
            graph: the graph.
            batch: the batch with its B examples.
            seen: filled with the attention weights; not recorded by default.
        """
        given = self.read(graph, batch)
        (x,) = given.inputs.values()
        aspect = self.drop(self.aspect(x))
        h = self.context(torch.cat([x, aspect], dim=2), given.mask)
        visible = given.mask[:, None, :].expand(-1, x.shape[1], -1)
        if self.causal:
            visible = visible & torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        attended = self.to_aspect(aspect, h, visible)
        if seen is not None:
            seen.attention["aspect → dialogue"] = self.to_aspect.weights(aspect, h, visible).mean(1)
        return given.pick(torch.tanh(self.read_out(attended) + self.own(h)))
