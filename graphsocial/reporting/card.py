"""The model card (Mitchell et al. 2019): model, data, split, provenance, intended use and limitations."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import polars as pl
import yaml

from graphsocial.reporting.page import Prose, Section, Table
from graphsocial.reporting.subject import Subject
from graphsocial.store import GraphStore

SHOWN_VERSIONS = ("graphsocial", "python", "torch", "dgl", "duckdb", "numpy", "scikit-learn")


def card(subject: Subject) -> Section:
    """The model card of a run."""
    texts = yaml.safe_load((files("graphsocial.reporting") / "card.yaml").read_text("utf-8"))
    names = {subject.run.model.replace("_", "-"), subject.run.task.replace("_", "-")}
    papers = [paper for paper in texts["papers"] if names & set(paper["names"])]
    parts: list[Table | Prose] = [
        Prose("Intended use", texts["uses"], bullets=True),
        Prose("Out of scope", texts["not_for"], bullets=True),
        Table("Model", (), _model(subject)),
        Table("Data", (), _data(subject)),
        Table("Split", ["role", "rows"], _split(subject), _split_caption(subject)),
        *_graph(subject),
        Table("Provenance", (), _provenance(subject.record)),
        Prose("Limitations", _limitations(subject), bullets=True),
        *(Prose(f"Remarks of the authors: {paper['title']}", paper["notes"], bullets=True) for paper in papers),
    ]
    return Section(
        "Model card",
        "Model, data, intended use and limitations; the sections above have the scores, overall and by group.",
        parts,
    )


def _model(subject: Subject) -> list[list[Any]]:
    record, config = subject.record, subject.record["config"]
    rows: list[list[Any]] = [["run", subject.run.id], ["configuration", record["config_id"]]]
    rows += [["task", _settings(config["task"])], ["model", _settings(config["model"])]]
    rows += [
        ["training", _settings(config.get("fitting", {}))],
        ["visibility", _settings(config.get("visibility", {}))],
    ]
    rows += [["parameters", f"{record['parameters']:,}" if record["parameters"] is not None else None]]
    rows += [["epochs", f"{record['epochs']}, best epoch {record['best_epoch']}"]] if record["epochs"] else []
    return [*rows, ["training seed", str(subject.run.seed)], ["weights", record["checkpoint_hash"]]]


def _settings(values: Mapping[str, Any]) -> str:
    """`name (setting = value, …)`, without empty values."""
    name = values.get("name")
    given = {key: value for key, value in values.items() if key != "name" and value not in (None, [], "")}
    listed = ", ".join(f"{key} = {_setting(value)}" for key, value in given.items())
    return f"{name} ({listed})" if name and listed else str(name or listed)


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _data(subject: Subject) -> list[list[Any]]:
    store, dataset, record = subject.store, subject.run.dataset, subject.record
    rows: list[list[Any]] = [["dataset", dataset]]
    changed = False
    row = store.first("select source, ingested_at, files_hash from datasets where name = ?", [dataset])
    if row:
        source, ingested, files_hash = row
        rows += [["source", f"{source}, ingested {ingested:%Y-%m-%d}"], ["files hash", files_hash or None]]
        changed = store.data_hash(dataset) != record["data_hash"]
    counts = [f"{size:,} {entry}" for entry in store.schema.types if (size := len(store.span(entry, dataset)))]
    rows.append(["rows", ", ".join(counts)])
    rows += [[f"features of {name}", encoder] for name, encoder in _encoders(store, record["feature_sets"]).items()]
    if record["config"]["as_of"]:
        rows.append(["as of", record["config"]["as_of"]])
    return [*rows, ["data hash", record["data_hash"] + (" (the data has changed since)" if changed else "")]]


def _encoders(store: GraphStore, feature_sets: Mapping[str, str]) -> dict[str, str]:
    """Column → its encoder, dimension and feature set."""
    encoders = {}
    for column, set_id in feature_sets.items():
        row = store.first("select encoder, dimension from feature_sets where set_id = ?", [set_id])
        encoders[column] = f"{row[0]}, {row[1]} dimensions, feature set {set_id[:12]}" if row else set_id
    return encoders


def _split(subject: Subject) -> list[list[Any]]:
    rows: list[tuple[str, int]] = subject.store.sql(
        "select role, count(*) from split_members where split_id = ? group by role "
        "order by role <> 'train', role <> 'validation'",
        [subject.run.split_id],
    ).fetchall()
    return [list(row) for row in rows]


def _graph(subject: Subject) -> list[Table | Prose]:
    """The edges that the run's batches may use; nothing for runs from before they were recorded."""
    rows = subject.store.sql(
        "select edge_type, edges, first_batch, last_batch, left_out from run_edges where run_id = ? order by edge_type",
        [subject.run.id],
    ).fetchall()
    columns = ["edge type", "edges", "first batch", "last batch", "left out"]
    caption = "Edges that the first and the last batch may use, in order of time where examples have times."
    return [Table("Graph", columns, [list(row) for row in rows], caption)] if rows else []


def _split_caption(subject: Subject) -> str:
    openings = subject.store.sql(
        "select how, count(*) from test_openings where run_id = ? group by how order by how", [subject.run.id]
    ).fetchall()
    opened = ", ".join(f"{count} × {how}" for how, count in openings)
    return f"Policy: {subject.record['split']}. Split hash: {subject.run.split_id}." + (
        f" Uses of the test set by this run: {opened}." if opened else ""
    )


def _provenance(record: Mapping[str, Any]) -> list[list[Any]]:
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in SHOWN_VERSIONS if name in record["versions"])
    revision = [["revision", record["git_revision"]]] if record["git_revision"] else []
    finished = [["finished", f"{record['finished_at']:%Y-%m-%d %H:%M} UTC"]] if record["finished_at"] else []
    rows: list[list[Any]] = [["versions", versions], *revision, ["machine", record["host"]], *finished]
    if record["wall_seconds"] is not None:
        cost = f"{record['wall_seconds']:,.0f} s, {record['peak_memory_mib']:,.0f} MiB peak"
        rows.append(["time and memory", cost])
    return rows


def _limitations(subject: Subject) -> list[str]:
    """Caveats that follow from the scores and the record of this run."""
    comparison, record = subject.comparison, subject.record
    points = [f"This run has the note ‘{note}’." for note in record["notes"]]
    if "transductive" in record["notes"]:
        points.append(
            "It has parameters for single nodes, such as embeddings of users, which nodes new to training lack."
        )
    if len(subject.seeds) < 3:
        points.append("Fewer than three training seeds: the variation of the scores between trainings is hardly known.")
    groups = comparison.groups
    if groups.height:
        new = groups.filter(pl.col("by") == "cold start")
        if new.height and new["group"].n_unique() == 1:
            points.append(
                "All test rows are in the same cold-start group: scores for other combinations of known and new "
                "endpoints are not known."
            )
        small = groups.filter(pl.col("small"), pl.col("model") == subject.label).height
        if small:
            points.append(f"{small} of the groups above are too small for reliable scores.")
    classes = comparison.classes
    if classes.height and (of_model := classes.filter(model=subject.label)).height:
        worst = of_model.filter(pl.col("support") > 0).sort("f1").row(0, named=True)
        points.append(f"The class with the lowest F1 is ‘{worst['class']}’ ({worst['f1']:.2f}).")
    lift = comparison.lift
    lift = lift.filter(model=subject.label, metric=comparison.metric) if lift.height else lift
    if lift.height and lift["low"][0] is not None and lift["low"][0] <= 0 <= lift["high"][0]:
        points.append(
            "The confidence interval of the graph lift includes 0: the same features without edges may be as good."
        )
    points.append(
        "Labels are self-reported, annotated or assigned; biases of the labels are biases of the predictions."
    )
    return points
