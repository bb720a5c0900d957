"""Hashtags as word2vec vectors that are learnt from which tags the training rows put together."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from graphsocial.errors import InputError
from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Featurizer, Modality, Requires, digest

_TAG = re.compile(r"[#＃](\w+)")
_WORD = re.compile(r"\w+")
_ALGORITHM = "hashtags, 1"


@dataclass(frozen=True)
class Hashtags:
    """The mean of a text's tag vectors; learns them from a split's training rows (skip-gram, Mikolov et al. 2013).

    A row's tags are its sentence, whatever their order: each is context of every other. A text without a tag that the
    training rows have is the zero vector. Tags are compared in lower case.

    Attributes:
        dimension: D.
        epochs: passes over the training rows.
        least: tags on fewer training rows than this are left out.
        bare: the column holds nothing but tags, with or without `#`; False takes only words behind a `#`.
        seed: of the initial vectors and the sampling.
        batch_size: texts at a time.
    """

    dimension: int = 300
    epochs: int = 20
    least: int = 2
    bare: bool = False
    seed: int = 0
    batch_size: int = field(default=4096, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires(("gensim",), "word-vectors")

    def __post_init__(self) -> None:
        check_minimum(self, 1, "dimension", "epochs", "least", "batch_size")
        if self.seed < 0:
            raise InputError(f"seed must not be negative, and is {self.seed}.")

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`."""
        return digest(self, weights=_ALGORITHM, packages=("gensim",))

    def fit(self, items: Sequence[str]) -> dict[str, Any]:
        """Learn tag vectors from the tags of these texts.

        Raises:
            InputError: no tag is on `least` of them.
        """
        from gensim.models import Word2Vec

        rows = sorted(sorted(set(_tags(text, self.bare))) for text in items)
        Random(self.seed).shuffle(rows)  # the order that the rows come in has no say
        model = Word2Vec(
            vector_size=self.dimension,
            window=max(map(len, rows), default=1) or 1,
            min_count=self.least,
            sg=1,
            shrink_windows=False,
            sample=0,  # tags are few beside the words of a language: down-sampling would leave most of them out
            epochs=self.epochs,
            seed=self.seed,
            workers=1,  # more of them give other numbers every time
        )
        model.build_vocab(rows)
        if not len(model.wv):
            raise InputError(
                f"No hashtag is on {self.least} or more of the {len(items)} training rows: there is nothing to learn. "
                "Lower least, or set bare=true where the column holds tags without #."
            )
        model.train(rows, total_examples=len(rows), epochs=self.epochs)
        vectors = np.ascontiguousarray(model.wv.vectors, "<f4")
        return {"tags": model.wv.index_to_key, "vectors": base64.b64encode(vectors.tobytes()).decode()}

    def fitted(self, state: dict[str, Any]) -> Featurizer:
        """What encodes texts by the vectors that `fit` learnt."""
        table = np.frombuffer(base64.b64decode(state["vectors"]), "<f4").reshape(len(state["tags"]), self.dimension)
        return FittedHashtags(tuple(state["tags"]), table.astype(np.float32), self.bare, self.batch_size)


@dataclass(frozen=True, eq=False)
class FittedHashtags:
    """`Hashtags` after it has seen the training rows.

    Attributes:
        tags: those it knows, in lower case.
        table: (V, D) float32, their vectors.
        bare, batch_size: see `Hashtags`.
    """

    tags: tuple[str, ...]
    table: NDArray[np.float32]
    bare: bool = False
    batch_size: int = field(default=4096, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires(("gensim",), "word-vectors")
    sequences: ClassVar[bool] = False

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.table.shape[1])

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; what was learnt counts."""
        learnt = hashlib.blake2b(self.table.tobytes(), digest_size=16).hexdigest()
        return digest(self, weights=f"{_ALGORITHM}, {learnt}", leave_out=("table",))

    def encode(self, items: Sequence[str]) -> Encoded:
        """Encode texts; returns (N, D) float32, nothing is ever rejected."""
        indices = {tag: index for index, tag in enumerate(self.tags)}
        vectors = np.zeros((len(items), self.dimension), np.float32)
        for row, text in enumerate(items):
            rows = [indices[tag] for tag in sorted(set(_tags(text, self.bare))) if tag in indices]
            if rows:
                vectors[row] = self.table[rows].mean(axis=0, dtype=np.float64)
        return Encoded.of(vectors)


def _tags(text: str, bare: bool) -> list[str]:
    return [tag.lower() for tag in (_WORD if bare else _TAG).findall(text)]
