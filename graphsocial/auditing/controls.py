"""Two controls that must come out at the level of the class prior: a look-up and a training on shuffled answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
RESAMPLES = 1_000
CERTAIN = 0.995  # of the resamples must be better than the prior, for chance to be ruled out
MATTERS = 0.01  # of the prior's own loss, by which a control must at least be better
CHANCE = 4.0  # over √n: what noise learnt from n examples gains by luck, where features or ends decide much
STRENGTH = 2.0  # imaginary answers at the prior, as in `image_prior`


def shuffled(graph: SocialGraph, train: Tensor, *, seed: int) -> SocialGraph:
    """The graph with the known training answers dealt out anew among the training examples."""
    order = torch.Generator()
    order.manual_seed(seed)
    answers = {}
    for name, told in graph.answers.items():
        known = train[is_known(told[train])]
        answers[name] = told.clone()
        answers[name][known] = told[known[torch.randperm(len(known), generator=order)]]
    return replace(graph, answers=answers)


def check_look_up(config: RunConfig, data: RunData, network: Network) -> Check:
    """Answer training and validation examples by the answers that are shown at their own ends.

    Training answers are shuffled before, so that nothing can be learnt from neighbours: only an answer that is shown
    although it is asked for makes the look-up better than the prior.
    """
    name = "one-hop look-up"
    train = data.examples("train")
    graph = shuffled(data.graph, train, seed=config.seed)
    loader = make_loader(config, replace(data, graph=graph))
    target = next((target for target in graph.targets if target.classes), None)
    if target is None:
        return not_applicable(name, "Numbers are not looked up; the training on shuffled answers is the control.")
    codes, gains = graph.answers[target.name], []
    prior = _shares(codes[train], len(target.classes))
    for part in ("train", "validation"):
        said, asked = [], []
        for batch in used_batches(config, loader, data.roles, network, parts=(part,)):
            said.append(_shown_shares(graph, codes, batch, prior))
            asked.append(batch.examples)
        gains.append(_gain(target, torch.cat(said), codes[torch.cat(asked)]))
    return _judge(
        name, np.concatenate(gains), len(train), "A look-up of the answers that are shown at the ends of an example"
    )


def check_shuffled_training(
    config: RunConfig, data: RunData, *, report: Callable[[Epoch], None] | None = None
) -> Check:
    """Train the same configuration, for a few epochs, on shuffled training answers, and answer the validation part.

    Validation answers are the true ones: a model that is handed them learns to repeat what it is handed, whatever the
    training answers are, and would be better than the prior here.
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
    said = score(fitted.network, loader.exact, validation, fitted.objectives)
    gains = [
        _gain(target, torch.from_numpy(said[target.name]), graph.answers[target.name][validation])
        for target in graph.targets
    ]
    worst = max(gains, key=lambda gain: float(gain.mean()) if len(gain) else -np.inf)
    words = f"The same training on shuffled answers ({len(fitted.history)} epochs)"
    return _judge("shuffled training", worst, len(train), words)


def _shares(codes: Tensor, classes: int) -> Tensor:
    counts = torch.bincount(codes[codes >= 0], minlength=classes).double().clamp_min(0.5)
    return counts / counts.sum()


def _shown_shares(graph: SocialGraph, codes: Tensor, batch: Batch, prior: Tensor) -> Tensor:
    """(B, K) the prior, times how much commoner each class is among the answers shown at each end."""
    seen = torch.nonzero(batch.view.label & (codes >= 0)).squeeze(1)
    said = torch.log(prior).expand(len(batch.examples), -1)
    classes = len(prior)
    for name, end in zip(graph.end_types, graph.ends, strict=True):
        size = graph.num_nodes[name]
        counts = torch.bincount(end[seen] * classes + codes[seen], minlength=size * classes).view(size, classes)
        own = counts[end[batch.examples]].double()
        said = said + torch.log((own + STRENGTH * prior) / (own.sum(1, keepdim=True) + STRENGTH) / prior)
    return torch.softmax(said, dim=1)


def _gain(target: Target, said: Tensor, answers: Tensor) -> NDArray[np.float64]:
    """(n,) by how much each known answer is better said than by the prior, as a share of the prior's mean loss.

    Losses are the log loss of classes and the squared error of numbers. The prior is that of these very examples, the
    best constant there is, so that no shift between the parts of the split looks like knowledge.
    """
    known = is_known(answers)
    said, answers = said[known], answers[known]
    if target.kind == "multiclass":
        prior = torch.bincount(answers, minlength=len(target.classes)).double() / max(1, len(answers))
        here, base = -torch.log(said.gather(1, answers[:, None])[:, 0].clamp_min(1e-7)), -torch.log(prior[answers])
    else:
        here, base = torch.square(said - answers), torch.square(answers.mean() - answers)
    gain: NDArray[np.float64] = ((base - here) / base.mean().clamp_min(1e-12)).numpy()
    return gain


def _judge(name: str, gain: NDArray[np.float64], learnt: int, what: str) -> Check:
    """A leak where the gain is above chance by the bootstrap, and more than noise learnt from so many examples gains.

    A model that fits noise is a random function of the features; where these decide the answer it is right or wrong
    on all examples alike, which the bootstrap over examples does not know.
    """
    if not len(gain):
        return not_applicable(name, "No validation example has an answer.")
    random = np.random.default_rng(0)
    means = np.asarray([gain[random.integers(0, len(gain), len(gain))].mean() for _ in range(RESAMPLES)])
    certain = float(np.quantile(means, 1 - CERTAIN))
    better = certain > 0 and float(gain.mean()) > max(MATTERS, CHANCE / np.sqrt(learnt))
    verdict: Verdict = "leak" if better else "pass"
    where = "is better than the class prior" if better else "is no better than the class prior"
    detail = f"{what} {where}: its loss differs from the prior's by {-gain.mean():+.1%}."
    return Check(name, verdict, len(gain), int(better) * len(gain), detail)
