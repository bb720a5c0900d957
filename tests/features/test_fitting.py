"""What learns is fitted on the training rows of its split, once, and says so when a split does not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

import graphsocial as gs
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.features import featurize
from graphsocial.features.vectors import read_sequences
from graphsocial.featurizers.base import Encoded, Requires, digest
from graphsocial.featurizers.hash_text import HashText
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType


@dataclass(frozen=True)
class Words:
    """Which of the words of the training rows a text has, in the order of the alphabet."""

    batch_size: int = 2
    modalities: ClassVar[tuple[str, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires()
    shown: ClassVar[list[list[str]]] = []

    def fingerprint(self) -> str:
        return digest(self, leave_out=["batch_size"])

    def fit(self, items: Sequence[str]) -> dict[str, list[str]]:
        self.shown.append(sorted(items))
        return {"words": sorted({word for item in items for word in item.split()})}

    def fitted(self, state: dict[str, list[str]]) -> KnownWords:
        return KnownWords(tuple(state["words"]))


@dataclass(frozen=True)
class KnownWords:
    words: tuple[str, ...]
    batch_size: int = 2
    modalities: ClassVar[tuple[str, ...]] = ("text",)
    requires: ClassVar[Requires] = Requires()
    sequences: ClassVar[bool] = False

    @property
    def dimension(self) -> int:
        return len(self.words)

    def fingerprint(self) -> str:
        return digest(self)

    def encode(self, items: Sequence[str]) -> Encoded:
        rows = [[word in item.split() for word in self.words] for item in items]
        return Encoded(np.array(rows, np.float32).reshape(-1, self.dimension))


@pytest.fixture
def notes(tmp_path: Path) -> gs.GraphStore:
    """Users with notes see things; two splits of who saw what. Ids of users and things are the same on purpose."""
    store = gs.open(tmp_path / "notes.duckdb")
    user = NodeType("user", (Column("note", "text"), Column("age", "integer")))
    thing = NodeType("thing", (Column("title", "text"),))
    sees = EdgeType("user", "sees", "thing", (Column("emotions", "categories", "label"), Column("comment", "text")))
    group = NodeType("group", (Column("about", "text"),))
    store.declare(GraphSchema((user, thing, group), (sees,)))
    ids = list("abcd")
    titles = ["sun", "moon", "moon", "star"]
    frame = pl.DataFrame({"id": ids, "note": ["red", "green", "blue", "red"], "age": [1, 2, 3, 1]})
    store.write(user, frame, dataset="notes")
    store.write(thing, pl.DataFrame({"id": ids, "title": titles}), dataset="notes")
    store.write(group, pl.DataFrame({"id": ["a"], "about": ["all"]}), dataset="notes")
    pairs = {"src": list("aabd"), "dst": list("abcd")}
    store.write(sees, pl.DataFrame({**pairs, "comment": ["one", "two", "three", "four"]}), dataset="notes")
    for split, roles in {"first": "train train test validation", "second": "test train test train"}.items():
        store.connection.execute(
            "insert into splits values (?, 'edge-emotion', 'notes', 'user sees thing', '', '{}', now())", [split]
        )
        for source, target, role in zip(*pairs.values(), roles.split(), strict=True):
            store.connection.execute("insert into split_members values (?, ?, ?, ?)", [split, source, target, role])
    Words.shown.clear()
    return store


@pytest.mark.parametrize(
    ("what", "first", "second"),
    [
        ("user.note", ["red"], ["red", "red"]),
        ("thing.title", ["moon", "sun"], ["moon", "star"]),
        ("user sees thing.comment", ["one", "two"], ["four", "two"]),
    ],
)
def test_only_training_rows_are_learnt_from(
    notes: gs.GraphStore, what: str, first: list[str], second: list[str]
) -> None:
    made = [featurize(notes, what, Words(), split=split)[0] for split in ("first", "second")]  # type: ignore[arg-type]
    assert Words.shown == [first, second]
    assert made[0].use.set_id != made[1].use.set_id  # although both may have learnt the same
    assert all(report.empty == 0 and report.rejected == 0 for report in made)  # all rows are encoded
    rows = notes.sql("select set_id, split_id, state->'words' from feature_sets order by split_id").fetchall()
    assert [row[:2] for row in rows] == [(r.use.set_id, s) for r, s in zip(made, ("first", "second"), strict=True)]
    assert [json.loads(row[2]) for row in rows] == [sorted(set(first)), sorted(set(second))]


def test_it_is_learnt_again_only_when_the_training_rows_change(notes: gs.GraphStore) -> None:
    def run() -> tuple[str, int]:
        (report,) = featurize(notes, "thing.title", Words(), split="first")  # type: ignore[arg-type]
        return report.use.set_id, report.encoded

    key, _ = run()
    assert run() == (key, 0) and len(Words.shown) == 1
    notes.connection.execute("update node_thing set title = 'comet' where id = 'd'")  # a validation row
    assert run() == (key, 1) and len(Words.shown) == 1
    notes.connection.execute("update node_thing set title = 'sky' where id = 'a'")
    changed, encoded = run()
    assert changed != key and encoded == 3 and Words.shown[1] == ["moon", "sky"]


def test_rows_are_scaled_by_training_rows(notes: gs.GraphStore) -> None:
    with pytest.raises(InputError, match="The training rows hold nothing to encode"):  # both are of one age
        featurize(notes, "user", "metadata", split="second", settings={"log_counts": "false"})
    notes.connection.execute("update node_user set age = 7 where id = 'd'")
    (report,) = featurize(notes, "user", "metadata", split="second", settings={"log_counts": "false"})
    assert str(report.use) == "user.*" and (report.rows, report.encoded) == (4, 4)
    sequences, index = read_sequences(notes, report.use, "notes", np.arange(4))
    assert np.allclose(
        sequences.values[index][:, 0], [-1, -2 / 3, -1 / 3, 1]
    )  # users a and d train: mean 4, deviation 3


def test_splits_that_do_not_fit_are_refused(notes: gs.GraphStore) -> None:
    words: Any = Words()
    with pytest.raises(InputError, match="'words' learns from the training rows of a split: name one"):
        featurize(notes, "user.note", words)
    with pytest.raises(InputError, match="'hash_text' learns nothing from the data"):
        featurize(notes, "user.note", HashText(), split="first")
    with pytest.raises(UnknownNameError, match="Did you mean 'first'"):
        featurize(notes, "user.note", words, split="frist")
    with pytest.raises(InputError, match="'first' are of 'user sees thing', so no 'group' has a role in it"):
        featurize(notes, "group.about", words, split="first")
    notes.connection.execute("update splits set dataset = 'other' where split_id = 'second'")
    with pytest.raises(InputError, match="is of the dataset 'other', not of 'notes'"):
        featurize(notes, "user.note", words, split="second")
    notes.connection.execute("update node_thing set title = null where id in ('a', 'b')")
    with pytest.raises(DataError, match="no training row of 'thing' with content"):
        featurize(notes, "thing.title", words, split="first")
    with pytest.raises(InputError, match="'group' has no feature columns of numbers, categories or times"):
        featurize(notes, "group", "metadata", split="first")
    assert Words.shown == [] and notes.sql("select count(*) from feature_sets").fetchall() == [(0,)]
