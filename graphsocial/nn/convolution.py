"""Convolutions over the numbers of vectors, pooled, fused and made to attend to each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphsocial.graph.features import Feature


class FusedConvolutions(nn.Module):
    """EIJL's content network: CNN → pooling → concatenation → attention over the fused places.

    A vector of D numbers is read as a sequence: `channels` filters of width 5, ReLU, and the maximum of each of
    `tokens` equal stretches. With `joint` there is one CNN over all vectors in a row; else one for each, whose places
    are put beside each other. A vector that is missing is masked: its places are zero and nobody attends to them.

    Args:
        sizes: D of each feature.
        out_features: H.
        joint: one CNN for all.
        channels, tokens: see above.
        attention: multi-head self-attention (Vaswani et al. 2017) over the places, added to them.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        out_features: int,
        *,
        joint: bool = False,
        channels: int = 16,
        tokens: int = 8,
        attention: bool = True,
    ) -> None:
        super().__init__()
        self.sizes, self.joint, self.tokens = tuple(sizes), joint, tokens
        branches = 1 if joint else len(self.sizes)
        self.filters = nn.ModuleList([nn.Conv1d(1, channels, 5, padding=2) for _ in range(branches)])
        self.pool = nn.AdaptiveMaxPool1d(tokens)
        self.attention = MaskedAttention(channels) if attention else None
        self.out = nn.Linear(branches * tokens * channels, out_features)

    def forward(self, features: Sequence[Feature]) -> Tensor:
        """(N, H) of N rows' vectors."""
        x, there = self._places(features)
        if self.attention is not None:
            x = self.attention(x, there)
        fused: Tensor = self.out((x * there[..., None]).flatten(1))
        return fused

    def shares(self, features: Sequence[Feature]) -> Tensor:
        """(N, 1 + branches) how much the places of each row attend to the learned place and to each branch's, in the
        mean over the places that are there; (N, 0) without attention."""
        x, there = self._places(features)
        if self.attention is None:
            return x.new_zeros(len(x), 0)
        weights = self.attention.weights(x, there)  # (N, T, 1 + T)
        branch = weights[..., 1:].reshape(*weights.shape[:2], -1, self.tokens).sum(3)
        told = torch.cat([weights[..., :1], branch], dim=2) * there[..., None]
        return told.sum(1) / there.sum(1, keepdim=True).clamp_min(1)

    def _places(self, features: Sequence[Feature]) -> tuple[Tensor, Tensor]:
        """(N, T, C) the pooled places of all branches, and (N, T) bool, which are there."""
        present = torch.stack([feature.present for feature in features], dim=1)  # (N, F)
        given = [_rows(feature) for feature in features]
        if self.joint:
            given, present = [torch.cat(given, dim=1)], present.any(1, keepdim=True)
        places = [
            self.pool(torch.relu(convolve(vectors[:, None]))).transpose(1, 2)
            for convolve, vectors in zip(self.filters, given, strict=True)
        ]
        x = torch.cat(places, dim=1)  # (N, places, C)
        return x, present.repeat_interleave(self.tokens, dim=1)


class MaskedAttention(nn.Module):
    """Self-attention over the places that are there and one learned place that always is; added to what was there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.anyone = nn.Parameter(torch.randn(1, 1, channels) * 0.1)
        self.attention = nn.MultiheadAttention(channels, 1, batch_first=True)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """(N, T, C) and (N, T) bool → (N, T, C)."""
        shown, masked = self._shown(x, there)
        heard, _ = self.attention(x, shown, shown, key_padding_mask=masked, need_weights=False)
        normed: Tensor = self.norm(x + heard)
        return normed

    def weights(self, x: Tensor, there: Tensor) -> Tensor:
        """(N, T, 1 + T) how much each place attends to the learned one and to each other."""
        shown, masked = self._shown(x, there)
        found: Tensor = self.attention(x, shown, shown, key_padding_mask=masked, need_weights=True)[1]
        return found

    def _shown(self, x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        shown = torch.cat([self.anyone.expand(len(x), -1, -1), x], dim=1)
        return shown, torch.cat([there.new_zeros(len(x), 1), ~there], dim=1)


def _rows(feature: Feature) -> Tensor:
    """(N, D) each row's vector, zero where it has none."""
    if not len(feature.vectors):
        return feature.vectors.new_zeros(len(feature.index), feature.vectors.shape[1])
    return feature.standard[feature.index.clamp_min(0)] * feature.present[:, None]
