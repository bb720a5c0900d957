"""The state of a training: what is saved goes on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from graphsocial.errors import TrainingError
from graphsocial.models.base import Network
from graphsocial.training.checkpoints import Epoch, TrainingState


class Line(Network):
    """A layer with normalisation, which has statistics beside its weights."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 1), nn.BatchNorm1d(1))


def state(width: int = 3) -> TrainingState:
    torch.manual_seed(0)
    network = Line(width)
    groups = [{"params": list(network.parameters()), "lr": 0.1}]
    return TrainingState(network, groups, steps=9, share=lambda done: 1 - done, weight_decay=0.0, clip=5.0)


def step(state: TrainingState, seed: int) -> None:
    network = state.network
    assert isinstance(network, Line)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))
    state.step((network.layers(x).squeeze(1) - x[:, 0]).square().mean())


def test_a_saved_state_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    first = state()
    for seed in range(3):
        step(first, seed)
    first.end_epoch(Epoch(1, 0.0, "accuracy", 1.0, first.optimizer.param_groups[0]["lr"], 0.0), 1.0)
    first.save(tmp_path / "state.safetensors")
    second = state()
    second.load(tmp_path / "state.safetensors")
    for seed in range(3, 6):
        step(first, seed)
        step(second, seed)
    for mine, theirs in zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert second.history == first.history and second.best_epoch == 1


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    first = state()
    step(first, 0)
    first.end_epoch(Epoch(1, 0.0, "accuracy", 1.0, 0.1, 0.0), 1.0)
    first.save(tmp_path / "state.safetensors")
    with pytest.raises(TrainingError, match="another network"):
        state(4).load(tmp_path / "state.safetensors")
