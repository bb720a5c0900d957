"""Adaptive combination as printed and bounded, and the classifier's three hidden layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import leaky_relu

from graphsocial.errors import InputError
from graphsocial.nn.fusion import AdaptiveCombination, Classifier, Interaction

COMBINE = {"concat": lambda a, b: torch.cat([a, b], 1), "sum": lambda a, b: a + b, "dot": lambda a, b: a * b}


@pytest.mark.parametrize("mechanism", COMBINE)
@pytest.mark.parametrize("mode", ["paper", "gated", "none"])
def test_combination_is_equations_5_and_6(mode, mechanism):
    torch.manual_seed(0)
    layer = AdaptiveCombination(4, mode=mode, mechanism=mechanism)
    x_u, x_i = 3 * torch.randn(50, 4), 3 * torch.randn(50, 4)
    got, beta = layer(x_u, x_i)
    if mode == "none":
        assert beta is None
        want = COMBINE[mechanism](x_u, x_i)
    else:
        score = (x_u * layer.user_weight).sum(1) + (x_i * layer.image_weight).sum(1)
        expected = leaky_relu(score, 0.2).exp() if mode == "paper" else torch.sigmoid(score + layer.bias)
        torch.testing.assert_close(beta, expected)
        want = COMBINE[mechanism](beta[:, None] * x_u, (1 - beta[:, None]) * x_i)
    torch.testing.assert_close(got, want)
    assert got.shape == (50, layer.out_features)
    if mode == "paper":
        assert beta.max() > 1  # as printed: not bounded
    if mode == "gated":
        assert beta.min() > 0 and beta.max() < 1


@pytest.mark.parametrize("mechanism", COMBINE)
def test_paper_mode_stays_finite_forward_and_back(mechanism):
    layer = AdaptiveCombination(2, mode="paper", mechanism=mechanism)
    nn.init.ones_(layer.user_weight)
    x_u = torch.tensor([[1e6, 1e6], [-1e6, -1e6], [10.0, 11.0]], requires_grad=True)
    got, beta = layer(x_u, torch.zeros(3, 2) + 1e6 * torch.tensor([[1.0], [-1.0], [0.0]]))
    got.sum().backward()
    assert got.isfinite().all() and x_u.grad.isfinite().all()
    torch.testing.assert_close(beta[2], torch.tensor(21.0).exp())  # what does not overflow is not cut


def test_gate_learns_which_side_matters():
    torch.manual_seed(0)
    layer = AdaptiveCombination(3, mode="gated")
    combined, beta = layer(torch.randn(8, 3), torch.randn(8, 3))
    combined[:, :3].sum().backward()
    assert layer.bias.grad is not None and layer.user_weight.grad.any() and layer.image_weight.grad.any()
    assert beta.shape == (8,)


def test_combination_refuses_wrong_shapes_and_settings():
    with pytest.raises(InputError, match="mode = 'papr'"):
        AdaptiveCombination(4, mode="papr")
    with pytest.raises(InputError, match="mechanism = 'mean'"):
        AdaptiveCombination(4, mechanism="mean")
    layer = AdaptiveCombination(4)
    with pytest.raises(InputError, match=r"x_u has the shape \(2, 3\)"):
        layer(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(InputError, match=r"x_i has the shape \(3, 4\)"):
        layer(torch.zeros(2, 4), torch.zeros(3, 4))


def test_classifier_is_three_hidden_layers_with_relu_and_dropout_but_after_the_last():
    layer = Classifier(6, 5, 3, dropout=0.25)
    kinds = [type(part) for part in layer]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout] * 2 + [nn.Linear, nn.Linear]
    widths = [(part.in_features, part.out_features) for part in layer if isinstance(part, nn.Linear)]
    assert widths == [(6, 5), (5, 5), (5, 5), (5, 3)]
    assert all(part.p == 0.25 for part in layer if isinstance(part, nn.Dropout))
    assert layer(torch.randn(7, 6)).shape == (7, 3)


def test_interaction_is_a_product_of_low_rank():
    torch.manual_seed(0)
    layer = Interaction(4, 3, 5)
    x_u, x_i = torch.randn(7, 4), torch.randn(7, 4)
    want = torch.stack(
        [
            layer.out.weight @ torch.diag(layer.user.weight @ u) @ layer.image.weight @ i
            for u, i in zip(x_u, x_i, strict=True)
        ]
    )
    torch.testing.assert_close(layer(x_u, x_i), want)
    torch.testing.assert_close(layer(2 * x_u, x_i), 2 * want)
