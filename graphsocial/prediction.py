"""From a trained run to rows in `predictions`, and from those rows to scores."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
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
from graphsocial.experiment import Experiment, Prepared, make_loader, prepare
from graphsocial.featurization import Progress
from graphsocial.graph import SocialGraph
from graphsocial.models.base import Network
from graphsocial.runs import Run
from graphsocial.splits import ROLES
from graphsocial.store import GraphStore
from graphsocial.tabular import Tabular
from graphsocial.training import answer, load_weights

log = logging.getLogger(__name__)
Pairs = Sequence[tuple[str, str]] | Path | str


def predict(
    store: GraphStore,
    run: Run | str,
    *,
    pairs: Pairs | None = None,
    train: bool = False,
    progress: Progress | None = None,
) -> int:
    """Answer with a trained run and write the answers to `predictions`, in one transaction.

    The graph is read anew, so that users, images and edges that came after training take part; the roles are those of
    the run's split, and pairs that are in none of them are answered as new.

    Args:
        run: a run, its id, the start of it, or `latest`.
        pairs: (user id, image id) pairs, or a CSV file whose first two columns they are; they need no edge. By
            default all pairs of the data but the training ones.
        train: answer the training pairs as well, each hidden from the graph when it is asked about.

    Returns:
        How many pairs were answered.

    Raises:
        InputError: a pair's user or image is not in the data, or the run cannot speak about the data as it is now.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    if run.status != "done":
        raise InputError(f"The run '{run.id}' is not done; finish it with the `train` command that began it.")
    state, log_weights, told = load_weights(store, run.id)
    experiment = Experiment.from_run(run)
    tabular = {name: Tabular.restore(part) for name, part in told["tabular"].items()}
    prepared = prepare(store, experiment, tabular=tabular, split_id=run.split_id, progress=progress)
    rows = torch.nonzero(prepared.roles == ROLES.index("train")).squeeze(1)
    network = _rebuild(experiment, prepared, rows, state, run)
    prepared, asked = _asked(prepared, pairs, train)
    answers = answer(prepared, network, log_weights, make_loader(experiment, prepared), asked)
    runs.save_predictions(
        store,
        run.id,
        task=run.task,
        target=prepared.graph.target.name,
        dataset=run.dataset,
        answers=answers,
        as_of=run.config["as_of"],
    )
    return len(asked)


def _rebuild(experiment: Experiment, prepared: Prepared, rows: Tensor, state: dict[str, Tensor], run: Run) -> Network:
    network = experiment.model.build(prepared.graph, rows, seed=experiment.seed)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"The run '{run.id}' cannot speak about the data as it is now: it has parameters for each node, or types "
            "and features have changed since. Train again."
        ) from error
    return network


def _asked(prepared: Prepared, pairs: Pairs | None, train: bool) -> tuple[Prepared, Tensor]:
    """The pairs to answer, with those that have no edge added to the graph's pairs."""
    if pairs is None:
        return prepared, torch.nonzero((prepared.roles != ROLES.index("train")) | torch.tensor(train)).squeeze(1)
    graph = prepared.graph
    given = _read_pairs(pairs)
    src = _numbers(graph, graph.entity[0], [a for a, _ in given])
    dst = _numbers(graph, graph.entity[2], [b for _, b in given])
    size = graph.num_nodes[graph.entity[2]]
    keys, known = src * size + dst, (graph.pair_src * size + graph.pair_dst).numpy()
    order = np.argsort(known, kind="stable")
    at = np.searchsorted(known[order], keys).clip(max=len(known) - 1)
    place = np.where(known[order][at] == keys, order[at], -1)
    fresh = np.unique(keys[place < 0])
    new = torch.from_numpy(fresh)
    extended = graph.with_pairs(new // size, new % size, torch.full((len(new),), -1))
    place[place < 0] = len(known) + np.searchsorted(fresh, keys[place < 0])
    roles = torch.cat([prepared.roles, torch.full((len(new),), -1)])
    return replace(prepared, graph=extended, roles=roles), torch.from_numpy(np.unique(place))


def _read_pairs(pairs: Pairs) -> list[tuple[str, str]]:
    if not isinstance(pairs, Path | str):
        return [(str(a), str(b)) for a, b in pairs]
    path = Path(pairs)
    if not path.is_file():
        raise MissingFileError(f"There is no file '{path}'.")
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"'{path}' cannot be read as CSV: {error}") from error
    if len(frame.columns) < 2 or not frame.height:
        raise InputError(f"'{path}' needs a header, two columns (user id, image id) and at least one row.")
    return list(frame.select(frame.columns[:2]).iter_rows())


def _numbers(graph: SocialGraph, name: str, ids: list[str]) -> NDArray[np.int64]:
    place = {found: number for number, found in enumerate(graph.ids[name])}
    missing = [one for one in ids if one not in place]
    if missing:
        raise InputError(f"No {name} has the id '{missing[0]}' in this data ({len(missing):,} such ids in all).")
    return np.asarray([place[one] for one in ids], dtype=np.int64)


def evaluate(store: GraphStore, run: Run | str, *, split: str = "test") -> dict[str, Any]:
    """Score a run's predictions from the rows in the store, class by class; nothing is predicted anew.

    Returns:
        `metrics` (name → value), `classes` (rows of class, precision, recall, f1, support), `rows`, `run`, `split`.

    Raises:
        DataError: the run has no labelled predictions in that split.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    if split not in ROLES:
        raise InputError(f"'{split}' is no part of a split; use one of {', '.join(ROLES)}.")
    rows = store.sql(
        "select entity_type, entity_id, other_id, probabilities, true_label from predictions "
        "where run_id = ? and split = ? and true_label is not null order by entity_id, other_id",
        [run.id, split],
    ).fetchall()
    if not rows:
        raise DataError(
            f"The run '{run.id}' has no labelled predictions for '{split}'"
            + ("; write them with `predict RUN --train`." if split == "train" else ".")
        )
    classes = tuple(rows[0][3])
    codes = np.asarray([classes.index(row[4]) for row in rows])
    probabilities = np.asarray([[row[3][name] for name in classes] for row in rows], dtype=np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    answers = runs.Answers(
        rows[0][0],
        np.asarray([row[1] for row in rows], dtype=object),
        np.asarray([row[2] for row in rows], dtype=object),
        probabilities,
        classes,
        np.full(len(rows), split, dtype=object),
        codes,
    )
    values, count = answers.metrics(split)
    each = precision_recall_fscore_support(
        codes, probabilities.argmax(axis=1), labels=np.arange(len(classes)), zero_division=0
    )
    table = [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in zip(classes, *each, strict=True)
    ]
    return {"run": run.id, "split": split, "rows": count, "metrics": values, "classes": table}
