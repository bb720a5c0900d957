"""The model card (Mitchell et al. 2019): what the model is, what it was made from, what it is for and what not."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from graphsocial.reporting.page import Prose, Section, Table
from graphsocial.reporting.subject import Subject
from graphsocial.store import GraphStore

SHOWN_VERSIONS = ("graphsocial", "python", "torch", "dgl", "duckdb", "numpy", "scikit-learn")


def card(subject: Subject) -> Section:
    """Everything about the run that is not a score."""
    told = yaml.safe_load((files("graphsocial.reporting") / "card.yaml").read_text("utf-8"))
    names = {subject.run.model.replace("_", "-"), subject.run.task.replace("_", "-")}
    papers = [paper for paper in told["papers"] if names & set(paper["names"])]
    parts: list[Table | Prose] = [
        Prose("Intended use", told["uses"], points=True),
        Prose("Out of scope", told["not_for"], points=True),
        Table("The model", (), _model(subject)),
        Table("The data", (), _data(subject)),
        Table("The split", ["part", "rows"], _split(subject), _hashes(subject)),
        Table("Made with", (), _provenance(subject.record)),
        Prose("Limits", _limits(subject), points=True),
        *(Prose(f"What the authors say: {paper['title']}", paper["notes"], points=True) for paper in papers),
    ]
    return Section(
        "Model card",
        "What the model is, what it was made from, what it is for; its scores, also by group, stand above.",
        parts,
    )


def _model(subject: Subject) -> list[list[Any]]:
    record, config = subject.record, subject.record["config"]
    rows: list[list[Any]] = [["run", subject.run.id], ["configuration", record["config_id"]]]
    rows += [["task", _settings(config["task"])], ["model", _settings(config["model"])]]
    rows += [["training", _settings(config["fitting"])], ["what it may see", _settings(config["visibility"])]]
    rows += [["parameters", f"{record['parameters']:,}" if record["parameters"] is not None else None]]
    rows += [["epochs", f"{record['epochs']}, the best one is {record['best_epoch']}"]] if record["epochs"] else []
    return [*rows, ["training seed", str(subject.run.seed)], ["weights", record["checkpoint_hash"]]]


def _settings(values: Mapping[str, Any]) -> str:
    name = values.get("name")
    given = {key: value for key, value in values.items() if key != "name" and value not in (None, [], "")}
    told = ", ".join(f"{key} = {_setting(value)}" for key, value in given.items())
    return f"{name} ({told})" if name and told else str(name or told)


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _data(subject: Subject) -> list[list[Any]]:
    store, dataset, record = subject.store, subject.run.dataset, subject.record
    rows: list[list[Any]] = [["dataset", dataset]]
    changed = False
    found = store.first("select source, ingested_at, files_hash from datasets where name = ?", [dataset])
    if found:
        source, ingested, files_hash = found
        rows += [["source", f"{source}, ingested {ingested:%Y-%m-%d}"], ["files hash", files_hash or None]]
        changed = store.data_hash(dataset) != record["data_hash"]
    counts = [f"{size:,} {entry}" for entry in store.schema.types if (size := len(store.span(entry, dataset)))]
    rows.append(["rows", ", ".join(counts)])
    rows += [[f"features of {name}", told] for name, told in _encoders(store, record["feature_sets"]).items()]
    if record["config"]["as_of"]:
        rows.append(["only what had happened by", record["config"]["as_of"]])
    return [*rows, ["data hash", record["data_hash"] + (" (the data has changed since)" if changed else "")]]


def _encoders(store: GraphStore, feature_sets: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for column, set_id in feature_sets.items():
        row = store.first("select encoder, dimension from feature_sets where set_id = ?", [set_id])
        found[column] = f"{row[0]}, {row[1]} numbers, set {set_id[:12]}" if row else set_id
    return found


def _split(subject: Subject) -> list[list[Any]]:
    rows: list[tuple[str, int]] = subject.store.sql(
        "select role, count(*) from split_members where split_id = ? group by role "
        "order by role <> 'train', role <> 'validation'",
        [subject.run.split_id],
    ).fetchall()
    return [list(row) for row in rows]


def _hashes(subject: Subject) -> str:
    openings = subject.store.sql(
        "select how, count(*) from test_openings where run_id = ? group by how order by how", [subject.run.id]
    ).fetchall()
    opened = ", ".join(f"{count} × {how}" for how, count in openings)
    return f"Policy: {subject.record['split']}. Split hash: {subject.run.split_id}." + (
        f" The test part was opened by this run: {opened}." if opened else ""
    )


def _provenance(record: Mapping[str, Any]) -> list[list[Any]]:
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in SHOWN_VERSIONS if name in record["versions"])
    revision = [["revision", record["git_revision"]]] if record["git_revision"] else []
    finished = [["finished", f"{record['finished_at']:%Y-%m-%d %H:%M} UTC"]] if record["finished_at"] else []
    rows: list[list[Any]] = [["versions", versions], *revision, ["machine", record["host"]], *finished]
    if record["wall_seconds"] is not None:
        cost = f"{record['wall_seconds']:,.0f} s, {record['peak_memory_mib']:,.0f} MiB at most"
        rows.append(["time and memory", cost])
    return rows


def _limits(subject: Subject) -> list[str]:
    """What this run's own numbers say about how far it can be trusted."""
    found, record = subject.comparison, subject.record
    points = [f"‘{note}’ is noted on this run." for note in record["notes"]]
    if "transductive" in record["notes"]:
        points.append("It holds parameters for single nodes, so it has nothing of its own to say about new ones.")
    if len(subject.seeds) < 3:
        points.append("Fewer than three training seeds: how much chance of training moves the scores is hardly known.")
    by = found.groups
    if by.height:
        new = by.filter(by["by"] == "cold start")
        if new.height and new["group"].n_unique() == 1:
            points.append("No test row has an end that is new to training: nothing is known about new users or things.")
        small = by.filter(by["small"], by["model"] == subject.label).height
        if small:
            points.append(f"{small} of the groups above are too small for their scores to say much.")
    weak = found.classes.filter(found.classes["model"] == subject.label) if found.classes.height else found.classes
    if weak.height:
        worst = weak.filter(weak["support"] > 0).sort("f1").row(0, named=True)
        points.append(f"The class that it recognises worst is ‘{worst['class']}’ (F1 {worst['f1']:.2f}).")
    lift = found.lift.filter(model=subject.label, metric=found.metric) if found.lift.height else found.lift
    if lift.height and lift["low"][0] is not None and lift["low"][0] <= 0 <= lift["high"][0]:
        points.append("The interval of the graph lift includes 0: the same features without edges may do as well.")
    points.append("Labels are what people wrote, chose or were assigned; where these are biased, so are the answers.")
    return points
