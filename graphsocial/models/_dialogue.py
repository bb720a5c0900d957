"""Base of the models of dialogues: segments in their order, standardised inputs, and a head for each target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import ForwardTrace, Network, head_name
from graphsocial.nn.dialogues import Dialogues, Sequences
from graphsocial.nn.tuned import TunedEncoder
from graphsocial.nn.words import WordEncoder

LENGTH = 2.0  # norm of input vectors; chosen among 1, 2 and 4 on MELD's validation part
TRAINING: Mapping[str, Any] = {  # settings that suit these models better than the general defaults
    "epochs": 20,
    "batch_size": 320,  # segments, in whole dialogues: about 32 dialogues
    "learning_rate": 0.001,
    "weight_decay": 0.01,
    "patience": 5,
    "decision_rule": "weighted",
}


@dataclass
class Seen:
    """Attention weights and gates that `embed` records for `trace`.

    Attributes:
        attention: name → (C, T, T) attention weights from each position of a dialogue to each other.
        gates: name → (B,) weights of the parts of each prediction.
    """

    attention: dict[str, Tensor] = field(default_factory=dict)
    gates: dict[str, Tensor] = field(default_factory=dict)


class DialogueNetwork(Network):
    """Base class of networks over whole dialogues; subclasses define `embed`.

    Args:
        graph: the graph that it will run on.
        order: the edge type between segments that gives their order.
        modalities: the modalities to use; all by default.
        dropout: dropout rate of the inputs and of the representations that the heads read.
        causal: a segment is predicted from itself and the past of its dialogue.
        words: hidden size of the encoders of words or frames inside a segment, where features are sequences.
        trees: text sequences are dependency trees.
        context: number of segments around each that tuned encoders read.
    """

    def __init__(
        self,
        graph: SocialGraph,
        order: str,
        modalities: tuple[str, ...],
        *,
        dropout: float,
        causal: bool,
        words: int = 200,
        trees: bool = False,
        context: int = 0,
    ) -> None:
        super().__init__()
        self.dropout, self.causal = dropout, causal
        self.dialogues = Dialogues(graph, order, modalities)
        self.vectors = nn.ModuleDict({name: LevelVectors(sizes) for name, sizes in self.dialogues.features.items()})
        self.words = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    [
                        TunedEncoder(encoder, context=context, causal=causal, dropout=dropout)
                        if encoder
                        else WordEncoder(size, words, trees=trees and name == "text", dropout=dropout)
                        for size, encoder in kinds
                    ]
                )
                for name, kinds in self.dialogues.words.items()
            }
        )
        self.widths = {  # modality → D of its inputs
            name: sum(sizes) + sum(part.out_features for part in self._readers(name)) + self.dialogues.known
            for name, sizes in self.dialogues.features.items()
        }

    def add_heads(self, graph: SocialGraph, width: int) -> None:
        """A fully connected layer for each target (eq. 9 of TMSAM)."""
        self.heads = nn.ModuleDict(
            {head_name(target): nn.Linear(width, len(target.classes) or 1) for target in graph.targets}
        )

    def together(self, graph: SocialGraph) -> Tensor:
        """The dialogue of each segment."""
        return self.dialogues.of(graph)

    def read(self, graph: SocialGraph, batch: Batch) -> Sequences:
        """The batch's dialogues: vectors standardised by the training segments, then numbers, categories and means.

        Raises:
            InputError: the split is by time, and the network uses later segments.
        """
        if batch.view.before is not None and not self.causal:
            raise InputError("A split by time lets only the past be used; add --set causal=true.")
        given = self.dialogues.read(graph, batch.examples)
        inputs = {}
        for name, x in given.inputs.items():
            rows = self.vectors[name](x, given.present[name])
            read = [
                encoder.side_by_side(feature, index)
                if isinstance(encoder, TunedEncoder)
                else _gathered(encoder(feature), index)
                for encoder, (feature, index) in zip(self._readers(name), given.words[name], strict=True)
            ]
            inputs[name] = torch.cat([self.drop(torch.cat([rows, given.known], dim=2)), *read], dim=2)
        return replace(given, inputs=inputs)

    def _readers(self, name: str) -> list[WordEncoder | TunedEncoder]:
        return [*self.words[name]]  # type: ignore[misc]  # a ModuleList

    def embed(self, graph: SocialGraph, batch: Batch, seen: Seen | None = None) -> Tensor:
        """The representations that the heads read: (B, H).

        Args:
            graph: the graph.
            batch: the batch with its B examples.
            seen: filled with attention weights and gates, where the network has some; not recorded by default.
        """
        raise TypeError(f"{type(self).__name__} has no embed(graph, batch, seen); define one.")

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits of each target with classes, (B,) numbers of the others."""
        x = self.drop(self.embed(graph, batch))
        outputs = {target: self.heads[head_name(target)](x) for target in graph.targets}
        return {target.name: out if target.classes else out.squeeze(1) for target, out in outputs.items()}

    def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
        """The segments' inputs and representations, and their attention weights over the dialogue."""
        given, seen = self.read(graph, batch), Seen()
        after = self.embed(graph, batch, seen)
        dialogue = torch.div(given.rows, given.mask.shape[1], rounding_mode="floor")
        return ForwardTrace(
            before=given.pick(torch.cat(list(given.inputs.values()), dim=2)),
            after=after,
            gates=seen.gates,
            sequence=torch.where(given.mask, given.nodes, -1)[dialogue],
            sequence_attention={name: given.pick(weights) for name, weights in seen.attention.items()},
        )

    def drop(self, x: Tensor) -> Tensor:
        """Dropout, in training."""
        return dropout(x, self.dropout, self.training)


class LevelVectors(nn.Module):
    """Concatenated vectors of several encoders, standardised by the training segments and scaled to one norm.

    Each encoder's vectors have a norm of about `LENGTH`, whatever their dimension. With a variance of 1 in every
    dimension, long vectors would dominate short ones, and a network on a few thousand segments would overfit in a few
    epochs.

    Args:
        sizes: D of each encoder's vectors.
    """

    length: Tensor

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(sum(sizes), affine=False, momentum=None) if sizes else None
        self.register_buffer(
            "length", torch.cat([torch.zeros(0), *(torch.full((size,), LENGTH * size**-0.5) for size in sizes)])
        )

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """(C, T, ΣD) where `present` (C, T) is True; zeros elsewhere."""
        rows = torch.zeros_like(x)
        if self.norm is not None and (int(present.sum()) > 1 or not self.training):  # a single row has no variance
            rows[present] = self.norm(x[present]) * self.length
        return rows


def _gathered(vectors: Tensor, index: Tensor) -> Tensor:
    """(S, H) to (C, T, H); zeros where `index` is -1."""
    return torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])[index]
