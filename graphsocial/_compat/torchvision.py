"""Torchvision from PyPI is built for CUDA; beside a CPU-only torch it cannot be imported without a little help."""

from __future__ import annotations

import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

_declared: list[Any] = []  # the torch.library.Library must stay alive, or its operators vanish


def ensure_torchvision() -> None:
    """Make `import torchvision` work; call it before importing torchvision, transformers or sentence_transformers.

    The wheel's `_C` extension needs `libtorch_cuda.so`. Without that file torchvision registers fake kernels for two
    operators that nobody has declared, and the import fails; transformers and sentence-transformers, which import
    torchvision when it is installed, fail with it. Declaring the two operators is enough: networks and transforms
    need no extension, and what does need it (`nms`, `decode_image`) still raises torchvision's own error.

    Where the extension can be loaded, or torchvision is not installed, or is imported already, nothing changes.
    """
    if "torchvision" in sys.modules:
        return
    spec = importlib.util.find_spec("torchvision")  # does not import it
    if spec is None or spec.origin is None:
        return
    import torch

    if operators_load():
        return
    if hasattr(torch.ops.torchvision, "nms"):  # declared already
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _declared.append(library)


@lru_cache(maxsize=1)
def operators_load() -> bool:
    """Whether torchvision's compiled operators (`nms`, `roi_align`) fit this torch; imports torch to find out."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    folder = Path(spec.origin).parent
    return any(_loads(extension) for extension in sorted([*folder.glob("_C*.so"), *folder.glob("_C*.pyd")]))


@lru_cache(maxsize=1)
def operators_fit() -> bool:
    """Whether torchvision's operators were built for libraries that torch has here; nothing is imported to find out.

    It may say yes where `operators_load` finds another mismatch, and says no only where that would, too.
    """
    folders = []
    for name in ("torchvision", "torch"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            return False
        folders.append(Path(spec.origin).parent)
    extensions = sorted([*folders[0].glob("_C*.so"), *folders[0].glob("_C*.pyd")])
    cuda = any((folders[1] / "lib").glob("*torch_cuda.*"))
    return any(cuda or b"libtorch_cuda.so" not in extension.read_bytes() for extension in extensions)


def _loads(extension: Path) -> bool:
    import torch

    try:
        torch.ops.load_library(str(extension))  # type: ignore[no-untyped-call]  # torchvision gets the same handle again
    except OSError:
        return False
    return True
