"""How each target is learnt and read: its loss, and what a network's outputs say in the target's own terms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, huber_loss

from graphsocial.evaluation.metrics import LOWER_IS_BETTER, multiclass, regression
from graphsocial.graph import SocialGraph, is_known
from graphsocial.types import Target

Weighting = Literal["sqrt", "balanced", "none"]
HEAVIEST = 20.0  # a class's weight, at most
POWERS = (0.0, 0.25, 0.5, 0.75)  # at 1, whoever answers everyone alike would name any class
COVERAGE = 0.9
"""The share of true numbers that prediction intervals should hold."""


@dataclass(frozen=True)
class Objective:
    """One target with what the training examples say about its scale.

    Attributes:
        target: what is predicted.
        scale: multiclass: (K,) the logarithm of each class's weight in the loss; regression: (2,) mean and standard
            deviation of the transformed numbers.
        naming: multiclass: (K,) what is added to the logarithm of a class's probability before the likeliest one is
            named; zeros name the likeliest one.
        margin: regression: half the width of the prediction interval, in those deviations; None where it is not known.
    """

    target: Target
    scale: Tensor
    naming: Tensor
    margin: float | None = None

    @classmethod
    def of(cls, graph: SocialGraph, target: Target, train: Tensor, *, class_weights: Weighting = "none") -> Objective:
        """Weigh the classes, or standardise the numbers, by the training examples.

        Args:
            train: (n,) positions of the training examples.
            class_weights: n / (K n_k) for `balanced`, its root for `sqrt`; 1 for a class that has no example.
        """
        answers = graph.answers[target.name][train]
        answers = answers[is_known(answers)]
        if target.kind == "multiclass":
            weights = _class_weights(answers, len(target.classes), class_weights)
            return cls(target, torch.log(weights), torch.zeros_like(weights))
        told = transformed(target, answers)
        deviation = told.std(correction=0) if len(told) else torch.tensor(0.0)
        mean = told.mean() if len(told) else torch.tensor(0.0)
        scale = torch.stack([mean, deviation if deviation > 0 else torch.ones_like(deviation)]).double()
        return cls(target, scale, torch.zeros(0))

    def loss(self, outputs: Tensor, answers: Tensor) -> Tensor:
        """The mean loss of a batch: weighted cross-entropy, or the Huber loss in standard deviations.

        Args:
            outputs: (B, K) logits, or (B,) standardised numbers.
            answers: (B,) codes or numbers; unknown ones are left out.
        """
        known = is_known(answers)
        if not bool(known.all()):
            outputs, answers = outputs[known], answers[known]
            if not len(answers):
                return outputs.sum() * 0
        if self.target.kind == "multiclass":
            return cross_entropy(outputs, answers, weight=self.scale.exp().to(outputs.dtype))
        return huber_loss(outputs, self.standardised(answers).to(outputs.dtype))

    def standardised(self, numbers: Tensor) -> Tensor:
        """Numbers as the network learns them: transformed, in deviations from the training mean."""
        return (transformed(self.target, numbers) - self.scale[0]) / self.scale[1]

    def read(self, outputs: Tensor) -> Tensor:
        """What outputs say: (B, K) probabilities, the class weights taken out again, or (B,) numbers in their own unit.

        Training with weights w teaches p_w ∝ p w (Elkan 2001), so p ∝ p_w / w.
        """
        outputs = outputs.double()
        if self.target.kind == "multiclass":
            return torch.softmax(outputs - self.scale, dim=1)
        numbers = outputs * self.scale[1] + self.scale[0]
        return torch.expm1(numbers).clamp_min(0) if self.target.transform == "log1p" else numbers

    def calibrated(self, said: NDArray[np.float64], answers: Tensor) -> Objective:
        """The same with the margin that held `COVERAGE` of these answers (split conformal prediction, Papadopoulos et
        al. 2002; Lei et al. 2018): of as many new examples like them, no smaller share on average.

        Args:
            said: (N,) what was said of examples that were not trained on.
            answers: (N,) what is true; unknown ones are left out.
        """
        known = is_known(answers)
        if self.target.kind != "regression" or not bool(known.any()):
            return self
        errors = (self.standardised(torch.from_numpy(said)) - self.standardised(answers)).abs()[known].sort().values
        place = math.ceil(COVERAGE * (len(errors) + 1)) - 1
        return replace(self, margin=float(errors[place]) if place < len(errors) else math.inf)

    def interval(self, said: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """(N,) lower and (N,) upper bounds about what was said, in the target's own unit; None without a margin."""
        if self.margin is None:
            return None
        middle = self.standardised(torch.from_numpy(said))
        return self.read(middle - self.margin).numpy(), self.read(middle + self.margin).numpy()

    def metrics(self, said: NDArray[np.float64], answers: NDArray[np.generic]) -> dict[str, float]:
        """The scores of what `read` says against known answers."""
        if self.target.kind == "regression":
            return regression(said, answers.astype(np.float64))
        return multiclass(said, answers.astype(np.int64), self.choose(said))

    def choose(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N,) the class that is named."""
        chosen: NDArray[np.int64] = (probabilities * self.naming.exp().numpy()).argmax(axis=1)
        return chosen

    def named_best(
        self, said: NDArray[np.float64], answers: NDArray[np.generic], shares: Tensor, metric: str
    ) -> Objective:
        """Name classes by argmax p_k / share_k^τ, with the τ of `POWERS` that these examples score best with.

        Metrics such as weighted F1 reward naming rare classes more often than they are likeliest. The stored
        probabilities do not change. A gain counts where it is above 2 sqrt(c / n), about two standard errors of a
        paired difference when a share c of the n examples gets another name; without any, τ is 0.

        Args:
            said, answers: of validation examples.
            shares: (K,) of the classes in training.
            metric: what is scored; where labels do not count in it, τ is 0.
        """
        if self.target.kind == "regression" or not len(answers):
            return self
        sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
        tried = [replace(self, naming=-power * torch.log(shares.double())) for power in POWERS]
        scores = np.asarray([sign * one.metrics(said, answers).get(metric, 0.0) for one in tried])
        renamed = np.asarray([(one.choose(said) != tried[0].choose(said)).mean() for one in tried])
        gains = scores - scores[0] - 2 * np.sqrt(renamed / len(answers))
        return tried[int(gains.argmax())]


def transformed(target: Target, numbers: Tensor) -> Tensor:
    """Numbers on the scale on which they are learnt."""
    return torch.log1p(numbers.double()) if target.transform == "log1p" else numbers.double()


def number_scales(graph: SocialGraph, train: Tensor) -> Tensor:
    """(M, 2) mean and deviation, among the training examples, of each of the M numbers that are asked about."""
    numbers = [Objective.of(graph, target, train).scale for target in graph.numbers]
    return torch.stack(numbers) if numbers else torch.zeros(0, 2, dtype=torch.float64)


def standardised_numbers(graph: SocialGraph, scales: Tensor) -> Tensor:
    """(P, M) float32: the known answers that are numbers, as `number_scales` says; NaN where there is none."""
    if not graph.numbers:
        return torch.zeros(graph.num_examples, 0)
    told = torch.stack([transformed(target, graph.answers[target.name]) for target in graph.numbers], dim=1)
    return ((told - scales[:, 0]) / scales[:, 1]).float()


def objectives(graph: SocialGraph, train: Tensor, *, class_weights: Weighting = "none") -> tuple[Objective, ...]:
    """The objective of each of the graph's targets."""
    return tuple(Objective.of(graph, target, train, class_weights=class_weights) for target in graph.targets)


def class_shares(graph: SocialGraph, train: Tensor, target: Target | None = None) -> Tensor:
    """(K,) the classes' shares of the training examples, a class without any counted as half an example.

    Args:
        target: the first one by default.
    """
    target = target or graph.target
    codes = graph.answers[target.name][train]
    counts = torch.bincount(codes[codes >= 0], minlength=len(target.classes)).float().clamp_min(0.5)
    return counts / counts.sum()


def total_loss(
    parts: tuple[Objective, ...], outputs: Mapping[str, Tensor], graph: SocialGraph, examples: Tensor
) -> Tensor:
    """The losses of all targets for a batch of examples, added by their weights."""
    losses = [
        part.target.weight * part.loss(outputs[part.target.name], graph.answers[part.target.name][examples])
        for part in parts
    ]
    return torch.stack(losses).sum()


def _class_weights(codes: Tensor, classes: int, weighting: Weighting) -> Tensor:
    counts = torch.bincount(codes, minlength=classes).double()
    if weighting == "none":
        return torch.ones_like(counts)
    present = int((counts > 0).sum())
    weights = torch.where(counts > 0, counts.sum() / (present * counts.clamp_min(1)), 1.0).clamp_max(HEAVIEST)
    return weights.sqrt() if weighting == "sqrt" else weights
