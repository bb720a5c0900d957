"""What an encoder declares, and what it returns, is checked before anything of it is stored."""

from __future__ import annotations

from dataclasses import is_dataclass
from inspect import getattr_static
from typing import Any, get_args

import numpy as np

from graphsocial.errors import FeatureError
from graphsocial.featurizers.base import Encoded, Featurizer, Modality, Requires

_ALL = ("modalities", "requires", "fingerprint")
_ENCODING = ("sequences", "batch_size", "dimension", "encode")
_FITTED = ("fit", "fitted")


def check_featurizer(encoder: Any) -> None:
    """Check that an object is a dataclass with the members of a `Featurizer` or `FittedFeaturizer`.

    Raises:
        FeatureError: it is none, lacks some, or has modalities that do not exist.
    """
    name, absent = type(encoder).__name__, object()
    if not is_dataclass(encoder):
        raise FeatureError(
            f"{name} is no featurizer, it is no dataclass; write @dataclass(frozen=True) above its class."
        )
    # getattr_static evaluates no property, which may need packages that are not installed
    needed = _ALL + (_ENCODING if getattr_static(encoder, "fit", absent) is absent else _FITTED)
    lacking = [member for member in needed if getattr_static(encoder, member, absent) is absent]
    if lacking:
        raise FeatureError(f"{name} is no featurizer, it lacks {', '.join(lacking)}; see featurizers.base.Featurizer.")
    modalities: object = getattr(encoder, "modalities")  # noqa: B009 - mypy takes any dataclass to lack it
    if not isinstance(modalities, tuple) or not modalities or not set(modalities) <= set(get_args(Modality)):
        known = ", ".join(get_args(Modality))
        raise FeatureError(f"{name}.modalities is {modalities!r}; it must be a tuple of some of: {known}.")
    requires: object = getattr(encoder, "requires")  # noqa: B009 - as above
    if not isinstance(requires, Requires):
        raise FeatureError(f"{name}.requires is {requires!r}; it must be a Requires, such as Requires() for none.")


def check_declared(encoder: Featurizer) -> None:
    """Check an encoder's declared dimension, modalities and other attributes.

    Raises:
        FeatureError: `dimension` or `batch_size` is no whole number above 0, or `sequences` is not True or False.
    """
    name = type(encoder).__name__
    for member in ("dimension", "batch_size"):
        number: object = getattr(encoder, member)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise FeatureError(f"{name}.{member} is {number!r}; it must be a whole number of at least 1.")
    sequences: object = encoder.sequences
    if not isinstance(sequences, bool):
        raise FeatureError(f"{name}.sequences is {sequences!r}; it must be True or False.")


def check_encoded(encoder: Featurizer, encoded: object, count: int) -> None:
    """Check what an encoder made of a batch against what it declares.

    Args:
        encoder: what encoded the batch.
        encoded: what its `encode` returned.
        count: N, the number of items in the batch.

    Raises:
        FeatureError: it is no `Encoded`, or its vectors, offsets, rejects or captions do not fit the items.
    """
    name = f"{type(encoder).__name__}.encode"
    if not isinstance(encoded, Encoded):
        raise FeatureError(f"{name} returned {_kind(encoded)}; it must return an Encoded, as Encoded.of(vectors) is.")
    _check_shapes(name, encoded, count, encoder)
    rejects: object = encoded.rejects
    if not isinstance(rejects, dict):
        raise FeatureError(f"{name} gave rejects as {_kind(rejects)}; they must be a dict: item's index → reason.")
    outside = [item for item in rejects if item not in range(count)]
    if outside:
        raise FeatureError(f"{name} rejected the item {outside[0]!r}; the {count} items are counted from 0.")
    for item, reason in rejects.items():
        if not isinstance(reason, str) or not reason:
            raise FeatureError(f"{name} rejected item {item} with the reason {reason!r}; the reason must be text.")
    if encoded.captions is not None and len(encoded.captions) != count:
        raise FeatureError(f"{name} gave {len(encoded.captions)} captions for {count} items; it must give one each.")
    item_of_row = np.repeat(np.arange(count), encoded.sequences.lengths)
    unsound = set(item_of_row[~np.isfinite(encoded.vectors).all(axis=1)].tolist()) - rejects.keys()
    if unsound:
        raise FeatureError(
            f"{name} gave item {min(unsound)} of {count} numbers that are not finite; reject such items, as "
            "Encoded.of(vectors) does."
        )


def _check_shapes(name: str, encoded: Encoded, count: int, encoder: Featurizer) -> None:
    """float32 (N, D), or (ΣT, D) with offsets (N + 1,) that ascend from 0 to ΣT."""
    vectors: object = encoded.vectors
    offsets: object = encoded.offsets
    if (offsets is not None) != encoder.sequences:
        given, wanted = ("no offsets", "sequences") if encoder.sequences else ("offsets", "one vector for each item")
        raise FeatureError(f"{name} gave {given}, but sequences is {encoder.sequences}: it must give {wanted}.")
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        raise FeatureError(f"{name} gave vectors as {_kind(vectors)}; they must be a numpy array of float32.")
    shape = ("rows", encoder.dimension) if encoder.sequences else (count, encoder.dimension)
    if vectors.shape[1:] != shape[1:] or (offsets is None and len(vectors) != count):
        raise FeatureError(
            f"{name} gave vectors of shape {vectors.shape} for {count} items; as dimension is {encoder.dimension}, "
            f"the shape must be ({shape[0]}, {shape[1]})."
        )
    if offsets is None:
        return
    if not isinstance(offsets, np.ndarray) or offsets.dtype != np.int64 or offsets.shape != (count + 1,):
        raise FeatureError(
            f"{name} gave offsets as {_kind(offsets)}; they must be an array of int64 of shape ({count + 1},) for "
            f"{count} items."
        )
    if offsets[0] != 0 or offsets[-1] != len(vectors) or (np.diff(offsets) < 0).any():
        raise FeatureError(
            f"{name} gave offsets from {offsets[0]} to {offsets[-1]} for {len(vectors)} vectors; they must ascend from "
            f"0 to {len(vectors)}."
        )


def _kind(value: object) -> str:
    return f"an array of {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
