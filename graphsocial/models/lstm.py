"""A long short-term memory over a dialogue's segments, all modalities concatenated: TMSAM's first baseline.

Jiang, Jiao and Wang, "Construction and Analysis of Emotion Computing Model Based on LSTM" (2021), is the model
that TMSAM's authors compare with; this one keeps its architecture only, an LSTM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models._dialogue import TRAINING, DialogueNetwork, Seen
from graphsocial.models.base import Model, Network


@dataclass(frozen=True)
class Lstm(Model):
    """Early fusion: concatenate the modalities, read the dialogue from its past, classify.

    Attributes:
        modalities: the modalities to use; all by default.
        hidden: hidden size of the LSTM.
        dropout: dropout rate of inputs and hidden states.
        order: the edge type between segments that gives their order.
    """

    modalities: tuple[str, ...] = ()
    hidden: int = 200
    dropout: float = 0.3
    order: str = "next"

    sequences: ClassVar[bool] = True
    tunes: ClassVar[bool] = True
    training: ClassVar[Mapping[str, Any]] = TRAINING

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples; unused.
            seed: unused; the initial weights follow torch's global seed.
        """
        return LstmNetwork(self, graph)


class LstmNetwork(DialogueNetwork):
    """Concatenate → LSTM → a head for each target."""

    def __init__(self, settings: Lstm, graph: SocialGraph) -> None:
        super().__init__(graph, settings.order, settings.modalities, dropout=settings.dropout, causal=True)
        self.lstm = nn.LSTM(sum(self.widths.values()), settings.hidden, batch_first=True)
        self.add_heads(graph, settings.hidden)

    def embed(self, graph: SocialGraph, batch: Batch, seen: Seen | None = None) -> Tensor:
        """The hidden states of the batch's segments: (B, hidden).

        Args:
            graph: the graph.
            batch: the batch with its B examples.
            seen: unused; this network has no attention and no gates.
        """
        given = self.read(graph, batch)
        x = torch.cat(list(given.inputs.values()), dim=2)
        packed = pack_padded_sequence(x, given.mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        return given.pick(y)
