"""Restores trained networks from their weights and predicts examples with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial import runs
from graphsocial.errors import InputError
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph.loaders import Loader
from graphsocial.models.base import Network, build_network
from graphsocial.nn.losses import Objective
from graphsocial.runs import Run, records
from graphsocial.runs.predictions import Predictions, TargetPredictions
from graphsocial.runs.weights import Weights
from graphsocial.store import GraphStore
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData
from graphsocial.training.loop import score


def restore(run: Run, config: RunConfig, data: RunData, weights: Weights) -> tuple[Network, tuple[Objective, ...]]:
    """A run's trained network in evaluation mode, and its objectives.

    Args:
        run: the run, for errors.
        config: the run's configuration.
        data: the run's current data.
        weights: the run's weights.

    Raises:
        InputError: classes, nodes, types, features or settings have changed, so that the weights do not fit; the
            message names a parameter that differs, and settings that the run's configuration lacks.
    """
    if {target.name: list(target.classes) for target in data.graph.targets} != weights.classes:
        raise InputError(f"The run '{run.id}' was trained on other classes than the data has now; train again.")
    network = build_network(config.model, data.graph, data.examples("train"), seed=config.seed)
    try:
        network.load_state_dict(weights.network)
    except RuntimeError as error:
        raise InputError(
            f"The run '{run.id}' cannot predict on the current data: {_difference(weights.network, network)}; "
            f"{_reason(run, config)}. Train again."
        ) from error
    return network.eval(), tuple(Objective(target, *weights.objectives[target.name]) for target in data.graph.targets)


def _difference(saved: Mapping[str, Tensor], network: Network) -> str:
    """The first parameter or buffer in which saved weights differ from a network, and the number of others."""

    def shape(tensors: Mapping[str, Tensor], name: str) -> str:
        return f"has the shape {tuple(tensors[name].shape)}" if name in tensors else "does not exist"

    built = network.state_dict()
    names = [
        name
        for name in dict.fromkeys([*saved, *built])
        if name not in saved or name not in built or saved[name].shape != built[name].shape
    ]
    if not names:
        return "its weights cannot be loaded"
    others = f", and {len(names) - 1:,} others differ" if len(names) > 1 else ""
    return f"in its weights '{names[0]}' {shape(saved, names[0])}, but now it {shape(built, names[0])}{others}"


def _reason(run: Run, config: RunConfig) -> str:
    """Why a run's weights may not fit: settings that its configuration lacks, or else data that have changed."""
    later = config.later_settings(run)
    parts: list[str] = [part for part in ("model", "task") if part in later] or [*later]
    lacking = [f"{part}.{name} = {value!r}" for part in parts for name, value in later[part].items()]
    if lacking:
        fit = "default that its configuration lacks does" if len(lacking) == 1 else "defaults that it lacks do"
        return f"the {fit} not fit: {', '.join(lacking)}"
    return "it has parameters for each node, or types, features or settings have changed since"


def predict_examples(
    data: RunData, network: Network, objectives: tuple[Objective, ...], loader: Loader, examples: Tensor
) -> Predictions:
    """Predict examples with full neighborhoods, one split role at a time.

    A prediction therefore does not depend on which other examples are predicted.

    Args:
        data: the run's data.
        network: the trained network.
        objectives: the targets' objectives, which turn outputs into predictions.
        loader: the loader of the data's graph.
        examples: (N,) indices of examples.
    """
    graph = data.graph
    roles = data.roles[examples]
    predicted: dict[str, NDArray[np.float64]] = {}
    for role in torch.unique(roles).tolist():
        rows = torch.nonzero(roles == role).squeeze(1)
        size = max(1, len(rows) // 10) if role == ROLES.index("train") else None
        for name, values in score(network, loader.exact, examples[rows], objectives, size=size).items():
            predicted.setdefault(name, np.zeros((len(examples), *values.shape[1:])))[rows.numpy()] = values
    role_names = np.asarray([*ROLES, None], dtype=object)
    return Predictions(
        entity_type=str(data.entity),
        ids=graph.example_ids(examples.numpy()),
        splits=role_names[roles.numpy()],
        targets=tuple(
            TargetPredictions(
                part.target,
                predicted[part.target.name],
                graph.target_labels[part.target.name][examples].numpy(),
                part.choose(predicted[part.target.name]) if part.target.classes else None,
                *(part.interval(predicted[part.target.name]) or ()),
            )
            for part in objectives
        ),
    )


def open_test(
    store: GraphStore,
    run: Run,
    data: RunData,
    network: Network,
    objectives: tuple[Objective, ...],
    loader: Loader,
    *,
    how: Literal["train", "evaluate"],
) -> Run:
    """Predict and score the test examples of a run trained with `test=False`, and log the opening of the test set.

    All rows are written in one transaction.

    Args:
        store: the store, open for writing.
        run: the finished run.
        data: the run's data.
        network: the run's trained network.
        objectives: the targets' objectives.
        loader: the loader of the data's graph.
        how: the function that opens the test set, for the log.
    """
    predictions = predict_examples(data, network, objectives, loader, data.examples("test"))
    with store.transaction():
        records.save_predictions(
            store, run.id, task=run.task, dataset=run.dataset, predictions=predictions, as_of=run.config.get("as_of")
        )
        records.save_metrics(store, run.id, predictions, splits=("test",))
        records.log_opening(store, run.id, how)
    return runs.load(store, run.id)
