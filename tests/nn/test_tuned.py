"""A tuned encoder reads each text as if it were alone, and is trained at rates of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from graphsocial.errors import InputError
from graphsocial.feature_tensors import Feature
from graphsocial.featurizers._upper_layers import UpperLayers
from graphsocial.fitting import Fitting, parameter_groups
from graphsocial.models.base import Network
from graphsocial.nn.tuned import TunedEncoder, tuned_encoders

LENGTHS = [4, 1, 6, 2, 6, 3, 2, 5, 1, 4]


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.scale * (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: torch.Tensor, unseen: torch.Tensor) -> torch.Tensor:
        told: torch.Tensor = self.attention(x, x, x, key_padding_mask=unseen[:, 0, 0] < 0, need_weights=False)[0]
        return x + told


class Encoder:
    tune = 2

    def module(self) -> UpperLayers:
        return UpperLayers(nn.ModuleList([Block(), Block()]), Mean(), 6, 6)


@pytest.fixture
def feature():
    torch.manual_seed(0)
    offsets = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0).tolist()])
    return Feature("post.text", torch.randn(int(offsets[-1]), 6), torch.arange(10), offsets, Encoder())


def test_each_text_is_read_as_if_alone(feature):
    encoder = TunedEncoder(feature.tuned).eval()
    together = encoder(feature)
    assert together.shape == (10, 6)
    for place in range(10):
        alone = feature.take(torch.tensor([place]))
        assert alone.tuned is feature.tuned
        torch.testing.assert_close(encoder(alone)[0], together[place])
    assert encoder(feature.take(torch.zeros(0, dtype=torch.int64))).shape == (0, 6)
    with pytest.raises(InputError, match="one vector a row"):
        encoder(replace(feature, offsets=None))


def test_context_is_seen_but_only_the_last_is_read_out(feature):
    torch.manual_seed(0)
    encoder = TunedEncoder(feature.tuned, context=2).eval()
    rows = torch.tensor([[-1, -1, 0], [-1, 0, 1], [0, 1, 2], [-1, -1, 2]])
    found = encoder(feature, rows)
    alone = encoder(feature, torch.tensor([[-1, -1, 2]]))
    torch.testing.assert_close(found[3:], alone)
    assert not torch.allclose(found[2:3], alone, atol=1e-3)
    changed = feature.vectors.clone()
    changed[: LENGTHS[0]] += 1  # the first sequence
    other = encoder(replace(feature, vectors=changed), rows)
    assert not torch.allclose(other[2], found[2], atol=1e-4)
    torch.testing.assert_close(other[3], found[3])
    with torch.no_grad():
        encoder.back.copy_(torch.ones(2, 6) * torch.tensor([[3.0], [1.0]]) * torch.arange(6))
    marked = encoder(feature, rows)
    torch.testing.assert_close(marked[[0, 3]], found[[0, 3]])
    assert not torch.allclose(marked[1], found[1], atol=1e-3)
    assert torch.allclose(encoder(feature)[2], encoder(feature, torch.tensor([[-1, -1, 2]]))[0], atol=1e-6)


def test_layers_learn_slower_the_lower_they_are(feature):
    network = Network()
    network.encoder, network.head = TunedEncoder(feature.tuned), nn.Linear(6, 2)
    settings = Fitting(learning_rate=0.01, encoder_rate=1e-4, layer_decay=0.5)
    own, top, below = parameter_groups(network, settings)
    assert (own["lr"], top["lr"], below["lr"]) == (0.01, 1e-4, 5e-5)
    (encoder,) = tuned_encoders(network)
    assert {id(part) for part in own["params"]} == {id(part) for part in network.head.parameters()}
    assert any(part is encoder.upper.read_out.scale for part in top["params"])
    assert {id(p) for p in below["params"]} == {id(p) for p in encoder.upper.layers[0].parameters()}
    assert sum(len(group["params"]) for group in (own, top, below)) == len([*network.parameters()])


def test_rates_rise_first_and_fall_along_a_cosine():
    settings = Fitting(warm_up=0.2)
    assert [settings.share(done) for done in (0.0, 0.1, 0.2, 1.0)] == pytest.approx([0, 0.5, 1, 0])
    assert settings.share(0.6) == pytest.approx(0.5)
    assert Fitting().share(0.0) == 1
    for wrong in ({"warm_up": 1.0}, {"layer_decay": 0.0}, {"encoder_rate": 0.0}):
        with pytest.raises(InputError, match="warm_up a share"):
            Fitting(**wrong)
