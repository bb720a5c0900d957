"""What the models of dialogues share: reading segments in their order, standardised, and a head for each target."""

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
from graphsocial.models.base import ForwardTrace, Network
from graphsocial.nn.dialogues import Dialogues, Sequences
from graphsocial.nn.tuned import TunedEncoder
from graphsocial.nn.words import WordEncoder

LENGTH = 2.0  # of vectors that go in; chosen among 1, 2 and 4 on MELD's validation part
TRAINING: Mapping[str, Any] = {  # what suits these models better than the general defaults
    "epochs": 20,
    "batch_size": 320,  # segments, in whole dialogues: about 32 dialogues
    "learning_rate": 0.001,
    "weight_decay": 0.01,
    "patience": 5,
    "naming": "weighted",
}


@dataclass
class Seen:
    """What an `embed` notes down for `look`.

    Attributes:
        attention: name → (C, T, T), how much each place attends to each other place of its dialogue.
        gates: name → (B,).
    """

    attention: dict[str, Tensor] = field(default_factory=dict)
    gates: dict[str, Tensor] = field(default_factory=dict)


class DialogueNetwork(Network):
    """A network over whole dialogues; `embed` is what its kinds differ in.

    Args:
        graph: what it will run on.
        order: the relation between segments that says which one comes next.
        modalities: which of them; all by default.
        dropout: on inputs and on what the heads read.
        words: H of what reads sequences of words or frames inside a segment, where features have them.
        trees: text sequences are dependency trees.
        context: encoders that are tuned see so many segments around each.
        causal: a segment is answered from itself and the past of its dialogue.
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
        self.widths = {  # modality → D of what `read` gives
            name: sum(sizes) + sum(part.out_features for part in self._readers(name)) + self.dialogues.known
            for name, sizes in self.dialogues.features.items()
        }

    def add_heads(self, graph: SocialGraph, width: int) -> None:
        """A fully connected layer for each target (eq. 9 of TMSAM)."""
        self.heads = nn.ModuleDict(
            {target.name: nn.Linear(width, len(target.classes) or 1) for target in graph.targets}
        )

    def together(self, graph: SocialGraph) -> Tensor:
        """The dialogue of each segment."""
        return self.dialogues.of(graph)

    def read(self, graph: SocialGraph, batch: Batch) -> Sequences:
        """The batch's dialogues: each vector standardised by the training segments, with what is known beside it.

        Raises:
            InputError: the split is by time, and the network would look ahead.
        """
        if batch.view.before is not None and not self.causal:
            raise InputError("A split by time asks about the past alone; add --set causal=true.")
        given = self.dialogues.read(graph, batch.examples)
        inputs = {}
        for name, x in given.inputs.items():
            rows = self.vectors[name](x, given.present[name])
            read = [
                encoder.side_by_side(feature, index)
                if isinstance(encoder, TunedEncoder)
                else _deal_out(encoder(feature), index)
                for encoder, (feature, index) in zip(self._readers(name), given.words[name], strict=True)
            ]
            inputs[name] = torch.cat([self.drop(torch.cat([rows, given.known], dim=2)), *read], dim=2)
        return replace(given, inputs=inputs)

    def _readers(self, name: str) -> list[WordEncoder | TunedEncoder]:
        return [*self.words[name]]  # type: ignore[misc]  # a ModuleList

    def embed(self, graph: SocialGraph, batch: Batch, seen: Seen | None = None) -> Tensor:
        """The vectors that the heads read: (B, H).

        Args:
            seen: filled with the weights of gates and attention, where the network has some.
        """
        raise TypeError(f"{type(self).__name__} does not say how it reads.")

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits of each target with classes, (B,) numbers of the others."""
        x = self.drop(self.embed(graph, batch))
        said = {target: self.heads[target.name](x) for target in graph.targets}
        return {target.name: out if target.classes else out.squeeze(1) for target, out in said.items()}

    def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
        """The segments as they are read and as the heads read them, and how they attend to those of their dialogue."""
        given, seen = self.read(graph, batch), Seen()
        after = self.embed(graph, batch, seen)
        dialogue = torch.div(given.rows, given.mask.shape[1], rounding_mode="floor")
        return ForwardTrace(
            before=given.pick(torch.cat(list(given.inputs.values()), dim=2)),
            after=after,
            gates=seen.gates,
            beside=torch.where(given.mask, given.nodes, -1)[dialogue],
            places={name: given.pick(weights) for name, weights in seen.attention.items()},
        )

    def drop(self, x: Tensor) -> Tensor:
        """Dropout, in training."""
        return dropout(x, self.dropout, self.training)


class LevelVectors(nn.Module):
    """Vectors of several encoders, one beside the other: standardised by the training segments, then of one length.

    Each encoder's are about `LENGTH` long, however many numbers they have. With a variance of 1 in every number, long
    ones would drown short ones, and a network on a few thousand segments would learn them by heart in a few epochs.

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


def _deal_out(vectors: Tensor, index: Tensor) -> Tensor:
    """(S, H) to (C, T, H); zeros where `index` is -1."""
    return torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])[index]
