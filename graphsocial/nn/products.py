"""Linear maps of tall matrices (many rows, few columns), with a faster product for the gradient of the weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

PARTS = 64  # of the rows in a weight's gradient; a fixed number, so that sums do not depend on the threads
SMALL = 64  # rows of a block


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, onto: Tensor | None = None) -> Tensor:
    r"""`torch.nn.functional.linear`, with the weight's gradient from blocks of rows; the result may be added to `onto`.

    .. math:: y = x W^\top + b + o, \qquad dW = \sum_p dy_p^\top x_p

    Args:
        x: (N, D).
        weight: (H, D).
        bias: (H,).
        onto: (N, H) to add the result to, in place; nothing else may need its value.

    Returns:
        (N, H)
    """
    y: Tensor = _Linear.apply(x, weight, bias, onto)  # type: ignore[no-untyped-call]
    return y


class Linear(nn.Linear):
    """`torch.nn.Linear` for (N, D), through `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) to (N, H)."""
        return linear(x, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, onto: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        if onto is None:
            return torch.nn.functional.linear(x, weight, bias)
        ctx.mark_dirty(onto)
        onto.addmm_(x, weight.t())
        return onto if bias is None else onto.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, wants_onto = ctx.needs_input_grad
        return (
            grad @ weight if wants_x else None,
            across_rows(grad, x) if wants_weight else None,
            grad.sum(0) if wants_bias else None,
            grad if wants_onto else None,
        )


def across_rows(left: Tensor, right: Tensor) -> Tensor:
    """leftᵀ right for (N, H) and (N, D): (H, D); where N is large, from products of blocks that stay in the cache."""
    size = len(left) // PARTS
    if left.is_cuda or size < SMALL:
        return left.t() @ right
    cut = size * PARTS
    blocks = left[:cut].view(PARTS, size, -1).transpose(1, 2), right[:cut].view(PARTS, size, -1)
    return torch.bmm(*blocks).sum(0).addmm_(left[cut:].t(), right[cut:])
