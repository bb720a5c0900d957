"""Files and images of a dataset lie under the folder that the user named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.ingestion import ingest

MAPPING = """
dataset: small
root: .
files: {rows: "PATH"}
nodes:
  picture: {file: rows, id: id, columns: {file: image}}
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[gs.GraphStore]:
    folder = tmp_path / "sent"
    folder.mkdir()
    (folder / "rows.csv").write_text("id,file\n1,a.png\n")
    (tmp_path / "secret.csv").write_text("id,file\n1,a.png\n")
    with gs.open(tmp_path / "x.duckdb") as store:
        yield store


def mapping(store: gs.GraphStore, path: str, root: str = ".") -> Path:
    file = store.path.parent / "sent" / "mapping.yaml"
    file.write_text(MAPPING.replace("PATH", path).replace("root: .", f"root: {root}"))
    return file


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("../secret.csv", "."),
        ("link.csv", "."),
        ("secret.csv", ".."),
        ("secret.csv", "${HOME}"),
        ("folder/*.csv", "."),
        ("secret.csv", "FOLDER"),
    ],
)
def test_a_mapping_reads_its_own_folder(
    store: gs.GraphStore, path: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = store.path.parent
    monkeypatch.setenv("HOME", str(outside))
    (outside / "sent" / "link.csv").symlink_to(outside / "secret.csv")
    (outside / "sent" / "folder").symlink_to(outside)
    file = mapping(store, path, root.replace("FOLDER", str(outside)))
    with pytest.raises(InputError, match=r"lies outside of what you named .*--allow-outside"):
        ingest(store, "table", file)
    assert ingest(store, "table", file, allow_outside=True).rows == {"picture": 1}


def test_what_the_user_names_is_read(store: gs.GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = store.path.parent
    assert ingest(store, "table", mapping(store, "rows.csv")).rows == {"picture": 1}
    assert ingest(store, "table", mapping(store, "secret.csv"), settings={"root": outside}).changed
    monkeypatch.setenv("SOME_DATA", str(outside))
    assert ingest(store, "table", mapping(store, "secret.csv", "${SOME_DATA}")).rows == {"picture": 1}
    with pytest.raises(InputError, match="lies outside"):
        ingest(store, "table", mapping(store, "*/secret.csv", "${SOME_DATA}/.."), settings={})


@pytest.mark.parametrize("sql", ["(select content from read_text('/etc/passwd'))", "unnest([1, 2])", "1; drop table x"])
def test_the_sql_of_a_mapping_is_one_expression(store: gs.GraphStore, sql: str) -> None:
    file = mapping(store, "rows.csv")
    file.write_text(file.read_text().replace("file: image", f'stolen: {{kind: text, sql: "{sql}"}}'))
    with pytest.raises(InputError, match="cannot be used"):
        ingest(store, "table", file)
    with pytest.raises(InputError, match="cannot be used"):
        file.write_text(MAPPING.replace("PATH", "rows.csv").replace("id: id", f'id: id, where: "{sql}"'))
        ingest(store, "table", file)


def test_images_are_regular_files_under_the_root(store: gs.GraphStore) -> None:
    folder = store.path.parent / "sent"
    for place in (folder, folder.parent):
        Image.new("RGB", (32, 32), "red").save(place / "a.png")
    Image.new("RGB", (32, 32), "blue").save(folder / "b.png")
    (folder / "link.png").symlink_to(folder.parent / "a.png")
    (folder / "inside.png").symlink_to(folder / "b.png")
    os.mkfifo(folder / "pipe.png")
    with (folder / "huge.png").open("wb") as file:
        file.truncate(1 << 29)
    names = {
        "a.png": None,
        "./b.png": None,
        "inside.png": None,
        "../a.png": "lies outside",
        "../sent/a.png": None,
        "link.png": "lies outside",
        str(folder.parent / "a.png"): "lies outside",
        "/dev/zero": "no regular file",
        "pipe.png": "no regular file",
        "../../../../../../../etc/passwd": "lies outside",
        "huge.png": "at most 268,435,456 are read",
        ".": "no regular file",
        "absent.png": "There is no file",
    }
    rows = "\n".join(f'{number},"{name}"' for number, name in enumerate(names))
    (folder / "rows.csv").write_text(f"id,file\n{rows}\n")
    file = mapping(store, "rows.csv")
    ingest(store, "table", file)
    (report,) = gs.featurize(store, "picture.file", "vision")
    reasons = dict(
        store.sql("select node.file, reason from feature_rejects as r join node_picture as node using (idx)").fetchall()
    )
    for name, reason in names.items():
        assert (reason is None) == (name not in reasons), (name, reasons.get(name))
        assert reason is None or reason in reasons[name]
    ingest(store, "table", file, allow_outside=True)
    (report,) = gs.featurize(store, "picture.file", "vision")
    left = store.sql("select count(*) from feature_rejects where reason like '%outside%'").fetchall()
    assert left == [(0,)] and report.rows == 7
