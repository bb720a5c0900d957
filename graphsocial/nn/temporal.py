"""Layers over padded sequences: a masked convolution, a gated recurrent unit and attentive pooling."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from graphsocial.errors import InputError

Padding = Literal["same", "causal", "valid"]


class MaskedConv1d(nn.Module):
    r"""A convolution over time, for sequences of several lengths (eq. 2 of TMSAM, He & Lu).

    .. math:: \hat x_t = b + \sum_{s=0}^{k-1} W_s x_{t+s-p}

    Masked positions count as zeros. `same` and `causal` keep the length: p is (k - 1) // 2, or k - 1, so that no output
    depends on later inputs. `valid` has p = 0 and drops the last k - 1 positions, as the paper does; a sequence shorter
    than k keeps one position.

    Args:
        in_features: D.
        out_features: H, the number of kernels.
        kernel: k, kernel size.
        padding: see above.
    """

    def __init__(self, in_features: int, out_features: int, kernel: int = 3, *, padding: Padding = "same") -> None:
        super().__init__()
        if kernel < 1:
            raise InputError(f"kernel = {kernel} is no kernel size; use 1 or more.")
        if padding not in get_args(Padding):
            raise InputError(f"padding = '{padding}' is not known; use one of {', '.join(get_args(Padding))}.")
        self.kernel = kernel
        self.padding: Padding = padding
        self.conv = nn.Conv1d(in_features, out_features, kernel)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve x (B, T, D) where mask (B, T) is True; return (B, T', H), zero outside its mask, and (B, T')."""
        check_sequence(x, mask, self.conv.in_channels)
        x = (x * mask[:, :, None]).transpose(1, 2)  # (B, D, T)
        spare = self.kernel - 1
        left = {"same": spare // 2, "causal": spare, "valid": 0}[self.padding]
        if self.padding == "valid":
            x = pad(x, (0, max(0, self.kernel - x.shape[2])))
            lengths = torch.where(mask.any(1), (mask.sum(1) - spare).clamp_min(1), 0)
            mask = torch.arange(x.shape[2] - spare, device=x.device) < lengths[:, None]
        else:
            x = pad(x, (left, spare - left))
        y = self.conv(x).transpose(1, 2)  # (B, T', H)
        return y * mask[:, :, None], mask


class RecurrentContext(nn.Module):
    r"""A gated recurrent unit over each sequence, in both directions or from the past alone (eqs. 3-5 of TMSAM).

    .. math::
        r_t = \sigma(U_r x_t + W_r h_{t-1} + b_r), \quad z_t = \sigma(U_z x_t + W_z h_{t-1} + b_z), \quad
        h_t = z_t \odot \tilde h_t + (1 - z_t) \odot h_{t-1}

    The first plus of the paper's eq. 4, "z_t + ĥ_t", is a misprint of this product. `torch.nn.GRU` computes it, with
    z and 1 - z the other way round and b_h inside the reset gate's product. Sequences are packed, so padding
    costs nothing and changes nothing. Padding must be at the end of a row.

    Args:
        in_features: D.
        hidden: hidden size of each direction.
        causal: only the past; the single direction then has twice the hidden size, for an output of the same size.
    """

    def __init__(self, in_features: int, hidden: int, *, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.in_features, self.out_features = in_features, 2 * hidden
        self.gru = nn.GRU(in_features, 2 * hidden if causal else hidden, batch_first=True, bidirectional=not causal)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Read x (B, T, D) where mask (B, T) is True; return (B, T, 2 * hidden), zero elsewhere."""
        check_sequence(x, mask, self.in_features)
        lengths = mask.sum(1)
        if not torch.equal(mask, torch.arange(mask.shape[1], device=mask.device) < lengths[:, None]):
            raise InputError("A mask has gaps; padding must be at the end of its row.")
        if not mask.any():
            return x.new_zeros(*mask.shape, self.out_features)
        packed = pack_padded_sequence(x, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])
        return y * mask[:, :, None]  # (B, T, 2 * hidden)


class AttentivePooling(nn.Module):
    r"""A sequence as the weighted mean of its positions, with learned weights.

    .. math:: v = \sum_t \alpha_t x_t, \qquad \alpha_t \propto \exp(w \cdot \tanh(W x_t + b))

    Yang et al. 2016, "Hierarchical Attention Networks for Document Classification", eqs. 5-7.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, features)
        self.query = nn.Linear(features, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool x (B, T, D) where mask (B, T) is True: (B, D) and α (B, T), both zero for an empty sequence."""
        check_sequence(x, mask, self.hidden.in_features)
        score = self.query(torch.tanh(self.hidden(x)))[:, :, 0].masked_fill(~mask, torch.finfo(x.dtype).min)
        weights = torch.softmax(score, dim=1) * mask
        return torch.einsum("bt,btd->bd", weights, x), weights


def check_sequence(x: Tensor, mask: Tensor, features: int) -> None:
    """Raise `InputError` where the shapes of a padded sequence and its mask do not match a layer.

    Args:
        x: the sequences; (B, T, features) is expected.
        mask: their mask; bool (B, T) is expected.
        features: D of the layer's inputs.
    """
    if x.dim() != 3 or x.shape[2] != features:
        raise InputError(f"x has the shape {tuple(x.shape)}; it takes (B, T, {features}).")
    if mask.shape != x.shape[:2] or mask.dtype != torch.bool:
        raise InputError(f"mask is {mask.dtype} {tuple(mask.shape)}; it takes bool {tuple(x.shape[:2])}.")
