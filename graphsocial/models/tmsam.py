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
from torch.nn.functional import dropout

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph
from graphsocial.models.base import Network
from graphsocial.nn.cross_modal import CrossModalFusion, drop_modalities
from graphsocial.nn.dialogues import Dialogues, Sequences
from graphsocial.nn.temporal import MaskedConv1d, Padding, RecurrentContext
from graphsocial.sampling import Batch


@dataclass(frozen=True)
class Tmsam:
    """The paper's network over a dialogue's segments: Conv1d and BiGRU per modality, attention, a head per target.

    Table III's parameters are the defaults, but for the first level's 6 heads, which do not divide 400: ours are 8.

    Attributes:
        modalities: which of them, such as `text audio`; all that the segments have by default.
        kernel: places of the convolution over the dialogue (eq. 2), padded so that each segment keeps its place.
        hidden: of each direction of the GRU (eqs. 3-5).
        width, heads: of the cross-modal attention (eqs. 6-7).
        first_heads, second_heads: of the two levels of self-attention (eq. 8).
        residual: each self-attention adds its input, and the heads see the GRUs' outputs too (beyond the paper).
        dropout: on inputs and hidden states.
        modality_dropout: share of each modality's segments that go missing in training; never all of a segment.
        causal: a segment sees itself and the past of its dialogue only.
        order: the relation between segments that says which one comes next.
        l2: of eq. 10: this times the sum of the squared parameters is added to the loss.
    """

    modalities: tuple[str, ...] = ()
    kernel: int = 3
    hidden: int = 200
    width: int = 200
    heads: int = 4
    first_heads: int = 8
    second_heads: int = 8
    residual: bool = True
    dropout: float = 0.3
    modality_dropout: float = 0.1
    causal: bool = False
    order: str = "next"
    l2: float = 1e-5

    layers: ClassVar[int] = 0
    training: ClassVar[Mapping[str, Any]] = {
        "epochs": 20,
        "batch_size": 320,  # segments, in whole dialogues: about 32 dialogues
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        "patience": 5,
    }

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network for this graph's modalities and targets."""
        return TmsamNetwork(self, graph)


class TmsamNetwork(Network):
    """Inputs by modality → convolution → recurrent unit → fusion → a head for each target."""

    def __init__(self, settings: Tmsam, graph: SocialGraph) -> None:
        super().__init__()
        self.settings = settings
        self.dialogues = Dialogues(graph, settings.order, settings.modalities)
        padding: Padding = "causal" if settings.causal else "same"
        self.convolutions, self.contexts = nn.ModuleDict(), nn.ModuleDict()
        for name, size in self.dialogues.features.items():
            self.convolutions[name] = MaskedConv1d(size, settings.hidden, settings.kernel, padding=padding)
            self.contexts[name] = RecurrentContext(settings.hidden, settings.hidden, causal=settings.causal)
        widths = dict.fromkeys(self.dialogues.features, 2 * settings.hidden)
        self.fusion = CrossModalFusion(
            widths,
            width=settings.width,
            heads=settings.heads,
            first_heads=settings.first_heads,
            second_heads=settings.second_heads,
            dropout=settings.dropout,
            residual=settings.residual,
        )
        self.out_features = self.fusion.out_features + (sum(widths.values()) if settings.residual else 0)
        self.heads = nn.ModuleDict(
            {target.name: nn.Linear(self.out_features, len(target.classes) or 1) for target in graph.targets}
        )

    def together(self, graph: SocialGraph) -> Tensor:
        """The dialogue of each segment."""
        return self.dialogues.of(graph)

    def embed(self, graph: SocialGraph, batch: Batch) -> Tensor:
        """The fused vectors Z_I of the batch's segments (eq. 8): (B, out_features)."""
        if batch.view.before is not None and not self.settings.causal:
            raise InputError("A split by time asks about the past alone; add --set causal=true.")
        given = self.dialogues.read(graph, batch.examples)
        present, mask = given.present, given.mask
        if self.training and self.settings.modality_dropout:
            present = drop_modalities(present, self.settings.modality_dropout)
        x = {name: self._context(name, given, present[name]) for name in self.dialogues.features}
        fused = self.fusion(x, present, mask, causal=self.settings.causal)
        if self.settings.residual:
            fused = torch.cat([fused, *x.values()], dim=2)
        return self._drop(given.pick(fused))

    def _context(self, name: str, given: Sequences, present: Tensor) -> Tensor:
        """Eqs. 2 and 5: (C, T, 2 * hidden)."""
        x = self._drop(given.inputs[name] * present[:, :, None])
        convolved, mask = self.convolutions[name](x, given.mask)
        context: Tensor = self.contexts[name](self._drop(torch.relu(convolved)), mask)
        return self._drop(context)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits of each target (eq. 9)."""
        fused = self.embed(graph, batch)
        said = {target: self.heads[target.name](fused) for target in graph.targets}
        return {target.name: out if target.classes else out.squeeze(1) for target, out in said.items()}

    def penalty(self) -> Tensor:
        """The second term of eq. 10."""
        if not self.settings.l2:
            return torch.zeros(())
        return self.settings.l2 * torch.stack([part.square().sum() for part in self.parameters()]).sum()

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.settings.dropout, self.training)
