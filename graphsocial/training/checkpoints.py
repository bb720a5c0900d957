"""Checkpoints: the state of a training after an epoch, from which an interrupted training continues."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphsocial.errors import TrainingError
from graphsocial.models.base import Network
from graphsocial.runs.weights import below, pack, unpack
from graphsocial.store import GraphStore
from graphsocial.store.beside import runs_folder
from graphsocial.store.opening import PRIVATE


@dataclass(frozen=True)
class Epoch:
    """The result of an epoch: mean training loss, validation metric and its value, learning rate, seconds."""

    epoch: int
    train_loss: float
    metric: str
    value: float
    learning_rate: float
    seconds: float


class TrainingState:
    """The state of a training: network, optimizer, schedule, random generators, history and best weights.

    It is saved as one safetensors file.

    Args:
        network: the network in training.
        groups: parameter groups with their learning rates, as for torch's optimizers.
        steps: number of steps of the whole training.
        share: share of the steps done, 0 to 1 → factor of the learning rates.
        weight_decay: see `settings.Optimiser`.
        clip: maximum norm of the gradient.
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
        for number, parameter in enumerate(self.parameters):
            for name, tensor in self.optimizer.state[parameter].items():
                tensors[f"adam/{number}/{name}"] = tensor
        tensors["random/torch"] = torch.get_rng_state()
        tensors["random/batches"] = self.generator.get_state()
        texts = {
            "history": json.dumps([epoch.__dict__ for epoch in self.history]),
            "best": json.dumps([self.best_value, self.best_epoch]),
            "schedule": json.dumps(self.schedule.last_epoch),
        }
        write_tensors(path, tensors, texts)

    def load(self, path: Path) -> None:
        tensors, texts = read_tensors(path)
        try:
            self.network.load_state_dict(below(tensors, "now/"))
        except RuntimeError as error:
            raise TrainingError(f"The checkpoint '{path}' belongs to another network: {error}") from error
        self.best = below(tensors, "best/")
        for number, parameter in enumerate(self.parameters):
            moments = below(tensors, f"adam/{number}/")
            if moments:
                self.optimizer.state[parameter] = moments
        self.history = [Epoch(**epoch) for epoch in json.loads(texts["history"])]
        self.best_value, self.best_epoch = json.loads(texts["best"])
        self.schedule.last_epoch = json.loads(texts["schedule"])
        for group, rate in zip(self.optimizer.param_groups, self.schedule.base_lrs, strict=True):
            group["lr"] = rate * self.schedule.lr_lambdas[0](self.schedule.last_epoch)
        torch.set_rng_state(tensors["random/torch"])
        self.generator.set_state(tensors["random/batches"])


def path(store: GraphStore, run_id: str) -> Path:
    """The file of an unfinished training: `social.duckdb` → `social.runs/<run_id>/checkpoint.safetensors`."""
    return runs_folder(store.path) / run_id / "checkpoint.safetensors"


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint if it exists, and its folders if they are then empty."""
    for file in checkpoint.parent.glob(f"{checkpoint.stem}.*"):  # those half written too
        file.unlink(missing_ok=True)
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def write_tensors(path: Path, tensors: dict[str, Tensor], texts: dict[str, str]) -> None:
    """Write a safetensors file atomically: to a temporary file, which is then renamed.

    Args:
        path: the file; its folder is created.
        tensors: name → tensor.
        texts: name → text, stored as the file's metadata.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(f".{os.getpid()}.part")
    temporary.touch(PRIVATE)
    temporary.write_bytes(pack(tensors, texts))
    temporary.replace(path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and texts of a file that `write_tensors` wrote.

    Raises:
        TrainingError: the file is broken.
    """
    try:
        return unpack(path.read_bytes())
    except ValueError as error:
        raise TrainingError(
            f"The checkpoint '{path}' is broken ({error}); delete it to train from the beginning."
        ) from error
