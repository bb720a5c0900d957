"""Dropout by bytes: the share, the scale, the gradient, and nothing in evaluation."""

from __future__ import annotations

import pytest
import torch

from graphsocial.errors import InputError
from graphsocial.nn.dropout import ByteDropout


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_share_scale_and_gradient(p):
    torch.manual_seed(0)
    x = torch.ones(1000, 501, requires_grad=True)
    y = ByteDropout(p)(x)
    share = round(256 * p) / 256
    assert abs(float((y == 0).float().mean()) - share) < 0.003
    assert abs(float((y == 0).float().mean(0).std()) - (share * (1 - share) / 1000) ** 0.5) < 0.003  # columns alike
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - share)))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, y.detach())


def test_evaluation_and_zero_change_nothing():
    x = torch.randn(3, 5)
    assert ByteDropout(0.5).eval()(x) is x
    assert ByteDropout(0.0)(x) is x
    with pytest.raises(InputError, match=r"1\.0"):
        ByteDropout(1.0)


def test_same_seed_same_mask():
    found = []
    for _ in range(2):
        torch.manual_seed(4)
        found.append(ByteDropout(0.3)(torch.ones(77)))
    assert torch.equal(*found)
