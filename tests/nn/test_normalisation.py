"""Batch normalisation with ReLU and residual against torch's own three layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import relu

from graphsocial.nn.kernels.columns import BLOCK
from graphsocial.nn.normalisation import BatchNormRelu


def both(rows, dtype=torch.float64, width=5):
    torch.manual_seed(0)
    ours, theirs = BatchNormRelu(width).to(dtype), nn.BatchNorm1d(width).to(dtype)
    with torch.no_grad():
        ours.weight.normal_()
        ours.bias.normal_()
    theirs.load_state_dict(ours.state_dict())
    x = (3 * torch.randn(rows, width, dtype=dtype) + 7).requires_grad_()
    return ours, theirs, x, torch.randn(rows, width, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("with_residual", [True, False], ids=["residual", "plain"])
@pytest.mark.parametrize("rows", [2, 30, 2 * BLOCK + 7])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
def test_is_torch_in_three_layers(training, with_residual, rows, dtype, tolerance):
    ours, theirs, x, residual = both(rows, dtype)
    for _ in range(2):  # running statistics move in training
        got, want = ours(x, residual if with_residual else None), relu(theirs(x))
        want = want + residual if with_residual else want
        ours.train(training)
        theirs.train(training)
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)
    upstream = torch.randn_like(got)
    leaves = [x, residual] if with_residual else [x]
    got_grads = torch.autograd.grad(got, [*leaves, ours.weight, ours.bias], upstream)
    want_grads = torch.autograd.grad(want, [*leaves, theirs.weight, theirs.bias], upstream)
    for a, b in zip(got_grads, want_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * max(1, float(b.abs().max())))
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=tolerance, atol=tolerance)


def test_gradcheck():
    ours, _, x, residual = both(9)
    assert torch.autograd.gradcheck(lambda a, b: ours(a, b), [x, residual], eps=1e-6, atol=1e-6)


def test_one_row_has_no_variance():
    ours, _, x, residual = both(1)
    torch.testing.assert_close(ours(x, residual), relu(x) + residual)
    ours.eval()
    assert ours(x[:0]).shape == (0, 5)
    assert ours(x).isfinite().all()


def test_same_bits_whatever_the_threads():
    ours, _, x, _ = both(5 * BLOCK, torch.float32, width=64)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            y = ours(x)
            found.append((y, *torch.autograd.grad(y.square().sum(), x)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
