"""Faces in a picture by Multi-task Cascaded Convolutional Networks (https://arxiv.org/abs/1604.02878), in plain torch.

The layers are named as in the weights that facenet-pytorch (MIT) ships.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from graphsocial.featurizers._classifiers import read_weights

Boxes = NDArray[np.float32]
"""(n, 4): left, top, right, bottom in pixels, counted from 1 as the networks were trained."""
_CELL, _STRIDE = 12, 2  # what one output of the proposal network sees, and how far apart two of them are
_SHRINK = 0.709  # √½: each scale of the pyramid has half the pixels


@dataclass(frozen=True)
class Detector:
    """A cascade of three networks, each of which filters and refines the boxes of the network before.

    Attributes:
        networks: proposal, refinement, output.
        min_face: side in pixels of the smallest face that is looked for.
    """

    networks: tuple[nn.Module, nn.Module, nn.Module]
    min_face: int

    @torch.inference_mode()
    def detect(self, rgb: NDArray[np.uint8]) -> tuple[Boxes, NDArray[np.float32]]:
        """The faces in an image.

        Args:
            rgb: (H, W, 3).

        Returns:
            (n, 4) boxes, which may reach over the edge, and (n,) scores in 0..1.
        """
        image = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None]  # (1, 3, H, W)
        boxes = self._propose(image)
        boxes, offsets, scores = _judge(self.networks[1], image, boxes, 24)
        kept = suppress(boxes, scores, 0.7)
        boxes = _square(_moved(boxes[kept], offsets[kept], 1))
        boxes, offsets, scores = _judge(self.networks[2], image, boxes, 48)
        boxes = _moved(boxes, offsets, 1)
        kept = suppress(boxes, scores, 0.7, "smaller")
        return boxes[kept], scores[kept]

    def _propose(self, image: Tensor) -> Boxes:
        """Squares that may hold a face, from a pyramid of ever smaller images: (n, 4)."""
        height, width = image.shape[2:]
        proposals: list[tuple[Boxes, NDArray[np.float32], NDArray[np.float32]]] = []
        scale = _CELL / self.min_face
        while min(height, width) * scale >= _CELL:
            size = (int(height * scale + 1), int(width * scale + 1))
            offsets, scores = (out[0].numpy() for out in self.networks[0](_scaled(image, size)))
            rows, columns = np.nonzero(scores >= 0.6)
            corners = np.stack([columns, rows], 1) * _STRIDE + 1
            boxes = np.floor(np.concatenate([corners, corners + _CELL - 1], 1) / scale).astype(np.float32)
            kept = suppress(boxes, scores[rows, columns], 0.5)
            rows, columns = rows[kept], columns[kept]
            proposals.append((boxes[kept], offsets[:, rows, columns].T, scores[rows, columns]))
            scale *= _SHRINK
        if not proposals:
            return np.zeros((0, 4), np.float32)
        boxes, offsets, scores = (np.concatenate(parts) for parts in zip(*proposals, strict=True))
        kept = suppress(boxes, scores, 0.7)
        return _square(_moved(boxes[kept], offsets[kept], 0))


def load(files: tuple[Path, Path, Path], min_face: int) -> Detector:
    """The detector from its three files of weights, pnet, rnet and onet."""
    with torch.random.fork_rng(devices=[]):  # initial weights, soon replaced, must not move anybody's seed
        networks = (_Proposal(), _Refinement(), _Output())
    for network, path in zip(networks, files, strict=True):
        network.load_state_dict({name.removeprefix("features."): value for name, value in read_weights(path).items()})
        network.eval().requires_grad_(False)
    return Detector(networks, min_face)


def suppress(boxes: Boxes, scores: NDArray[np.float32], limit: float, overlap: str = "union") -> NDArray[np.int64]:
    """Non-maximum suppression: the boxes that no better one covers by more than `limit`, the best first.

    Args:
        boxes: (N, 4) float: left, top, right and bottom edges in px.
        scores: (N,).
        limit: the largest share of the area that may be covered.
        overlap: the shared area in relation to the `union` of two boxes or to the `smaller` of them.
    """
    areas = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        low, high = np.maximum(boxes[best, :2], boxes[left, :2]), np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.prod((high - low + 1).clip(0), axis=1)
        smaller = np.minimum(areas[best], areas[left])
        left = left[shared / (smaller if overlap == "smaller" else areas[best] + areas[left] - shared) <= limit]
    return np.array(kept, np.int64)


def _judge(
    network: nn.Module, image: Tensor, boxes: Boxes, side: int
) -> tuple[Boxes, NDArray[np.float32], NDArray[np.float32]]:
    """The boxes that a network takes for faces, with their offsets, (n, 4), and scores, (n,)."""
    offsets, scores = (out.numpy() for out in network(_crops(image, boxes, side)))
    good = scores > 0.7
    return boxes[good], offsets[good], scores[good]


def _square(boxes: Boxes) -> Boxes:
    """Squares about the same centres, as long as the longer sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(1, keepdims=True, initial=0)
    corners = boxes[:, :2] + sides / 2 - longest / 2
    return np.concatenate([corners, corners + longest], 1)


def _moved(boxes: Boxes, offsets: NDArray[np.float32], more: int) -> Boxes:
    """Boxes with each side moved by a part of the box's length; `more` is 1 where both end pixels count."""
    sides = boxes[:, 2:] - boxes[:, :2] + more
    moved: Boxes = boxes + offsets * np.concatenate([sides, sides], 1)
    return moved


def _crops(image: Tensor, boxes: Boxes, side: int) -> Tensor:
    """(n, 3, side, side): what the boxes hold of the image, -1..1; black where they hold nothing."""
    height, width = image.shape[2:]
    crops = [torch.zeros(0, 3, side, side)]
    for left, top, right, bottom in boxes.astype(int):
        part = image[:, :, max(top, 1) - 1 : min(bottom, height), max(left, 1) - 1 : min(right, width)]
        crops.append(_scaled(part if part.numel() else torch.zeros(1, 3, 1, 1), (side, side)))
    return torch.cat(crops)


def _scaled(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resized by the mean over areas, and from 0..255 to about -1..1."""
    return (F.interpolate(image, size=size, mode="area") - 127.5) / 128


def _flat(maps: Tensor) -> Tensor:
    """(n, C, H, W) → (n, W·H·C), in the order in which the weights were trained in Caffe."""
    return maps.permute(0, 3, 2, 1).flatten(1)


class _Network(nn.Module):
    """Convolutions, each with its own activation and perhaps a pooling behind it.

    Args:
        stages: channels in and out, kernel, and the width of the pooling, 0 for none.
    """

    def __init__(self, *stages: tuple[int, int, int, int]) -> None:
        super().__init__()
        for number, (before, after, kernel, _) in enumerate(stages, 1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, kernel))
            self.add_module(f"prelu{number}", nn.PReLU(after))
        self.pools = [pool for *_, pool in stages]

    def convolve(self, x: Tensor) -> Tensor:
        for number, pool in enumerate(self.pools, 1):
            x = self.get_submodule(f"prelu{number}")(self.get_submodule(f"conv{number}")(x))
            x = F.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x
        return x


class _Proposal(_Network):
    """(1, 3, H, W) → a grid of offsets, (1, 4, H', W'), and scores, (1, H', W')."""

    def __init__(self) -> None:
        super().__init__((3, 10, 3, 2), (10, 16, 3, 0), (16, 32, 3, 0))
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.convolve(x)
        return self.conv4_2(x), self.conv4_1(x).softmax(1)[:, 1]


class _Refinement(_Network):
    """(n, 3, 24, 24) → offsets, (n, 4), and scores, (n,)."""

    def __init__(self) -> None:
        super().__init__((3, 28, 3, 3), (28, 48, 3, 3), (48, 64, 2, 0))
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.prelu4(self.dense4(_flat(self.convolve(x))))
        return self.dense5_2(x), self.dense5_1(x).softmax(1)[:, 1]


class _Output(_Network):
    """(n, 3, 48, 48) → offsets, (n, 4), and scores, (n,); its landmarks, `dense6_3`, are not used."""

    def __init__(self) -> None:
        super().__init__((3, 32, 3, 3), (32, 64, 3, 3), (64, 64, 3, 2), (64, 128, 2, 0))
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.prelu5(self.dense5(_flat(self.convolve(x))))
        return self.dense6_2(x), self.dense6_1(x).softmax(1)[:, 1]
