"""The settings of a training: optimiser, batches and decision rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.evaluation.metrics import METRICS
from graphsocial.nn.kernels import NAMES as KERNELS


@dataclass(frozen=True)
class Optimiser:
    """AdamW, its learning rates and early stopping.

    Attributes:
        epochs: maximum number of epochs, each of at most 16 steps by default. HMG-Emo's 20 epochs are 6,000 steps at
            IESN's size.
        learning_rate: maximum learning rate of AdamW, annealed to 0 along a cosine over all steps.
        encoder_rate: maximum learning rate of the top layer of fine-tuned encoders (`tune`).
        layer_decay: ratio of the rate of a fine-tuned encoder's layer to that of the layer above it.
        warm_up: share of the steps in which all rates first rise linearly from 0.
        weight_decay: decoupled weight decay; each step subtracts learning rate · weight_decay · weight.
        clip: maximum norm of the gradient.
        patience: number of epochs without a better validation score after which training stops.
    """

    epochs: int = 40
    learning_rate: float = 0.005
    encoder_rate: float = 5e-5
    layer_decay: float = 0.9
    warm_up: float = 0.0
    weight_decay: float = 1.0
    clip: float = 5.0
    patience: int = 15

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.patience < 1 or self.learning_rate <= 0:
            raise InputError("epochs and patience are at least 1, learning_rate is above 0.")
        if self.encoder_rate <= 0 or not 0 < self.layer_decay <= 1 or not 0 <= self.warm_up < 1:
            raise InputError("encoder_rate is above 0, layer_decay above 0 and at most 1, warm_up a share below 1.")

    def share(self, done: float) -> float:
        """The factor of the learning rates after this share of the steps, 0 to 1: up to 1, then down to 0."""
        if done < self.warm_up:
            return done / self.warm_up
        return (1 + math.cos(math.pi * min(1.0, (done - self.warm_up) / (1 - self.warm_up)))) / 2


@dataclass(frozen=True)
class Batching:
    """Batches of examples, and the graph around them.

    Attributes:
        batch_size: examples per step; 0 for 512 (HMG-Emo's) or a sixteenth of the training examples, whichever is more.
        loader: `full` for messages over the whole graph, `sampled` for neighbor sampling.
        fanouts: with `sampled`, neighbors per relation and layer, the layer nearest to the examples first; the last
            number holds for further layers.
        kernel: implementation of message passing: `fused` (compiled for the CPU), `csr` (torch's sparse products),
            `dgl` (DGL's operators, the reference), or `auto`, the faster of the first two on the tensors' device.
        cold_start_share: for edges, share of users that are cold starts in a training epoch: all examples of such a
            user are in one batch, in which no label of that user is visible (`batching.NodeGroups`). By default 1 if
            the split separates users (or images, which then take their part), else 0, as in the test.
        negatives: pairs without an edge per training pair, as a further class `no-edge` (HMG-Emo's Table V).
    """

    batch_size: int = 0
    loader: Literal["full", "sampled"] = "full"
    fanouts: tuple[int, ...] = (10, 10, 5, 5, 5)
    kernel: Literal["auto", "fused", "csr", "dgl"] = "auto"
    cold_start_share: float | None = None
    negatives: float = 0.0

    def __post_init__(self) -> None:
        if self.batch_size < 0:
            raise InputError("batch_size is 0 or more.")
        if self.loader not in ("full", "sampled"):
            raise InputError(f"loader is 'full' or 'sampled', not '{self.loader}'.")
        if self.kernel not in KERNELS:
            raise InputError(f"kernel is one of {', '.join(KERNELS)}, not '{self.kernel}'.")
        if self.cold_start_share is not None and not 0 <= self.cold_start_share <= 1:
            raise InputError(f"cold_start_share is a share of users, 0 to 1, not {self.cold_start_share}.")
        if self.negatives < 0:
            raise InputError("negatives is 0 or more.")

    def step_size(self, examples: int) -> int:
        """The number of examples per step, for this number of training examples."""
        return self.batch_size or max(512, math.ceil(examples / 16))


@dataclass(frozen=True)
class Decision:
    """Class weights, selection of the epoch, and the decision rule.

    Attributes:
        class_weights: weights of classes in the loss: `balanced` for the inverse of their training shares, `sqrt` for
            its square root, `none` for HMG-Emo's setting. Predicted probabilities are corrected for the weights.
        decision_rule: `likeliest` for argmax p; `validated` for argmax p / prior^τ (logit adjustment) with the
            best τ on validation; `weighted` for argmax of p times the class weights of the loss. The latter two predict
            rare classes more often. Probabilities are the same.
        select: metric that selects the epoch on validation; by default the task's. The log loss is less noisy than
            metrics of the predicted classes, and independent of `decision_rule`.
    """

    class_weights: Literal["sqrt", "balanced", "none"] = "sqrt"
    decision_rule: Literal["validated", "likeliest", "weighted"] = "validated"
    select: str | None = None

    def __post_init__(self) -> None:
        if self.class_weights not in ("sqrt", "balanced", "none"):
            raise InputError(f"class_weights is 'sqrt', 'balanced' or 'none', not '{self.class_weights}'.")
        if self.decision_rule not in ("validated", "likeliest", "weighted"):
            raise InputError(f"decision_rule is 'validated', 'likeliest' or 'weighted', not '{self.decision_rule}'.")
        if self.select not in (None, *METRICS):
            raise UnknownNameError.of("metric", str(self.select), METRICS)


@dataclass(frozen=True)
class TrainingConfig(Decision, Batching, Optimiser):
    """The settings of `Optimiser`, `Batching` and `Decision` together."""

    def __post_init__(self) -> None:
        for part in (Optimiser, Batching, Decision):
            part.__post_init__(self)
