"""Images as the objects in them: a vector for each of the best boxes of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, InputError, MissingFileError, UnknownNameError
from graphsocial.featurizers._classifiers import hash_weights, read_weights
from graphsocial.featurizers._images import read_images
from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, check_device, digest

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

MODELS = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
"""Torchvision's detectors with a head of 1,024 numbers a box."""
_FILES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class Regions:
    """A sequence of 1024-d vectors per image, the best box first, by Faster R-CNN (https://arxiv.org/abs/1506.01497).

    A box's vector is the output of the detector's last layer before classes and corners, taken from the box itself
    rather than from the proposal that led to it. An image without any box has an empty sequence.

    Attributes:
        model: a Faster R-CNN of torchvision.
        weights: a file (.pth, .pt, .safetensors) with its state dict, or a folder that holds one such file; or
            `DEFAULT`, torchvision's, trained on COCO, downloaded once. By default those if they have been downloaded.
        most: maximum number of boxes per image.
        least_score: boxes whose class is less probable are left out.
        batch_size: images at a time.
        device: `cpu`, `cuda`, `cuda:1`.

    Torchvision's compiled operators are needed; those of its build for CUDA do not load beside a torch for CPUs.
    """

    model: str = MODELS[0]
    weights: str | None = None
    most: int = 36
    least_score: float = 0.05
    batch_size: int = field(default=16, metadata=NO_EFFECT)
    device: str = field(default="cpu", metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    requires: ClassVar[Requires] = Requires(operators=True)
    sequences: ClassVar[bool] = True
    dimension: ClassVar[int] = 1024

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise UnknownNameError.of("detector", self.model, MODELS)
        check_minimum(self, 1, "batch_size")
        if self.most < 1 or not 0 <= self.least_score < 1:
            raise InputError(f"most ({self.most}) must be at least 1, least_score ({self.least_score}) in [0, 1).")

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of a weights file its contents count, not its path.

        Raises:
            FeatureError: the weights are not on this machine and cannot, or may not, be fetched.
        """
        path = _weights_file(self.model, self.weights)
        return digest(
            self,
            weights=f"regions, 1: {hash_weights(path, path.stat().st_mtime_ns)}",
            packages=("torch", "torchvision", "pillow"),
            leave_out=("weights",),
        )

    def encode(self, items: Sequence[Path]) -> Encoded:
        """Encode image files; returns (ΣT, 1024) float32 and rejects files that are missing, damaged or no images.

        Raises:
            FeatureError: torchvision's operators cannot be loaded, or the weights are not here or do not fit.
        """
        nothing = np.zeros((0, self.dimension), np.float32)
        parts: list[NDArray[np.float32]] = []
        rejects: dict[int, str] = {}
        if len(items):
            self.requires.check("regions")
            path = _weights_file(self.model, self.weights)
            detector = _load(self.model, path, path.stat().st_mtime_ns, self.device)
        for start in range(0, len(items), self.batch_size):
            for row, image in enumerate(read_images(items[start : start + self.batch_size], _prepare), start):
                if isinstance(image, str):
                    rejects[row] = image
                parts.append(nothing if isinstance(image, str) else self._describe(detector, image))
        return Encoded.of_sequences(parts, self.dimension, rejects)

    def _describe(self, detector: Any, image: Tensor) -> NDArray[np.float32]:
        """(T, 1024) from (3, H, W), 0..1; one image at a time, for in a batch each would be padded to the largest."""
        import torch

        with torch.inference_mode():
            images, _ = detector.transform([image.to(self.device)])
            maps = detector.backbone(images.tensors)
            proposals, _ = detector.rpn(images, maps)
            heads = detector.roi_heads
            heads.score_thresh, heads.detections_per_img = self.least_score, self.most
            (detections,), _ = heads(maps, proposals, images.image_sizes)
            pooled = heads.box_roi_pool(maps, [detections["boxes"]], images.image_sizes)
            vectors: NDArray[np.float32] = heads.box_head(pooled).float().cpu().numpy()
        return vectors


def _prepare(image: Image.Image) -> Tensor:
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


@lru_cache(maxsize=1)
def _load(model: str, path: Path, changed: int, device: str) -> nn.Module:
    """The detector with its weights; `changed` is the time of their file."""
    check_device(device)
    import torch
    from torchvision.models import get_model

    state = read_weights(path)
    try:
        classes = len(state["roi_heads.box_predictor.cls_score.bias"])
        with torch.random.fork_rng(devices=[]):  # initial weights, soon replaced, must not move anybody's seed
            detector: nn.Module = get_model(model, weights=None, weights_backbone=None, num_classes=classes)
        detector.load_state_dict(state)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FeatureError(f"The weights in '{path}' do not fit '{model}': {reason}") from error
    return detector.eval().requires_grad_(False).to(device)


def _weights_file(model: str, name: str | None) -> Path:
    """The file with the weights; downloads it only if `name` asks for torchvision's."""
    if name is not None and name != "DEFAULT":
        return _local_file(Path(name).expanduser())
    ensure_torchvision()
    import torch
    from torchvision.models import get_model_weights

    url = str(get_model_weights(model)["DEFAULT"].url)  # ends in the first digits of its sha256
    path = Path(str(torch.hub.get_dir()), "checkpoints", url.rpartition("/")[2])
    if path.is_file():
        return path
    if name is None:
        raise FeatureError(
            f"The weights of '{model}' are not on this machine. Download them with --set weights=DEFAULT, or give a "
            "file or a folder with --set weights=PATH."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError) as error:
        raise FeatureError(
            f"{url} cannot be downloaded ({error}). Fetch it elsewhere and give it with --set weights=FILE."
        ) from error
    return path


def _local_file(path: Path) -> Path:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _FILES)
        if len(files) != 1:
            raise FeatureError(f"'{path}' holds {len(files)} files of weights ({', '.join(_FILES)}); give the one.")
        return files[0].resolve()
    if not path.is_file():
        raise MissingFileError(f"There is no file or folder '{path}' with weights.")
    return path.resolve()
