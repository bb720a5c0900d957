"""The state of a training between two epochs, and files of tensors: what an interrupted training goes on from."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphsocial._compat.hashing import hash_file
from graphsocial.errors import TrainingError
from graphsocial.models.base import Network


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to."""

    epoch: int
    train_loss: float
    metric: str
    value: float
    learning_rate: float
    seconds: float


class TrainingState:
    """All that changes while training; saved as one safetensors file, written aside and renamed.

    Args:
        network: what is trained.
        groups: its parameters with their learning rates, as optimizers take them.
        steps: of the whole training.
        share: of the learning rates that is used when so much of the training is done, 0 to 1.
        weight_decay, clip: see `loop.TrainingConfig`.
    """

    def __init__(
        self,
        network: Network,
        groups: list[dict[str, Any]],
        *,
        steps: int,
        share: Callable[[float], float],
        weight_decay: float,
        clip: float,
    ) -> None:
        self.network, self.clip = network, clip
        self.parameters = list(network.parameters())
        self.generator = torch.Generator()
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_value, self.best_epoch = -math.inf, 0
        if self.parameters:
            self.optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, foreach=True)
            self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: share(step / max(1, steps)))

    @property
    def since_best(self) -> int:
        return len(self.history) - self.best_epoch

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        self.schedule.step()

    def end_epoch(self, epoch: Epoch, value: float) -> None:
        self.history.append(epoch)
        value = -math.inf if math.isnan(value) else value
        if value > self.best_value or not self.best:
            self.best_value, self.best_epoch = value, epoch.epoch
            self.best = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}

    def restore_best(self) -> None:
        self.network.load_state_dict(self.best)

    def save(self, path: Path) -> None:
        tensors = {f"now/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for place, parameter in enumerate(self.parameters):
            for name, tensor in self.optimizer.state[parameter].items():
                tensors[f"adam/{place}/{name}"] = tensor
        tensors["random/torch"] = torch.get_rng_state()
        tensors["random/batches"] = self.generator.get_state()
        told = {
            "history": json.dumps([epoch.__dict__ for epoch in self.history]),
            "best": json.dumps([self.best_value, self.best_epoch]),
            "schedule": json.dumps(self.schedule.last_epoch),
        }
        write_tensors(path, tensors, told)

    def load(self, path: Path) -> None:
        tensors, told = read_tensors(path)
        try:
            self.network.load_state_dict(below(tensors, "now/"))
        except RuntimeError as error:
            raise TrainingError(f"The checkpoint '{path}' is of another network: {error}") from error
        self.best = below(tensors, "best/")
        for place, parameter in enumerate(self.parameters):
            moments = below(tensors, f"adam/{place}/")
            if moments:
                self.optimizer.state[parameter] = moments
        self.history = [Epoch(**epoch) for epoch in json.loads(told["history"])]
        self.best_value, self.best_epoch = json.loads(told["best"])
        self.schedule.last_epoch = json.loads(told["schedule"])
        for group, rate in zip(self.optimizer.param_groups, self.schedule.base_lrs, strict=True):
            group["lr"] = rate * self.schedule.lr_lambdas[0](self.schedule.last_epoch)
        torch.set_rng_state(tensors["random/torch"])
        self.generator.set_state(tensors["random/batches"])


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, named by the rest."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def write_tensors(path: Path, tensors: dict[str, Tensor], told: dict[str, str]) -> str:
    """Write a safetensors file whole or not at all; returns its hash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.part")
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, aside, metadata=told)
    aside.replace(path)
    return hash_file(path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read such a file: tensors and the text beside them."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
