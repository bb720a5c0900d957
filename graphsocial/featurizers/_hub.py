"""Models of the Hugging Face hub and folders saved in its format: where their files lie, and what those files are."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from graphsocial._compat.hashing import hash_file
from graphsocial.errors import FeatureError, MissingFileError
from graphsocial.featurizers.base import digest

_WEIGHTS = ".safetensors"  # of the hub nothing else is read; in a local folder, tensors of .bin files too
_READ = (_WEIGHTS, ".bin", ".json", ".txt", ".model")  # what else decides the vectors: configuration and vocabulary
_ELSEWHERE = ["onnx/*", "openvino/*", "coreml/*", "*.onnx", "tf_*", "flax_*", "rust_*", "*training_args.bin"]


def model_folder(model: str, *, fetch: bool = True, instead: str = "") -> Path:
    """Where the files of a model lie: a local folder, or the hub's cache, into which it is fetched once.

    Args:
        model: a folder, or a name on the hub.
        fetch: False to search this machine only.
        instead: what else one could do, for the error's text.

    Raises:
        MissingFileError: a path that is no folder.
        FeatureError: the folder holds no model, or the hub's cannot be had.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not any((folder / name).is_file() for name in ("config.json", "modules.json")):
            raise FeatureError(f"'{folder}' holds no model: it has neither a config.json nor a modules.json.")
        return folder.resolve()
    if model.startswith((".", "/", "~")) or folder.exists():
        raise MissingFileError(f"There is no folder '{model}' with a model.")
    # a short name belongs to sentence-transformers first, as in that library
    return _snapshot((model,) if "/" in model else (f"sentence-transformers/{model}", model), fetch, instead)


def hash_model(model: str, folder: Path) -> str:
    """What stands for the weights in a fingerprint: the contents of a local folder, the commit of a hub's."""
    return hash_folder(folder, stamp(folder)) if Path(model).expanduser().is_dir() else folder.name


def digest_model(featurizer: Any, folder: Path, packages: Sequence[str]) -> str:
    """The fingerprint of a featurizer whose `model` is a local folder or a name on the hub.

    Args:
        featurizer: the dataclass; of a local folder its contents count, not its path.
        folder: where the model's files lie.
        packages: the distributions whose code makes the vectors.
    """
    local = Path(featurizer.model).expanduser().is_dir()
    weights = hash_model(featurizer.model, folder)
    return digest(featurizer, weights=weights, packages=packages, leave_out=("model",) if local else ())


def cached(name: str) -> Path:
    """Where a model that was unpacked lies; it may not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "graphsocial" / name


def unpacked(name: str, write: Callable[[Path], None]) -> Path:
    """A model's folder in the user's cache, made on first use; it is there whole or not at all.

    Args:
        write: puts the files into a folder that it makes.
    """
    folder = cached(name)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch, "model")
        write(made)
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder


def stamp(folder: Path) -> str:
    """Changes when a file of the folder is written; cheap enough to take for every batch."""
    states = ((name, path.stat()) for name, path in _files(folder))
    return "|".join(f"{name}:{state.st_size}:{state.st_mtime_ns}" for name, state in states)


@lru_cache(maxsize=8)
def hash_folder(folder: Path, stamp: str) -> str:
    """The blake2b of the names and contents of what is read from a model's folder; 32 hex characters."""
    lines = "\n".join(f"{name} {hash_file(path)}" for name, path in _files(folder))
    return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar for reading a file."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_pretrained(folder: Path, auto: Any, what: str, parts: str, *, images: bool = True) -> tuple[Any, Any, Any]:
    """A model of texts with its tokenizer and, if it reads `images`, its image processor, all from one folder.

    Args:
        folder: where the files lie.
        auto: the transformers class that reads the model.
        what: what the model is, for the errors' text.
        parts: what should have been saved, for the errors' text.
        images: whether there is an image processor.

    Raises:
        FeatureError: something cannot be read, or weights are missing.
    """
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer

    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            model, report = auto.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            image_processor: Any = AutoImageProcessor  # untyped
            processor = None
            if images:
                processor = image_processor.from_pretrained(folder, local_files_only=True, backend="pil")
    except Exception as error:  # unreadable files raise whatever their parser raises
        raise FeatureError(
            f"The {what} in '{folder}' cannot be loaded ({first_line(error)}). Give a folder written by "
            f"save_pretrained of {parts}; code that comes with a model is not run."
        ) from error
    if absent := sorted(report["missing_keys"]):
        raise FeatureError(f"The {what} in '{folder}' lacks {len(absent)} of its weights, such as {absent[0]}.")
    return model.eval().requires_grad_(False), tokenizer, processor


def first_line(error: Exception) -> str:
    """The beginning of what a library has to say."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")


@lru_cache(maxsize=16)
def _snapshot(repositories: tuple[str, ...], fetch: bool, instead: str) -> Path:
    """The hub's files of the first repository that exists: the cache's, else downloaded."""
    from huggingface_hub import snapshot_download

    offline = any(
        os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON")
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )
    reason = "the hub's cache does not have it" + (", and HF_HUB_OFFLINE is set" if offline else "")
    for local in (True, False) if fetch and not offline else (True,):
        for repository in repositories:
            wanted = ["*.json", "*.txt", "*.model", f"*{_WEIGHTS}"]
            try:
                snapshot = snapshot_download(
                    repository, local_files_only=local, allow_patterns=wanted, ignore_patterns=_ELSEWHERE
                )
            except Exception as error:  # of the hub, the network, the disk
                if not local:
                    reason = first_line(error)
                continue
            if any(Path(snapshot).rglob(f"*{_WEIGHTS}")):
                return Path(snapshot)
            reason = f"it has no {_WEIGHTS} file, and the hub's other formats are not read"
    if not fetch:
        raise FeatureError(
            f"The model '{repositories[-1]}' is not on this machine: it is downloaded when it is first used. Or give "
            "a local folder (--set model=FOLDER)."
        )
    raise FeatureError(
        f"The model '{repositories[-1]}' cannot be had ({reason}). Give a local folder (--set model=FOLDER), "
        f"{instead}{', ' if instead else ''}or unset HF_HUB_OFFLINE and check the name and the connection."
    )


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in _READ and not name.startswith(".") and path.is_file():
            yield name, path
