"""Clips as what `vision` sees in frames taken at even distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from graphsocial.errors import InputError
from graphsocial.featurizers._classifiers import LITE
from graphsocial.featurizers._settings import check_choice, check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, digest
from graphsocial.featurizers.vision import Vision

Output = Literal["vector", "frames"]
_FALLBACK = 25.0  # frames a second, where the file does not say


@dataclass(frozen=True)
class Video:
    """One vector per clip, or a sequence of vectors, one for each frame that is taken.

    Attributes:
        model: what encodes frames: the name of a model for `vision`, such as `resnet50`.
        weights: of that model, as `vision` takes them.
        output: `vector`: the mean over the frames; `frames`: their sequence, for models that follow time.
        rate: frames to take per second of the clip; 0 takes every one.
        most: frames of one clip at most. A clip that has more is taken at half the rate, at a quarter, …, until it
            fits, so that its end counts like its beginning.
        batch_size: clips at a time.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.

    The sound of a clip is not heard; take it out with ffmpeg and give it to `audio`.
    """

    model: str = LITE
    weights: str | None = None
    output: Output = "vector"
    rate: float = 2.0
    most: int = 32
    batch_size: int = field(default=4, metadata=NO_EFFECT)
    device: str = field(default="cpu", metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("video",)
    requires: ClassVar[Requires] = Requires(("opencv-python-headless",), "video")

    def __post_init__(self) -> None:
        check_choice("output", self.output, Output)
        check_minimum(self, 1, "batch_size")
        if not self.rate >= 0 or self.most < 1:
            raise InputError(f"rate ({self.rate}) must be at least 0 and most ({self.most}) at least 1.")

    @property
    def sequences(self) -> bool:
        """Whether a clip becomes a sequence of frames."""
        return self.output == "frames"

    @property
    def vision(self) -> Vision:
        """What encodes the frames."""
        return Vision(self.model, self.weights, device=self.device)

    @property
    def dimension(self) -> int:
        """D of a frame."""
        return self.vision.dimension

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; the fingerprint of `vision` stands for the weights.

        Raises:
            FeatureError: the weights are not on this machine and cannot, or may not, be fetched.
        """
        return digest(
            self,
            weights=f"video, 1: {self.vision.fingerprint()}",
            packages=("opencv-python-headless",),
            leave_out=("model", "weights"),
        )

    def encode(self, items: Sequence[Path]) -> Encoded:
        """Encode clips; returns (N, D) or (ΣT, D) float32 and rejects files that are missing or no clips.

        Raises:
            FeatureError: opencv is not installed, or the weights are not here or do not fit the model.
        """
        self.requires.check("video")
        nothing = np.zeros((0 if self.sequences else 1, self.dimension), np.float32)
        parts: list[NDArray[np.float32]] = []
        rejects: dict[int, str] = {}
        for row, path in enumerate(items):
            frames = _sample(path, self.rate, self.most)
            if isinstance(frames, str):
                rejects[row] = frames
            parts.append(nothing if isinstance(frames, str) else self._see(frames))
        encoded = Encoded.of_sequences(parts, self.dimension, rejects)
        return encoded if self.sequences else Encoded(encoded.vectors, encoded.rejects)

    def _see(self, frames: list[Any]) -> NDArray[np.float32]:
        """(T, D), T being 1 for vectors; the frames take the way of images, through files."""
        import cv2

        with TemporaryDirectory() as folder:
            paths = [Path(folder, f"{number}.bmp") for number in range(len(frames))]
            for path, frame in zip(paths, frames, strict=True):
                path.write_bytes(cv2.imencode(".bmp", frame)[1].tobytes())
            seen = self.vision.encode(paths).vectors
        return seen if self.sequences else seen.mean(axis=0, keepdims=True)


def _sample(path: Path, rate: float, most: int) -> list[Any] | str:
    """Frames at even distances, (H, W, 3) BGR each and at most `most`, or why there are none.

    The length in a file's header is not used: the file is read to its end, and when too many frames have been kept,
    every second one is dropped and the distance doubled.
    """
    import cv2

    if not path.is_file():
        return "there is no such file"
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        stated = capture.get(cv2.CAP_PROP_FPS)
        fps = stated if 1 <= stated <= 240 else _FALLBACK
        step = max(round(fps / rate), 1) if rate else 1
        frames: list[Any] = []
        index = 0
        while capture.grab():
            if index % step == 0:
                decoded, frame = capture.retrieve()
                if decoded:
                    frames.append(frame)
                if len(frames) > most:
                    frames, step = frames[::2], 2 * step
            index += 1
    finally:
        capture.release()
    return frames or "the file is not a clip of a format that is read, or has no frame"
