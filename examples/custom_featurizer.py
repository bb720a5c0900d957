"""A featurizer of your own in one file: the colours of an image, as studies of engagement measure them.

    graphsocial featurize image --encoder examples/custom_featurizer.py --set grid=3

The class is called like the file, its fields are its settings, and the store keeps what it makes under a fingerprint
of class, settings and library versions: change a setting, and it is another feature set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from graphsocial.extending import NO_EFFECT, Encoded, InputError, Modality, Requires, digest


@dataclass(frozen=True)
class CustomFeaturizer:
    """Mean saturation, brightness, contrast and colourfulness of each cell of a grid.

    Colourfulness is Hasler & Süsstrunk's (2003): σ + 0.3 μ of the red-green and yellow-blue opponent channels.

    Attributes:
        grid: cells along each side.
        batch_size: images at a time.
    """

    grid: int = 2
    batch_size: int = field(default=256, metadata=NO_EFFECT)  # changes speed, not vectors: no part of the fingerprint

    modalities: ClassVar[tuple[Modality, ...]] = ("image",)  # so items are paths of files
    requires: ClassVar[Requires] = Requires()  # nothing that graphsocial does not bring
    sequences: ClassVar[bool] = False  # one vector an image

    def __post_init__(self) -> None:
        if self.grid < 1 or self.batch_size < 1:
            raise InputError(f"grid ({self.grid}) and batch_size ({self.batch_size}) must be at least 1.")

    @property
    def dimension(self) -> int:
        """Four numbers a cell."""
        return 4 * self.grid**2

    def fingerprint(self) -> str:
        """The name of the algorithm stands in for weights; raise its number when the same file gives other numbers."""
        return digest(self, weights="colours, 1", packages=("pillow",))

    def encode(self, items: Sequence[Path]) -> Encoded:
        """(N, D) float32; an item that cannot be read is rejected and stops no other."""
        vectors, rejects = np.zeros((len(items), self.dimension), np.float32), {}
        for row, path in enumerate(items):
            try:
                with Image.open(path) as image:
                    vectors[row] = self._colours(image.convert("RGB").resize((64 * self.grid, 64 * self.grid)))
            except OSError as error:  # noqa: PERF203 - one broken file must not stop the others
                rejects[row] = f"the image cannot be read: {error}"
        return Encoded.of(vectors, rejects)

    def _colours(self, image: Image.Image) -> np.ndarray:
        cells = np.asarray(image, np.float64).reshape(self.grid, 64, self.grid, 64, 3).swapaxes(1, 2) / 255
        red, green, blue = np.moveaxis(cells.reshape(self.grid**2, -1, 3), 2, 0)  # (cells, pixels) each
        highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
        saturation = ((highest - lowest) / np.maximum(highest, 1e-9)).mean(1)
        grey = 0.299 * red + 0.587 * green + 0.114 * blue
        opponent = np.stack([red - green, (red + green) / 2 - blue])  # (2, cells, pixels)
        colourful = np.hypot(*opponent.std(2)) + 0.3 * np.hypot(*opponent.mean(2))
        return np.stack([saturation, grey.mean(1), grey.std(1), colourful], axis=1).ravel()
