"""Texts as how they are written: length, punctuation, capitals; what sentence encoders mostly drop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, digest

_EMOJI = "\u2600-\u27bf\U0001f000-\U0001faff"
_COUNTED = {
    "words": r"\w+",
    "sentences": r"[.!?…。！？]+",
    "exclamation_marks": r"[!！]",
    "question_marks": r"[?？]",
    "interrobangs": r"[!！][?？]|[?？][!！]",
    "ellipses": r"…|\.\.\.",
    "commas": r"[,，、;；]",
    "dashes": r"[-–—]{2,}|–|—",
    "quotes": r"[\"“”«»]",
    "digits": r"\d",
    "shouted_words": r"\b[A-Z]{2,}\b",
    "capitalised_words": r"\b[A-Z][a-z]",
    "stretched_words": r"([a-zA-Z])\1\1",
    "emoji": f"[{_EMOJI}]",
}
_PATTERNS = tuple(re.compile(pattern) for pattern in _COUNTED.values())
COLUMNS = ("characters", *_COUNTED, "ends_in_exclamation", "ends_in_question")
"""What each of the numbers is, in order."""


@dataclass(frozen=True)
class TextStyle:
    """The 17 numbers of `COLUMNS`: log(1 + count) of each kind, then how the text ends (1 or 0).

    Attributes:
        batch_size: texts at a time.

    >>> dict(zip(COLUMNS, TextStyle().encode(["NO way!!"]).vectors[0].round(2).tolist()))["exclamation_marks"]
    1.100000023841858
    """

    batch_size: int = field(default=4096, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires()
    sequences: ClassVar[bool] = False
    dimension: ClassVar[int] = len(COLUMNS)

    def __post_init__(self) -> None:
        check_minimum(self, 1, "batch_size")

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; no library has a say."""
        return digest(self, weights="text style, 1")  # raise the number when the same text gives another vector

    def encode(self, items: Sequence[str]) -> Encoded:
        """Count; nothing is ever rejected, and space around a text does not count."""
        texts = [text.strip() for text in items]
        counts = [[len(text), *(len(pattern.findall(text)) for pattern in _PATTERNS)] for text in texts]
        ends = [[text.endswith(("!", "！")), text.endswith(("?", "？"))] for text in texts]
        numbers = np.log1p(np.array(counts, np.float32).reshape(len(texts), len(COLUMNS) - 2))
        return Encoded(np.concatenate([numbers, np.array(ends, np.float32).reshape(len(texts), 2)], axis=1))
