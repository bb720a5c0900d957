"""The objective of each target: its loss, and the conversion of a network's outputs to predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss, one_hot

from graphsocial.evaluation.metrics import LOWER_IS_BETTER, multiclass, multilabel, regression
from graphsocial.graph import SocialGraph, is_known
from graphsocial.types import Target

Weighting = Literal["sqrt", "balanced", "none"]
HEAVIEST = 20.0  # maximum weight of a class
POWERS = (0.0, 0.25, 0.5, 0.75)  # at 1, any class may win for a model that predicts the prior for all
ENOUGH = 10  # positive validation examples from which a label has a threshold of its own
COVERAGE = 0.9
"""The nominal coverage of prediction intervals."""


@dataclass(frozen=True)
class Objective:
    """A target with its scale in the training examples, its decision rule and its prediction interval.

    Attributes:
        target: the target.
        scale: multiclass: (K,) log of each class's weight in the loss; multilabel: (K,) zeros; regression: (2,) mean
            and standard deviation of the transformed numbers.
        decision_offsets: multiclass: the decision rule, (K,) offsets added to the log probabilities before the argmax;
            zeros for the most probable class. Multilabel: (K,) offsets added to the logits of the probabilities, above
            0 after which a label is predicted; zeros for a threshold of 0.5.
        margin: regression: half the width of the prediction interval, in standard deviations; None where not known.
    """

    target: Target
    scale: Tensor
    decision_offsets: Tensor
    margin: float | None = None

    @classmethod
    def of(cls, graph: SocialGraph, target: Target, train: Tensor, *, class_weights: Weighting = "none") -> Objective:
        """Weigh the classes, or standardise the numbers, by the training examples.

        Args:
            graph: the graph with the labels.
            target: one of its targets.
            train: (n,) positions of the training examples.
            class_weights: n / (K n_k) for `balanced`, its root for `sqrt`; 1 for a class that has no example.
        """
        labels = graph.target_labels[target.name][train]
        labels = labels[is_known(labels)]
        if target.kind == "multiclass":
            weights = _class_weights(labels, len(target.classes), class_weights)
            return cls(target, torch.log(weights), torch.zeros_like(weights))
        if target.kind == "multilabel":
            zeros = torch.zeros(len(target.classes), dtype=torch.float64)
            return cls(target, zeros, zeros)
        numbers = transformed(target, labels)
        deviation = numbers.std(correction=0) if len(numbers) else torch.tensor(0.0)
        mean = numbers.mean() if len(numbers) else torch.tensor(0.0)
        scale = torch.stack([mean, deviation if deviation > 0 else torch.ones_like(deviation)]).double()
        return cls(target, scale, torch.zeros(0))

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch: weighted cross-entropy, the sum of the labels' binary cross-entropies, or the Huber
        loss in standard deviations.

        Args:
            outputs: (B, K) logits, or (B,) standardised numbers.
            labels: (B,) class codes or numbers, or (B, K) 0 or 1; unknown ones are left out.
        """
        known = is_known(labels)
        if not bool(known.all()):
            outputs, labels = outputs[known], labels[known]
            if not len(labels):
                return outputs.sum() * 0
        if self.target.kind == "multiclass":
            return cross_entropy(outputs, labels, weight=self.scale.exp().to(outputs.dtype))
        if self.target.kind == "multilabel":
            each = binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype), reduction="none")
            return each.sum(1).mean()
        return huber_loss(outputs, self.standardised(labels).to(outputs.dtype))

    def standardised(self, numbers: Tensor) -> Tensor:
        """Numbers as the network predicts them: transformed, then standardised by the training examples."""
        return (transformed(self.target, numbers) - self.scale[0]) / self.scale[1]

    def read(self, outputs: Tensor) -> Tensor:
        """Predictions from outputs: (B, K) probabilities, without the class weights, or (B,) numbers in their own unit
        and within the target's bounds.

        Training with weights w teaches p_w ∝ p w (Elkan 2001), so p ∝ p_w / w.
        """
        outputs = outputs.double()
        if self.target.kind == "multiclass":
            return torch.softmax(outputs - self.scale, dim=1)
        if self.target.kind == "multilabel":
            return torch.sigmoid(outputs)
        numbers = outputs * self.scale[1] + self.scale[0]
        if self.target.transform == "log1p":
            numbers = torch.expm1(numbers).clamp_min(0)
        return numbers if self.target.bounds == (None, None) else numbers.clamp(*self.target.bounds)

    def calibrated(self, predictions: NDArray[np.float64], labels: Tensor) -> Objective:
        """The same objective with a margin that covers `COVERAGE` of these labels (split conformal prediction,
        Papadopoulos et al. 2002; Lei et al. 2018): on average at least that share of new examples like them.

        Args:
            predictions: (N,) predictions for examples that were not trained on.
            labels: (N,) their labels; unknown ones are left out.
        """
        known = is_known(labels)
        if self.target.kind != "regression" or not bool(known.any()):
            return self
        errors = (self.standardised(torch.from_numpy(predictions)) - self.standardised(labels)).abs()
        errors = errors[known].sort().values
        rank = math.ceil(COVERAGE * (len(errors) + 1)) - 1
        return replace(self, margin=float(errors[rank]) if rank < len(errors) else math.inf)

    def interval(self, predictions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """(N,) lower and (N,) upper bounds of prediction intervals, in the target's own unit; None without a margin."""
        if self.margin is None:
            return None
        center = self.standardised(torch.from_numpy(predictions))
        return self.read(center - self.margin).numpy(), self.read(center + self.margin).numpy()

    def metrics(self, predictions: NDArray[np.float64], labels: NDArray[np.generic]) -> dict[str, float]:
        """The metrics of predictions (those of `read`) for examples with known labels."""
        if self.target.kind == "regression":
            return regression(predictions, labels.astype(np.float64))
        if self.target.kind == "multilabel":
            return multilabel(predictions, labels.astype(np.int64), self.choose(predictions))
        return multiclass(predictions, labels.astype(np.int64), self.choose(predictions))

    def choose(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N,) the predicted class by the decision rule; of several labels, (N, K) 1 for each that is predicted."""
        if self.target.kind == "multilabel":
            above: NDArray[np.bool_] = _logits(probabilities) + self.decision_offsets.numpy() > 0
            return above.astype(np.int64)
        chosen: NDArray[np.int64] = (probabilities * self.decision_offsets.exp().numpy()).argmax(axis=1)
        return chosen

    def with_best_decision_rule(
        self, predictions: NDArray[np.float64], labels: NDArray[np.generic], shares: Tensor, metric: str
    ) -> Objective:
        """Choose the decision rule argmax p_k / prior_k^τ (logit adjustment), with τ from `POWERS`, on validation.

        Where an example may have several labels, see `with_best_thresholds`.

        Metrics such as weighted F1 reward predicting rare classes more often than they are most probable. The stored
        probabilities do not change. A rule is chosen only if its gain is above 2 sqrt(c / n), about two standard
        errors of a paired difference where a share c of the n examples gets another class; otherwise τ is 0.

        Args:
            predictions: (n, K) probabilities of validation examples.
            labels: (n,) their class codes.
            shares: (K,) prior: class shares in training.
            metric: the metric to choose by; where it does not depend on the predicted class, τ is 0.
        """
        if self.target.kind == "regression" or not len(labels):
            return self
        if self.target.kind == "multilabel":
            return self.with_best_thresholds(predictions, labels.astype(np.int64))
        sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
        rules = [replace(self, decision_offsets=-power * torch.log(shares.double())) for power in POWERS]
        scores = np.asarray([sign * rule.metrics(predictions, labels).get(metric, 0.0) for rule in rules])
        changed = np.asarray([(rule.choose(predictions) != rules[0].choose(predictions)).mean() for rule in rules])
        gains = scores - scores[0] - 2 * np.sqrt(changed / len(labels))
        return rules[int(gains.argmax())]

    def with_best_thresholds(self, predictions: NDArray[np.float64], labels: NDArray[np.int64]) -> Objective:
        """Choose the thresholds of several labels by F1 on validation.

        A label with `ENOUGH` positive examples has the threshold with its best F1, others share the one with the best
        micro F1 of all.

        Args:
            predictions: (n, K) probabilities of validation examples.
            labels: (n, K) 0 or 1.
        """
        shared = _best_threshold(predictions.reshape(-1), labels.reshape(-1))
        thresholds = [
            _best_threshold(predictions[:, k], labels[:, k]) if labels[:, k].sum() >= ENOUGH else shared
            for k in range(labels.shape[1])
        ]
        return replace(self, decision_offsets=torch.from_numpy(-_logits(np.asarray(thresholds))))

    def prior(self, graph: SocialGraph, train: Tensor) -> Tensor:
        """The best constant prediction: (K,) class shares or label frequencies, or (1,) the standardised mean, 0.

        Args:
            graph: the graph with the labels.
            train: (n,) positions of the training examples.
        """
        if self.target.kind == "multiclass":
            return class_shares(graph, train, self.target)
        if self.target.kind == "regression":
            return torch.zeros(1)
        labels = graph.target_labels[self.target.name][train]
        labels = labels[is_known(labels)]
        return (labels.sum(0) + 0.5) / (len(labels) + 1)


def encoded_labels(part: Objective, labels: Tensor) -> Tensor:
    """(S, K) float32 known labels as numbers that can be averaged: one-hot classes, 0 or 1, or (S, 1) standardised.

    Args:
        part: the objective of their target.
        labels: (S,) or (S, K) known labels.
    """
    if part.target.kind == "multiclass":
        return one_hot(labels, len(part.target.classes)).float()
    return labels.float() if part.target.kind == "multilabel" else part.standardised(labels).float()[:, None]


def outputs_of_means(target: Target, means: Tensor) -> Tensor:
    """Outputs of a network that predicts averages of `encoded_labels`: (B, K) logits, or (B,) numbers."""
    if target.kind == "multiclass":
        return torch.log(means.clamp_min(1e-9))
    return torch.logit(means, 1e-6) if target.kind == "multilabel" else means.squeeze(1)


def _logits(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = probabilities.clip(1e-9, 1 - 1e-9)
    logits: NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return logits


def _best_threshold(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The threshold between two of these n probabilities above which F1 is best; 0.5 without a positive label."""
    if not labels.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    ranked, positives = probabilities[order], np.cumsum(labels[order])
    scores = 2 * positives / (np.arange(1, len(order) + 1) + labels.sum())
    last = np.append(ranked[1:] < ranked[:-1], True)  # equal probabilities are predicted together
    best = int(np.where(last, scores, -1.0).argmax())
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)


def transformed(target: Target, numbers: Tensor) -> Tensor:
    """Numbers on the scale that the network is trained on."""
    return torch.log1p(numbers.double()) if target.transform == "log1p" else numbers.double()


def number_scales(graph: SocialGraph, train: Tensor) -> Tensor:
    """(M, 2) mean and standard deviation of each of the M targets that are numbers, in the training examples."""
    numbers = [Objective.of(graph, target, train).scale for target in graph.numbers]
    return torch.stack(numbers) if numbers else torch.zeros(0, 2, dtype=torch.float64)


def standardised_numbers(graph: SocialGraph, scales: Tensor) -> Tensor:
    """(P, M) float32: labels of the targets that are numbers, standardised by `number_scales`; NaN where unknown."""
    if not graph.numbers:
        return torch.zeros(graph.num_examples, 0)
    numbers = torch.stack([transformed(target, graph.target_labels[target.name]) for target in graph.numbers], dim=1)
    return ((numbers - scales[:, 0]) / scales[:, 1]).float()


def objectives(graph: SocialGraph, train: Tensor, *, class_weights: Weighting = "none") -> tuple[Objective, ...]:
    """The objective of each of the graph's targets.

    Args:
        graph: the graph.
        train: (n,) positions of the training examples.
        class_weights: see `Objective.of`.
    """
    return tuple(Objective.of(graph, target, train, class_weights=class_weights) for target in graph.targets)


def class_shares(graph: SocialGraph, train: Tensor, target: Target | None = None) -> Tensor:
    """(K,) the class shares of the training examples; a class without any counts as half an example.

    Args:
        graph: the graph.
        train: (n,) positions of the training examples.
        target: the target; by default the first with one class per example, without which there are no shares.
    """
    target = target or graph.class_target
    if target is None:
        return torch.zeros(0)
    codes = graph.target_labels[target.name][train]
    counts = torch.bincount(codes[codes >= 0], minlength=len(target.classes)).float().clamp_min(0.5)
    return counts / counts.sum()


def total_loss(
    parts: tuple[Objective, ...], outputs: Mapping[str, Tensor], graph: SocialGraph, examples: Tensor
) -> Tensor:
    """The weighted sum of the losses of all targets for a batch.

    Args:
        parts: the objectives.
        outputs: the outputs of the network for the batch, by target name.
        graph: the graph with the labels.
        examples: (B,) positions of the batch's examples.
    """
    losses = [
        part.target.weight * part.loss(outputs[part.target.name], graph.target_labels[part.target.name][examples])
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
