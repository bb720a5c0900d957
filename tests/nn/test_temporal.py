"""The convolution against plain loops, the recurrent unit against its equations, pooling against a softmax."""

from __future__ import annotations

import pytest
import torch

from graphsocial.errors import InputError
from graphsocial.nn.temporal import AttentivePooling, MaskedConv1d, RecurrentContext


def ragged(lengths: list[int], longest: int | None = None, features: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.arange(longest or max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randn(*mask.shape, features), mask


@pytest.mark.parametrize("padding", ["same", "causal", "valid"])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_convolution_is_equation_2(padding, kernel):
    torch.manual_seed(0)
    layer = MaskedConv1d(3, 4, kernel, padding=padding)
    x, mask = ragged([5, 2, 1, 0], longest=6)
    y, there = layer(x, mask)
    left = {"same": (kernel - 1) // 2, "causal": kernel - 1, "valid": 0}[padding]
    for row, length in enumerate([5, 2, 1, 0]):
        kept = length if padding != "valid" or not length else max(1, length - kernel + 1)
        assert there[row].tolist() == [t < kept for t in range(there.shape[1])]
        for t in range(kept):
            want = layer.conv.bias.clone()
            for s in range(kernel):
                if 0 <= t + s - left < length:
                    want = want + layer.conv.weight[:, :, s] @ x[row, t + s - left]
            torch.testing.assert_close(y[row, t], want)
        assert not y[row, kept:].any()


def test_causal_convolution_does_not_depend_on_later_inputs():
    layer = MaskedConv1d(3, 4, 3, padding="causal")
    x, mask = ragged([6])
    before = layer(x, mask)[0]
    x[0, 4:] += 1
    after = layer(x, mask)[0]
    assert torch.equal(before[:, :4], after[:, :4]) and not torch.equal(before[:, 4:], after[:, 4:])


def test_recurrent_unit_is_equations_3_and_4():
    """With z and 1 - z the other way round, and b_h inside the reset gate's product, as torch has it."""
    torch.manual_seed(0)
    layer = RecurrentContext(3, 2, causal=True)
    x, mask = ragged([4, 1])
    got = layer(x, mask)
    gru = layer.gru
    for row, length in enumerate([4, 1]):
        h = torch.zeros(4)
        for t in range(length):
            given = gru.weight_ih_l0 @ x[row, t] + gru.bias_ih_l0
            kept = gru.weight_hh_l0 @ h + gru.bias_hh_l0
            r, z = (torch.sigmoid(given[part] + kept[part]) for part in (slice(0, 4), slice(4, 8)))
            proposed = torch.tanh(given[8:] + r * kept[8:])
            h = (1 - z) * proposed + z * h
            torch.testing.assert_close(got[row, t], h)
        assert not got[row, length:].any()


@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_nothing_and_the_past_is_all_that_is_seen(causal):
    torch.manual_seed(0)
    layer = RecurrentContext(3, 4, causal=causal)
    x, mask = ragged([5, 3, 0])
    y = layer(x, mask)
    alone = layer(x[1:2, :3], mask[1:2, :3])
    torch.testing.assert_close(y[1:2, :3], alone)
    wider = torch.cat([x, torch.full((3, 2, 3), 9.0)], 1)
    torch.testing.assert_close(layer(wider, torch.cat([mask, torch.zeros(3, 2, dtype=torch.bool)], 1))[:, :5], y)
    later = x.clone()
    later[0, 3:] += 1
    assert torch.equal(layer(later, mask)[0, :3], y[0, :3]) == causal
    assert y.shape[2] == layer.out_features == 8
    assert not layer(x, torch.zeros_like(mask)).any()


def test_pooling_is_a_softmax_over_unmasked_positions():
    torch.manual_seed(0)
    layer = AttentivePooling(3)
    x, mask = ragged([4, 2, 0])
    pooled, weights = layer(x, mask)
    for row, length in enumerate([4, 2]):
        score = torch.stack([layer.query(torch.tanh(layer.hidden(x[row, t])))[0] for t in range(length)])
        alpha = torch.softmax(score, 0)
        torch.testing.assert_close(weights[row, :length], alpha)
        torch.testing.assert_close(pooled[row], alpha @ x[row, :length])
    assert not pooled[2].any() and not weights[~mask].any()


def test_wrong_shapes_and_settings_are_errors():
    with pytest.raises(InputError, match="kernel = 0"):
        MaskedConv1d(3, 4, 0)
    with pytest.raises(InputError, match="padding = 'sane'"):
        MaskedConv1d(3, 4, padding="sane")
    layer = RecurrentContext(3, 4)
    with pytest.raises(InputError, match=r"x has the shape \(2, 4, 5\); it takes \(B, T, 3\)"):
        layer(torch.zeros(2, 4, 5), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(InputError, match=r"mask is torch.float32 \(2, 4\)"):
        layer(torch.zeros(2, 4, 3), torch.ones(2, 4))
    with pytest.raises(InputError, match="A mask has gaps"):
        layer(torch.zeros(1, 3, 3), torch.tensor([[True, False, True]]))
