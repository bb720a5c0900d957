"""Training: reads a run's data, fits a model, predicts, and writes the run to the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from graphsocial import runs
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph import SocialGraph
from graphsocial.models.base import Network, build_network
from graphsocial.runs import Run, records, weights
from graphsocial.runs.provenance import digest
from graphsocial.runs.records import Outcome, RunRecord
from graphsocial.runs.weights import Weights
from graphsocial.store import GraphStore
from graphsocial.tasks import create_view
from graphsocial.tasks.base import Task
from graphsocial.training import checkpoints
from graphsocial.training.config import RunConfig, TrainOptions, design
from graphsocial.training.data import RunData, make_loader, prepare
from graphsocial.training.graph_use import edge_use
from graphsocial.training.inference import open_test, predict_examples, restore
from graphsocial.training.loop import Epoch, TrainingResult, fit
from graphsocial.types import Progress

Report = Callable[[Epoch], None]


def train(
    store: GraphStore,
    task: str | Task,
    *,
    again: bool = False,
    test: bool = True,
    report: Report | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Train a model for a task and write its predictions, metrics and provenance to the store.

    The same call on the same data is the same run: a finished run is returned as it is, an interrupted run continues
    after its last epoch.

    Args:
        store: the store, open for writing.
        task: a registered name such as `edge-emotion`, or a configured task.
        again: train again even if the run is finished; its rows stay until the new training is written.
        test: predict and score the test examples. With False the test set stays closed, so that settings can be
            compared on validation alone; `evaluate`, or the same call with True, opens it later.
        report: called after each epoch.
        progress: called while contents are encoded.
        options: `model`, `dataset`, `split`, `seed`, `epochs`, `features`, `settings` and the other fields of
            `config.TrainOptions`.

    Raises:
        DataError: the data has no usable labels, or a part of the split is empty.
        InputError, UnknownNameError: a setting or name does not exist.
    """
    config = design(store, task, TrainOptions.of(options))
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
    """Train from a complete configuration: what `train` does after `config.design`.

    Args:
        store: the store, open for writing.
        config: the run's configuration.
        again, test, report, progress: see `train`.

    Raises:
        DataError, InputError, TrainingError: as `train`.
    """
    begin = perf_counter()
    data = prepare(store, config, progress=progress)
    run_id = f"{Path(config.model_name).stem}-{data.digest[:8]}"
    status = store.first("select status from runs where run_id = ?", [run_id])
    checkpoint = checkpoints.path(store, run_id)
    if status == ("done",) and not again:
        checkpoints.remove(checkpoint)  # of a training anew that was killed
        run = runs.load(store, run_id)
        return _open_test_later(store, run, config, data) if test and "test" not in run.metrics else run
    if again:
        checkpoints.remove(checkpoint)
    torch.manual_seed(config.seed)
    network = build_network(config.model, data.graph, data.examples("train"), seed=config.seed)
    record = _record(run_id, config, data, network)
    records.start(store, record)
    try:
        outcome = _outcome(store, config, data, network, checkpoint, test=test, report=report, begin=begin)
        records.finish(store, record, outcome)
    except Exception:
        records.stop(store, run_id, "failed")
        raise
    checkpoints.remove(checkpoint)
    return runs.load(store, run_id)


def _outcome(
    store: GraphStore,
    config: RunConfig,
    data: RunData,
    network: Network,
    checkpoint: Path,
    *,
    test: bool,
    report: Report | None,
    begin: float,
) -> Outcome:
    """Train the network and predict."""
    create_view(store, config.task, data.entity, data.graph.targets)
    loader = make_loader(config, data)
    result = fit(
        network,
        loader,
        data.examples("train"),
        data.examples("validation"),
        config.fitting,
        metric=config.task.selection_metric,
        seed=config.seed,
        checkpoint=checkpoint,
        report=report,
    )
    closed = data.roles == ROLES.index("train")
    if not test:
        closed |= data.roles == ROLES.index("test")
    examples = torch.nonzero(~closed).squeeze(1)
    return Outcome(
        predictions=predict_examples(data, result.network, result.objectives, loader, examples),
        weights=_weights(result, data.graph),
        epochs=[tuple(epoch.__dict__.values()) for epoch in result.history],
        edges=edge_use(store, config, data, loader),
        best_epoch=result.best_epoch,
        parameters=sum(parameter.numel() for parameter in result.network.parameters()),
        wall_seconds=perf_counter() - begin,
        tested=test,
    )


def _open_test_later(store: GraphStore, run: Run, config: RunConfig, data: RunData) -> Run:
    """Open the test set of a finished run, on the data that it was trained on."""
    network, objectives = restore(run, config, data, weights.load(store, run.id))
    return open_test(store, run, data, network, objectives, make_loader(config, data), how="train")


def _record(run_id: str, config: RunConfig, data: RunData, network: Network) -> RunRecord:
    sets: dict[str, list[str]] = {}
    for feature in data.features:
        sets.setdefault(str(feature), []).append(feature.set_id)
    return RunRecord(
        run_id=run_id,
        task=config.task.name,
        model=config.model_name,
        dataset=config.dataset,
        seed=config.seed,
        config=config.to_json(),
        config_id=digest({key: value for key, value in config.identity().items() if key != "split"}),
        split_id=data.split_id,
        split=str(config.split),
        data_hash=data.data_hash,
        feature_sets={column: "+".join(ids) for column, ids in sets.items()},
        notes=[*data.notes, *(["transductive"] if network.transductive else [])],
    )


def _weights(result: TrainingResult, graph: SocialGraph) -> Weights:
    """The state of a training that predicting needs."""
    return Weights(
        network=result.network.state_dict(),
        objectives={part.target.name: (part.scale, part.decision_offsets, part.margin) for part in result.objectives},
        classes={target.name: list(target.classes) for target in graph.targets},
        tabular=graph.tabular_state(),
    )
