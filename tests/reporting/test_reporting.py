"""Reports: one file that a browser draws without a network, with the sections that apply to the run."""

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


def test_report_has_every_section_that_applies(written: Path, trained: gs.GraphStore) -> None:
    assert headings(written) == [
        *("Scores", "Learning curves", "Classes", "Calibration", "Cold start", "Groups"),
        *("Errors in the graph", "Embeddings", "Gates", "Further analyses", "Model card"),
    ]
    text = written.read_text("utf-8")
    (split_id, data_hash) = trained.sql("select distinct split_id, data_hash from runs").fetchall()[0]
    for text_part in (
        split_id,
        data_hash,
        "user.city",
        "user.age &lt; 40",
        "HMG-Emo",
        "Not for decisions about a person",
    ):
        assert text_part in text, text_part


def test_report_loads_nothing_from_elsewhere(written: Path) -> None:
    text = written.read_text("utf-8").partition("<script>")[0]
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", text)
    assert "@import" not in text
    assert "url(" not in text
    assert written.stat().st_size < 4e6
    assert not list(written.parent.glob(".*.part"))


def test_browser_draws_every_chart(written: Path, tmp_path: Path) -> None:
    assert drawn(written, tmp_path) >= 14


def test_numeric_targets_have_their_own_sections(social: gs.GraphStore, tmp_path: Path) -> None:
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
        "Predicted and true values",
        "Groups",
        "Errors in the graph",
        "Further analyses",
        "Model card",
    ]


def test_runs_that_cannot_be_reported_are_errors(trained: gs.GraphStore, social: gs.GraphStore, tmp_path: Path) -> None:
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
    def fail(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(page, "import_module", fail)
    with pytest.raises(PackageError, match=r"pip install 'graphsocial\[report\]'"):
        writing.report(trained, "latest")


def test_markup_in_texts_is_escaped() -> None:
    markup = "</script><script>alert(1)</script>"
    chart = Chart(markup, {"data": {"values": [{"a": markup}]}, "mark": "bar"}, markup)
    parts = [chart, Table(markup, [markup], [[markup]]), Prose(markup, [markup], bullets=True)]
    text = Page(markup, markup, [(markup, markup, markup)], [markup], [Section(markup, markup, parts)]).html()
    assert "<script>alert" not in text
    assert text.count("<script") == 4


def test_values_and_intervals_are_formatted() -> None:
    table = Table("", ["a", "b"], [[0.12345, "x"], [12345, None], [None, True]])
    assert table.cells == [["0.123", "x"], ["12,345", "–"], ["–", "yes"]]
    assert table.right == [True, False]
    assert page.format_interval(0.5, 0.4, 0.6, signed=True) == "+0.500 (+0.400 to +0.600)"
    assert page.format_interval(0.5, None, None) == "0.500"


def test_traces_have_inputs_representations_and_gates(trained: gs.GraphStore) -> None:
    run = runs.load(trained, "hmg_emo-" + trained.sql("select run_id from runs where seed = 1").fetchall()[0][0][8:])
    traces = embeddings.trace_test_examples(trained, run)
    assert traces.before is not None
    assert traces.after is not None
    assert list(traces.gates) == ["source user", "destination image"] and not traces.attention
    np.testing.assert_allclose(sum(traces.gates.values()), 1, atol=1e-6)
    assert traces.before.shape == (len(traces.gates["source user"]), 2 * SMALL["node_width"])
    assert len(traces.after) == len(traces.ids[0]) == len(traces.ids[1])
    traced = pl.DataFrame(list(traces.ids))
    test_pairs = trained.sql("select entity_id, other_id from split_members where role = 'test'").pl()
    assert traced.join(test_pairs, on=["entity_id", "other_id"], how="anti").height == 0
    # the input vector of a user does not depend on the image of the pair
    for _, rows in traced.with_row_index().group_by("entity_id"):
        users = traces.before[rows["index"].to_numpy(), : SMALL["node_width"]]
        assert np.ptp(users, axis=0).max() < 1e-5
    bare = runs.load(trained, "features_only")
    traces = embeddings.trace_test_examples(trained, bare)
    assert traces.before is not None and traces.after is not None and not traces.gates
    assert traces.after.shape == (len(traces.before), 16)


@pytest.mark.parametrize("epochs", [2, 10, 11, 60])
def test_learning_curves_have_one_point_per_epoch(epochs: int) -> None:
    pytest.importorskip("altair", reason="the report's charts need graphsocial[report]")
    numbers = range(1, epochs + 1)
    frame = pl.DataFrame(
        {"seed": 0, "epoch": numbers, "train_loss": 1.0, "value": 0.5, "best": [number == 2 for number in numbers]},
        schema_overrides={"seed": pl.Int64},
    )
    spec = charts.learning_curves(frame, "weighted_f1")
    drawn_from = next(iter(spec["datasets"].values())) if "datasets" in spec else spec["data"]["values"]
    assert len(drawn_from) == epochs


def test_neighbor_agreement_of_classes_and_numbers() -> None:
    vectors = np.repeat(np.eye(2), 20, axis=0) + np.random.default_rng(0).normal(0, 0.01, (40, 2))
    assert embeddings.neighbor_agreement(vectors, pl.Series(["a"] * 20 + ["b"] * 20)) == 1
    assert embeddings.neighbor_agreement(vectors, pl.Series(["a", "b"] * 20)) == pytest.approx(0.5, abs=0.15)
    assert embeddings.neighbor_agreement(vectors, pl.Series([1.0] * 20 + [2.0] * 20)) == pytest.approx(1)
    assert embeddings.tsne(vectors).shape == (40, 2)


def test_targets_have_their_own_sections_and_share_the_model_card(social: gs.GraphStore, tmp_path: Path) -> None:
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
        *(
            "Scores: age",
            "Learning curves",
            "Predicted and true values: age",
            "Groups: age",
            "Errors in the graph: age",
        ),
        *("Scores: mood", "Classes: mood", "Calibration: mood", "Groups: mood", "Errors in the graph: mood"),
        *("Further analyses", "Model card"),
    ]
    assert "<dt>age: RMSE</dt>" in path.read_text("utf-8")
