"""Each distinct content is encoded once and committed batch by batch; what cannot be read is listed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

import graphsocial as gs
from graphsocial._compat.hashing import hash_file
from graphsocial.cli.main import app
from graphsocial.errors import FeatureError, InputError, UnknownNameError
from graphsocial.features import encoder_for, featurize, file_hashes
from graphsocial.features.vectors import read_sequences
from graphsocial.featurizers.base import Encoded, Requires, digest
from graphsocial.featurizers.hash_text import HashText
from graphsocial.types import Column, GraphSchema, NodeType

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


# An encoder in a file of its own, for other processes: it writes down what it is given.
SLOW = """
from dataclasses import dataclass
from pathlib import Path
from time import sleep
import numpy as np
from graphsocial.featurizers.base import Encoded, Requires, digest

@dataclass(frozen=True)
class Slow:
    log: str
    batch_size: int = 1
    modalities = ("text",)
    requires = Requires()
    sequences = False
    dimension = 1

    def fingerprint(self):
        return digest(self, leave_out=["log"])

    def encode(self, items):
        with Path(self.log).open("a") as file:
            file.writelines(item + "\\n" for item in items)
        sleep(0.01)
        return Encoded(np.ones((len(items), 1), np.float32))
"""
PROGRAM = [sys.executable, "-c", "from graphsocial.cli.main import run; run()"]


@pytest.fixture
def slow(tmp_path: Path) -> list[str]:
    """A store of 120 texts, closed, and the command that encodes them; it writes them down in `log`, one a line."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "log").touch()
    with gs.open(tmp_path / "many.duckdb") as store:
        store.declare(GraphSchema((NodeType("post", (Column("text", "text"),)),)))
        rows = pl.DataFrame({"id": [f"p{n}" for n in range(120)], "text": [f"text {n}" for n in range(120)]})
        store.write(store.schema.node("post"), rows, dataset="posts")
    options = ["--store", str(tmp_path / "many.duckdb"), "--encoder", str(tmp_path / "slow.py")]
    return [*PROGRAM, "featurize", "post.text", *options, "--set", f"log={tmp_path / 'log'}"]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_repeats_no_committed_batch(slow: list[str], tmp_path: Path) -> None:
    """kill -9 from outside, wherever the process is then: in the encoder, in a commit, between two batches."""

    def begun() -> list[str]:
        return (tmp_path / "log").read_text().splitlines()

    for kills, (start, after) in enumerate([(10, 0.0), (40, 0.004), (70, 0.011)], 1):
        with subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while len(begun()) < start and process.poll() is None:
                time.sleep(0.001)
            time.sleep(after)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        with gs.open(tmp_path / "many.duckdb") as store:
            contents = store.sql("select content from vectors_1").fetchall()
            assert len(set(contents)) == len(contents) >= start - kills  # only the batch in hand was lost
            assert set(begun()) >= {
                text
                for (text,) in store.sql(
                    "select text from node_post where sha256(text) in (select content from vectors_1)"
                ).fetchall()
            }
            assert store.sql("select count(*) from feature_rows").fetchall() == [(0,)]
    done = subprocess.run([*slow, "--json"], capture_output=True, text=True, check=True)
    (report,) = json.loads(done.stdout)
    assert report["rows"] == 120 and report["encoded"] + report["reused"] == 120 and report["reused"] >= 67
    assert len(set(begun())) == 120 and len(begun()) <= 120 + 3  # each kill cost one batch of one text at most


def test_a_terminal_shows_how_fast_it_goes_and_how_long_it_takes(slow: list[str]) -> None:
    ours, theirs = pty.openpty()
    terminal = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(slow, stdout=subprocess.DEVNULL, stderr=theirs, env=terminal) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is gone
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    assert process.returncode == 0
    assert b"encoding post.text" in shown
    assert re.search(rb"\d\d%.*0:00:\d\d.*\d/s", shown), shown


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
    with pytest.raises(UnknownNameError, match=r"No featurizer is called 'vison'\. Did you mean 'vision'"):
        encoder_for("vison:resnet18", "image")


def test_an_encoder_that_breaks_its_word_is_an_error(posts: gs.GraphStore) -> None:
    class Liar(Brightness):
        dimension: ClassVar[int] = 4

    with pytest.raises(
        FeatureError, match=r"gave vectors of shape \(2, 3\) for 2 items; as dimension is 4, the shape must be \(2, 4\)"
    ):
        featurize(posts, "post.picture", Liar())  # type: ignore[arg-type]


def test_progress_is_reported(posts: gs.GraphStore) -> None:
    steps: list[tuple[str, int, int]] = []
    featurize(posts, "post.text", HashText(), progress=lambda *step: steps.append(step))
    assert steps[-1] == ("encoding post.text", 2, 2)


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

    monkeypatch.setattr(file_hashes, "hash_file", spy)
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
    sequences, index = read_sequences(posts, report.use, "posts", np.array([2]))
    assert sequences.values[index[0]].tolist() == [255, 255, 255]


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


def test_a_kind_without_a_default_encoder_is_an_error() -> None:
    with pytest.raises(InputError, match="No encoder reads table by default; name one"):
        encoder_for(None, "table")


def test_a_package_that_is_not_there_is_named_before_anything_runs(posts: gs.GraphStore) -> None:
    class Needy(Brightness):
        requires: ClassVar[Requires] = Requires(("no-such-thing",), "faces", apart=("numpy==1", "no-weights==2.0"))

        def fingerprint(self) -> str:
            raise AssertionError("not reached")

    with pytest.raises(FeatureError) as caught:
        featurize(posts, "post.picture", Needy())  # type: ignore[arg-type]
    assert str(caught.value) == (
        "'needy' needs no-such-thing, no-weights==2.0. Install with: pip install 'graphsocial[faces]' && "
        "pip install --no-deps numpy==1 no-weights==2.0"
    )


def test_the_example_of_ones_own_featurizer(posts: gs.GraphStore, tmp_path: Path) -> None:
    posts.close()
    file = Path(__file__).resolve().parents[2] / "examples" / "custom_featurizer.py"
    command = ["--store", str(posts.path), "--json", "featurize", "post.picture", "--encoder", str(file), "--set"]
    done = CliRunner().invoke(app, [*command, "grid=1"])
    assert done.exit_code == 0, done.output
    (report,) = json.loads(done.stdout)
    assert (report["dimension"], report["rows"], report["rejected"]) == (4, 4, 2)
    with gs.open(posts.path, read_only=True) as store:
        vectors = store.sql(
            "select vector from feature_rows join vectors_4 using (content) where idx < 3 order by idx"
        ).fetchall()
    saturation, brightness, contrast, colourful = np.array([row for (row,) in vectors]).T
    assert (saturation == 1).all() and (contrast < 1e-6).all()  # red, green and blue
    assert np.allclose(brightness, [0.299, 0.587 * 128 / 255, 0.114], atol=1e-6) and (colourful > 0.1).all()
