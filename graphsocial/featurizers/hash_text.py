"""Texts as signed hashes of their words: no weights, no vocabulary, any language, thousands of texts a second."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np

from graphsocial.errors import InputError
from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, digest

# Han, kana and emoji are words of one character: their scripts put no spaces between words.
_ALONE = "\u2600-\u27bf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001f000-\U0001faff"
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")


@dataclass(frozen=True)
class HashText:
    """Feature hashing (Weinberger et al. 2009, https://arxiv.org/abs/0902.2206) of word and character n-grams.

    x[h(g) mod D] += s(g) for each n-gram g, with h and the sign s from blake2b; then x / ‖x‖₂.
    Words are lower-cased after Unicode normalisation (NFKC). A text without words is the zero vector.

    Attributes:
        dimension: D, the number of buckets.
        ngrams: how many words in a row make a feature.
        characters: how many characters of a word in a row make a feature, its ends marked; 0 for none.
        batch_size: texts at a time.

    >>> HashText(dimension=8).encode(["Good morning", "good MORNING!"]).vectors.std(axis=0).max()
    np.float32(0.0)
    """

    dimension: int = 256
    ngrams: tuple[int, ...] = (1, 2)
    characters: int = 0
    batch_size: int = field(default=4096, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires()
    sequences: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_minimum(self, 1, "dimension", "batch_size")
        if self.characters < 0 or any(length < 1 for length in self.ngrams) or not (self.ngrams or self.characters):
            raise InputError(
                f"ngrams={self.ngrams}, characters={self.characters} leave nothing to hash: give lengths of at least 1."
            )

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; no library has a say."""
        return digest(self, weights="signed blake2b, 1")  # raise the number when the same text gives another vector

    def encode(self, items: Sequence[str]) -> Encoded:
        """Hash texts; returns (N, D) float32 of unit length, nothing is ever rejected."""
        rows: list[int] = []
        hashes: list[int] = []
        for row, text in enumerate(items):
            hashed = [_hash(gram) for gram in self._grams(text)]
            hashes += hashed
            rows += [row] * len(hashed)
        codes = np.asarray(hashes, dtype=np.uint64)
        buckets = ((codes >> np.uint64(1)) % np.uint64(self.dimension)).astype(np.int64)
        signs = 1.0 - 2.0 * (codes & np.uint64(1)).astype(np.float64)
        flat = np.asarray(rows, dtype=np.int64) * self.dimension + buckets
        sums = np.bincount(flat, weights=signs, minlength=len(items) * self.dimension)
        vectors = sums.reshape(len(items), self.dimension)  # (N, D)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return Encoded((vectors / np.maximum(lengths, 1e-12)).astype(np.float32))

    def _grams(self, text: str) -> Iterator[str]:
        words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
        for length in self.ngrams:
            for start in range(len(words) - length + 1):
                yield " ".join(words[start : start + length])
        if self.characters:
            for word in words:
                marked = f"^{word}$"
                for start in range(len(marked) - self.characters + 1):
                    yield "#" + marked[start : start + self.characters]


@lru_cache(maxsize=1 << 17)
def _hash(gram: str) -> int:
    return int.from_bytes(hashlib.blake2b(gram.encode("utf-8", "replace"), digest_size=8).digest(), "little")
