"""TMSAM: emotion and sentiment of a dialogue's segments from several modalities in time.

He and Lu, "The Performance of a Temporal Multi-Modal Sentiment Analysis Model Based on Multitask Learning in Social
Networks".
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
from graphsocial.nn.cross_modal import CrossModalFusion, Noted, drop_modalities
from graphsocial.nn.graph_context import GraphContext, forward_in_time
from graphsocial.nn.temporal import MaskedConv1d, Padding, RecurrentContext
from graphsocial.nn.tuned import tuned_encoders


@dataclass(frozen=True)
class Tmsam(Model):
    """The paper's network over a dialogue's segments: Conv1d and BiGRU per modality, attention, a head per target.

    Table III's parameters are the defaults, but for the first level's 6 heads, which do not divide 400: ours are 8.

    Attributes:
        modalities: the modalities to use, such as `text audio`; all that the segments have by default.
        window: kernel size of the convolution over the dialogue (eq. 2), in segments, padded to keep the length.
        hidden: hidden size of each direction of the GRU (eqs. 3-5).
        width: size of the cross-modal attention (eqs. 6-7).
        heads: number of heads of the cross-modal attention.
        first_heads: number of heads of the first level of self-attention (eq. 8).
        second_heads: number of heads of the second level.
        residual: each self-attention adds its input, and the heads also read the inputs and outputs of the GRUs
            (beyond the paper).
        dropout: dropout rate of inputs and hidden states.
        modality_dropout: share of each modality's segments that are dropped in training; a segment keeps at least one.
        causal: use only the past of the dialogue.
        words: hidden size of the encoder of words or frames, where a modality's features are sequences.
        trees: the text's words are dependency trees (featurizer `dependencies`), with a graph convolution over them.
        context: where the text's encoder is trained too (`tune`), the number of segments before and after each whose
            words it reads; with `causal`, before it alone (beyond the paper).
        order: the edge type between segments that gives their order.
        layers: number of message-passing layers over `next`, `speaks`, `replies` and their reverses, whose output the
            heads read too (beyond the paper); 0 for none. With `causal`, only over edge types from earlier to later.
        l2: weight of the squared norm of all parameters (eq. 10), without those of tuned encoders, in the loss.
    """

    modalities: tuple[str, ...] = ()
    window: int = 1
    hidden: int = 200
    width: int = 200
    heads: int = 4
    first_heads: int = 8
    second_heads: int = 8
    residual: bool = True
    dropout: float = 0.3
    modality_dropout: float = 0.1
    causal: bool = False
    words: int = 200
    trees: bool = False
    context: int = 0
    order: str = "next"
    layers: int = 0
    l2: float = 1e-5

    sequences: ClassVar[bool] = True
    tunes: ClassVar[bool] = True
    training: ClassVar[Mapping[str, Any]] = {**TRAINING, "weight_decay": 0.0}  # `l2` is the paper's

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples; unused.
            seed: unused; the initial weights follow torch's global seed.
        """
        return TmsamNetwork(self, graph)


class TmsamNetwork(DialogueNetwork):
    """Inputs by modality → convolution → recurrent unit → fusion → a head for each target."""

    def __init__(self, settings: Tmsam, graph: SocialGraph) -> None:
        super().__init__(
            graph,
            settings.order,
            settings.modalities,
            dropout=settings.dropout,
            causal=settings.causal,
            words=settings.words,
            trees=settings.trees,
            context=settings.context,
        )
        self.settings = settings
        padding: Padding = "causal" if settings.causal else "same"
        self.convolutions, self.contexts = nn.ModuleDict(), nn.ModuleDict()
        for name, size in self.widths.items():
            self.convolutions[name] = MaskedConv1d(size, settings.hidden, settings.window, padding=padding)
            self.contexts[name] = RecurrentContext(settings.hidden, settings.hidden, causal=settings.causal)
        self.fusion = CrossModalFusion(
            dict.fromkeys(self.widths, 2 * settings.hidden),
            width=settings.width,
            heads=settings.heads,
            first_heads=settings.first_heads,
            second_heads=settings.second_heads,
            dropout=settings.dropout,
            residual=settings.residual,
        )
        beside = 3 * settings.hidden * len(self.widths) if settings.residual else 0
        self.graph_context: GraphContext | None = None
        if settings.layers:
            past = forward_in_time(graph, self.dialogues.chains(graph)) if settings.causal else None
            self.graph_context = GraphContext(
                graph, settings.width, settings.layers, past=past, dropout=settings.dropout
            )
            beside += settings.width
        self.add_heads(graph, self.fusion.out_features + beside)

    def embed(self, graph: SocialGraph, batch: Batch, seen: Seen | None = None) -> Tensor:
        """The fused vectors Z_I of the batch's segments (eq. 8), and what `residual` and `layers` add: (B, H).

        Args:
            graph: the graph.
            batch: the batch with its B examples.
            seen: filled with attention weights and gates; not recorded by default.
        """
        given = self.read(graph, batch)
        present = given.present
        if self.training and self.settings.modality_dropout:
            present = drop_modalities(present, self.settings.modality_dropout)
        contexts, beside = {}, []
        for name in self.widths:
            x, mask = self.convolutions[name](given.inputs[name] * present[name][:, :, None], given.mask)
            x = self.drop(torch.relu(x))  # eq. 2: (C, T, hidden)
            contexts[name] = self.drop(self.contexts[name](x, mask))  # eq. 5: (C, T, 2 * hidden)
            beside += [x, contexts[name]]
        noted = None if seen is None else Noted()
        fused: Tensor = self.fusion(contexts, present, given.mask, causal=self.settings.causal, noted=noted)
        if seen is not None and noted is not None:
            seen.attention |= noted.weights
            total = torch.stack(list(noted.norms.values())).sum(0).clamp_min(torch.finfo(fused.dtype).tiny)
            seen.gates |= {name: given.pick(norm / total) for name, norm in noted.norms.items() if len(noted.norms) > 1}
        parts = [given.pick(part) for part in ([fused, *beside] if self.settings.residual else [fused])]
        if self.graph_context is not None:
            parts.append(self.graph_context(graph, batch))
        return torch.cat(parts, dim=1)

    def penalty(self) -> Tensor:
        """The second term of eq. 10."""
        if not self.settings.l2:
            return torch.zeros(())
        tuned = {id(part) for encoder in tuned_encoders(self) for part in encoder.parameters()}
        norms = [part.square().sum() for part in self.parameters() if id(part) not in tuned]
        return self.settings.l2 * torch.stack(norms).sum()
