"""Images as the last layers of a classifier see them: EfficientNet-Lite0 out of the box, torchvision's by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graphsocial.errors import FeatureError, InputError
from graphsocial.featurizers._classifiers import (
    LITE,
    build,
    entry_of,
    feature_map,
    hash_weights,
    last_layer,
    map_width,
    read_weights,
    weights_file,
)
from graphsocial.featurizers._efficientnet_lite import LITE_SIDE, build_lite, fold_lite, prepare_lite
from graphsocial.featurizers._images import map_images, read_images
from graphsocial.featurizers._settings import check_choice, check_minimum
from graphsocial.featurizers.base import (
    NO_EFFECT,
    Encoded,
    Modality,
    Requires,
    check_device,
    digest,
)

if TYPE_CHECKING:
    from torch import Tensor

Prepare = Callable[[Image.Image], "Tensor"]
Output = Literal["vector", "map"]
_AT_ONCE = 2  # images a core: best of 1 to 16 for EfficientNet-Lite0


@dataclass(frozen=True)
class Vision:
    """One vector per image, what the classifier's last linear layer would read; or one per position in the image.

    Attributes:
        model: `packaged:efficientnet-lite0` (1280-d, nothing to download) or a classifier of torchvision:
            `resnet50` (2048-d), `resnext101_32x8d`, `vit_b_16` (768-d, the class token), …
        weights: for torchvision's: a file (.pth, .pt, .safetensors) with the state dict of such a model, whatever its
            classes; or `DEFAULT` (or another of torchvision's names, `IMAGENET1K_V1`), downloaded once. By default
            `DEFAULT` if it has been downloaded before.
        output: `vector`, or `map`: the last feature map as a sequence of its positions, row by row, for spatial
            attention (7 x 7 for a ResNet; a transformer's patches, without the class token).
        batch_size: images at a time.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.

    Orientation (EXIF) is applied, transparency laid on white, the first frame of an animation taken. Images are
    prepared as the weights were trained: resized, center-cropped (224 px for most), normalised. A JPEG of more than
    four times the size that it is resized to is decoded at a fraction of its own.
    """

    model: str = LITE
    weights: str | None = None
    output: Output = "vector"
    batch_size: int = field(default=64, metadata=NO_EFFECT)
    device: str = field(default="cpu", metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    requires: ClassVar[Requires] = Requires()

    def __post_init__(self) -> None:
        check_choice("output", self.output, Output)
        check_minimum(self, 1, "batch_size")
        if self.weights is not None and self.model.startswith("packaged:"):
            raise InputError(f"'{self.model}' brings its weights; leave out weights='{self.weights}'.")

    @property
    def sequences(self) -> bool:
        """Whether an image becomes a sequence of positions."""
        return self.output == "map"

    @property
    def dimension(self) -> int:
        """D, from the network's layout; weights are not needed."""
        if self.model == LITE:
            return 1280
        return map_width(self.model) if self.sequences else last_layer(self.model)[1]

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of a weights file its contents count, not its path.

        Raises:
            FeatureError: the weights are not on this machine and cannot, or may not, be fetched.
        """
        path = weights_file(self.model, self.weights)
        name = "" if self.model == LITE else entry_of(self.model, self.weights).name
        return digest(
            self,
            weights=f"vision, 2: {hash_weights(path, path.stat().st_mtime_ns)} {name}",
            packages=("torch", "torchvision", "pillow", "efficientnet-lite-pytorch"),
            leave_out=("weights",),
        )

    def encode(self, items: Sequence[Path]) -> Encoded:
        """Encode image files; returns (N, D) float32 and rejects files that are missing, damaged or no images.

        Images of more pixels than `PIL.Image.MAX_IMAGE_PIXELS` (89 million) are rejected undecoded.

        Raises:
            FeatureError: the weights are not here and cannot be fetched, or do not fit the model.
        """
        nothing = np.zeros((0 if self.sequences else 1, self.dimension), np.float32)
        encodings: list[NDArray[np.float32] | str] = []
        if len(items):
            path = weights_file(self.model, self.weights)
            loaded = _load(self.model, self.weights, self.output, path, path.stat().st_mtime_ns, self.device)
        for start in range(0, len(items), self.batch_size):
            encodings += loaded.encode(items[start : start + self.batch_size])
        parts = [nothing if isinstance(part, str) else part for part in encodings]  # N x (T, D)
        rejects = {row: part for row, part in enumerate(encodings) if isinstance(part, str)}
        encoded = Encoded.of_sequences(parts, self.dimension, rejects)
        return encoded if self.sequences else Encoded(encoded.vectors, encoded.rejects)


@dataclass(frozen=True)
class _Loaded:
    """A network up to the layer that is wanted, and what prepares an image for it.

    Attributes:
        forward: (B, 3, 224, 224) → (B, D) vectors, or a map: (B, D, H, W) or (B, T, D).
        side: what `prepare` makes of an image's shorter side, in px.
    """

    forward: Callable[[Tensor], Tensor]
    prepare: Prepare
    side: int
    device: str

    def encode(self, items: Sequence[Path]) -> list[NDArray[np.float32] | str]:
        """(T, D) for each image, T being 1 for vectors, or why there is none.

        On a CPU each core reads and encodes a few images at a time on its own: larger batches do not fit its cache,
        and small ones cannot keep several cores busy. A GPU gets the whole batch.
        """
        import torch

        if not self.device.startswith("cpu"):
            read = read_images(items, self.prepare, side=self.side)
            good = iter(self.run([image for image in read if not isinstance(image, str)]))
            return [image if isinstance(image, str) else next(good) for image in read]
        threads = torch.get_num_threads()
        try:
            return map_images(
                items,
                self.prepare,
                self.run,
                side=self.side,
                size=_AT_ONCE,
                threads=threads,
                start=lambda: torch.set_num_threads(1),
            )
        finally:
            torch.set_num_threads(threads)  # part of it holds for the whole process

    def run(self, images: list[Tensor]) -> NDArray[np.float32]:
        """(B, T, D)."""
        import torch

        if not images:
            return np.zeros((0, 0, 0), np.float32)

        batch = torch.stack(images).to(self.device, memory_format=torch.channels_last)  # twice as fast on a CPU
        # without TF32 a GPU gives the vectors of a CPU
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            out = self.forward(batch).float()
        if out.dim() == 4:
            out = out.flatten(2).transpose(1, 2)
        output: NDArray[np.float32] = (out if out.dim() == 3 else out[:, None]).cpu().numpy()
        return output


@lru_cache(maxsize=2)
def _load(model: str, name: str | None, output: str, path: Path, changed: int, device: str) -> _Loaded:
    """The network without its last layer; `changed` is the time of the weights' file."""
    check_device(device)
    import torch

    with torch.random.fork_rng(devices=[]):  # initial weights, soon replaced, must not move anybody's seed
        network = build_lite() if model == LITE else build(model, entry_of(model, name))
    state = read_weights(path)
    if model != LITE:
        layer = last_layer(model)[0]
        network.set_submodule(layer, torch.nn.Identity())
        for key in [key for key in state if key.startswith(f"{layer}.")]:
            del state[key]
    try:
        network.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FeatureError(f"The weights in '{path}' do not fit '{model}': {reason}") from error
    network = network.eval().requires_grad_(False)
    if model == LITE:
        fold_lite(network)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs
    if model == LITE:
        mapped: Any = network.extract_features  # (B, 1280, 7, 7)
        return _Loaded(mapped if output == "map" else lambda x: mapped(x).mean((2, 3)), prepare_lite, LITE_SIDE, device)
    forward = feature_map(model, network) if output == "map" else lambda x: network(x).flatten(1)
    prepare = entry_of(model, name).transforms()
    return _Loaded(forward, prepare, min(prepare.resize_size), device)
