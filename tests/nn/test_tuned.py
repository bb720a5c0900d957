"""A tuned encoder reads each text as if it were alone, and is trained at rates of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from graphsocial.errors import InputError
from graphsocial.featurizers._upper_layers import UpperLayers
from graphsocial.graph.features import Feature
from graphsocial.models.base import Network
from graphsocial.nn.tuned import TunedEncoder, tuned_encoders
from graphsocial.training.loop import parameter_groups
from graphsocial.training.settings import TrainingConfig

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
        self.project = nn.Linear(6, 18)

    def forward(self, x: torch.Tensor, unseen: torch.Tensor) -> torch.Tensor:
        told = nn.functional.scaled_dot_product_attention(*self.project(x)[:, None].chunk(3, -1), unseen)
        return x + told[:, 0]


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
    with pytest.raises(InputError, match="one vector per row"):
        encoder(replace(feature, offsets=None))


@pytest.mark.parametrize("causal", [False, True])
def test_neighbours_are_seen_as_far_as_they_may(feature, causal):
    torch.manual_seed(0)
    encoder = TunedEncoder(feature.tuned, context=1, causal=causal).eval()
    encoder.upper.layers = encoder.upper.layers[:1]  # a second one would hear neighbours of neighbours
    rows = torch.tensor([[0, 1, 2, -1], [3, 2, -1, 4], [5, -1, -1, -1], [-1, -1, -1, -1]])
    found = encoder.side_by_side(feature, rows)
    assert found.shape == (4, 4, 6) and not found[rows < 0].any()
    for sequence in range(6):
        changed = feature.vectors.clone()
        changed[feature.offsets[sequence]] += torch.arange(6)  # its first word
        other = encoder.side_by_side(replace(feature, vectors=changed), rows)
        differs = ~torch.isclose(other, found, atol=1e-5).all(2)
        heard = torch.zeros_like(differs)
        for row, place in torch.nonzero(rows == sequence).tolist():
            heard[row, max(0, place - (not causal)) : place + 2] = True
        assert torch.equal(differs, heard & (rows >= 0))
    alone = TunedEncoder(feature.tuned).eval()
    alone.upper = encoder.upper
    torch.testing.assert_close(found[2, 0], alone(feature)[5])
    torch.testing.assert_close(alone.side_by_side(feature, rows)[:3, 0], alone(feature)[[0, 3, 5]])


def test_layers_learn_slower_the_lower_they_are(feature):
    network = Network()
    network.encoder, network.head = TunedEncoder(feature.tuned), nn.Linear(6, 2)
    settings = TrainingConfig(learning_rate=0.01, encoder_rate=1e-4, layer_decay=0.5)
    own, top, below = parameter_groups(network, settings)
    assert (own["lr"], top["lr"], below["lr"]) == (0.01, 1e-4, 5e-5)
    (encoder,) = tuned_encoders(network)
    assert {id(part) for part in own["params"]} == {id(part) for part in network.head.parameters()}
    assert any(part is encoder.upper.read_out.scale for part in top["params"])
    assert {id(p) for p in below["params"]} == {id(p) for p in encoder.upper.layers[0].parameters()}
    assert sum(len(group["params"]) for group in (own, top, below)) == len([*network.parameters()])


def test_rates_rise_first_and_fall_along_a_cosine():
    settings = TrainingConfig(warm_up=0.2)
    assert [settings.share(done) for done in (0.0, 0.1, 0.2, 1.0)] == pytest.approx([0, 0.5, 1, 0])
    assert settings.share(0.6) == pytest.approx(0.5)
    assert TrainingConfig().share(0.0) == 1
    for wrong in ({"warm_up": 1.0}, {"layer_decay": 0.0}, {"encoder_rate": 0.0}):
        with pytest.raises(InputError, match="warm_up a share"):
            TrainingConfig(**wrong)
