"""Two controls that must score no better than the class prior: a look-up and a training on shuffled labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from graphsocial.auditing.base import Check, Verdict, not_applicable
from graphsocial.auditing.messages import used_batches
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Network
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData, make_loader
from graphsocial.training.loop import Epoch, fit, score
from graphsocial.types import Target

MOST_EPOCHS = 5
BOOTSTRAP_SAMPLES = 1_000
CONFIDENCE = 0.995  # share of the bootstrap samples that must be better than the prior
MIN_GAIN = 0.01  # smallest gain that is a leak, as a share of the prior's loss
CHANCE = 4.0  # over √n: the gain by chance of a model fitted to the noise of n labels
STRENGTH = 2.0  # pseudo-counts at the prior, as in `destination_prior`


def shuffled(graph: SocialGraph, train: Tensor, *, seed: int) -> SocialGraph:
    """The graph with the labels of the training examples permuted.

    Args:
        graph: the run's graph.
        train: row numbers of the training examples; those without a label stay so.
        seed: random seed of the permutation.
    """
    order = torch.Generator()
    order.manual_seed(seed)
    target_labels = {}
    for name, labels in graph.target_labels.items():
        labelled = train[is_known(labels[train])]
        target_labels[name] = labels.clone()
        target_labels[name][labelled] = labels[labelled[torch.randperm(len(labelled), generator=order)]]
    return replace(graph, target_labels=target_labels)


def check_look_up(config: RunConfig, data: RunData, network: Network) -> Check:
    """Predict training and validation examples from the visible labels at their own endpoints.

    The training labels are shuffled before, so that neighbors hold no information: only a visible label of the example
    itself makes the look-up better than the prior.

    Args:
        config: the run's configuration.
        data: the run's data.
        network: the trained network, which groups examples into batches.
    """
    name = "one-hop look-up"
    train = data.examples("train")
    graph = shuffled(data.graph, train, seed=config.seed)
    loader = make_loader(config, replace(data, graph=graph))
    target = graph.class_target
    if target is None:
        return not_applicable(
            name, "Only single classes are looked up; the training on shuffled labels is the control."
        )
    codes, gains = graph.target_labels[target.name], []
    prior = _prior(codes[train], len(target.classes))
    for role in ("train", "validation"):
        predictions, examples = [], []
        for batch in used_batches(config, loader, data.roles, network, parts=(role,)):
            predictions.append(_visible_label_frequencies(graph, codes, batch, prior))
            examples.append(batch.examples)
        gains.append(_gain(target, torch.cat(predictions), codes[torch.cat(examples)]))
    return _judge(
        name, np.concatenate(gains), len(train), "A look-up of the visible labels at the endpoints of an example"
    )


def check_shuffled_training(
    config: RunConfig, data: RunData, *, report: Callable[[Epoch], None] | None = None
) -> Check:
    """Train the same configuration for a few epochs on shuffled training labels and score the validation set.

    The validation labels are the true ones: a model that receives them as input learns to repeat its input, whatever
    the training labels are, and would be better than the prior here.

    Args:
        config: the run's configuration.
        data: the run's data.
        report: called after each epoch.
    """
    train, validation = (data.examples(role) for role in ("train", "validation"))
    graph = shuffled(data.graph, train, seed=config.seed)
    loader = make_loader(config, replace(data, graph=graph))
    few = replace(config.fitting, epochs=min(MOST_EPOCHS, config.fitting.epochs), patience=MOST_EPOCHS)
    torch.manual_seed(config.seed)
    with TemporaryDirectory() as folder:
        fitted = fit(
            config.model.build(graph, train, seed=config.seed),
            loader,
            train,
            validation,
            few,
            metric=config.task.selection_metric,
            seed=config.seed,
            checkpoint=Path(folder) / "control.safetensors",
            report=report,
        )
    predictions = score(fitted.network, loader.exact, validation, fitted.objectives)
    gains = [
        _gain(target, torch.from_numpy(predictions[target.name]), graph.target_labels[target.name][validation])
        for target in graph.targets
    ]
    largest = max(gains, key=lambda gain: float(gain.mean()) if len(gain) else -np.inf)
    control = f"The same training on shuffled labels ({len(fitted.history)} epochs)"
    return _judge("shuffled training", largest, len(train), control)


def _prior(codes: Tensor, classes: int) -> Tensor:
    counts = torch.bincount(codes[codes >= 0], minlength=classes).double().clamp_min(0.5)
    return counts / counts.sum()


def _visible_label_frequencies(graph: SocialGraph, codes: Tensor, batch: Batch, prior: Tensor) -> Tensor:
    """(B, K) the prior times the smoothed lift of each class among the visible labels at each endpoint."""
    visible = torch.nonzero(batch.view.label & (codes >= 0)).squeeze(1)
    logits = torch.log(prior).expand(len(batch.examples), -1)
    classes = len(prior)
    for name, end in zip(graph.end_types, graph.ends, strict=True):
        size = graph.num_nodes[name]
        counts = torch.bincount(end[visible] * classes + codes[visible], minlength=size * classes).view(size, classes)
        at_endpoint = counts[end[batch.examples]].double()
        frequencies = (at_endpoint + STRENGTH * prior) / (at_endpoint.sum(1, keepdim=True) + STRENGTH)
        logits = logits + torch.log(frequencies / prior)
    return torch.softmax(logits, dim=1)


def _gain(target: Target, predictions: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """(n,) by how much each labelled example's loss is below the prior's, as a share of the prior's mean loss.

    Losses are the log loss of classes and the squared error of numbers. The prior is that of these very examples, the
    best constant prediction, so that no shift between the roles of the split counts as a gain.
    """
    known = is_known(labels)
    predictions, labels = predictions[known], labels[known]
    if target.kind == "multiclass":
        prior = torch.bincount(labels, minlength=len(target.classes)).double() / max(1, len(labels))
        loss = -torch.log(predictions.gather(1, labels[:, None])[:, 0].clamp_min(1e-7))
        prior_loss = -torch.log(prior[labels])
    elif target.kind == "multilabel":
        prior = labels.double().mean(0).clamp(1e-7, 1 - 1e-7)
        loss, prior_loss = (
            binary_cross_entropy(part.double(), labels.double(), reduction="none").sum(1)
            for part in (predictions, prior.expand(labels.shape))
        )
    else:
        loss, prior_loss = torch.square(predictions - labels), torch.square(labels.mean() - labels)
    gain: NDArray[np.float64] = ((prior_loss - loss) / prior_loss.mean().clamp_min(1e-12)).numpy()
    return gain


def _judge(name: str, gain: NDArray[np.float64], num_train: int, control: str) -> Check:
    """A leak where the gain is above 0 by the bootstrap, and above what fitting the noise of the labels can gain.

    A model that fits noise is a random function of the features; where these determine the label it is right or wrong
    on all examples alike, a variance that the bootstrap over examples does not see.
    """
    if not len(gain):
        return not_applicable(name, "No validation example has a label.")
    random = np.random.default_rng(0)
    means = np.asarray([gain[random.integers(0, len(gain), len(gain))].mean() for _ in range(BOOTSTRAP_SAMPLES)])
    lower = float(np.quantile(means, 1 - CONFIDENCE))
    better = lower > 0 and float(gain.mean()) > max(MIN_GAIN, CHANCE / np.sqrt(num_train))
    verdict: Verdict = "leak" if better else "pass"
    comparison = "is better than the class prior" if better else "is no better than the class prior"
    detail = f"{control} {comparison}: its loss differs from the prior's by {-gain.mean():+.1%}."
    return Check(name, verdict, len(gain), int(better) * len(gain), detail)
