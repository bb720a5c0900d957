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
        modalities: which of them, such as `text audio`; all that the segments have by default.
        window: places of the convolution over the dialogue (eq. 2), padded so that each segment keeps its place.
        hidden: of each direction of the GRU (eqs. 3-5).
        width, heads: of the cross-modal attention (eqs. 6-7).
        first_heads, second_heads: of the two levels of self-attention (eq. 8).
        residual: each self-attention adds its input, and the heads see what goes into the GRUs and what comes out of
            them beside the fused vector (beyond the paper).
        dropout: on inputs and hidden states.
        modality_dropout: share of each modality's segments that go missing in training; never all of a segment.
        causal: a segment sees itself and the past of its dialogue only.
        words: width of what reads words or frames, where a modality's features are sequences of them.
        trees: the text's words are dependency trees (featurizer `dependencies`), which a graph convolution runs over.
        context: where the text's encoder is trained too (`tune`), its layers see the words of so many segments before
            each and after it, with `causal` before it alone (beyond the paper).
        order: the relation between segments that says which one comes next.
        layers: of message passing over `next`, `speaks`, `replies` and their reverses, whose outcome the heads see too
            (beyond the paper); 0 for none. With `causal`, over the relations that lead from earlier to later alone.
        l2: of eq. 10: this times the sum of the squared parameters, but those of tuned encoders, is added to the loss.
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
        """The untrained network for this graph's modalities and targets."""
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
        """The fused vectors Z_I of the batch's segments (eq. 8), and what `residual` puts beside them: (B, H)."""
        given = self.read(graph, batch)
        present = given.present
        if self.training and self.settings.modality_dropout:
            present = drop_modalities(present, self.settings.modality_dropout)
        found, beside = {}, []
        for name in self.widths:
            x, mask = self.convolutions[name](given.inputs[name] * present[name][:, :, None], given.mask)
            x = self.drop(torch.relu(x))  # eq. 2: (C, T, hidden)
            found[name] = self.drop(self.contexts[name](x, mask))  # eq. 5: (C, T, 2 * hidden)
            beside += [x, found[name]]
        noted = None if seen is None else Noted()
        fused: Tensor = self.fusion(found, present, given.mask, causal=self.settings.causal, noted=noted)
        if seen is not None and noted is not None:
            seen.attention |= noted.weights
            total = torch.stack(list(noted.norms.values())).sum(0).clamp_min(torch.finfo(fused.dtype).tiny)
            seen.gates |= {name: given.pick(norm / total) for name, norm in noted.norms.items() if len(noted.norms) > 1}
        said = [given.pick(part) for part in ([fused, *beside] if self.settings.residual else [fused])]
        if self.graph_context is not None:
            said.append(self.graph_context(graph, batch))
        return torch.cat(said, dim=1)

    def penalty(self) -> Tensor:
        """The second term of eq. 10."""
        if not self.settings.l2:
            return torch.zeros(())
        tuned = {id(part) for encoder in tuned_encoders(self) for part in encoder.parameters()}
        own = [part.square().sum() for part in self.parameters() if id(part) not in tuned]
        return self.settings.l2 * torch.stack(own).sum()
