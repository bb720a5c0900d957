"""From a trained run to rows in `predictions`, and from those rows to scores."""

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
from graphsocial.errors import DataError, InputError, MissingFileError
from graphsocial.evaluation.metrics import multiclass, regression
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
    """Answer with a trained run and write the answers to `predictions`, in one transaction.

    The graph is read anew, so that users, images and edges that came after training take part; the roles are those of
    the run's split, and examples that are in none of them are answered as new.

    Args:
        run: a run, its id, the start of it, or `latest`.
        ids: whom to answer: ids of nodes, or pairs of ids, which need no edge; or a CSV file whose first columns they
            are. By default all examples of the data but the training ones.
        train: answer the training examples as well, each hidden from the graph when it is asked about.

    Returns:
        How many examples were answered.

    Raises:
        InputError: an id is not in the data, or the run cannot speak about the data as it is now.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    restored = rebuild(store, run, progress=progress)
    data, asked = examples_of(restored.data, ids, train=train)
    loader = make_loader(restored.config, data)
    predictions = predict_examples(data, restored.network, restored.objectives, loader, asked)
    tested = (data.roles[asked] == ROLES.index("test")).any()
    with store.transaction():
        records.save_predictions(
            store, run.id, task=run.task, dataset=run.dataset, predictions=predictions, as_of=run.config["as_of"]
        )
        if tested:
            records.log_opening(store, run.id, "predict")
    return len(asked)


@dataclass(frozen=True)
class RestoredRun:
    """A run as it was trained, on the data as it is now: its configuration, its network, what its outputs mean."""

    config: RunConfig
    data: RunData
    network: Network
    objectives: tuple[Objective, ...]


def rebuild(store: GraphStore, run: Run | str, *, progress: Progress | None = None) -> RestoredRun:
    """Read a run's weights and the data that it speaks about.

    Raises:
        InputError: the run is not done, or cannot speak about the data as it is now.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    if run.status != "done":
        raise InputError(f"The run '{run.id}' is not done; finish it with the `train` command that began it.")
    state = weights.load(store, run.id)
    config = RunConfig.from_run(run)
    for name in config.edge_types if config.model.layers else ():
        if not any(str(edge) == name and store.span(edge, run.dataset) for edge in store.schema.edges):
            raise InputError(
                f"The run '{run.id}' hears along '{name}', of which '{run.dataset}' has no edges now. Edges that "
                "`link` made go with the data that they were made of: link again, or train again."
            )
    data = prepare(store, config, tabular=state.tabular, split_id=run.split_id, progress=progress)
    network, objectives = restore(run, config, data, state)
    return RestoredRun(config, data, network, objectives)


def examples_of(data: RunData, ids: Ids | None, *, train: bool = False) -> tuple[RunData, Tensor]:
    """The examples that these ids name; pairs that have no edge are added to the graph's.

    Args:
        ids: see `predict`; None for all examples of the data.
        train: whether the training ones are among all.
    """
    if ids is None:
        return data, torch.nonzero((data.roles != ROLES.index("train")) | torch.tensor(train)).squeeze(1)
    graph = data.graph
    given = _read_ids(ids, [graph.ids[name] for name in graph.end_types])
    numbers = [_numbers(graph, name, [row[end] for row in given]) for end, name in enumerate(graph.end_types)]
    keys, known = _key(graph, numbers), _key(graph, [end.numpy() for end in graph.ends])
    order = np.argsort(known, kind="stable")
    at = np.searchsorted(known[order], keys).clip(max=len(known) - 1)
    place = np.where(known[order][at] == keys, order[at], -1)
    if (place < 0).any() and len(graph.ends) == 1:
        raise InputError(
            f"The task asks nothing about {given[int(np.argmin(place))][0]!r}: it has no line in its labels."
        )
    fresh, first = np.unique(keys[place < 0], return_index=True)
    if len(fresh):
        src, dst = (torch.from_numpy(end[place < 0][first]) for end in numbers)
        graph = graph.with_pairs(src, dst)
        place[place < 0] = len(known) + np.searchsorted(fresh, keys[place < 0])
    roles = torch.cat([data.roles, torch.full((len(fresh),), -1)])
    return replace(data, graph=graph, roles=roles), torch.from_numpy(np.unique(place))


def _key(graph: SocialGraph, ends: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return ends[0] if len(ends) == 1 else ends[0] * graph.num_nodes[graph.end_types[1]] + ends[1]


def _read_ids(ids: Ids, known: Sequence[NDArray[np.object_]]) -> list[tuple[str, ...]]:
    """The ids of each example; `known` has all ids of each end."""
    columns = len(known)
    if not isinstance(ids, Path | str):
        given = [(one,) if isinstance(one, str) else tuple(str(part) for part in one) for one in ids]
        wrong = next((one for one in given if len(one) != columns), None)
        if wrong is not None:
            wanted = "one id, of a node" if columns == 1 else "two ids, of the source and of the destination"
            raise InputError(f"The task's examples have {wanted}; {' '.join(map(repr, wrong))} is {len(wrong)}.")
        return given
    path = Path(ids)
    if not path.is_file():
        raise MissingFileError(f"There is no file '{path}'.")
    try:
        frame = pl.read_csv(path, infer_schema=False, has_header=False)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"'{path}' cannot be read as CSV: {error}") from error
    if len(frame.columns) < columns or frame.height < 2:
        wanted = "a column of ids" if columns == 1 else "two columns of ids, of the source and of the destination,"
        raise InputError(f"'{path}' needs a header, {wanted} and at least one row.")
    header, *rows = frame.select(frame.columns[:columns]).iter_rows()
    if all(one in there for one, there in zip(header, known, strict=True)):
        raise InputError(f"The first line of '{path}' is ids ({', '.join(header)}); put a line with names above it.")
    return rows


def _numbers(graph: SocialGraph, name: str, ids: list[str]) -> NDArray[np.int64]:
    place = {found: number for number, found in enumerate(graph.ids[name])}
    missing = [one for one in ids if one not in place]
    if missing:
        others = len(set(missing)) - 1
        more = f", nor any of {others:,} other ids that were given" if others else ""
        raise InputError(f"No {name} has the id '{missing[0]}' in this data{more}.")
    return np.asarray([place[one] for one in ids], dtype=np.int64)


def evaluate(
    store: GraphStore, run: Run | str, *, split: str = "test", progress: Progress | None = None
) -> dict[str, Any]:
    """Score a run's predictions from the rows in the store; nothing is predicted anew.

    A look at the test part is logged in `test_openings`. The test part of a run that was trained without it is
    predicted and scored now.

    Returns:
        `run`, `split` and `targets`: by name, `rows`, `metrics` (name → value) and, for classes, `classes` (rows of
        class, precision, recall, f1, support).

    Raises:
        DataError: the run has no labelled predictions in that split.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    if split not in ROLES:
        raise InputError(f"'{split}' is no part of a split; use one of {', '.join(ROLES)}.")
    unopened = split == "test" and run.status == "done" and "test" not in run.metrics
    if unopened:
        restored = rebuild(store, run, progress=progress)
        loader = make_loader(restored.config, restored.data)
        run = open_test(store, run, restored.data, restored.network, restored.objectives, loader, how="evaluate")
    rows = store.sql(
        "select target, label, value, lower, upper, probabilities, true_label, true_value from predictions "
        "where run_id = ? and split = ? and (true_label is not null or true_value is not null) "
        "order by target, entity_id, other_id",
        [run.id, split],
    ).pl()
    if not rows.height:
        raise DataError(
            f"The run '{run.id}' has no labelled predictions for '{split}'"
            + ("; write them with `predict RUN --train`." if split == "train" else ".")
        )
    if split == "test" and not unopened:
        records.log_opening(store, run.id, "evaluate")
    found = {str(name): _scores(part) for (name,), part in rows.group_by("target", maintain_order=True)}
    return {"run": run.id, "split": split, "targets": found}


def _scores(rows: pl.DataFrame) -> dict[str, Any]:
    """The scores of one target's rows."""
    if rows["true_label"].null_count() == rows.height:
        bounds = None if rows["lower"].null_count() else (rows["lower"].to_numpy(), rows["upper"].to_numpy())
        values = regression(rows["value"].to_numpy(), rows["true_value"].to_numpy(), bounds)
        return {"rows": rows.height, "metrics": values, "classes": []}
    told = rows["probabilities"].to_list()
    classes = list(told[0])
    probabilities = np.asarray([[row[name] for name in classes] for row in told], dtype=np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    code = {name: place for place, name in enumerate(classes)}
    truth, chosen = (np.asarray([code[name] for name in rows[column]]) for column in ("true_label", "label"))
    each = precision_recall_fscore_support(truth, chosen, labels=np.arange(len(classes)), zero_division=0)
    table = [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in zip(classes, *each, strict=True)
    ]
    return {"rows": rows.height, "metrics": multiclass(probabilities, truth, chosen), "classes": table}
