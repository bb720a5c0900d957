"""Convolutions over the dimensions of vectors, with pooling, fusion and self-attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphsocial.graph.features import Feature


class FusedConvolutions(nn.Module):
    """EIJL's content network: CNN → pooling → concatenation → self-attention over the fused positions.

    A vector of D numbers is a sequence of length D: `channels` filters of width 5, ReLU, and max pooling to `tokens`
    positions. With `joint` there is one CNN over the concatenation of all vectors; else one for each, whose positions
    are concatenated. The positions of a missing vector are zero and masked.

    Args:
        sizes: D of each feature.
        out_features: H.
        joint: one CNN for all features.
        channels: number of filters.
        tokens: number of positions after pooling.
        attention: self-attention (Vaswani et al. 2017) over the positions, with a residual connection.
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
        """Features with N rows each to (N, H)."""
        x, present = self._pooled(features)
        if self.attention is not None:
            x = self.attention(x, present)
        fused: Tensor = self.out((x * present[..., None]).flatten(1))
        return fused

    def shares(self, features: Sequence[Feature]) -> Tensor:
        """(N, 1 + branches) attention weights on the learned position and on each branch, averaged over the positions
        that are present; (N, 0) without attention."""
        x, present = self._pooled(features)
        if self.attention is None:
            return x.new_zeros(len(x), 0)
        weights = self.attention.weights(x, present)  # (N, T, 1 + T)
        branch = weights[..., 1:].reshape(*weights.shape[:2], -1, self.tokens).sum(3)
        shares = torch.cat([weights[..., :1], branch], dim=2) * present[..., None]
        return shares.sum(1) / present.sum(1, keepdim=True).clamp_min(1)

    def _pooled(self, features: Sequence[Feature]) -> tuple[Tensor, Tensor]:
        """(N, T, C) the pooled positions of all branches, and (N, T) bool, which are present."""
        present = torch.stack([feature.present for feature in features], dim=1)  # (N, F)
        vectors = [_rows(feature) for feature in features]
        if self.joint:
            vectors, present = [torch.cat(vectors, dim=1)], present.any(1, keepdim=True)
        pooled = [
            self.pool(torch.relu(convolve(rows[:, None]))).transpose(1, 2)
            for convolve, rows in zip(self.filters, vectors, strict=True)
        ]
        x = torch.cat(pooled, dim=1)  # (N, T, C)
        return x, present.repeat_interleave(self.tokens, dim=1)


class MaskedAttention(nn.Module):
    """Self-attention over the present positions and one learned position, with a residual connection and LayerNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.anyone = nn.Parameter(torch.randn(1, 1, channels) * 0.1)
        self.attention = nn.MultiheadAttention(channels, 1, batch_first=True)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """(N, T, C) and (N, T) bool → (N, T, C)."""
        keys, masked = self._keys(x, present)
        attended, _ = self.attention(x, keys, keys, key_padding_mask=masked, need_weights=False)
        normed: Tensor = self.norm(x + attended)
        return normed

    def weights(self, x: Tensor, present: Tensor) -> Tensor:
        """(N, T, 1 + T) attention weights from each position to the learned one and to each position."""
        keys, masked = self._keys(x, present)
        weights: Tensor = self.attention(x, keys, keys, key_padding_mask=masked, need_weights=True)[1]
        return weights

    def _keys(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1 + T, C) the learned position and the others, and bool (N, 1 + T), True where one is missing."""
        keys = torch.cat([self.anyone.expand(len(x), -1, -1), x], dim=1)
        return keys, torch.cat([present.new_zeros(len(x), 1), ~present], dim=1)


def _rows(feature: Feature) -> Tensor:
    """(N, D) each row's vector, zero where it has none."""
    if not len(feature.vectors):
        return feature.vectors.new_zeros(len(feature.index), feature.vectors.shape[1])
    return feature.standard[feature.index.clamp_min(0)] * feature.present[:, None]
