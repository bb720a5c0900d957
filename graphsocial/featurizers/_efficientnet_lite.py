"""EfficientNet-Lite0 as it is run here: batch normalisation folded into the convolutions, activations in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor, nn

LITE_SIDE = 256
"""What an image's shorter side is resized to, in px, of which the middle is taken."""
_CROP = 224
_PAIRS = (
    ("_conv_stem", "_bn0"),
    ("_conv_head", "_bn1"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)


def build_lite() -> nn.Module:
    """The network with random weights; `extract_features` of images (B, 3, 224, 224) is a map (B, 1280, 7, 7)."""
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return network


def fold_lite(network: nn.Module) -> None:
    """Make one layer of each convolution, its padding and the normalisation behind it; a sixth faster on a CPU.

    Numbers change by about 1e-5. Call it in eval mode, after the weights have been loaded.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for part in (network, *network._blocks):  # type: ignore[misc]  # a ModuleList
        for conv, norm in _PAIRS:
            if hasattr(part, conv):
                folded = fuse_conv_bn_eval(getattr(part, conv), getattr(part, norm))
                sides = set(getattr(folded.static_padding, "padding", (0,)))
                if len(sides) == 1:  # the same on all sides, which the convolution can do itself
                    folded.padding = (sides.pop(),) * 2
                    folded.static_padding = torch.nn.Identity()
                setattr(part, conv, folded)
                setattr(part, norm, torch.nn.Identity())
        part._swish = torch.nn.ReLU6(inplace=True)


def prepare_lite(image: Image.Image) -> Tensor:
    """(3, 224, 224): the middle 7/8 of the shorter side, scaled to about -1..1, as the network was trained."""
    import torch

    side = min(image.size) * _CROP / LITE_SIDE
    left, top = (image.width - side) / 2, (image.height - side) / 2
    small = image.resize((_CROP, _CROP), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return torch.from_numpy((np.asarray(small, dtype=np.float32) - 127) / 128).permute(2, 0, 1)
