"""Predictions of a run for a node with other values of its text, image or other columns."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import polars as pl
import torch

from graphsocial import runs
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.features import ENCODABLE, encoder_for, featurize
from graphsocial.prediction import rebuild
from graphsocial.runs import Run
from graphsocial.runs.predictions import Predictions, TargetPredictions
from graphsocial.specs import Spec
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.training.data import make_loader
from graphsocial.training.inference import predict_examples
from graphsocial.types import Column, NodeType


@dataclass(frozen=True)
class Alternative:
    """Predictions of a run for one node, with its stored values and with changed ones.

    Attributes:
        run: id of the run.
        entity_id: id of the node.
        changes: column → the changed value.
        answers: one row per target: `target`; `label` and `confidence`, or `value` with the bounds `lower` and `upper`
            of its interval; and the same columns with the suffix `_if` for the changed values.
    """

    run: str
    entity_id: str
    changes: dict[str, str]
    answers: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON can hold."""
        return {**self.__dict__, "answers": self.answers.to_dicts()}


def what_if(store: GraphStore, run: Run | str, entity_id: str, changes: Mapping[str, object]) -> Alternative:
    """Predict a node again with other values of its columns; the store does not change.

    The columns are changed in a transaction that is rolled back: texts and images are encoded, the context is computed
    and the graph is read as for any prediction.

    Args:
        store: the store of the run, open for writing.
        run: a run of a task about nodes, its id, a prefix of it, or `latest`.
        entity_id: id of the node.
        changes: column → value: a text, the path of an image, a category, a number, or None for a missing value.

    Raises:
        InputError: the run is about pairs, there is no such node, or a value does not fit its column.
        UnknownNameError: there is no such column.
        DataError: the changed node is no longer an example of the task.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    restored = rebuild(store, run)
    node = restored.data.entity
    if not isinstance(node, NodeType):
        raise InputError(
            f"The run '{run.id}' is about pairs ('{node}'); what-if changes nodes. Other pairs are predicted by "
            "`predict RUN --ids FILE.csv`."
        )
    if not changes:
        raise InputError("Name at least one column with its other value, such as text='Another caption'.")
    columns = {column.name: column for column in node.columns}
    for name in changes:
        if name not in columns:
            raise UnknownNameError.of(f"column of '{node}'", name, columns)
    if not store.first(f"select 1 from {quote(node.table)} where id = ? and dataset = ?", [entity_id, run.dataset]):
        raise InputError(f"No {node} has the id '{entity_id}' in this data.")
    before = _predictions(store, run, entity_id)
    with store.undone():
        for name, value in changes.items():
            _change(store, node, columns[name], run.dataset, entity_id, value)
        after = _predictions(store, run, entity_id)
    texts = {name: "" if value is None else str(value) for name, value in changes.items()}
    rows = [
        _row(old) | {f"{key}_if": value for key, value in _row(new).items() if key != "target"}
        for old, new in zip(before.targets, after.targets, strict=True)
    ]
    return Alternative(run.id, entity_id, texts, pl.DataFrame(rows))


def _change(store: GraphStore, node: NodeType, column: Column, dataset: str, entity_id: str, value: object) -> None:
    """Set one value, and encode it with every encoder that was run on the column."""
    if value is not None:
        try:
            ((value,),) = store.sql(f"select cast(? as {column.sql_type})", [value]).fetchall()
        except (InputError, duckdb.Error) as error:
            raise InputError(
                f"'{value}' does not fit the column '{column.name}', which holds a {column.kind}."
            ) from error
    store.connection.execute(
        f"update {quote(node.table)} set {quote(column.name)} = ? where id = ? and dataset = ?",
        [value, entity_id, dataset],
    ).fetchall()
    if column.kind not in ENCODABLE:
        return
    encoders = store.sql(
        "select distinct s.encoder, s.settings from feature_sets as s join feature_rows as r using (set_id) "
        "where s.split_id is null and r.dataset = ? and r.table_name = ? and r.column_name = ? order by all",
        [dataset, node.table, column.name],
    ).fetchall()
    for encoder, settings in encoders:
        if Spec.parse(encoder).name.endswith(".py"):  # a path in a store is not run
            raise InputError(f"The column '{column.name}' was encoded with '{encoder}', which a store cannot name.")
        values = {name: _parsed(text) for name, text in json.loads(settings).items()}
        featurize(store, f"{node}.{column.name}", encoder_for(encoder, column.kind, values), dataset=dataset)


def _parsed(text: str) -> object:
    """The value of a stored setting; encoders parse all settings from text except tuples."""
    return ast.literal_eval(text) if text.startswith("(") else text


def _predictions(store: GraphStore, run: Run, entity_id: str) -> Predictions:
    restored = rebuild(store, run)
    graph = restored.data.graph
    example = np.flatnonzero(graph.example_ids()[0] == entity_id)
    if not len(example):
        raise DataError(f"'{entity_id}' is no longer an example of '{run.task}'.")
    loader = make_loader(restored.config, restored.data)
    return predict_examples(restored.data, restored.network, restored.objectives, loader, torch.from_numpy(example))


def _row(part: TargetPredictions) -> dict[str, Any]:
    """The prediction of one target as columns of a table."""
    row: dict[str, Any] = {"target": part.target.name, "label": None, "confidence": None}
    row |= {"value": None, "lower": None, "upper": None}
    if part.decisions is not None:
        decision = int(part.decisions[0])
        return row | {"label": part.target.classes[decision], "confidence": float(part.predicted[0, decision])}
    bounds = {
        name: None if bound is None else float(bound[0])
        for name, bound in (("lower", part.lower), ("upper", part.upper))
    }
    return row | {"value": float(part.predicted[0])} | bounds
