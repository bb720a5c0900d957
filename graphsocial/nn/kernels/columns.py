"""Batch normalisation, ReLU and residual, compiled for the CPU: two passes over the rows, forward and backward.

The statistics are summed in float64 over fixed blocks of rows, so they do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphsocial._compat.numba_threads import compiled, run

BLOCK = 2048  # rows


@compiled
def _moments(lo, hi, x, sums):  # type: ignore[no-untyped-def]
    """Σ x and Σ x² of each column, per block of rows: (blocks, 2, H)."""
    for block in range(lo, hi):
        first, second = sums[block, 0], sums[block, 1]
        for i in range(block * BLOCK, min(len(x), (block + 1) * BLOCK)):
            row = x[i]
            for h in range(len(row)):
                value = np.float64(row[h])
                first[h] += value
                second[h] += value * value


@compiled
def _scale_relu(lo, hi, x, scale, shift, residual, out):  # type: ignore[no-untyped-def]
    """out = max(0, scale · x + shift) + residual"""
    zero = x.dtype.type(0)
    for i in range(lo * BLOCK, min(len(x), hi * BLOCK)):
        row, result = x[i], out[i]
        if len(residual):
            rest = residual[i]
            for h in range(len(row)):
                result[h] = max(row[h] * scale[h] + shift[h], zero) + rest[h]
        else:
            for h in range(len(row)):
                result[h] = max(row[h] * scale[h] + shift[h], zero)


@compiled
def _moments_back(lo, hi, x, scale, shift, grad, sums):  # type: ignore[no-untyped-def]
    """Σ g and Σ g x where the ReLU lets g through."""
    for block in range(lo, hi):
        first, second = sums[block, 0], sums[block, 1]
        for i in range(block * BLOCK, min(len(x), (block + 1) * BLOCK)):
            row, upstream = x[i], grad[i]
            for h in range(len(row)):
                g = np.float64(upstream[h]) if row[h] * scale[h] + shift[h] > 0 else 0.0
                first[h] += g
                second[h] += g * np.float64(row[h])


@compiled
def _scale_relu_back(lo, hi, x, scale, shift, grad, by_x, constant, d_x):  # type: ignore[no-untyped-def]
    """d_x = scale · g + by_x · x + constant, with g where the ReLU lets it through."""
    zero = x.dtype.type(0)
    for i in range(lo * BLOCK, min(len(x), hi * BLOCK)):
        row, upstream, result = x[i], grad[i], d_x[i]
        for h in range(len(row)):
            g = upstream[h] if row[h] * scale[h] + shift[h] > 0 else zero
            result[h] = g * scale[h] + row[h] * by_x[h] + constant[h]


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of the columns of (N, H), N > 0; float64 (H,)."""
    sums = _sums(_moments, x)
    mean = sums[0] / len(x)
    return mean, (sums[1] / len(x) - mean * mean).clamp_min(0)


def scale_relu(x: Tensor, scale: Tensor, shift: Tensor, residual: Tensor | None) -> Tensor:
    """max(0, scale · x + shift) + residual; (N, H).

    Args:
        x: (N, H).
        scale: (H,).
        shift: (H,).
        residual: (N, H) or None.
    """
    out = torch.empty_like(x)
    run(_scale_relu, _parts(x), x.numel(), x, scale, shift, x[:0] if residual is None else residual, out)
    return out


def moments_back(x: Tensor, scale: Tensor, shift: Tensor, grad: Tensor) -> Tensor:
    """Σ g and Σ g x over rows, where scale · x + shift > 0; float64 (2, H).

    Args:
        x: (N, H).
        scale: (H,).
        shift: (H,).
        grad: g, (N, H).
    """
    return _sums(_moments_back, x, scale, shift, grad)


def scale_relu_back(x: Tensor, scale: Tensor, shift: Tensor, grad: Tensor, by_x: Tensor, constant: Tensor) -> Tensor:
    """scale · g + by_x · x + constant, with g = grad where scale · x + shift > 0, else 0; (N, H).

    Args:
        x: (N, H).
        scale: (H,).
        shift: (H,).
        grad: (N, H).
        by_x: (H,).
        constant: (H,).
    """
    d_x = torch.empty_like(x)
    run(_scale_relu_back, _parts(x), 2 * x.numel(), x, scale, shift, grad, by_x, constant, d_x)
    return d_x


def _parts(x: Tensor) -> list[tuple[int, int]]:
    return [(block, block + 1) for block in range(-(-len(x) // BLOCK))] or [(0, 0)]


def _sums(kernel: Any, x: Tensor, *arguments: Tensor) -> Tensor:
    parts = _parts(x)
    sums = torch.zeros(len(parts), 2, x.shape[1], dtype=torch.float64)
    run(kernel, parts, 2 * x.numel(), x, *arguments, sums)
    return sums.sum(0)
