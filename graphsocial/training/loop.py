"""The one training loop: it knows batches, losses and checkpoints, and no paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.errors import InputError, TrainingError, UnknownNameError
from graphsocial.evaluation.metrics import LOWER_IS_BETTER, METRICS
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.batching import Batch, NodeGroups
from graphsocial.graph.loaders import Loader
from graphsocial.models.base import Network, predict_batch
from graphsocial.nn.kernels import NAMES as KERNELS
from graphsocial.nn.losses import Objective, class_shares, objectives, total_loss
from graphsocial.nn.tuned import tuned_encoders
from graphsocial.training.checkpoints import Epoch as Epoch  # it is what training reports
from graphsocial.training.checkpoints import TrainingState

AT_ONCE = 4096  # examples in a batch of whole groups, whose answers do not depend on what else is in it


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Attributes:
        epochs: at most so many. The paper's 20 are 6,000 steps at IESN's size; ours have 16 steps each at most.
        batch_size: examples a step; 0 for 512 (HMG-Emo's), or a sixteenth of the training examples where that is more.
        learning_rate: Adam's, annealed to 0 along a cosine over all steps.
        encoder_rate: the same for the top layer of encoders that are trained too (`tune`).
        layer_decay: each layer of such an encoder has this times the rate of the one above it.
        warm_up: the share of the steps over which all rates rise from 0 at first.
        weight_decay: decoupled (AdamW); each step shrinks the weights by this share of the learning rate.
        class_weights: `balanced` weighs each class by the inverse of its training share, `sqrt` by the root of that,
            which unbalances the gradients less. Either is taken out of the predicted probabilities again, so that
            these stay honest. `none` is the setting of HMG-Emo's authors.
        naming: which class is named: the `likeliest`, or by argmax p / share^τ with the τ that is best on validation
            (`validated`), which may name rare classes more often, or the likeliest one by the class weights of the loss
            (`weighted`), which does so without a choice. Probabilities are the same.
        select: the metric that chooses the epoch on validation; by default the task's. The log loss chooses with less
            noise than metrics of named classes, and leaves the naming to `naming`.
        patience: stop after so many epochs without a better validation score.
        loader: `full` passes messages over the whole graph, `sampled` over sampled neighbourhoods.
        fanouts: for `sampled`, neighbours per relation, the layer nearest to the examples first; the last number is
            used for further layers.
        kernel: what passes messages along edges: `fused` (the CPU's, compiled), `csr` (torch's sparse products), `dgl`
            (DGL's operators, the reference), or `auto`, the fastest of the first two for where the tensors are.
        cold_start_share: the share of users who are cold starts in a training epoch: all examples of such a user come
            in one batch, which shows none of that user's labels (`batching.NodeGroups`); for edges. By default 1 where
            the split keeps users (or images, who are then the ones) out of training, else 0: training meets users as
            the test does.
        negatives: pairs without an edge per training pair, as one more class `no-edge` (the paper's Table V).
        clip: the largest norm of a step's gradient.
    """

    epochs: int = 40
    batch_size: int = 0
    learning_rate: float = 0.005
    encoder_rate: float = 5e-5
    layer_decay: float = 0.9
    warm_up: float = 0.0
    weight_decay: float = 1.0
    class_weights: Literal["sqrt", "balanced", "none"] = "sqrt"
    naming: Literal["validated", "likeliest", "weighted"] = "validated"
    select: str | None = None
    patience: int = 15
    loader: Literal["full", "sampled"] = "full"
    fanouts: tuple[int, ...] = (10, 10, 5, 5, 5)
    kernel: Literal["auto", "fused", "csr", "dgl"] = "auto"
    cold_start_share: float | None = None
    negatives: float = 0.0
    clip: float = 5.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.patience < 1 or self.batch_size < 0 or self.learning_rate <= 0:
            raise InputError("epochs and patience are at least 1, learning_rate is above 0, batch_size is 0 or more.")
        if self.encoder_rate <= 0 or not 0 < self.layer_decay <= 1 or not 0 <= self.warm_up < 1:
            raise InputError("encoder_rate is above 0, layer_decay above 0 and at most 1, warm_up a share below 1.")
        if self.class_weights not in ("sqrt", "balanced", "none"):
            raise InputError(f"class_weights is 'sqrt', 'balanced' or 'none', not '{self.class_weights}'.")
        if self.naming not in ("validated", "likeliest", "weighted"):
            raise InputError(f"naming is 'validated', 'likeliest' or 'weighted', not '{self.naming}'.")
        if self.select not in (None, *METRICS):
            raise UnknownNameError.of("metric", str(self.select), METRICS)
        if self.loader not in ("full", "sampled"):
            raise InputError(f"loader is 'full' or 'sampled', not '{self.loader}'.")
        if self.kernel not in KERNELS:
            raise InputError(f"kernel is one of {', '.join(KERNELS)}, not '{self.kernel}'.")
        if self.cold_start_share is not None and not 0 <= self.cold_start_share <= 1:
            raise InputError(f"cold_start_share is a share of users, 0 to 1, not {self.cold_start_share}.")
        if self.negatives < 0:
            raise InputError("negatives is 0 or more.")

    def share(self, done: float) -> float:
        """The share of each learning rate when this share of the steps is done: up to 1, then down to 0."""
        if done < self.warm_up:
            return done / self.warm_up
        return (1 + math.cos(math.pi * min(1.0, (done - self.warm_up) / (1 - self.warm_up)))) / 2

    def step_size(self, examples: int) -> int:
        """Examples a step."""
        return self.batch_size or max(512, math.ceil(examples / 16))


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
