"""Predictions of a trained run, as rows in `predictions`, and their scores."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor

from graphsocial import runs
from graphsocial.errors import DataError, InputError, StoreError
from graphsocial.evaluation.id_files import read_ids
from graphsocial.evaluation.metrics import multiclass, multilabel, regression
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph import SocialGraph
from graphsocial.models.base import Network
from graphsocial.nn.losses import Objective
from graphsocial.runs import Run, records, weights
from graphsocial.store import GraphStore
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData, make_loader, prepare
from graphsocial.training.inference import open_test, predict_examples, restore
from graphsocial.types import Progress

log = logging.getLogger(__name__)
Ids = Sequence[str | tuple[str, str]] | Path | str


def predict(
    store: GraphStore,
    run: Run | str,
    *,
    ids: Ids | None = None,
    train: bool = False,
    progress: Progress | None = None,
) -> int:
    """Predict examples with a trained run and write the predictions to `predictions`, in one transaction.

    The graph is read again, so it includes users, images and edges that were added after training. Examples have the
    roles of the run's split; those without a role are predicted as new ones. A run of an earlier version takes the
    defaults of settings that did not exist then, and its configuration in `runs` lists them under `defaulted`.

    Args:
        store: the store of the run, open for writing.
        run: a run, its id, a prefix of it, or `latest`.
        ids: the examples to predict: ids of nodes, or pairs of ids, which need no edge; or a CSV file, whose header
            says which column is which end and whose rows without an id of the data are counted and left out. By
            default all examples of the data except those of the training role.
        train: predict the training examples as well, each with its label hidden.
        progress: called with the name of the step, steps done and steps in all.

    Returns:
        The number of examples predicted.

    Raises:
        InputError: an id is not in the data, or the run does not fit the data as it is now.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    restored = rebuild(store, run, progress=progress)
    data, examples = examples_of(restored.data, ids, train=train)
    loader = make_loader(restored.config, data)
    predictions = predict_examples(data, restored.network, restored.objectives, loader, examples)
    opens_test = (data.roles[examples] == ROLES.index("test")).any()
    with store.transaction():
        records.save_predictions(
            store, run.id, task=run.task, dataset=run.dataset, predictions=predictions, as_of=run.config.get("as_of")
        )
        records.record_defaults(store, run.id, restored.config.later_settings(run))
        if opens_test:
            records.log_opening(store, run.id, "predict")
    return len(examples)


@dataclass(frozen=True)
class RestoredRun:
    """A trained run, on the data as it is now.

    Attributes:
        config: its configuration.
        data: the graph, the labels and the split.
        network: its network with the trained weights.
        objectives: the objective of each target, which turns outputs into predictions.
    """

    config: RunConfig
    data: RunData
    network: Network
    objectives: tuple[Objective, ...]


def rebuild(store: GraphStore, run: Run | str, *, progress: Progress | None = None) -> RestoredRun:
    """Read the weights and the data of a run.

    Args:
        store: the store of the run.
        run: a run, its id, a prefix of it, or `latest`.
        progress: called with the name of the step, steps done and steps in all.

    Raises:
        InputError: the run is not done, or does not fit the data as it is now.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    if run.status != "done":
        raise InputError(f"The run '{run.id}' is not done; repeat its `train` command to finish it.")
    state = weights.load(store, run.id)
    config = RunConfig.from_run(run, allow_code=store.allow_code)
    for name in config.edge_types if config.model.layers else ():
        if not any(str(edge) == name and store.span(edge, run.dataset) for edge in store.schema.edges):
            raise InputError(
                f"The run '{run.id}' passes messages along '{name}', of which '{run.dataset}' has no edges now. Edges "
                "that `link` wrote are deleted with the data that they were computed from: link again, or train again."
            )
    data = prepare(
        store, config, tabular=state.tabular, split_id=run.split_id, classes=state.classes, progress=progress
    )
    network, objectives = restore(run, config, data, state)
    return RestoredRun(config, data, network, objectives)


def examples_of(data: RunData, ids: Ids | None, *, train: bool = False) -> tuple[RunData, Tensor]:
    """The examples with these ids; pairs that have no edge are added to the graph's examples.

    Args:
        data: the data of the run.
        ids: see `predict`; None for all examples of the data.
        train: without ids, include the training examples.

    Returns:
        The data with the added pairs, and (B,) int64 sorted positions of the examples.
    """
    if ids is None:
        return data, torch.nonzero((data.roles != ROLES.index("train")) | torch.tensor(train)).squeeze(1)
    graph = data.graph
    rows = _read_file(Path(ids), graph) if isinstance(ids, Path | str) else _checked_ids(ids, len(graph.end_types))
    if not rows:
        raise InputError("There are no ids to predict; leave `ids` out for all examples.")
    nodes = [_node_numbers(graph, name, [row[end] for row in rows]) for end, name in enumerate(graph.end_types)]
    keys, known = _key(graph, nodes), _key(graph, [end.numpy() for end in graph.ends])
    order = np.argsort(known, kind="stable")
    candidates = np.searchsorted(known[order], keys).clip(max=len(known) - 1)
    examples = np.where(known[order][candidates] == keys, order[candidates], -1)
    if (examples < 0).any() and len(graph.ends) == 1:
        raise InputError(
            f"{rows[int(np.argmin(examples))][0]!r} is no example of the task: it has no row in the task's labels."
        )
    new_keys, first = np.unique(keys[examples < 0], return_index=True)
    if len(new_keys):
        src, dst = (torch.from_numpy(end[examples < 0][first]) for end in nodes)
        graph = graph.with_pairs(src, dst)
        examples[examples < 0] = len(known) + np.searchsorted(new_keys, keys[examples < 0])
    roles = torch.cat([data.roles, torch.full((len(new_keys),), -1)])
    return replace(data, graph=graph, roles=roles), torch.from_numpy(np.unique(examples))


def _key(graph: SocialGraph, ends: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """One integer for each example, from the node numbers of its endpoints."""
    return ends[0] if len(ends) == 1 else ends[0] * graph.num_nodes[graph.end_types[1]] + ends[1]


def _checked_ids(ids: Sequence[str | tuple[str, str]], ends: int) -> list[tuple[str, ...]]:
    """The ids of each example, as many as an example has ends."""
    examples = [(entry,) if isinstance(entry, str) else tuple(str(part) for part in entry) for entry in ids]
    wrong = next((example for example in examples if len(example) != ends), None)
    if wrong is not None:
        expected = "one id, of a node" if ends == 1 else "two ids, of the source and of the destination"
        raise InputError(f"The task's examples have {expected}; {' '.join(map(repr, wrong))} is {len(wrong)}.")
    return examples


def _read_file(path: Path, graph: SocialGraph) -> list[tuple[str, ...]]:
    """The ids of each row of a CSV file that are in the data; the others are counted and said."""
    known = [set(graph.ids[name]) for name in graph.end_types]
    file = read_ids(path, graph.end_types, known=known)
    rejects = list(file.rejects)
    rows = []
    for line, row in zip(file.lines, file.rows, strict=True):
        missing = [(name, node) for name, node, ids in zip(graph.end_types, row, known, strict=True) if node not in ids]
        if missing:
            rejects.append((line, f"no {missing[0][0]} has the id '{missing[0][1]}'"))
        else:
            rows.append(row)
    if rejects:
        shown = "; ".join(f"line {line}: {reason}" for line, reason in sorted(rejects)[:3])
        said = f"{len(rejects):,} of {file.read:,} rows of '{path}' are not predicted: {shown}"
        if not rows:
            raise InputError(f"{said}. Ids are those of the data now: ingest new ones first.")
        log.warning("%s%s.", said, "; …" if len(rejects) > 3 else "")
    return rows


def _node_numbers(graph: SocialGraph, name: str, ids: list[str]) -> NDArray[np.int64]:
    """(N,) local node numbers of these ids of a node type."""
    number_of = {node_id: number for number, node_id in enumerate(graph.ids[name])}
    missing = [node_id for node_id in ids if node_id not in number_of]
    if missing:
        others = len(set(missing)) - 1
        more = f", nor any of {others:,} other ids that were given" if others else ""
        raise InputError(f"No {name} has the id '{missing[0]}' in this data{more}.")
    return np.asarray([number_of[node_id] for node_id in ids], dtype=np.int64)


def evaluate(
    store: GraphStore, run: Run | str, *, split: str = "test", progress: Progress | None = None
) -> dict[str, Any]:
    """Score the stored predictions of a run; no model is run, with one exception.

    Scoring the test set is logged in `test_openings`, where the store is open for writing. The test set of a run that
    was trained with the test set closed is predicted first.

    Args:
        store: the store of the run.
        run: a run, its id, a prefix of it, or `latest`.
        split: `train`, `validation` or `test`.
        progress: called with the name of the step, steps done and steps in all.

    Returns:
        `run`, `split` and `targets`: by name, `rows`, `metrics` (name → value) and, for classes, `classes` (rows of
        class, precision, recall, f1, support).

    Raises:
        DataError: the run has no labelled predictions in that split.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    if split not in ROLES:
        raise InputError(f"'{split}' is no split role; use one of {', '.join(ROLES)}.")
    unopened = split == "test" and run.status == "done" and "test" not in run.metrics
    if unopened and store.read_only:
        raise StoreError(
            f"The test part of the run '{run.id}' is closed, and opening it is logged in the store, which cannot be "
            "written now; score --split validation, or evaluate where it can be written."
        )
    if unopened:
        restored = rebuild(store, run, progress=progress)
        loader = make_loader(restored.config, restored.data)
        run = open_test(store, run, restored.data, restored.network, restored.objectives, loader, how="evaluate")
    rows = store.sql(
        "select target, label, value, lower, upper, confidence, probabilities, true_label, true_value from predictions "
        "where run_id = ? and split = ? and (true_label is not null or true_value is not null) "
        "order by target, entity_id, other_id, label",
        [run.id, split],
    ).pl()
    if not rows.height:
        raise DataError(
            f"The run '{run.id}' has no labelled predictions for '{split}'"
            + ("; write them with `predict RUN --train`." if split == "train" else ".")
        )
    if split == "test" and not unopened and not store.read_only:
        records.log_opening(store, run.id, "evaluate")
    targets = {str(name): _scores(part) for (name,), part in rows.group_by("target", maintain_order=True)}
    return {"run": run.id, "split": split, "targets": targets}


def _scores(rows: pl.DataFrame) -> dict[str, Any]:
    """The scores of one target's rows."""
    if rows["label"].null_count() == 0 and rows["true_label"].null_count() == rows.height:
        return _label_scores(rows)
    if rows["true_label"].null_count() == rows.height:
        bounds = None if rows["lower"].null_count() else (rows["lower"].to_numpy(), rows["upper"].to_numpy())
        values = regression(rows["value"].to_numpy(), rows["true_value"].to_numpy(), bounds)
        return {"rows": rows.height, "metrics": values, "classes": []}
    stored = rows["probabilities"].to_list()
    classes = list(stored[0])
    probabilities = np.asarray([[row[name] for name in classes] for row in stored], dtype=np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    code_of = {name: code for code, name in enumerate(classes)}
    truth, predicted = (np.asarray([code_of[name] for name in rows[column]]) for column in ("true_label", "label"))
    class_scores = precision_recall_fscore_support(truth, predicted, labels=np.arange(len(classes)), zero_division=0)
    table = [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in zip(classes, *class_scores, strict=True)
    ]
    return {"rows": rows.height, "metrics": multiclass(probabilities, truth, predicted), "classes": table}


def _label_scores(rows: pl.DataFrame) -> dict[str, Any]:
    """The scores of a target with several labels per example, whose rows are sorted by example and label."""
    classes = rows["label"].unique().sort().to_list()
    probabilities, truth, predicted = (
        rows[name].to_numpy().reshape(-1, len(classes)) for name in ("confidence", "true_value", "value")
    )
    truth, predicted = truth.astype(np.int64), predicted.astype(np.int64)
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, zero_division=0)
    table = [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in zip(classes, precision, recall, f1, support, strict=True)
    ]
    metrics = multilabel(probabilities.astype(np.float64), truth, predicted)
    return {"rows": len(truth), "metrics": metrics, "classes": table}
