"""The emotion of a face by mini-Xception (https://arxiv.org/abs/1710.07557), trained on FER-2013, in plain torch."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE = 64
"""Pixels along each side of a face, grey, scaled to -1..1."""
_CHANNELS = (8, 16, 32, 64, 128)


class MiniXception(nn.Module):
    """(B, 1, 64, 64) → (B, 7) probabilities of `EMOTIONS`; 57,000 parameters, named as in the Keras original."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleDict(
            {
                "conv2d_1": nn.Conv2d(1, 8, 3, bias=False),
                "conv2d_2": nn.Conv2d(8, 8, 3, bias=False),
                "conv2d_7": nn.Conv2d(128, len(EMOTIONS), 3, padding=1),
            }
        )
        self.depthwise, self.pointwise, self.norms = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        widths = [8, 8]
        for block, (before, after) in enumerate(pairwise(_CHANNELS)):
            self.convolutions[f"conv2d_{block + 3}"] = nn.Conv2d(before, after, 1, 2, bias=False)
            for number, width in ((2 * block + 1, before), (2 * block + 2, after)):
                name = f"separable_conv2d_{number}"
                self.depthwise[name] = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
                self.pointwise[name] = nn.Conv2d(width, after, 1, bias=False)
            widths += [after] * 3
        for number, width in enumerate(widths, 1):
            self.norms[f"batch_normalization_{number}"] = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, faces: Tensor) -> Tensor:
        x = F.relu(self._normed(1, self.convolutions["conv2d_1"](faces)))
        x = F.relu(self._normed(2, self.convolutions["conv2d_2"](x)))
        for block in range(len(_CHANNELS) - 1):
            shortcut = self._normed(3 * block + 3, self.convolutions[f"conv2d_{block + 3}"](x))
            x = F.relu(self._normed(3 * block + 4, self._separable(2 * block + 1, x)))
            x = self._normed(3 * block + 5, self._separable(2 * block + 2, x))
            x = shortcut + _halved(x)
        probabilities: Tensor = self.convolutions["conv2d_7"](x).mean((2, 3)).softmax(1)
        return probabilities

    def _normed(self, number: int, x: Tensor) -> Tensor:
        normed: Tensor = self.norms[f"batch_normalization_{number}"](x)
        return normed

    def _separable(self, number: int, x: Tensor) -> Tensor:
        name = f"separable_conv2d_{number}"
        mixed: Tensor = self.pointwise[name](self.depthwise[name](x))
        return mixed


def _halved(x: Tensor) -> Tensor:
    """Max pooling of 3 x 3 with stride 2, padded as Keras pads: where a pixel is left over, it is at the end."""
    odd = x.shape[-1] % 2
    return F.max_pool2d(F.pad(x, (odd, 1, odd, 1), value=float("-inf")), 3, 2)


def load(path: Path) -> MiniXception:
    """The network from the HDF5 file that Keras saved; read as numbers, Keras's own loader would run code."""
    import h5py

    with torch.random.fork_rng(devices=[]):
        network = MiniXception()
    with h5py.File(path, "r") as file:
        saved: dict[str, Tensor] = {
            f"{layer} {name.partition(':')[0]}": torch.from_numpy(np.array(value))
            for layer, group in file["model_weights"].items()
            for weights in group.values()
            for name, value in weights.items()
        }
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    state = network.state_dict()  # the counters of batches stay as they are
    for key in state:
        part, layer, entry = key.split(".")
        if part == "norms" and entry in names:
            state[key] = saved[f"{layer} {names[entry]}"]
        elif part == "depthwise":
            state[key] = saved[f"{layer} depthwise_kernel"].permute(2, 3, 0, 1)
        elif part == "pointwise":
            state[key] = saved[f"{layer} pointwise_kernel"].permute(3, 2, 0, 1)
        elif part == "convolutions":
            state[key] = saved[f"{layer} bias"] if entry == "bias" else saved[f"{layer} kernel"].permute(3, 2, 0, 1)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
