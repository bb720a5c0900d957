"""Dropout that draws one random byte per number instead of one random float."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from graphsocial.errors import InputError


class ByteDropout(nn.Module):
    """Dropout for large hidden states, where drawing a mask of random floats costs more than everything else.

    The rate is rounded to 1/256, and the kept numbers are scaled by exactly the inverse of the kept share.

    Args:
        p: share of the numbers set to 0 in training; from 0 to below 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise InputError(f"A share of {p} cannot be dropped; allowed is 0 up to below 1.")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        dropped = round(256 * self.p)
        if not self.training or not dropped:
            return x
        if x.is_cuda:
            return dropout(x, self.p, True)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * kept * (256 / (256 - dropped))

    def extra_repr(self) -> str:
        """The settings in the module's `repr`."""
        return f"p={self.p}"
