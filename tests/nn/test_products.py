"""Linear maps of many rows are torch's, forward and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphsocial.nn.products import PARTS, SMALL, Linear, across_rows, linear

ROWS = [1, PARTS * SMALL - 1, PARTS * SMALL, PARTS * SMALL + 37]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("bias", "onto"), [(False, False), (True, False), (False, True), (True, True)])
def test_linear_is_that_of_torch(rows: int, bias: bool, onto: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(rows, 5).double().requires_grad_(), torch.randn(3, 5).double().requires_grad_()
    b = torch.randn(3).double().requires_grad_() if bias else None
    o = torch.randn(rows, 3).double().requires_grad_() if onto else None
    upstream = torch.randn(rows, 3).double()
    leaves = [part for part in (x, weight, b, o) if part is not None]

    def both(y: Tensor) -> list[Tensor]:
        return [y, *torch.autograd.grad(y, leaves, upstream)]

    plain = nn.functional.linear(x, weight, b)
    want = both(plain if o is None else plain + o)
    got = both(linear(x, weight, b, None if o is None else 1 * o))
    for a, b_ in zip(got, want, strict=True):
        torch.testing.assert_close(a, b_, rtol=1e-10, atol=1e-10)


def test_the_result_is_added_in_place() -> None:
    x, weight, onto = torch.ones(4, 2), torch.ones(3, 2), torch.ones(4, 3)
    assert linear(x, weight, onto=onto).data_ptr() == onto.data_ptr()
    assert onto.eq(3).all()


@pytest.mark.parametrize("rows", ROWS)
def test_products_across_rows_take_transposed_matrices(rows: int) -> None:
    left, right = torch.randn(4, rows).double().t(), torch.randn(rows, 6).double()
    torch.testing.assert_close(across_rows(left, right), left.t() @ right, rtol=1e-10, atol=1e-10)


def test_the_layer_has_the_parameters_of_torchs() -> None:
    torch.manual_seed(0)
    ours = Linear(5, 3)
    theirs = nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(7, 5)
    torch.testing.assert_close(ours(x), theirs(x))
