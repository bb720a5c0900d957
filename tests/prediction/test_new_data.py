"""Predictions for data that came after training: new classes, files of ids, parts of a split in files."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.ingestion import ingest

MAPPING = """
dataset: d
files: {v: views.csv}
nodes:
  user: {ids_from: [v.user]}
  image: {ids_from: [v.image]}
edges:
  - {type: user views image, file: v, src: user, dst: image, columns: {emotion: {kind: category, role: label}}}
"""
SETTINGS = {"label": "emotion"}


def views(folder: Path, *more: str) -> Path:
    """Users and images of the same ids, so that a swapped pair is a pair too."""
    rows = [f"{n % 13:03d},{n // 13:03d},{('joy', 'fear', 'anger')[n * 7 % 3]}" for n in range(160)]
    (folder / "views.csv").write_text("\n".join(["user,image,emotion", *rows, *more]) + "\n")
    (folder / "m.yaml").write_text(MAPPING)
    return folder / "m.yaml"


@pytest.fixture
def store(tmp_path: Path) -> gs.GraphStore:
    store = gs.open(tmp_path / "s.duckdb")
    ingest(store, "table", views(tmp_path))
    return store


def test_a_class_that_training_did_not_know_counts_as_unknown(
    store: gs.GraphStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = gs.train(store, "edge-emotion", model="destination_prior", settings=SETTINGS)
    classes = {"joy", "fear", "anger"}
    ingest(store, "table", views(tmp_path, "new,000,awe", "new,001,joy", "001,new,zeal"))
    with caplog.at_level(logging.WARNING):
        count = gs.predict(store, run)
    assert "2 labels of 'emotion' are of classes that the run was not trained on ('awe', 'zeal')" in caplog.text
    rows = store.sql(
        "select entity_id, other_id, true_label, map_keys(probabilities) from predictions "
        "where entity_id = 'new' or other_id = 'new'"
    ).fetchall()
    assert {(user, image): label for user, image, label, _ in rows} == {
        ("new", "000"): None,
        ("new", "001"): "joy",
        ("001", "new"): None,
    }
    assert all(set(names) == classes for *_, names in rows) and count > 3
    assert gs.evaluate(store, run)["targets"]["emotion"]["rows"] > 0


def test_a_header_in_another_order_names_the_pair(
    store: gs.GraphStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = gs.train(store, "edge-emotion", model="majority", settings=SETTINGS)
    file = tmp_path / "p.csv"
    file.write_text("image;user\n001;007\nnope;007\n;007\n")
    with caplog.at_level(logging.WARNING):
        assert gs.predict(store, run, ids=file) == 1
    assert (
        "2 of 3 rows of" in caplog.text
        and "line 3: no image has the id 'nope'; line 4: the image is missing" in caplog.text
    )
    last = "select entity_id, other_id from predictions order by created_at desc limit 1"
    assert store.sql(last).fetchall() == [("007", "001")]
    file.write_text("a,b\n001,007\n")
    with pytest.raises(InputError, match="call them user and image"):
        gs.predict(store, run, ids=file)


def test_split_files_are_read_by_their_header_and_unknown_rows_are_said(
    store: gs.GraphStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = store.sql(
        "select s.id, d.id, min(emotion) from edge_user_views_image e join node_user s on s.idx = src "
        "join node_image d on d.idx = dst group by all having count(distinct emotion) = 1 order by 1, 2"
    ).fetchall()
    third = len(pairs) // 3
    for number, stem in enumerate(("train", "val", "test")):
        lines = [f"{image},{user}" for user, image, _ in pairs[number * third : (number + 1) * third]]
        (tmp_path / f"{stem}.csv").write_text("\n".join(["image,user", *lines, "000,stranger"]) + "\n")
    with caplog.at_level(logging.WARNING):
        gs.train(store, "edge-emotion", model="majority", split=f"file:{tmp_path}", settings=SETTINGS)
    assert "such as stranger 000" in caplog.text
    members = store.sql("select entity_id, other_id from split_members where role = 'train'").fetchall()
    assert sorted(members) == [(user, image) for user, image, _ in pairs[:third]]
    for content, message in ((b"", "needs a header"), (b"user,image\n\xff,1\n", "is not UTF-8")):
        (tmp_path / "val.csv").write_bytes(content)
        with pytest.raises(InputError, match=f"val.csv' {message}"):
            gs.train(store, "edge-emotion", model="majority", split=f"file:{tmp_path}", settings=SETTINGS)


def test_no_ids_are_an_error(social: gs.GraphStore, tmp_path: Path) -> None:
    run = gs.train(social, "edge-emotion", model="majority")
    with pytest.raises(InputError, match="no ids to predict"):
        gs.predict(social, run, ids=[])
    (tmp_path / "blank.csv").write_bytes(b"user,image\n\r\n\n")
    with pytest.raises(InputError, match="at least one row"):
        gs.predict(social, run, ids=tmp_path / "blank.csv")
