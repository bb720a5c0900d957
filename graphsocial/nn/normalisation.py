"""Batch normalisation, ReLU and the residual connection as one layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import relu


class BatchNormRelu(nn.BatchNorm1d):
    r"""`relu(BatchNorm1d(x)) + residual` in two passes over the rows, keeping only x for the backward pass.

    .. math:: y = \max(0, \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta) + r

    Parameters and buffers are those of `torch.nn.BatchNorm1d`. In training a single row has no variance: it is passed
    through without normalisation. On a GPU, the stock operators run.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(N, H) and perhaps a residual (N, H) to (N, H)."""
        alone = self.training and len(x) < 2
        y: Tensor
        if not alone and not x.is_cuda:
            y = _BatchNormRelu.apply(x, self.weight, self.bias, residual, self)  # type: ignore[no-untyped-call]
            return y
        y = relu(x if alone else super().forward(x))
        return y if residual is None else y + residual


class _BatchNormRelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, norm: BatchNormRelu
    ) -> Tensor:
        from graphsocial.nn.kernels import columns

        x = x.contiguous()
        if norm.training:
            mean, variance = columns.moments(x)
            norm.num_batches_tracked += 1
            share = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
            norm.running_mean.lerp_(mean.to(x.dtype), share)
            norm.running_var.lerp_((variance * len(x) / (len(x) - 1)).to(x.dtype), share)
        else:
            mean, variance = norm.running_mean.double(), norm.running_var.double()
        deviation = (variance + norm.eps).rsqrt()
        scale = weight.double() * deviation
        shift = (bias.double() - mean * scale).to(x.dtype)
        ctx.training, ctx.has_residual = norm.training, residual is not None
        ctx.save_for_backward(x, mean, deviation, scale, shift)
        return columns.scale_relu(x, scale.to(x.dtype), shift, None if residual is None else residual.contiguous())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """With g the gradient that the ReLU lets through: d_x = γ/σ (g - mean g - x̂ mean(g x̂))."""
        from graphsocial.nn.kernels import columns

        x, mean, deviation, scale, shift = ctx.saved_tensors
        upstream, narrow = grad.contiguous(), scale.to(x.dtype)
        total, with_x = columns.moments_back(x, narrow, shift, upstream)
        d_weight, d_bias = (with_x - mean * total) * deviation, total
        by_x, constant = torch.zeros_like(mean), torch.zeros_like(mean)
        if ctx.training:
            by_x = -scale * deviation * d_weight / len(x)
            constant = -scale * d_bias / len(x) - by_x * mean
        d_x = columns.scale_relu_back(x, narrow, shift, upstream, by_x.to(x.dtype), constant.to(x.dtype))
        return d_x, d_weight.to(x.dtype), d_bias.to(x.dtype), grad if ctx.has_residual else None, None
