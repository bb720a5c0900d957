"""The one training loop: it knows batches, losses and checkpoints, and no paper."""

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
from graphsocial.models.base import Network, predict_batch
from graphsocial.nn.losses import Objective, class_shares, objectives, total_loss
from graphsocial.nn.tuned import tuned_encoders
from graphsocial.training.checkpoints import Epoch as Epoch  # it is what training reports
from graphsocial.training.checkpoints import TrainingState
from graphsocial.training.settings import TrainingConfig

AT_ONCE = 4096  # examples in a batch of whole groups, whose answers do not depend on what else is in it


@dataclass(frozen=True)
class TrainingResult:
    """A trained network, what its outputs mean (intervals by the validation examples), its epochs and the best one."""

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
    """Train on `train`, choose the epoch on `validation`; the test examples are not among the arguments.

    After each epoch everything that the next one needs is written to `checkpoint`; a call that finds one goes on from
    it and ends with the same numbers as a call that was never interrupted.

    Args:
        train, validation: positions of examples.
        metric: for the choice of the epoch, unless the settings name another: its mean over the targets that have it;
            and for the naming of classes.
        seed: of the order of batches and of dropout.
        report: called after each epoch.

    Raises:
        TrainingError: the loss is not finite, or the checkpoint is of another network.
    """
    graph = loader.graph
    trained = any(True for _ in network.parameters())
    parts = objectives(graph, train, class_weights=settings.class_weights if trained else "none")
    if settings.naming == "weighted":
        parts = tuple(replace(part, naming=part.scale) if part.target.classes else part for part in parts)
    if not trained:
        return TrainingResult(
            network.eval(), _chosen(network, loader, train, validation, parts, settings, metric), (), 0
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
            said = score(network, loader.exact, validation, parts)
            value = selection_score(parts, said, graph, validation, select)
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
        parts = _chosen(network, loader, train, validation, parts, settings, metric)
    return TrainingResult(network.eval(), parts, tuple(state.history), state.best_epoch)


def begin(network: Network, settings: TrainingConfig, examples: int) -> TrainingState:
    """The state of a training on so many examples before its first step."""
    return TrainingState(
        network,
        parameter_groups(network, settings),
        steps=settings.epochs * math.ceil(examples / settings.step_size(examples)),
        share=settings.share,
        weight_decay=settings.weight_decay,
        clip=settings.clip,
    )


def one_epoch(
    state: TrainingState, loader: Loader, train: Tensor, parts: tuple[Objective, ...], settings: TrainingConfig
) -> Iterator[float]:
    """Learn from each batch of the training examples; the loss of each step, as it is done."""
    network, graph = state.network, loader.graph
    network.train()
    for batch in training_batches(network, loader, train, settings, state.generator):
        outputs = predict_batch(network, graph, batch)
        loss = total_loss(parts, outputs, graph, batch.examples) + network.penalty()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss became {loss.item()} in epoch {len(state.history) + 1}; try a lower learning rate."
            )
        state.step(loss)
        yield float(loss.detach())


def training_batches(
    network: Network, loader: Loader, train: Tensor, settings: TrainingConfig, generator: torch.Generator | None = None
) -> Iterator[Batch]:
    """One epoch's batches of the training examples."""
    graph, groups = loader.graph, None
    if len(graph.ends) == 2 and loader.exact.depth:
        end = loader.exact.kept_apart
        share = float(end is not None) if settings.cold_start_share is None else settings.cold_start_share
        groups = NodeGroups(graph.ends[end or 0], share) if share else None
    return loader.batches(train, settings.step_size(len(train)), generator, network.together(graph), groups)


def _chosen(
    network: Network,
    loader: Loader,
    train: Tensor,
    validation: Tensor,
    parts: tuple[Objective, ...],
    settings: TrainingConfig,
    metric: str,
) -> tuple[Objective, ...]:
    """The objectives with what validation chooses: how classes are named, and how wide intervals are."""
    if settings.naming != "validated" and all(part.target.classes for part in parts):
        return parts
    said, found = score(network, loader.exact, validation, parts), []
    for part in parts:
        answers = loader.graph.answers[part.target.name][validation]
        known = is_known(answers).numpy()
        if part.target.kind == "regression":
            part = part.calibrated(said[part.target.name], answers)
        elif settings.naming == "validated":
            shares = class_shares(loader.graph, train, part.target)
            part = part.named_best(said[part.target.name][known], answers.numpy()[known], shares, metric)
        found.append(part)
    return tuple(found)


@torch.no_grad()
def score(
    network: Network, loader: Loader, examples: Tensor, parts: tuple[Objective, ...], *, size: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """What the network says of these examples, in their order: target → (N, K) probabilities, or (N,) numbers.

    Args:
        parts: what the outputs mean.
        size: examples a batch; a batch sees no answer of its own examples. All at once by default, or `AT_ONCE` where
            the network says which belong together.

    Raises:
        TrainingError: an answer is not finite, after steps that were too large.
    """
    network.eval()
    found: dict[str, Tensor] = {}
    place = torch.empty(loader.graph.num_examples, dtype=torch.int64)
    place[examples] = torch.arange(len(examples))
    together = network.together(loader.graph)
    size = size or max(1, len(examples) if together is None else AT_ONCE)
    for batch in loader.batches(examples, size, together=together):
        outputs = predict_batch(network, loader.graph, batch)
        for part in parts:
            said = part.read(outputs[part.target.name])
            table = found.setdefault(part.target.name, said.new_zeros(len(examples), *said.shape[1:]))
            table[place[batch.examples]] = said
    for name, table in found.items():
        if not torch.isfinite(table).all():
            raise TrainingError(f"The network's answers of '{name}' are not finite; try a lower learning rate.")
    return {name: table.numpy() for name, table in found.items()}


def selection_score(
    parts: tuple[Objective, ...],
    said: Mapping[str, NDArray[np.float64]],
    graph: SocialGraph,
    examples: Tensor,
    metric: str,
) -> float:
    """The metric's mean over the targets that have it; NaN where it is not defined, as correlations of constants.

    Raises:
        TrainingError: no target has it, or none has an answer among these examples.
    """
    values = []
    for part in parts:
        answers = graph.answers[part.target.name][examples]
        known = is_known(answers).numpy()
        if known.any():
            scores = part.metrics(said[part.target.name][known], answers.numpy()[known])
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


def parameter_groups(network: Network, settings: TrainingConfig) -> list[dict[str, Any]]:
    """The parameters with their learning rates: the network's own, then those of tuned encoders, layer by layer."""
    groups: list[dict[str, Any]] = []
    for encoder in tuned_encoders(network):
        for depth, layer in enumerate(encoder.by_depth()):
            groups.append({"params": layer, "lr": settings.encoder_rate * settings.layer_decay**depth})
    tuned = {id(part) for group in groups for part in group["params"]}
    own = [part for part in network.parameters() if id(part) not in tuned]
    return [{"params": own, "lr": settings.learning_rate}, *groups]
