"""Objectives: losses leave out what is unknown, numbers come back in their own unit, probabilities stay honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, huber_loss

import graphsocial as gs
from graphsocial.errors import InputError
from graphsocial.evaluation.metrics import regression
from graphsocial.graph import SocialGraph
from graphsocial.graph.building import build
from graphsocial.nn.losses import Objective, objectives, total_loss
from graphsocial.tasks.edge_emotion import EdgeEmotion
from graphsocial.types import Target

MOOD = Target("mood", classes=("good", "bad", "none"))
SHARES = Target("shares", "regression", transform="log1p", weight=0.5)
CODES = torch.tensor([0, 0, 0, 1, -1, 0])
NUMBERS = torch.tensor([0.0, 3.0, float("nan"), 7.0, 1.0, 20.0], dtype=torch.float64)
ALL = torch.arange(6)


@pytest.fixture
def graph(social: gs.GraphStore) -> SocialGraph:
    task = EdgeEmotion()
    found = build(social, "small", task.entity(social.schema), task.labels(social, "small"))
    ends = (found.ends[0][:6],)
    target_labels = {"mood": CODES, "shares": NUMBERS}
    return replace(found, entity="user", ends=ends, targets=(MOOD, SHARES), target_labels=target_labels)


def test_losses_are_added_by_weight_and_leave_out_the_unknown(graph: SocialGraph) -> None:
    parts = objectives(graph, ALL)
    torch.manual_seed(0)
    outputs = {"mood": torch.randn(6, 3, dtype=torch.float64), "shares": torch.randn(6, dtype=torch.float64)}
    told, counted = CODES >= 0, ~torch.isnan(NUMBERS)
    logs = torch.log1p(NUMBERS[counted])
    standard = (logs - logs.mean()) / logs.std(correction=0)
    expected = cross_entropy(outputs["mood"][told], CODES[told]) + 0.5 * huber_loss(
        outputs["shares"][counted], standard
    )
    torch.testing.assert_close(total_loss(parts, outputs, graph, ALL), expected)


def test_a_batch_without_answers_teaches_nothing(graph: SocialGraph) -> None:
    part = objectives(graph, ALL)[0]
    outputs = torch.randn(1, 3, requires_grad=True)
    loss = part.loss(outputs, torch.tensor([-1]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert outputs.grad is not None and not outputs.grad.any()


def test_numbers_come_back_in_their_own_unit(graph: SocialGraph) -> None:
    part = objectives(graph, ALL)[1]
    known = NUMBERS[~torch.isnan(NUMBERS)]
    torch.testing.assert_close(part.read(part.standardised(known)), known)
    assert (part.read(torch.tensor([-50.0])) >= 0).all()  # a count is never negative
    constant = replace(graph, target_labels={"mood": CODES, "shares": torch.full((6,), 4.0, dtype=torch.float64)})
    part = objectives(constant, ALL)[1]
    torch.testing.assert_close(part.read(torch.zeros(1)), torch.tensor([4.0], dtype=torch.float64))


@pytest.mark.parametrize(("weighting", "expected"), [("balanced", [4 / 6, 2.0, 1.0]), ("none", [1.0, 1.0, 1.0])])
def test_class_weights(graph: SocialGraph, weighting: str, expected: list[float]) -> None:
    """Four of one class and one of another: n / (K n_k) with the two classes that occur; the third counts as 1."""
    found = Objective.of(graph, MOOD, ALL, class_weights=weighting)  # type: ignore[arg-type]
    expected[0] = 5 / 8 if weighting == "balanced" else 1.0
    expected[1] = 5 / 2 if weighting == "balanced" else 1.0
    assert found.scale.exp().tolist() == pytest.approx(expected)


def test_weights_are_taken_out_of_probabilities(graph: SocialGraph) -> None:
    part = Objective.of(graph, MOOD, ALL, class_weights="balanced")
    logits = torch.tensor([[1.0, 0.9, -5.0]])
    weighted = torch.softmax(logits.double(), 1)
    honest = part.read(logits)
    ratio = (honest * part.scale.exp()) / (honest * part.scale.exp()).sum()
    torch.testing.assert_close(ratio, weighted)


def test_decision_rule_is_chosen_on_validation(graph: SocialGraph) -> None:
    part = Objective.of(graph, MOOD, ALL)
    shares = torch.tensor([0.8, 0.1, 0.1])
    probabilities = np.repeat([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0]], 20, axis=0)
    assert not part.choose(probabilities).any()
    truth = np.repeat([1, 0], 20)
    chosen = part.with_best_decision_rule(probabilities, truth, shares, "weighted_f1")
    assert (chosen.choose(probabilities) == truth).all()  # 0.6 / 0.8^τ < 0.4 / 0.1^τ from τ = 0.25 on
    torch.testing.assert_close(chosen.decision_offsets, -0.25 * torch.log(shares.double()))
    for labels, metric in ((0 * truth, "weighted_f1"), (truth, "log_loss")):
        assert not part.with_best_decision_rule(probabilities, labels, shares, metric).decision_offsets.any()
    barely = np.repeat([1, 0], [11, 29])  # a gain of 2 of 40 rows: within two standard errors
    assert not part.with_best_decision_rule(probabilities, barely, shares, "accuracy").decision_offsets.any()


def test_scores_of_numbers() -> None:
    target = np.array([1.0, 2.0, 3.0, 10.0])
    preds = np.array([1.0, 4.0, 3.0, 8.0])
    found = regression(preds, target)
    assert found["mae"] == pytest.approx(1)
    assert found["median_ae"] == pytest.approx(1)
    assert found["rmse"] == pytest.approx(np.sqrt(2))
    assert found["r2"] == pytest.approx(1 - 8 / np.square(target - 4).sum())
    assert found["spearman"] == pytest.approx(0.8)
    assert found["rmsle"] == pytest.approx(np.sqrt(np.mean((np.log1p(preds) - np.log1p(target)) ** 2)))
    assert "rmsle" not in regression(-preds, target)
    assert np.isnan(regression(np.ones(4), target)["spearman"])
    with pytest.raises(ValueError, match="No rows"):
        regression(np.empty(0), np.empty(0))


def test_targets_check_themselves() -> None:
    with pytest.raises(InputError, match="only numbers are transformed"):
        Target("mood", transform="log1p")
    with pytest.raises(InputError, match="multilabel or regression"):
        Target("mood", "ordinal")  # type: ignore[arg-type]


@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_intervals_hold_nine_of_ten_new_numbers(transform: str) -> None:
    random = np.random.default_rng(0)
    target = Target("shares", "regression", transform=transform)  # type: ignore[arg-type]
    part = Objective(target, torch.tensor([3.0, 1.5], dtype=torch.float64), torch.zeros(0))
    held = []
    for _ in range(60):
        truth = random.lognormal(3, 1, 400)
        predictions = truth * random.lognormal(0, 0.5, 400)
        calibrated = part.calibrated(predictions[:200], torch.from_numpy(truth[:200]))
        bounds = calibrated.interval(predictions[200:])
        assert bounds is not None and (bounds[0] <= bounds[1]).all()
        held.append(((bounds[0] <= truth[200:]) & (truth[200:] <= bounds[1])).mean())
    assert np.mean(held) == pytest.approx(0.9, abs=0.01)


def test_an_interval_needs_answers_and_enough_of_them() -> None:
    part = Objective(SHARES, torch.tensor([0.0, 1.0], dtype=torch.float64), torch.zeros(0))
    unknown = torch.full((3,), float("nan"), dtype=torch.float64)
    assert part.calibrated(np.ones(3), unknown).interval(np.ones(3)) is None
    few = part.calibrated(np.ones(3), torch.tensor([1.0, 2.0, float("nan")], dtype=torch.float64))
    assert few.margin == float("inf")  # of two examples no finite interval holds nine tenths
    lower, upper = few.interval(np.ones(1)) or (None, None)
    assert lower is not None and upper is not None and lower[0] == 0 and upper[0] == float("inf")
    known = part.calibrated(np.array([1.0, 2.0]), torch.tensor([float("nan"), 2.0], dtype=torch.float64))
    assert known.margin == float("inf") and part.margin is None
