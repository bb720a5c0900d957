"""Attention over several time scales in each modality, averaged over modalities: late fusion.

After Lyu, Schiopu and Munteanu 2020, "Multi-modal neural networks with multi-scale RGB-T fusion", which is what TMSAM's
authors point to for multi-scale attention; theirs reads images, this reads sequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models._dialogue import TRAINING, DialogueNetwork, Seen
from graphsocial.models.base import Model, Network
from graphsocial.nn.temporal import AttentivePooling, MaskedConv1d, Padding


@dataclass(frozen=True)
class Msa(Model):
    """Convolutions of several windows over each modality, weighted by attention; modalities are averaged.

    Attributes:
        modalities: the modalities to use; all by default.
        windows: kernel sizes of the convolutions, in segments.
        hidden: number of filters of each convolution.
        dropout: dropout rate of inputs and hidden states.
        causal: use only the past of the dialogue.
        order: the edge type between segments that gives their order.
    """

    modalities: tuple[str, ...] = ()
    windows: tuple[int, ...] = (1, 3, 5)
    hidden: int = 200
    dropout: float = 0.3
    causal: bool = False
    order: str = "next"

    sequences: ClassVar[bool] = True
    tunes: ClassVar[bool] = True
    training: ClassVar[Mapping[str, Any]] = TRAINING

    def __post_init__(self) -> None:
        if not self.windows:
            raise InputError("windows is empty; give at least one scale, such as 1.")

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples; unused.
            seed: unused; the initial weights follow torch's global seed.
        """
        return MsaNetwork(self, graph)


class MsaNetwork(DialogueNetwork):
    """Each modality: convolutions → attention over scales. Then the mean of the modalities that are present."""

    def __init__(self, settings: Msa, graph: SocialGraph) -> None:
        super().__init__(graph, settings.order, settings.modalities, dropout=settings.dropout, causal=settings.causal)
        self.windows = settings.windows
        padding: Padding = "causal" if settings.causal else "same"
        self.scales = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    [MaskedConv1d(size, settings.hidden, window, padding=padding) for window in settings.windows]
                )
                for name, size in self.widths.items()
            }
        )
        self.pooling = nn.ModuleDict({name: AttentivePooling(settings.hidden) for name in self.widths})
        self.add_heads(graph, settings.hidden)

    def embed(self, graph: SocialGraph, batch: Batch, seen: Seen | None = None) -> Tensor:
        """The mean over modalities of their pooled convolutions: (B, hidden).

        Args:
            graph: the graph.
            batch: the batch with its B examples.
            seen: filled with the weights of the time scales as gates; not recorded by default.
        """
        given = self.read(graph, batch)
        total, count = torch.zeros(()), torch.zeros(())
        weights: dict[str, Tensor] = {}
        for name in self.widths:
            scaled = [torch.relu(scale(given.inputs[name], given.mask)[0]) for scale in self.scales[name]]  # type: ignore[attr-defined]  # a ModuleList
            x = torch.stack([given.pick(part) for part in scaled], dim=1)  # (B, S, hidden)
            pooled, scales = self.pooling[name](x, torch.ones(x.shape[:2], dtype=torch.bool))
            present = given.pick(given.present[name][:, :, None].float())  # (B, 1)
            total, count = total + pooled * present, count + present
            for window, weight in zip(self.windows, scales.unbind(1), strict=True):
                weights[f"{name}, window {window}"] = weight * present[:, 0]
        if seen is not None:
            seen.gates |= {name: weight / count[:, 0].clamp_min(1) for name, weight in weights.items()}
        return total / count.clamp_min(1)
