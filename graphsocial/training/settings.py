"""How a network is trained: the optimiser's settings, those of batches, and those of decisions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.evaluation.metrics import METRICS
from graphsocial.nn.kernels import NAMES as KERNELS


@dataclass(frozen=True)
class Optimiser:
    """Steps of AdamW, their learning rates, and when they end.

    Attributes:
        epochs: maximum number of epochs. The paper's 20 are 6,000 steps at IESN's size; ours have 16 steps each at
            most.
        learning_rate: of Adam, annealed to 0 along a cosine over all steps.
        encoder_rate: the same for the top layer of encoders that are trained too (`tune`).
        layer_decay: each layer of such an encoder has this times the rate of the one above it.
        warm_up: share of the steps over which all rates rise from 0 at first.
        weight_decay: decoupled (AdamW); each step shrinks the weights by this share of the learning rate.
        clip: maximum norm of a step's gradient.
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
        """The share of each learning rate when this share of the steps is done: up to 1, then down to 0."""
        if done < self.warm_up:
            return done / self.warm_up
        return (1 + math.cos(math.pi * min(1.0, (done - self.warm_up) / (1 - self.warm_up)))) / 2


@dataclass(frozen=True)
class Batching:
    """Batches of examples, and the graph around them.

    Attributes:
        batch_size: examples a step; 0 for 512 (HMG-Emo's), or a sixteenth of the training examples where that is more.
        loader: `full` passes messages over the whole graph, `sampled` over sampled neighborhoods.
        fanouts: for `sampled`, neighbors per relation, the layer nearest to the examples first; the last number is
            used for further layers.
        kernel: what passes messages along edges: `fused` (the CPU's, compiled), `csr` (torch's sparse products), `dgl`
            (DGL's operators, the reference), or `auto`, the fastest of the first two for where the tensors are.
        cold_start_share: share of users who are cold starts in a training epoch: all examples of such a user come in
            one batch, which shows none of that user's labels (`batching.NodeGroups`); for edges. By default 1 where the
            split keeps users (or images, in place of users) out of training, else 0: training meets users as the test
            does.
        negatives: pairs without an edge per training pair, as one more class `no-edge` (the paper's Table V).
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
        """Examples a step."""
        return self.batch_size or max(512, math.ceil(examples / 16))


@dataclass(frozen=True)
class Decision:
    """Weights of classes, the epoch that is kept, and the decision rule.

    Attributes:
        class_weights: `balanced` weighs each class by the inverse of its training share, `sqrt` by the root of that,
            which unbalances the gradients less. Either is taken out of the predicted probabilities again, so that
            these stay honest. `none` is the setting of HMG-Emo's authors.
        naming: decision rule: `likeliest` for argmax p; `validated` for argmax p / prior^τ (logit adjustment) with the
            τ that is best on validation, which may predict rare classes more often; `weighted` for argmax of p times
            the class weights of the loss, which does so without a choice. Probabilities are the same.
        select: metric that chooses the epoch on validation; by default the task's. The log loss chooses with less
            noise than metrics of decisions, and leaves these to `naming`.
    """

    class_weights: Literal["sqrt", "balanced", "none"] = "sqrt"
    naming: Literal["validated", "likeliest", "weighted"] = "validated"
    select: str | None = None

    def __post_init__(self) -> None:
        if self.class_weights not in ("sqrt", "balanced", "none"):
            raise InputError(f"class_weights is 'sqrt', 'balanced' or 'none', not '{self.class_weights}'.")
        if self.naming not in ("validated", "likeliest", "weighted"):
            raise InputError(f"naming is 'validated', 'likeliest' or 'weighted', not '{self.naming}'.")
        if self.select not in (None, *METRICS):
            raise UnknownNameError.of("metric", str(self.select), METRICS)


@dataclass(frozen=True)
class TrainingConfig(Decision, Batching, Optimiser):
    """How a network is trained: `Optimiser`, `Batching` and `Decision`, whose settings have flat names."""

    def __post_init__(self) -> None:
        for part in (Optimiser, Batching, Decision):
            part.__post_init__(self)
