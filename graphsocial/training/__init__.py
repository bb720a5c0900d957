"""From a store to a trained run: prepare, fit, predict, record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial import runs
from graphsocial.errors import InputError, TrainingError
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph import SocialGraph
from graphsocial.graph.loaders import Loader
from graphsocial.models.base import Network, build_network
from graphsocial.nn.losses import Objective
from graphsocial.runs import Predictions, Run, TargetPredictions
from graphsocial.store import GraphStore
from graphsocial.tasks import create_view
from graphsocial.tasks.base import Task
from graphsocial.training.checkpoints import below, read_tensors, write_tensors
from graphsocial.training.config import RunConfig, TrainOptions, design
from graphsocial.training.data import RunData, make_loader, prepare
from graphsocial.training.loop import Epoch, TrainingResult, fit, score
from graphsocial.types import Progress

if TYPE_CHECKING:
    from typing_extensions import Unpack

Report = Callable[[Epoch], None]
Weights = tuple[dict[str, Tensor], dict[str, tuple[Tensor, Tensor, float | None]], dict[str, Any]]
"""The network's state, each target's scale, naming and margin, and the rest as JSON."""


def train(
    store: GraphStore,
    task: str | Task,
    *,
    again: bool = False,
    test: bool = True,
    report: Report | None = None,
    progress: Progress | None = None,
    **asked: Unpack[TrainOptions],
) -> Run:
    """Train a model for a task and write its predictions, metrics and provenance to the store.

    The same call on the same data is the same run: one that is done is returned as it is, one that was interrupted
    goes on from its last epoch.

    Args:
        task: a registered name such as `edge-emotion`, or a configured task.
        again: train anew even if the run is done.
        test: predict and score the test part. Without, it stays closed, and `evaluate`, or the same call with it,
            opens it later; so that many settings can be tried by validation alone.
        report: called after each epoch.
        progress: called while content is encoded.
        asked: `model`, `dataset`, `split`, `seed`, `epochs`, `features`, `settings` and more: see
            `config.TrainOptions`.

    Raises:
        DataError: the data has no usable labels, or a part of the split is empty.
        InputError, UnknownNameError: a setting or name that does not exist.
    """
    config = design(store, task, **asked)
    return carry_out(store, config, again=again, test=test, report=report, progress=progress)


def carry_out(
    store: GraphStore,
    config: RunConfig,
    *,
    again: bool = False,
    test: bool = True,
    report: Report | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train as a complete configuration says: what `train` does after `config.design`."""
    begin = perf_counter()
    data = prepare(store, config, progress=progress)
    run_id = f"{Path(config.model_name).stem}-{data.digest[:8]}"
    found = store.first("select status from runs where run_id = ?", [run_id])
    if found and found[0] == "done" and not again:
        run = runs.load(store, run_id)
        return _open_later(store, run, config, data) if test and "test" not in run.metrics else run
    checkpoint = runs.folder(store, run_id) / "checkpoint.safetensors"
    if again:
        checkpoint.unlink(missing_ok=True)
    torch.manual_seed(config.seed)
    learnt = data.examples("train")
    network = build_network(config.model, data.graph, learnt, seed=config.seed)
    runs.start(
        store,
        run_id=run_id,
        task=config.task.name,
        model=config.model_name,
        dataset=config.dataset,
        seed=config.seed,
        config=config.to_json(),
        split_id=data.split_id,
        split=str(config.split),
        data_hash=data.data_hash,
        feature_sets=_set_ids(data),
        notes=[*data.notes, *(["transductive"] if network.transductive else [])],
    )
    create_view(store, config.task, data.entity, data.graph.targets)
    loader = make_loader(config, data)
    try:
        fitted = fit(
            network,
            loader,
            learnt,
            data.examples("validation"),
            config.fitting,
            metric=config.task.selection_metric,
            seed=config.seed,
            checkpoint=checkpoint,
            report=report,
        )
    except TrainingError:
        runs.end(store, run_id, "failed")
        raise
    closed = data.roles == ROLES.index("train")
    if not test:
        closed |= data.roles == ROLES.index("test")
    answers = answer(data, fitted.network, fitted.objectives, loader, torch.nonzero(~closed).squeeze(1))
    _record(store, run_id, config, data, fitted, answers, begin, test=test)
    checkpoint.unlink(missing_ok=True)  # weights.safetensors has what is needed from here on
    return runs.load(store, run_id)


def _open_later(store: GraphStore, run: Run, config: RunConfig, data: RunData) -> Run:
    """Open the test part of a run that is done, on the data that it was trained on."""
    network, parts = restore(run, config, data, load_weights(store, run.id))
    return open_test(store, run, data, network, parts, make_loader(config, data), how="train")


def _set_ids(data: RunData) -> dict[str, str]:
    """Column → the feature sets used of it, joined by `+`."""
    found: dict[str, list[str]] = {}
    for use in data.features:
        found.setdefault(str(use), []).append(use.set_id)
    return {column: "+".join(sets) for column, sets in found.items()}


def _record(
    store: GraphStore,
    run_id: str,
    config: RunConfig,
    data: RunData,
    fitted: TrainingResult,
    answers: Predictions,
    begin: float,
    *,
    test: bool,
) -> None:
    """Write weights beside the store, then predictions, scores and the end of the run into it, in one transaction."""
    hashed = save_weights(store, run_id, fitted, data.graph)
    with store.transaction():
        runs.save_predictions(
            store,
            run_id,
            task=config.task.name,
            dataset=config.dataset,
            answers=answers,
            as_of=config.to_json()["as_of"],
        )
        runs.save_metrics(store, run_id, answers, splits=("validation", "test") if test else ("validation",))
        if test:
            runs.log_opening(store, run_id, "train")
        if fitted.history:
            store.connection.executemany(
                "insert into run_epochs values (?, ?, ?, ?, ?, ?, ?)",
                [[run_id, *epoch.__dict__.values()] for epoch in fitted.history],
            )
        store.connection.execute(
            "update runs set status = 'done', finished_at = now(), checkpoint_hash = ?, parameters = ?, epochs = ?, "
            "best_epoch = ?, wall_seconds = ?, peak_memory_mib = ? where run_id = ?",
            [
                hashed,
                sum(p.numel() for p in fitted.network.parameters()),
                len(fitted.history),
                fitted.best_epoch,
                perf_counter() - begin,
                runs.peak_memory_mib(),
                run_id,
            ],
        )


def open_test(
    store: GraphStore,
    run: Run,
    data: RunData,
    network: Network,
    parts: tuple[Objective, ...],
    loader: Loader,
    *,
    how: Literal["train", "evaluate"],
) -> Run:
    """Predict and score the test part of a run that was trained without it, and log that; one transaction."""
    answers = answer(data, network, parts, loader, data.examples("test"))
    with store.transaction():
        runs.save_predictions(
            store, run.id, task=run.task, dataset=run.dataset, answers=answers, as_of=run.config["as_of"]
        )
        runs.save_metrics(store, run.id, answers, splits=("test",))
        runs.log_opening(store, run.id, how)
    return runs.load(store, run.id)


def answer(
    data: RunData, network: Network, parts: tuple[Objective, ...], loader: Loader, examples: Tensor
) -> Predictions:
    """Predict by the whole graph, role by role, so that no answer depends on which other examples are asked for."""
    graph = data.graph
    roles = data.roles[examples]
    said: dict[str, NDArray[np.float64]] = {}
    for role in torch.unique(roles).tolist():
        rows = torch.nonzero(roles == role).squeeze(1)
        few = max(1, len(rows) // 10) if role == ROLES.index("train") else None
        for name, found in score(network, loader.exact, examples[rows], parts, size=few).items():
            said.setdefault(name, np.zeros((len(examples), *found.shape[1:])))[rows.numpy()] = found
    names = np.asarray([*ROLES, None], dtype=object)
    return Predictions(
        entity_type=str(data.entity),
        ids=graph.example_ids(examples.numpy()),
        splits=names[roles.numpy()],
        targets=tuple(
            TargetPredictions(
                part.target,
                said[part.target.name],
                graph.answers[part.target.name][examples].numpy(),
                part.choose(said[part.target.name]) if part.target.kind == "multiclass" else None,
                *(part.interval(said[part.target.name]) or ()),
            )
            for part in parts
        ),
    )


def save_weights(store: GraphStore, run_id: str, fitted: TrainingResult, graph: SocialGraph) -> str:
    """Write what predicting needs: weights, scales of the targets, fitted encodings. Returns the file's hash."""
    told = {
        "classes": json.dumps({target.name: target.classes for target in graph.targets}),
        "tabular": json.dumps({name: part.state() for name, part in graph.tabular.items()}),
        "margins": json.dumps({part.target.name: part.margin for part in fitted.objectives}),
    }
    tensors = {f"network/{name}": tensor for name, tensor in fitted.network.state_dict().items()}
    for part in fitted.objectives:
        tensors |= {f"scale/{part.target.name}": part.scale, f"naming/{part.target.name}": part.naming}
    return write_tensors(runs.folder(store, run_id) / "weights.safetensors", tensors, told)


def load_weights(store: GraphStore, run_id: str) -> Weights:
    """Read it back.

    Raises:
        TrainingError: another version wrote it.
    """
    tensors, texts = read_tensors(runs.folder(store, run_id) / "weights.safetensors")
    told = {name: json.loads(value) for name, value in texts.items()}
    lacking = {"classes", "tabular", "margins"} - told.keys()
    if lacking:
        raise TrainingError(
            f"The weights of '{run_id}' were written by another version of graphsocial: they do not say "
            f"{' and '.join(sorted(lacking))}. Train the run again, with --again."
        )
    naming = below(tensors, "naming/")
    parts = {name: (scale, naming[name], told["margins"][name]) for name, scale in below(tensors, "scale/").items()}
    return below(tensors, "network/"), parts, told


def restore(run: Run, config: RunConfig, data: RunData, weights: Weights) -> tuple[Network, tuple[Objective, ...]]:
    """A run's network as it was trained, and what its outputs mean.

    Raises:
        InputError: the run cannot speak about the data as it is now.
    """
    state, learnt, told = weights
    if {target.name: list(target.classes) for target in data.graph.targets} != told["classes"]:
        raise InputError(f"The run '{run.id}' knows other classes than the data has now; train again.")
    network = build_network(config.model, data.graph, data.examples("train"), seed=config.seed)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"The run '{run.id}' cannot speak about the data as it is now: it has parameters for each node, or types "
            "and features have changed since. Train again."
        ) from error
    return network.eval(), tuple(Objective(target, *learnt[target.name]) for target in data.graph.targets)
