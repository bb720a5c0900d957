"""Each distinct content is encoded once and committed batch by batch; what cannot be read is listed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from PIL import Image

import graphsocial as gs
from graphsocial.errors import FeatureError, InputError, UnknownNameError
from graphsocial.featurization import encoder_for, featurize
from graphsocial.featurizers.base import Encoded, digest
from graphsocial.featurizers.hash_text import HashText
from graphsocial.types import Column, GraphSchema, NodeType

POST = NodeType("post", (Column("text", "text"), Column("picture", "image"), Column("likes", "integer")))


@dataclass(frozen=True)
class Brightness:
    """The mean red, green and blue of an image: an encoder as a user would write one."""

    batch_size: int = 2
    modality: ClassVar[str] = "image"
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
    with pytest.raises(InputError, match=r"no text or image column 'likes'"):
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
