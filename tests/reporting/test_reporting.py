"""Reports: one file that a browser opens without a network and draws whole; sections only where they apply."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from browsing import drawn, headings
from conftest import write_social
from predicted import answer, write_run

import graphsocial as gs
from graphsocial import runs
from graphsocial.errors import DataError, InputError, MissingFileError, PackageError
from graphsocial.reporting import charts, embeddings, page, writing
from graphsocial.reporting.page import Chart, Page, Prose, Section, Table

pytest.importorskip("altair", reason="the packages of the extra `report` are not installed")
pytest.importorskip("vl_convert", reason="the packages of the extra `report` are not installed")

SMALL = {"layers": 2, "width": 16, "node_width": 16, "edge_width": 16, "epochs": 3, "batch_size": 64}
HASHED = {"group.description": "hash_text", "user views image.comment": "hash_text"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    """A store with two seeds of hmg_emo and one of the same features without edges."""
    with gs.open(tmp_path_factory.mktemp("report") / "social.duckdb") as store:
        write_social(store, users=60)
        for seed in range(2):
            gs.train(store, "edge-emotion", seed=seed, settings=SMALL, features=HASHED)
        gs.train(store, "edge-emotion", model="features-only", settings={"epochs": 3, "width": 16}, features=HASHED)
        yield store


@pytest.fixture(scope="module")
def written(trained: gs.GraphStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the first run."""
    run_id = trained.sql("select run_id from runs where model = 'hmg_emo' and seed = 1").fetchall()[0][0]
    output = tmp_path_factory.mktemp("page") / "page.html"
    return gs.report(trained, run_id, output=output, against=["features-only"], by=["user.age < 40"], samples=100)


def test_a_report_has_every_section_that_applies(written: Path, trained: gs.GraphStore) -> None:
    assert headings(written) == [
        *("Scores", "Learning curves", "Classes", "Calibration", "Cold start", "Groups"),
        *("Errors in the graph", "Embeddings", "Gates", "Not asked yet", "Model card"),
    ]
    text = written.read_text("utf-8")
    (split_id, data_hash) = trained.sql("select distinct split_id, data_hash from runs").fetchall()[0]
    for said in (split_id, data_hash, "user.city", "user.age &lt; 40", "HMG-Emo", "Not for decisions about a person"):
        assert said in text, said


def test_a_report_loads_nothing(written: Path) -> None:
    text = written.read_text("utf-8").partition("<script>")[0]
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", text)
    assert "@import" not in text
    assert "url(" not in text
    assert written.stat().st_size < 4e6
    assert not list(written.parent.glob(".*.part"))


def test_a_browser_draws_it_whole(written: Path, tmp_path: Path) -> None:
    assert drawn(written, tmp_path) >= 14


def test_answers_that_are_numbers_have_their_own_sections(social: gs.GraphStore, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.normal(30, 8, 40)
    rows = [
        {"entity_id": f"u{n}", "target": "age", "value": float(true + random.normal(0, 3)), "true_value": float(true)}
        for n, true in enumerate(truth)
    ]
    config = {"task": {"name": "user-age"}, "model": {"name": "m"}, "fitting": {}, "visibility": {}, "as_of": None}
    write_run(social, "a", rows, model="m", task="user-age", entity_type="user", config=config)
    path = gs.report(social, "a", output=tmp_path / "a.html", inside=False, samples=100)
    assert headings(path) == [
        "Scores",
        "Predicted and true",
        "Groups",
        "Errors in the graph",
        "Not asked yet",
        "Model card",
    ]


def test_what_cannot_be_reported_is_told(trained: gs.GraphStore, social: gs.GraphStore, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="There is no folder"):
        gs.report(trained, "latest", output=tmp_path / "nowhere" / "page.html")
    write_run(social, "a", [answer("u1", "i1", "awe", [1, 0, 0], split="validation")])
    with pytest.raises(DataError, match="no labelled test predictions"):
        gs.report(social, "a", output=tmp_path / "page.html")
    social.connection.execute("update runs set status = 'running'")
    with pytest.raises(InputError, match="is not done"):
        gs.report(social, "a", output=tmp_path / "page.html")
    assert not list(tmp_path.glob("*.html"))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, trained: gs.GraphStore) -> None:
    def none(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(page, "import_module", none)
    with pytest.raises(PackageError, match=r"pip install 'graphsocial\[report\]'"):
        writing.report(trained, "latest")


def test_text_cannot_break_out_of_the_page() -> None:
    evil = "</script><script>alert(1)</script>"
    chart = Chart(evil, {"data": {"values": [{"a": evil}]}, "mark": "bar"}, evil)
    parts = [chart, Table(evil, [evil], [[evil]]), Prose(evil, [evil], points=True)]
    text = Page(evil, evil, [(evil, evil, evil)], [evil], [Section(evil, evil, parts)]).html()
    assert "<script>alert" not in text
    assert text.count("<script") == 4


def test_numbers_are_written_for_people() -> None:
    table = Table("", ["a", "b"], [[0.12345, "x"], [12345, None], [None, True]])
    assert table.cells == [["0.123", "x"], ["12,345", "–"], ["–", "yes"]]
    assert table.right == [True, False]
    assert page.interval(0.5, 0.4, 0.6, signed=True) == "+0.500 (+0.400 to +0.600)"
    assert page.interval(0.5, None, None) == "0.500"


def test_the_network_shows_the_ends_of_the_examples(trained: gs.GraphStore) -> None:
    run = runs.load(trained, "hmg_emo-" + trained.sql("select run_id from runs where seed = 1").fetchall()[0][0][8:])
    seen = embeddings.look(trained, run)
    assert seen.before is not None
    assert seen.after is not None
    assert list(seen.gates) == ["source user", "destination image"] and not seen.attention
    np.testing.assert_allclose(sum(seen.gates.values()), 1, atol=1e-6)
    assert seen.before.shape == (len(seen.gates["source user"]), 2 * SMALL["node_width"])
    assert len(seen.after) == len(seen.ids[0]) == len(seen.ids[1])
    asked = pl.DataFrame(list(seen.ids))
    known = trained.sql("select entity_id, other_id from split_members where role = 'test'").pl()
    assert asked.join(known, on=["entity_id", "other_id"], how="anti").height == 0
    # what is seen of a user before messages are passed does not depend on the image beside it
    for _, rows in asked.with_row_index().group_by("entity_id"):
        users = seen.before[rows["index"].to_numpy(), : SMALL["node_width"]]
        assert np.ptp(users, axis=0).max() < 1e-5
    bare = runs.load(trained, "features_only")
    seen = embeddings.look(trained, bare)
    assert seen.before is not None and seen.after is not None and not seen.gates
    assert seen.after.shape == (len(seen.before), 16)


@pytest.mark.parametrize("epochs", [2, 10, 11, 60])
def test_learning_curves_have_a_point_an_epoch(epochs: int) -> None:
    pytest.importorskip("altair", reason="the report's charts need graphsocial[report]")
    numbers = range(1, epochs + 1)
    frame = pl.DataFrame(
        {"seed": 0, "epoch": numbers, "train_loss": 1.0, "value": 0.5, "best": [number == 2 for number in numbers]},
        schema_overrides={"seed": pl.Int64},
    )
    spec = charts.learning_curves(frame, "weighted_f1")
    drawn_from = next(iter(spec["datasets"].values())) if "datasets" in spec else spec["data"]["values"]
    assert len(drawn_from) == epochs


def test_neighbours_that_agree_are_counted() -> None:
    vectors = np.repeat(np.eye(2), 20, axis=0) + np.random.default_rng(0).normal(0, 0.01, (40, 2))
    assert embeddings.agreement(vectors, pl.Series(["a"] * 20 + ["b"] * 20)) == 1
    assert embeddings.agreement(vectors, pl.Series(["a", "b"] * 20)) == pytest.approx(0.5, abs=0.15)
    assert embeddings.agreement(vectors, pl.Series([1.0] * 20 + [2.0] * 20)) == pytest.approx(1)
    assert embeddings.picture(vectors).shape == (40, 2)


def test_several_targets_share_what_they_have_in_common(social: gs.GraphStore, tmp_path: Path) -> None:
    rows = []
    for n in range(40):
        truth = "awe" if n % 2 else "fear"
        rows.append({"entity_id": f"u{n}", "target": "age", "value": 30.0 + n % 3, "true_value": 20.0 + n})
        rows.append({**answer(f"u{n}", "", truth, [0.6, 0.3, 0.1], target="mood"), "other_id": None})
    config = {"task": {"name": "user-age"}, "model": {"name": "m"}, "fitting": {}, "visibility": {}, "as_of": None}
    write_run(social, "a", rows, model="m", task="user-age", entity_type="user", config=config)
    social.connection.executemany(
        "insert into run_epochs values ('a', ?, 0.5, 'rmse', 2.0, 0.01, 1.0)", [[epoch] for epoch in (1, 2)]
    )
    path = gs.report(social, "a", output=tmp_path / "a.html", inside=False, samples=100)
    assert headings(path) == [
        *("Scores: age", "Learning curves", "Predicted and true: age", "Groups: age", "Errors in the graph: age"),
        *("Scores: mood", "Classes: mood", "Calibration: mood", "Groups: mood", "Errors in the graph: mood"),
        *("Not asked yet", "Model card"),
    ]
    assert "<dt>age: RMSE</dt>" in path.read_text("utf-8")
