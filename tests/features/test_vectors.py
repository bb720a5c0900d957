"""What is written comes back: sequences of any length, each content once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import graphsocial as gs
from graphsocial.features import vectors
from graphsocial.features.vectors import FeatureRef, make_table, read_sequences, write
from graphsocial.featurizers.base import Encoded
from graphsocial.types import NodeType

POST = NodeType("post")
LENGTHS = (3, 0, 1, 5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[gs.GraphStore]:
    with gs.open(tmp_path / "s.duckdb") as opened:
        yield opened


def parts() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(length, 6)).astype(np.float32) for length in LENGTHS]


def point(store: gs.GraphStore, use: FeatureRef, contents: str) -> None:
    for idx, content in enumerate(contents):
        if content != "-":
            store.connection.execute(
                "insert into feature_rows values (?, 'd', ?, ?, ?, ?)",
                [use.set_id, use.entry.table, use.column, idx, content],
            )


def test_sequences_come_back_padded_with_their_mask(store: gs.GraphStore) -> None:
    use = FeatureRef(POST, "text", "0" * 32, 6, sequences=True)
    make_table(store, use)
    write(store, use, list("dc"), Encoded.of_sequences(parts()[:2], 6))  # in two batches, not in order
    write(store, use, list("xba"), Encoded.of_sequences([parts()[0], *parts()[2:]], 6, {0: "no"}))
    point(store, use, "cc-abd")
    sequences, index = read_sequences(store, use, "d", np.arange(7))
    assert index.tolist() == [2, 2, -1, 0, 1, 3, -1] and sequences.lengths.tolist() == [5, 1, 0, 3]
    padded, mask = sequences.padded(index)
    assert padded.shape == (7, 5, 6) and mask.sum(1).tolist() == [0, 0, 0, 5, 1, 3, 0]
    for row, place in ((3, 3), (4, 2), (5, 0)):
        assert (padded[row, : LENGTHS[place]] == parts()[place]).all() and not padded[row, LENGTHS[place] :].any()
    assert store.sql("select content, reason from unreadable_contents").fetchall() == [("x", "no")]
    described = dict(store.sql("select column_name, column_type from (describe sequences_6)").fetchall())
    assert described["vectors"] == "FLOAT[6][]"
    assert store.sql("select content, len(vectors) from sequences_6 order by content").fetchall() == [
        ("a", 5),
        ("b", 1),
        ("c", 0),
        ("d", 3),
    ]


def test_a_vector_is_a_sequence_of_one(store: gs.GraphStore) -> None:
    use = FeatureRef(POST, "text", "1" * 32, 6)
    make_table(store, use)
    vectors = parts()[3]
    write(store, use, list("abcde"), Encoded(vectors, {1: "unreadable"}))
    point(store, use, "ea-c")
    sequences, index = read_sequences(store, use, "d", np.array([3, 1, 0]))
    assert (sequences.padded(index)[0][:, 0] == vectors[[2, 0, 4]]).all() and sequences.lengths.tolist() == [1, 1, 1]
    assert store.sql("select count(*) from vectors_6").fetchall() == [(4,)]


def test_nothing_encoded_is_nothing_read(store: gs.GraphStore) -> None:
    for as_sequences in (False, True):
        use = FeatureRef(POST, "text", "2" * 32, 3, as_sequences)
        make_table(store, use)
        sequences, index = read_sequences(store, use, "d", np.arange(2))
        assert len(sequences) == 0 and sequences.values.shape == (0, 3) and index.tolist() == [-1, -1]
        assert sequences.padded(index)[0].shape == (2, 0, 3)


def test_batches_are_read_into_the_rows_of_their_contents(
    store: gs.GraphStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched three rows at a time, the sequences are those that were written, in one piece of memory."""
    monkeypatch.setattr(vectors, "BATCH", 3)
    use = FeatureRef(POST, "text", "3" * 32, 6, sequences=True)
    make_table(store, use)
    random = np.random.default_rng(0)
    written = {f"{n:03}": random.normal(size=(n % 5, 6)).astype(np.float32) for n in random.permutation(5000)}
    write(store, use, list(written), Encoded.of_sequences(list(written.values()), 6))
    store.connection.execute(
        "insert into feature_rows select ?, 'd', ?, ?, row_number() over () - 1, content from sequences_6 "
        "where set_id = ?",
        [use.set_id, use.entry.table, use.column, use.set_id],
    )
    sequences, _ = read_sequences(store, use, "d", np.arange(5000))
    assert (sequences.values == np.concatenate([written[name] for name in sorted(written)])).all()
    assert sequences.values.flags.c_contiguous
