"""What an author's encoder declares and returns is checked, and each mistake is answered with a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

import graphsocial as gs
from graphsocial.errors import FeatureError
from graphsocial.features import featurize
from graphsocial.featurizers.base import Encoded, Requires, digest
from graphsocial.types import Column, GraphSchema, NodeType

POST = NodeType("post", (Column("text", "text"),))


@dataclass(frozen=True)
class Lengths:
    """The length of a text, twice; subclasses make one mistake each."""

    batch_size: int = 2
    modalities: ClassVar[Any] = ("text",)
    requires: ClassVar[Requires] = Requires()
    sequences: ClassVar[Any] = False
    dimension: ClassVar[Any] = 2

    def fingerprint(self) -> str:
        return digest(self, leave_out=["batch_size"])

    def encode(self, items: Sequence[str]) -> Encoded:
        return Encoded(np.array([[len(text)] * 2 for text in items], np.float32))


@pytest.fixture
def posts(tmp_path: Path) -> gs.GraphStore:
    store = gs.open(tmp_path / "posts.duckdb")
    store.declare(GraphSchema((POST,)))
    store.write(POST, pl.DataFrame({"id": ["a", "b"], "text": ["rain", "a fine day"]}), dataset="posts")
    return store


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def not_finite(items: Sequence[str]) -> Encoded:
    vectors = ones(2, 2)
    vectors[1, 0] = np.nan
    return Encoded(vectors)


def test_a_correct_encoder_passes(posts: gs.GraphStore) -> None:
    (report,) = featurize(posts, "post.text", Lengths())  # type: ignore[arg-type]  # it is a Featurizer
    assert (report.encoded, report.rejected) == (2, 0)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda items: ones(2, 2), "Wrong.encode returned an array of float32 .2, 2.; it must return an Encoded"),
        (
            lambda items: Encoded(np.ones((2, 2))),
            "gave vectors as an array of float64 .2, 2.; .* numpy array of float32",
        ),
        (lambda items: Encoded([[1.0, 1.0]] * 2), "gave vectors as list; "),
        (lambda items: Encoded(ones(1, 2)), r"shape \(1, 2\) for 2 items; .* the shape must be \(2, 2\)"),
        (lambda items: Encoded(ones(2, 3)), r"shape \(2, 3\) for 2 items; as dimension is 2, .* \(2, 2\)"),
        (lambda items: Encoded(ones(4)), r"shape \(4,\) for 2 items"),
        (not_finite, "gave item 1 of 2 numbers that are not finite; reject such items"),
        (lambda items: Encoded(ones(2, 2), {2: "bad"}), "rejected the item 2; the 2 items are counted from 0"),
        (lambda items: Encoded(ones(2, 2), [1]), "gave rejects as list; they must be a dict"),
        (lambda items: Encoded(ones(2, 2), offsets=np.arange(3)), "gave offsets, but sequences is False"),
        (lambda items: Encoded(ones(2, 2), captions=["one"]), "gave 1 captions for 2 items"),
    ],
)
def test_what_an_encoder_returns_is_checked(
    posts: gs.GraphStore, encode: Callable[[Sequence[str]], Any], message: str
) -> None:
    class Wrong(Lengths):
        def encode(self, items: Sequence[str]) -> Any:
            return encode(items)

    with pytest.raises(FeatureError, match=message):
        featurize(posts, "post.text", Wrong())  # type: ignore[arg-type]
    assert posts.sql("select count(*) from vectors_2").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        (None, "gave no offsets, but sequences is True: it must give sequences"),
        ([0, 1, 3], r"gave offsets as list; they must be an array of int64 of shape \(3,\) for 2 items"),
        (np.array([0, 3]), r"an array of int64 \(2,\); they must be an array of int64 of shape \(3,\)"),
        (np.array([0, 1, 2]), "gave offsets from 0 to 2 for 3 vectors; they must ascend from 0 to 3"),
        (np.array([0, 4, 3]), "they must ascend from 0 to 3"),
    ],
)
def test_the_offsets_of_sequences_are_checked(posts: gs.GraphStore, offsets: Any, message: str) -> None:
    class Wrong(Lengths):
        sequences: ClassVar[bool] = True

        def encode(self, items: Sequence[str]) -> Encoded:
            return Encoded(ones(3, 2), offsets=offsets)

    with pytest.raises(FeatureError, match=message):
        featurize(posts, "post.text", Wrong())  # type: ignore[arg-type]


def test_a_rejected_item_may_have_numbers_that_are_not_finite(posts: gs.GraphStore) -> None:
    class Partial(Lengths):
        def encode(self, items: Sequence[str]) -> Encoded:
            return Encoded(not_finite(items).vectors, {1: "too short"})

    (report,) = featurize(posts, "post.text", Partial())  # type: ignore[arg-type]
    assert (report.encoded, report.rejected) == (1, 1)


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("dimension", 0, "Wrong.dimension is 0; it must be a whole number of at least 1"),
        ("dimension", "2", "Wrong.dimension is '2'"),
        ("batch_size", 0, "Wrong.batch_size is 0"),
        ("sequences", None, "Wrong.sequences is None; it must be True or False"),
        ("modalities", "text", "Wrong.modalities is 'text'; it must be a tuple of some of: text, image"),
        ("modalities", ("words",), r"Wrong.modalities is \('words',\)"),
    ],
)
def test_what_an_encoder_declares_is_checked(posts: gs.GraphStore, member: str, value: object, message: str) -> None:
    wrong: Any = type("Wrong", (Lengths,), {member: value, "__init__": lambda self: None})
    with pytest.raises(FeatureError, match=message):
        featurize(posts, "post.text", wrong())


def test_what_is_no_featurizer_is_named(posts: gs.GraphStore) -> None:
    @dataclass(frozen=True)
    class Half:
        modalities: ClassVar[tuple[str, ...]] = ("text",)
        requires: ClassVar[Requires] = Requires()
        batch_size: int = 1

        def encode(self, items: Sequence[str]) -> Encoded:
            raise AssertionError("not reached")

    with pytest.raises(FeatureError, match="Half is no featurizer, it lacks fingerprint, sequences, dimension;"):
        featurize(posts, "post.text", Half())  # type: ignore[arg-type]

    class Plain:
        pass

    with pytest.raises(FeatureError, match="Plain is no featurizer, it is no dataclass"):
        featurize(posts, "post.text", Plain())  # type: ignore[arg-type]
