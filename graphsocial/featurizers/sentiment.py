"""Texts as numbers of feeling: polarity in five grades, valence, arousal, dominance, emotion keywords, language."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from graphsocial._compat.hashing import hash_file
from graphsocial.errors import InputError
from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, digest
from graphsocial.sources._affect import NORMS, keywords

Norms = dict[str, tuple[float, ...]]

EMOTIONS = tuple(sorted(set(keywords().values())))
COLUMNS = ("polarity", "grade", *NORMS, "rated", *EMOTIONS, "english", "chinese", "other")
"""What each of the numbers is, in order."""

_LATIN = "A-Za-z\u00c0-\u024f"
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_KANA = re.compile(r"[\u3040-\u30ff]")  # Han letters beside these are Japanese
_ENGLISH = re.compile(rf"(?<![{_LATIN}])[A-Za-z]+(?:['’][A-Za-z]+)?(?![{_LATIN}])")
_EMOJI = re.compile(r"[\u2600-\u27bf\U0001f000-\U0001faff]")
_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？；])|\n+")
_PIECE = 400  # characters of a sentence read at once: segmentation of Chinese is quadratic in them


@dataclass(frozen=True)
class Sentiment:
    """Lexicon scores of English (VADER, Hutto & Gilbert 2014) and Chinese text (SnowNLP's naive Bayes classifier).

    The 17 numbers are `COLUMNS`:

    * `polarity`, -1 to 1: VADER's compound, or 2 p(positive) - 1 of SnowNLP; the mean over sentences and, within one,
      over its English and its Chinese part, weighted by words. An emoji is a word of English, as VADER reads it.
    * `grade`, 1 to 5: the fifth of that range that polarity lies in; 3 is neutral.
    * `valence`, `arousal`, `dominance`: the mean over the words that `norms` rates, from 1..9 to -1..1; 0 without any.
    * `rated`: the share of words that `norms` rates.
    * `amusement` … `sadness`: the share of words that are keywords of Mikels' eight emotions (English).
    * `english`, `chinese`, `other`: the shares of words by language, determined by their script.

    Other scripts and Japanese are neutral words of `other`: they are counted, and nothing is guessed of them. So are
    words with accents; a text of plain a-z is taken for English. SnowNLP learnt from shopping reviews in simplified
    characters: of other Chinese text its polarity is a weak prior. A text without words has polarity 0 and no shares.

    Attributes:
        norms: a CSV file of words rated 1 to 9, with the columns of Warriner et al. (2013) (`Word`, `V.Mean.Sum`,
            `A.Mean.Sum`, `D.Mean.Sum`) or `word`, `valence`, `arousal`, `dominance`; words of any language. Without
            it the four numbers that come of norms are 0.
        batch_size: texts at a time.
    """

    norms: str = ""
    batch_size: int = field(default=256, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires(("vaderSentiment", "snownlp"), "sentiment")
    sequences: ClassVar[bool] = False
    dimension: ClassVar[int] = len(COLUMNS)

    def __post_init__(self) -> None:
        check_minimum(self, 1, "batch_size")

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of the norms the file's contents count, not its path.

        Raises:
            MissingFileError: there is no such file.
        """
        made_of = f"sentiment, 1, {hash_file(self.norms) if self.norms else ''}, {sorted(keywords().items())}"
        return digest(self, weights=made_of, packages=("vaderSentiment", "snownlp"), leave_out=("norms",))

    def encode(self, items: Sequence[str]) -> Encoded:
        """Score texts; returns (N, 17) float32, nothing is ever rejected.

        Raises:
            MissingFileError: there is no norms file.
            InputError: the norms file lacks a column, or a rating is not a number from 1 to 9.
        """
        norms = _read_norms(Path(self.norms), hash_file(self.norms)) if self.norms else {}
        vectors = [_score(text, norms) for text in items]
        return Encoded.of(np.array(vectors, np.float32).reshape(len(items), len(COLUMNS)))


def _score(text: str, norms: Norms) -> list[float]:
    pieces = [
        sentence[start : start + _PIECE]
        for sentence in _SENTENCE.split(text)
        for start in range(0, len(sentence), _PIECE)
    ]
    japanese = bool(_KANA.search(text))
    feeling, counts, words = 0.0, np.zeros(3), list[str]()  # counts of English, Chinese and other words
    for piece in pieces:
        english, chinese = _ENGLISH.findall(piece), list[str]()
        counts[2] += len(_WORD.findall(_HAN.sub(" ", _ENGLISH.sub(" ", piece))))
        if japanese:
            counts[2] += len(_HAN.findall(piece))
        elif han := "，".join(_HAN.findall(piece)):
            positive, chinese = _chinese(han)
            feeling += len(chinese) * (2 * positive - 1)
        compound = _vader().polarity_scores(_english_part(piece))["compound"]
        weight = max(len(english) + len(_EMOJI.findall(piece)), int(compound != 0))  # a smiley in ASCII has no word
        feeling += weight * compound
        counts[:2] += weight, len(chinese)
        words += [*(word.lower().replace("’", "'") for word in english), *chinese]
    total = max(counts.sum(), 1)
    polarity = feeling / total
    grade = 1 + min(int((polarity + 1) * 2.5), 4)
    rated = [norms[word] for word in words if word in norms]
    affect = (np.mean(rated, axis=0) - 5) / 4 if rated else np.zeros(len(NORMS))
    emotions = [_keywords().get(word) for word in words]
    shares = [emotions.count(emotion) / total for emotion in EMOTIONS]
    return [polarity, grade, *affect, len(rated) / total, *shares, *(counts / total)]


def _english_part(piece: str) -> str:
    """The piece without letters of other languages; digits, punctuation and emoji stay, since VADER reads them."""
    english = {match.span() for match in _ENGLISH.finditer(piece)}
    return _WORD.sub(lambda m: m.group() if any(a <= m.start() < b for a, b in english) else " ", piece)


@lru_cache(maxsize=1)
def _keywords() -> dict[str, str]:
    return keywords()


@lru_cache(maxsize=1)
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def _chinese(text: str) -> tuple[float, list[str]]:
    """How probably a text is positive, and its words."""
    from snownlp import normal, seg, sentiment

    words = [word for word in seg.seg(text) if word != "，"]
    label, probability = sentiment.classifier.classifier.classify(normal.filter_stop(words))
    return (probability if label == "pos" else 1 - probability), words


@lru_cache(maxsize=2)
def _read_norms(path: Path, contents: str) -> Norms:
    """Word → its ratings; `contents` makes sure that a file written anew is read anew."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or ()
        columns = next((c for c in (("Word", *NORMS.values()), ("word", *NORMS)) if set(c) <= set(header)), None)
        if columns is None:
            raise InputError(
                f"'{path}' is no file of norms: it has the columns {list(header)[:8]}, but needs "
                f"word, {', '.join(NORMS)} (or Word, {', '.join(NORMS.values())})."
            )
        norms: Norms = {}
        for row in reader:
            word, *numbers = (row[column] or "" for column in columns)
            try:
                ratings = tuple(map(float, numbers))
            except ValueError:
                ratings = ()
            if not ratings or not all(1 <= rating <= 9 for rating in ratings):
                raise InputError(
                    f"'{path}', line {reader.line_num}: the ratings {numbers} are not numbers from 1 to 9."
                )
            norms[word.strip().lower()] = ratings
    return norms
