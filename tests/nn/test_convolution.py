"""Fused convolutions against plain algebra, and with vectors that are missing."""

import pytest
import torch
from torch import Tensor

from graphsocial.graph.features import Feature
from graphsocial.nn.convolution import FusedConvolutions


def feature(name: str, size: int, index: list[int], seed: int) -> Feature:
    generator = torch.Generator().manual_seed(seed)
    return Feature(name, torch.randn(max(index) + 1, size, generator=generator), torch.tensor(index))


def places(vector: Tensor, filters: torch.nn.Conv1d, tokens: int) -> Tensor:
    """(tokens, C) by hand: filters of width 5 over the standardised numbers, ReLU, maximum of each stretch."""
    x = (vector - vector.mean()) / (vector.var(correction=0) + 1e-5).sqrt()
    padded = torch.cat([torch.zeros(2), x, torch.zeros(2)])
    windows = padded.unfold(0, 5, 1)  # (D, 5)
    found = torch.relu(windows @ filters.weight[:, 0].t() + filters.bias)  # (D, C)
    size = len(vector)
    starts = [(place * size) // tokens for place in range(tokens)]
    ends = [-(-(place + 1) * size // tokens) for place in range(tokens)]
    return torch.stack([found[a:b].amax(0) for a, b in zip(starts, ends, strict=True)])


def test_each_branch_is_a_convolution_and_a_maximum() -> None:
    torch.manual_seed(0)
    text, image = feature("text", 10, [0, 1, 0], 1), feature("image", 7, [1, 0, 2], 2)
    net = FusedConvolutions([10, 7], 6, channels=3, tokens=4, attention=False)
    expected = []
    for row in range(3):
        both = [
            places(one.vectors[one.index[row]], filters, 4)  # type: ignore[arg-type]
            for one, filters in zip((text, image), net.filters, strict=True)
        ]
        expected.append(net.out(torch.cat(both).flatten()))
    assert torch.allclose(net([text, image]), torch.stack(expected), atol=1e-5)


def test_one_branch_reads_all_vectors_in_a_row() -> None:
    torch.manual_seed(0)
    text, image = feature("text", 10, [0, 1, 0], 1), feature("image", 7, [1, 0, 2], 2)
    net = FusedConvolutions([10, 7], 6, joint=True, channels=3, tokens=4, attention=False)
    assert len(net.filters) == 1 and net.out.in_features == 4 * 3
    said = net([text, image])
    moved = Feature("image", image.vectors.flip(0), image.index)
    assert said.shape == (3, 6) and not torch.allclose(said, net([text, moved]))


@pytest.mark.parametrize("attention", [True, False])
def test_a_missing_vector_changes_nobody_else(attention: bool) -> None:
    torch.manual_seed(0)
    net = FusedConvolutions([10, 7], 6, channels=4, tokens=2, attention=attention)
    text, image = feature("text", 10, [0, 1, -1], 1), feature("image", 7, [0, -1, -1], 2)
    said = net([text, image])
    assert torch.isfinite(said).all()
    other = Feature("image", image.vectors * -3, image.index)
    changed = net([text, other])
    assert not torch.allclose(said[0], changed[0]) and torch.equal(said[1:], changed[1:])
    alone = net([text.take(torch.tensor([1])), image.take(torch.tensor([1]))])
    assert torch.allclose(alone[0], said[1], atol=1e-6)
    assert torch.allclose(said[2], net.out.bias, atol=1e-6)  # nothing is known of it
    said.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_shares_are_those_that_the_attention_weighs_by() -> None:
    torch.manual_seed(0)
    net = FusedConvolutions([10, 7], 6, channels=4, tokens=2)
    text, image = feature("text", 10, [0, 1, -1], 1), feature("image", 7, [0, -1, -1], 2)
    assert net.attention is not None
    with torch.no_grad():
        shares = net.shares([text, image])  # of the learned place, the text, the image
        x, there = net._pooled([text, image])
        weights = net.attention.weights(x, there)
        shown = torch.cat([net.attention.anyone.expand(3, -1, -1), x], dim=1)
        told = net.attention.attention.out_proj(
            weights
            @ (shown @ net.attention.attention.in_proj_weight[8:].t() + net.attention.attention.in_proj_bias[8:])
        )
        assert torch.allclose(net.attention(x, there)[0], net.attention.norm(x + told)[0], atol=1e-5)
    assert torch.allclose(shares[0], torch.stack([weights[0, :, part].sum(1).mean() for part in ([0], [1, 2], [3, 4])]))
    assert torch.allclose(shares.sum(1), torch.tensor([1.0, 1.0, 0.0])), "of the last row nothing is known"
    assert shares[1, 2] == 0 < shares[1, 1]
    assert FusedConvolutions([10, 7], 6, attention=False).shares([text, image]).shape == (3, 0)
