"""Captions are what the model writes, or say that they come from a template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from contract import tiny_captioner
from PIL import Image

import graphsocial as gs
from graphsocial.errors import FeatureError, InputError, MissingFileError
from graphsocial.featurizers.caption import MARK, Caption
from graphsocial.featurizers.faces import Faces
from graphsocial.featurizers.sentence import Sentence
from graphsocial.types import Column, GraphSchema, NodeType


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of a flower that the classifier knows, from scikit-learn."""
    from sklearn.datasets import load_sample_image

    path = tmp_path_factory.mktemp("photo") / "flower.png"
    Image.fromarray(load_sample_image("flower.jpg")).save(path)
    return path


def test_a_template_names_what_is_seen_and_says_that_it_is_one(flower: Path) -> None:
    caption = Caption()
    (text, gone), rejects = caption.captions([flower, flower.parent / "gone.png"])
    assert caption.templated and text.startswith(MARK) and "daisy" in text
    assert gone == "" and list(rejects) == [1]


def test_the_vector_is_that_of_the_caption_without_its_mark(flower: Path) -> None:
    caption = Caption()
    (text,), _ = caption.captions([flower])
    expected = Sentence().encode([text.removeprefix(MARK)]).vectors
    assert np.allclose(caption.encode([flower]).vectors, expected, atol=1e-6)
    assert caption.dimension == expected.shape[1] == 384


def test_captions_are_kept_beside_the_images_they_are_about(flower: Path, tmp_path: Path) -> None:
    image = NodeType("image", (Column("file", "image"),))
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "same.png").write_bytes(flower.read_bytes())
    files = {"a": flower, "b": tmp_path / "same.png", "c": tmp_path / "broken.png"}
    with gs.open(tmp_path / "s.duckdb") as store:
        store.declare(GraphSchema((image,)))
        store.write(image, pl.DataFrame({"id": [*files], "file": [*map(str, files.values())]}), dataset="some")
        for encoded in (1, 0):
            (report,) = gs.featurize(store, "image", Caption())
            assert (report.rows, report.encoded, report.rejected) == (2, encoded, 1)
        rows = store.sql(
            "select id, caption from captions join feature_rows using (set_id, content) "
            "join node_image using (idx) order by id"
        ).fetchall()
        assert store.sql("select count(*) from captions").fetchall() == [(1,)]
    assert [name for name, _ in rows] == ["a", "b"]
    assert rows[0][1] == rows[1][1] and rows[0][1].startswith(MARK) and "daisy" in rows[0][1]


@pytest.mark.skipif(bool(Faces.requires.missing()), reason=f"needs: {Faces.requires.command}")
def test_a_template_counts_faces_where_asked(flower: Path) -> None:
    (text,), _ = Caption(faces=True).captions([flower])
    assert text.endswith("with no face")


def test_a_model_writes_its_own_words(flower: Path, tmp_path: Path) -> None:
    caption = Caption(tiny_captioner(tmp_path / "model"), most_tokens=3)
    texts, rejects = caption.captions([flower, flower.parent / "gone.png", flower])
    assert texts == ["a dog runs", "", "a dog runs"] and list(rejects) == [1]
    assert not caption.templated
    assert Caption(caption.model, most_tokens=2).captions([flower])[0] == ["a dog"]


def test_a_model_is_known_by_what_it_holds(tmp_path: Path) -> None:
    one, two = (Caption(tiny_captioner(tmp_path / name)) for name in ("one", "two"))
    assert one.fingerprint() == two.fingerprint() != Caption().fingerprint()


def test_what_cannot_be_used_is_named(tmp_path: Path, flower: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FeatureError, match="some/captioner"):
        Caption("some/captioner").captions([flower])
    with pytest.raises(MissingFileError):
        Caption("./nowhere").captions([flower])
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(FeatureError, match="of the type 'bert'"):
        Caption(str(tmp_path)).captions([flower])
    with pytest.raises(InputError, match="most_tokens"):
        Caption(most_tokens=0)
