"""Captions can be read by SQL, join the images they are about, and are written once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import graphsocial as gs
from graphsocial.captions import write_captions
from graphsocial.errors import InputError
from graphsocial.featurization import featurize
from graphsocial.featurizers.caption import MARK, Caption
from graphsocial.types import Column, GraphSchema, NodeType


@pytest.fixture
def store(tmp_path: Path) -> gs.GraphStore:
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "same.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no image")
    image = NodeType("image", (Column("file", "image"), Column("title", "text")))
    files = [str(tmp_path / f"{name}.png") for name in ("a", "b", "same", "broken", "gone")]
    with gs.open(tmp_path / "s.duckdb") as store:
        store.declare(GraphSchema((image,)))
        rows = {"id": ["a", "b", "same", "broken", "gone"], "file": files, "title": ["x"] * 5}
        store.write(image, pl.DataFrame(rows), dataset="some")
        yield store


def test_captions_join_their_images_and_are_written_once(store: gs.GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    captioned: list[Path] = []
    captions = Caption.captions

    def counting(self: Caption, items: Sequence[Path]) -> tuple[list[str], dict[int, str]]:
        captioned.extend(items)
        return captions(self, items)

    monkeypatch.setattr(Caption, "captions", counting)
    key = write_captions(store, "image.file")
    assert len(captioned) == 3  # equal files once; the broken one is tried
    assert write_captions(store, "image.file") == key and len(captioned) == 4  # it alone, again
    (report,) = featurize(store, "image.file", Caption())
    assert report.use.set_id == key and report.rows == 3 and report.rejected == 2
    found = store.sql(
        "select id, caption, templated from captions join feature_rows using (set_id, content) "
        "join node_image using (idx) order by id"
    ).fetchall()
    assert [row[0] for row in found] == ["a", "b", "same"] and found[0][1] == found[2][1]
    assert all(caption.startswith(MARK) and templated for _, caption, templated in found)


def test_only_a_column_of_images_can_be_captioned(store: gs.GraphStore) -> None:
    for what in ("image.title", "image"):
        with pytest.raises(InputError, match="not one column of images"):
            write_captions(store, what)
