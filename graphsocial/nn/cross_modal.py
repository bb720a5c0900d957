"""Fusion of modalities: attention between each two of them, then self-attention over the results in two levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention

from graphsocial.errors import InputError
from graphsocial.nn.temporal import check_sequence


class CrossAttention(nn.Module):
    r"""Scaled dot-product attention from one sequence to another (eqs. 6-7 of TMSAM, after Vaswani et al. 2017).

    .. math:: Y = \operatorname{softmax}\left(\frac{X_q W_Q (X_k W_K)^T}{\sqrt{d_k}}\right) X_k W_V

    Each head has width / heads columns; their outputs are concatenated and go through a linear map, which the paper
    describes only in words. A position whose keys are all masked gets zeros.

    Args:
        query_features: D of the queries.
        key_features: D of the keys and values.
        width: size of the output.
        heads: number of heads; a divisor of the width.
        dropout: dropout rate of the attention weights.
    """

    def __init__(self, query_features: int, key_features: int, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            fitting = [count for count in range(1, 17) if width % count == 0]
            raise InputError(f"{heads} heads do not divide the width {width}; use one of {fitting}.")
        self.heads, self.width, self.dropout = heads, width, dropout
        self.query = nn.Linear(query_features, width)
        self.key = nn.Linear(key_features, width)
        self.value = nn.Linear(key_features, width)
        self.out = nn.Linear(width, width)

    def forward(self, x_q: Tensor, x_k: Tensor, visible: Tensor) -> Tensor:
        """Attend from one sequence to another; return (B, T, width).

        Args:
            x_q: (B, T, D_q) the queries.
            x_k: (B, S, D_k) the keys and values.
            visible: (B, T, S) bool, the keys that each query attends to.
        """
        has_keys = visible.any(2, keepdim=True)
        y = scaled_dot_product_attention(
            self._heads(self.query(x_q)),
            self._heads(self.key(x_k)),
            self._heads(self.value(x_k)),
            attn_mask=(visible | ~has_keys)[:, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        attended: Tensor = self.out(y.transpose(1, 2).flatten(2)) * has_keys
        return attended

    def weights(self, x_q: Tensor, x_k: Tensor, visible: Tensor) -> Tensor:
        """The attention weights of `forward`, for explanations: (B, heads, T, S).

        Args:
            x_q: (B, T, D_q) the queries.
            x_k: (B, S, D_k) the keys.
            visible: (B, T, S) bool, the keys that each query attends to.
        """
        score = self._heads(self.query(x_q)) @ self._heads(self.key(x_k)).transpose(2, 3)
        score = score / math.sqrt(self.width // self.heads)
        return torch.softmax(score.masked_fill(~visible[:, None], torch.finfo(score.dtype).min), 3) * visible[:, None]

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, width) as (B, heads, T, width / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


@dataclass
class Noted:
    """The attention of a fusion's forward pass, recorded for explanations.

    Attributes:
        weights: name → (B, T, T) attention weights, averaged over heads: between modalities as `text → audio`, of the
            self-attention levels as `text, first level` and `second level`.
        norms: `text → audio` → (B, T), the norm of the audio's contribution to text. Attention weights add up to 1 in
            each pair; norms show which pair contributes (Kobayashi et al. 2020, "Attention is Not Only a Weight").
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    norms: dict[str, Tensor] = field(default_factory=dict)


class CrossModalFusion(nn.Module):
    r"""TMSAM's fusion of M modalities over the positions of a sequence (eqs. 6-8, Table III).

    1. Cross-modal attention for each ordered pair: queries from modality λ, keys and values from η, `width` (200),
       `heads` (4).
    2. For each λ, the M - 1 results are concatenated (400) and go through self-attention, first level.
    3. Concatenated for all λ (1200 for three modalities), self-attention again, second level.

    The paper's 6 heads of the first level do not divide 400; 8 do. A single modality attends to itself. Where a
    modality is missing, no position attends to it; its own query there is a learned vector. Beyond the paper, each
    self-attention may have a residual connection (`residual`), with layer normalisation.

    Args:
        features: modality → D, in order.
        width: size of the cross-modal attention.
        heads: number of heads of the cross-modal attention.
        first_heads: number of heads of the first level.
        second_heads: number of heads of the second level.
        dropout: dropout rate of the output of each step.
        residual: see above.
    """

    def __init__(
        self,
        features: Mapping[str, int],
        *,
        width: int = 200,
        heads: int = 4,
        first_heads: int = 8,
        second_heads: int = 8,
        dropout: float = 0.0,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if not features:
            raise InputError("There is no modality to fuse.")
        self.modalities = tuple(features)
        self.residual, self.dropout = residual, dropout
        self.pairs = list(permutations(self.modalities, 2)) or [(self.modalities[0],) * 2]
        self.missing = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(size) * 0.1) for name, size in features.items()}
        )
        self.cross = nn.ModuleDict(
            {f"{a}-{b}": CrossAttention(features[a], features[b], width, heads) for a, b in self.pairs}
        )
        first_width = width * max(1, len(self.modalities) - 1)
        self.out_features = first_width * len(self.modalities)
        self.first = nn.ModuleDict(
            {name: CrossAttention(first_width, first_width, first_width, first_heads) for name in self.modalities}
        )
        self.second = CrossAttention(self.out_features, self.out_features, self.out_features, second_heads)
        self.norms = nn.ModuleDict({name: nn.LayerNorm(first_width) for name in self.modalities} if residual else {})
        self.norm = nn.LayerNorm(self.out_features) if residual else nn.Identity()

    def forward(
        self,
        x: Mapping[str, Tensor],
        present: Mapping[str, Tensor],
        mask: Tensor,
        *,
        causal: bool = False,
        noted: Noted | None = None,
    ) -> Tensor:
        """Fuse modality → (B, T, D) into (B, T, out_features), zero outside the mask.

        Args:
            x: the sequences, all of one length.
            present: modality → (B, T) bool, whether it is present.
            mask: (B, T) bool, the positions of each sequence.
            causal: a position attends to itself and the past only.
            noted: filled with the attention weights.
        """
        seen = mask[:, None, :].expand(-1, mask.shape[1], -1)
        if causal:
            seen = seen & torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool, device=mask.device).tril()
        known = self._known(x, present, mask)
        attended: dict[str, list[Tensor]] = {name: [] for name in self.modalities}
        for a, b in self.pairs:
            visible = seen & present[b][:, None, :]
            output = self._attend(f"{a} → {b}", self.cross[f"{a}-{b}"], known[a], known[b], visible, noted)
            attended[a].append(output)
            if noted is not None:
                noted.norms[f"{a} → {b}"] = output.norm(dim=2)
        first = []
        for name, parts in attended.items():
            z = torch.cat(parts, dim=2)
            y = self._attend(f"{name}, first level", self.first[name], z, z, seen, noted)
            first.append(self.norms[name](z + y) if self.residual else y)
        z = torch.cat(first, dim=2)  # Z_Z of eq. 8
        y = self._attend("second level", self.second, z, z, seen, noted)
        fused: Tensor = self.norm(z + y if self.residual else y) * mask[:, :, None]  # Z_I of eq. 8
        return fused

    def _attend(self, name: str, layer: nn.Module, x: Tensor, y: Tensor, seen: Tensor, noted: Noted | None) -> Tensor:
        """Attend from x to y, with dropout, and record the weights."""
        if noted is not None:
            noted.weights[name] = layer.weights(x, y, seen).mean(1)  # type: ignore[operator]  # a CrossAttention
        return self._drop(layer(x, y, seen))

    def _known(self, x: Mapping[str, Tensor], present: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
        for name in self.modalities:
            if name not in x or name not in present:
                raise InputError(f"The modality '{name}' is not given; these are: {', '.join(x) or 'none'}.")
            check_sequence(x[name], present[name], len(self.missing[name]))
            check_sequence(x[name], mask, len(self.missing[name]))
        return {name: torch.where(present[name][:, :, None], x[name], self.missing[name]) for name in self.modalities}

    def _drop(self, y: Tensor) -> Tensor:
        return dropout(y, self.dropout, self.training)


def drop_modalities(
    present: Mapping[str, Tensor], share: float, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Drop modalities at random, for robustness to missing ones; no position loses all of its modalities.

    Args:
        present: modality → (B, T) bool.
        share: share of each modality's positions to drop, 0 to below 1.
        generator: random number generator; torch's global one by default.

    Returns:
        Modality → (B, T) bool.
    """
    if not 0 <= share < 1:
        raise InputError(f"A share of {share} cannot go missing; allowed is 0 up to below 1.")
    kept = {name: mask & (torch.rand(mask.shape, generator=generator) >= share) for name, mask in present.items()}
    none_kept = ~torch.stack(list(kept.values())).any(0)
    return {name: mask | (none_kept & present[name]) for name, mask in kept.items()}
