"""Each distinct content is encoded once and committed batch by batch; what cannot be read is listed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

import graphsocial as gs
from graphsocial import contents
from graphsocial.cli.main import app
from graphsocial.errors import DataError, FeatureError, InputError, UnknownNameError
from graphsocial.feature_sets import read_sequences
from graphsocial.featurization import encoder_for, featurize
from graphsocial.featurizers.base import Encoded, Requires, digest, hash_file
from graphsocial.featurizers.hash_text import HashText
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

POST = NodeType("post", (Column("text", "text"), Column("picture", "image"), Column("likes", "integer")))


@dataclass(frozen=True)
class Brightness:
    """The mean red, green and blue of an image: an encoder as a user would write one."""

    batch_size: int = 2
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    requires: ClassVar[Requires] = Requires()
    sequences: ClassVar[bool] = False
    dimension: ClassVar[int] = 3

    def fingerprint(self) -> str:
        return digest(self, leave_out=["batch_size"])

    def encode(self, items: Sequence[Path]) -> Encoded:
        vectors, rejects = np.zeros((len(items), 3), np.float32), {}
        for place, path in enumerate(items):
            try:
                vectors[place] = np.asarray(Image.open(path).convert("RGB")).mean((0, 1))
            except OSError as error:  # noqa: PERF203 - one broken file must not take the batch with it
                rejects[place] = f"not an image: {error}"
        return Encoded.of(vectors, rejects)


@pytest.fixture
def posts(tmp_path: Path) -> gs.GraphStore:
    """Six posts: two with the same text, one empty, one with spaces only; pictures of which two are broken."""
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG not really")
    store = gs.open(tmp_path / "posts.duckdb")
    store.declare(GraphSchema((POST,)))
    rows = pl.DataFrame(
        {
            "id": list("abcdef"),
            "text": ["a fine day", "a fine day", "rain", "", "   ", None],
            "picture": [
                str(tmp_path / name) for name in ("0.png", "1.png", "2.png", "0.png", "broken.png", "gone.png")
            ],
        }
    )
    store.write(POST, rows, dataset="posts")
    return store


def test_equal_content_is_one_vector_and_is_never_encoded_again(posts: gs.GraphStore) -> None:
    (first,) = featurize(posts, "post.text", HashText())
    assert (first.rows, first.encoded, first.reused, first.rejected, first.empty) == (3, 2, 0, 0, 3)
    assert posts.sql("select count(*) from vectors_256").fetchall() == [(2,)]
    (second,) = featurize(posts, "post.text", HashText())
    assert (second.rows, second.encoded, second.reused) == (3, 0, 2)


def test_an_edited_text_is_a_new_vector_and_another_encoder_another_set(posts: gs.GraphStore) -> None:
    (first,) = featurize(posts, "post.text", HashText())
    posts.connection.execute("update node_post set text = 'snow' where id = 'c'")
    (edited,) = featurize(posts, "post.text", HashText())
    assert (edited.encoded, edited.reused) == (1, 1)
    (other,) = featurize(posts, "post.text", HashText(ngrams=(1,)))
    assert other.use.set_id != first.use.set_id
    assert other.encoded == 2


def test_images_that_cannot_be_read_are_listed_with_their_ids(posts: gs.GraphStore) -> None:
    (report,) = featurize(posts, "post.picture", Brightness())  # type: ignore[arg-type]  # it is a Featurizer
    assert (report.rows, report.encoded, report.rejected) == (4, 3, 2)
    listed = dict(posts.sql("select entity_id, reason from feature_rejects").fetchall())
    assert listed.keys() == {"e", "f"}
    assert "not an image" in listed["e"]
    assert "gone.png" in listed["f"]
    red = posts.sql(
        "select vector from feature_rows join vectors_3 using (set_id, content) "
        "join node_post using (idx) where id = 'a'"
    ).fetchall()
    assert red == [((255.0, 0.0, 0.0),)]


def test_no_readable_image_at_all_is_an_error(posts: gs.GraphStore) -> None:
    posts.connection.execute("update node_post set picture = 'nowhere.png'")
    with pytest.raises(FeatureError, match=r"None of the 6 contents of 'post\.picture'"):
        featurize(posts, "post.picture", Brightness())  # type: ignore[arg-type]


CHILD = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import graphsocial as gs
from test_featurization import Brightness
class Killed(Brightness):
    def encode(self, items):
        if len(done) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(items)
        return super().encode(items)
done = []
Killed.__name__ = "Brightness"
from graphsocial.featurization import featurize
with gs.open({store!r}) as store:
    featurize(store, "post.picture", Killed())
"""


def test_a_killed_call_goes_on_and_repeats_no_committed_batch(posts: gs.GraphStore) -> None:
    path = posts.path
    posts.close()
    child = CHILD.format(tests=str(Path(__file__).parent), store=str(path))
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", child], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with gs.open(path) as store:
        assert store.sql("select count(*) from vectors_3").fetchall() == [(2,)]
        assert store.sql("select count(*) from feature_rows").fetchall() == [(0,)]
        (report,) = featurize(store, "post.picture", Brightness())  # type: ignore[arg-type]
        assert (report.encoded, report.reused, report.rows) == (1, 2, 4)


def test_what_and_encoder_are_checked(posts: gs.GraphStore) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'post'"):
        featurize(posts, "posts")
    with pytest.raises(InputError, match=r"x"):
        featurize(posts, "post.likes")
    with pytest.raises(InputError, match="encodes text, but the column holds image"):
        featurize(posts, "post.picture", "hash_text")
    assert encoder_for("hash-text", "text") == HashText()
    assert type(encoder_for("resnet18", "image")).__name__ == "Vision"
    assert encoder_for("vision:resnet18", "image") == encoder_for("resnet18", "image")


def test_an_encoder_that_breaks_its_word_is_an_error(posts: gs.GraphStore) -> None:
    class Liar(Brightness):
        dimension: ClassVar[int] = 4

    with pytest.raises(FeatureError, match="said it makes 4 numbers"):
        featurize(posts, "post.picture", Liar())  # type: ignore[arg-type]


def test_progress_is_told(posts: gs.GraphStore) -> None:
    told: list[tuple[str, int, int]] = []
    featurize(posts, "post.text", HashText(), progress=lambda *step: told.append(step))
    assert told[-1] == ("encoding post.text", 2, 2)


def test_long_texts_come_first(posts: gs.GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    encode = HashText.encode
    monkeypatch.setattr(HashText, "encode", lambda self, items: (seen.extend(items), encode(self, items))[1])
    posts.connection.execute("update node_post set text = id || repeat('x', 7 * idx::int % 5)")
    featurize(posts, "post.text", HashText(batch_size=2))
    lengths = [len(text) for text in seen]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) > 2


def test_files_are_not_read_again_until_they_are_written(
    posts: gs.GraphStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def spy(path: str) -> str:
        read.append(Path(path).name)
        return hash_file(path)

    monkeypatch.setattr(contents, "hash_file", spy)
    for number in range(3):  # a file of just now may change again without a later time
        os.utime(tmp_path / f"{number}.png", (1_000_000, 1_000_000))
    featurize(posts, "post.picture", Brightness())  # type: ignore[arg-type]
    assert sorted(read) == ["0.png", "1.png", "2.png", "broken.png", "gone.png"]
    read.clear()
    featurize(posts, "post.picture", Brightness())  # type: ignore[arg-type]
    assert sorted(read) == ["broken.png", "gone.png"]
    Image.new("RGB", (8, 8), "white").save(tmp_path / "2.png")
    (report,) = featurize(posts, "post.picture", Brightness())  # type: ignore[arg-type]
    assert (report.encoded, report.reused) == (1, 2)
    found, index = read_sequences(posts, report.use, "posts", np.array([2]))
    assert found.values[index[0]].tolist() == [255, 255, 255]


def test_what_was_refused_is_not_tried_again(posts: gs.GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = featurize(posts, "post.picture", Brightness())  # type: ignore[arg-type]
    monkeypatch.setattr(Brightness, "encode", None)
    (again,) = featurize(posts, "post.picture", Brightness())  # type: ignore[arg-type]
    assert (again.rejected, again.rows, again.encoded) == (first.rejected, first.rows, 0)


def test_settings_reach_the_encoder(posts: gs.GraphStore) -> None:
    (report,) = featurize(posts, "post.text", "hash_text", settings={"dimension": "32"})
    assert report.use.dimension == 32
    with pytest.raises(InputError, match="HashText is configured already; leave out dimension"):
        featurize(posts, "post.text", HashText(), settings={"dimension": 32})


def test_a_kind_without_a_default_says_so() -> None:
    with pytest.raises(InputError, match="No encoder reads table by default; name one"):
        encoder_for(None, "table")


def test_a_package_that_is_not_there_is_named_before_anything_runs(posts: gs.GraphStore) -> None:
    class Needy(Brightness):
        requires: ClassVar[Requires] = Requires(("no-such-thing",), "faces", apart=("numpy==1", "no-weights==2.0"))

        def fingerprint(self) -> str:
            raise AssertionError("not reached")

    with pytest.raises(FeatureError) as found:
        featurize(posts, "post.picture", Needy())  # type: ignore[arg-type]
    assert str(found.value) == (
        "'needy' needs no-such-thing, no-weights==2.0. Install with: pip install 'graphsocial[faces]' && "
        "pip install --no-deps numpy==1 no-weights==2.0"
    )


# Encoders that learn


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
    found, index = read_sequences(notes, report.use, "notes", np.arange(4))
    assert np.allclose(found.values[index][:, 0], [-1, -2 / 3, -1 / 3, 1])  # users a and d train: mean 4, deviation 3


def test_splits_that_do_not_fit_are_refused(notes: gs.GraphStore) -> None:
    words: Any = Words()
    with pytest.raises(InputError, match="'words' learns from the training rows of a split: name one"):
        featurize(notes, "user.note", words)
    with pytest.raises(InputError, match="'hash_text' learns nothing from the data"):
        featurize(notes, "user.note", HashText(), split="first")
    with pytest.raises(UnknownNameError, match="Did you mean 'first'"):
        featurize(notes, "user.note", words, split="frist")
    with pytest.raises(InputError, match="deals out 'user sees thing'; it says nothing of which 'group' to train on"):
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


def test_the_example_of_ones_own_featurizer(posts: gs.GraphStore, tmp_path: Path) -> None:
    posts.close()
    file = Path(__file__).resolve().parents[1] / "examples" / "custom_featurizer.py"
    command = ["--store", str(posts.path), "--json", "featurize", "post.picture", "--encoder", str(file), "--set"]
    done = CliRunner().invoke(app, [*command, "grid=1"])
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)
    assert (told["dimension"], told["rows"], told["rejected"]) == (4, 4, 2)
    with gs.open(posts.path, read_only=True) as store:
        vectors = store.sql(
            "select vector from feature_rows join vectors_4 using (content) where idx < 3 order by idx"
        ).fetchall()
    saturation, brightness, contrast, colourful = np.array([row for (row,) in vectors]).T
    assert (saturation == 1).all() and (contrast < 1e-6).all()  # red, green and blue
    assert np.allclose(brightness, [0.299, 0.587 * 128 / 255, 0.114], atol=1e-6) and (colourful > 0.1).all()
