"""The training loop: epochs of batches, selection of the best epoch, checkpoints and decision rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.errors import TrainingError
from graphsocial.evaluation.metrics import LOWER_IS_BETTER
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.batching import Batch, NodeGroups
from graphsocial.graph.loaders import Loader
from graphsocial.models.base import Network, groups_of, penalty_of, predict_batch
from graphsocial.nn.losses import Objective, class_shares, objectives, total_loss
from graphsocial.nn.tuned import tuned_encoders
from graphsocial.training.checkpoints import Epoch as Epoch  # the type of what `report` gets
from graphsocial.training.checkpoints import TrainingState
from graphsocial.training.settings import Batching, Decision, Optimiser, TrainingConfig

AT_ONCE = 4096  # examples per batch where predictions do not depend on the rest of the batch


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        network: the trained network, with the weights of the best epoch.
        objectives: the targets' objectives, with decision rules and prediction intervals from validation.
        history: the epochs in order; empty for models without parameters.
        best_epoch: number of the best epoch, from 1; 0 without epochs.
    """

    network: Network
    objectives: tuple[Objective, ...]
    history: tuple[Epoch, ...]
    best_epoch: int


def fit(
    network: Network,
    loader: Loader,
    train: Tensor,
    validation: Tensor,
    settings: TrainingConfig,
    *,
    metric: str,
    seed: int,
    checkpoint: Path,
    report: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train on the training examples and select the epoch on the validation examples.

    The state is written to `checkpoint` after each epoch. If that file exists, training continues from it, with the
    same result as an uninterrupted training.

    Args:
        network: the network with its initial weights.
        loader: the loader of batches.
        train: (N,) indices of the training examples.
        validation: (N,) indices of the validation examples.
        settings: settings of optimiser, batching and decision rule.
        metric: metric that selects the epoch, by its mean over the targets that have it, unless the settings name
            another; and the decision rule.
        seed: random seed of the order of batches and of dropout.
        checkpoint: the checkpoint's file; see `checkpoints.path`.
        report: called after each epoch.

    Raises:
        TrainingError: the loss is not finite, or the checkpoint belongs to another network.
    """
    graph = loader.graph
    trained = any(True for _ in network.parameters())
    parts = objectives(graph, train, class_weights=settings.class_weights if trained else "none")
    if settings.decision_rule == "weighted":
        parts = tuple(replace(part, decision_offsets=part.scale) if part.target.classes else part for part in parts)
    if not trained:
        return TrainingResult(
            network.eval(), _decided(network, loader, train, validation, parts, settings, metric), (), 0
        )
    state = begin(network, settings, len(train))
    with _deterministic():
        torch.manual_seed(seed)
        state.generator.manual_seed(seed)
        if checkpoint.exists():
            state.load(checkpoint)
        select = settings.select or metric
        sign = -1.0 if select in LOWER_IS_BETTER else 1.0
        while len(state.history) < settings.epochs and state.since_best < settings.patience:
            started = perf_counter()
            losses = list(one_epoch(state, loader, train, parts, settings))
            predictions = score(network, loader.exact, validation, parts)
            value = selection_score(parts, predictions, graph, validation, select)
            epoch = Epoch(
                len(state.history) + 1,
                float(np.mean(losses)),
                select,
                value,
                state.optimizer.param_groups[0]["lr"],
                perf_counter() - started,
            )
            state.end_epoch(epoch, sign * value)
            state.save(checkpoint)
            if report:
                report(epoch)
        state.restore_best()
        parts = _decided(network, loader, train, validation, parts, settings, metric)
    return TrainingResult(network.eval(), parts, tuple(state.history), state.best_epoch)


def begin(network: Network, settings: TrainingConfig, examples: int) -> TrainingState:
    """The state of a training before its first step.

    Args:
        network: the network with its initial weights.
        settings: the settings of the training.
        examples: number of training examples.
    """
    return TrainingState(
        network,
        parameter_groups(network, settings),
        steps=settings.epochs * math.ceil(examples / settings.step_size(examples)),
        share=settings.share,
        weight_decay=settings.weight_decay,
        clip=settings.clip,
    )


def one_epoch(
    state: TrainingState, loader: Loader, train: Tensor, parts: tuple[Objective, ...], batching: Batching
) -> Iterator[float]:
    """Train one epoch, one step per batch; yields the loss of each step.

    Args:
        state: the training's state, which each step changes.
        loader: the loader of batches.
        train: (N,) indices of the training examples.
        parts: the targets' objectives, whose losses are added.
        batching: the settings of batches.

    Raises:
        TrainingError: the loss is not finite.
    """
    network, graph = state.network, loader.graph
    network.train()
    for batch in training_batches(network, loader, train, batching, state.generator):
        outputs = predict_batch(network, graph, batch)
        loss = total_loss(parts, outputs, graph, batch.examples) + penalty_of(network)
        if not loss.requires_grad:
            raise TrainingError(
                f"The outputs of {type(network).__name__} do not depend on its parameters, so it cannot be trained."
            )
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss became {loss.item()} in epoch {len(state.history) + 1}; try a lower learning rate."
            )
        state.step(loss)
        yield float(loss.detach())


def training_batches(
    network: Network, loader: Loader, train: Tensor, batching: Batching, generator: torch.Generator | None = None
) -> Iterator[Batch]:
    """The batches of the training examples in one epoch.

    Args:
        network: the network, whose `together` may keep groups of examples in one batch.
        loader: the loader of batches.
        train: (N,) indices of the training examples.
        batching: the settings of batches.
        generator: generator that shuffles the examples; None keeps their order.
    """
    graph, groups = loader.graph, None
    if len(graph.ends) == 2 and loader.exact.depth:
        end = loader.exact.kept_apart
        share = float(end is not None) if batching.cold_start_share is None else batching.cold_start_share
        groups = NodeGroups(graph.ends[end or 0], share) if share else None
    return loader.batches(train, batching.step_size(len(train)), generator, groups_of(network, graph), groups)


def _decided(
    network: Network,
    loader: Loader,
    train: Tensor,
    validation: Tensor,
    parts: tuple[Objective, ...],
    decision: Decision,
    metric: str,
) -> tuple[Objective, ...]:
    """The objectives with decision rules and prediction intervals that are fitted on validation."""
    if decision.decision_rule != "validated" and all(part.target.classes for part in parts):
        return parts
    predictions = score(network, loader.exact, validation, parts)
    decided = []
    for part in parts:
        name = part.target.name
        labels = loader.graph.target_labels[name][validation]
        labelled = is_known(labels).numpy()
        if part.target.kind == "regression":
            part = part.calibrated(predictions[name], labels)
        elif decision.decision_rule == "validated":
            shares = class_shares(loader.graph, train, part.target)
            part = part.with_best_decision_rule(predictions[name][labelled], labels.numpy()[labelled], shares, metric)
        decided.append(part)
    return tuple(decided)


@torch.no_grad()
def score(
    network: Network, loader: Loader, examples: Tensor, parts: tuple[Objective, ...], *, size: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """Predictions of examples, in their order: target → (N, K) probabilities, or (N,) numbers.

    Args:
        network: the network.
        loader: the loader of batches; `loader.exact` for predictions without sampling.
        examples: (N,) indices of the examples.
        parts: the targets' objectives, which turn outputs into predictions.
        size: examples per batch; labels of a batch's examples are hidden from it. By default all at once, or `AT_ONCE`
            if the network keeps groups of examples in one batch.

    Raises:
        TrainingError: a prediction is not finite, such as after too large steps.
    """
    network.eval()
    tables: dict[str, Tensor] = {}
    positions = torch.empty(loader.graph.num_examples, dtype=torch.int64)
    positions[examples] = torch.arange(len(examples))
    together = groups_of(network, loader.graph)
    size = size or max(1, len(examples) if together is None else AT_ONCE)
    for batch in loader.batches(examples, size, together=together):
        outputs = predict_batch(network, loader.graph, batch)
        for part in parts:
            predictions = part.read(outputs[part.target.name])
            shape = len(examples), *predictions.shape[1:]
            table = tables.setdefault(part.target.name, predictions.new_zeros(shape))
            table[positions[batch.examples]] = predictions
    for name, table in tables.items():
        if not torch.isfinite(table).all():
            raise TrainingError(f"The network's predictions of '{name}' are not finite; try a lower learning rate.")
    return {name: table.numpy() for name, table in tables.items()}


def selection_score(
    parts: tuple[Objective, ...],
    predictions: Mapping[str, NDArray[np.float64]],
    graph: SocialGraph,
    examples: Tensor,
    metric: str,
) -> float:
    """The mean of a metric over the targets that have it; NaN if undefined, such as a correlation of constants.

    Args:
        parts: the targets' objectives.
        predictions: the result of `score`.
        graph: the graph with the labels.
        examples: (N,) indices of the predicted examples.
        metric: name of the metric.

    Raises:
        TrainingError: no target has the metric, or none has a label among the examples.
    """
    values = []
    for part in parts:
        labels = graph.target_labels[part.target.name][examples]
        labelled = is_known(labels).numpy()
        if labelled.any():
            scores = part.metrics(predictions[part.target.name][labelled], labels.numpy()[labelled])
            values += [scores[metric]] if metric in scores else []
    if not values:
        raise TrainingError(f"No target has the metric '{metric}' on the {len(examples):,} validation examples.")
    return float(np.mean(values))


@contextmanager
def _deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def parameter_groups(network: Network, optimiser: Optimiser) -> list[dict[str, Any]]:
    """Parameter groups with their learning rates: the network's, then each layer of the fine-tuned encoders."""
    groups: list[dict[str, Any]] = []
    for encoder in tuned_encoders(network):
        for depth, layer in enumerate(encoder.by_depth()):
            groups.append({"params": layer, "lr": optimiser.encoder_rate * optimiser.layer_decay**depth})
    tuned = {id(part) for group in groups for part in group["params"]}
    others = [part for part in network.parameters() if id(part) not in tuned]
    return [{"params": others, "lr": optimiser.learning_rate}, *groups]
