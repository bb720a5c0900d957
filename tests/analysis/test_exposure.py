"""Labels by other end: deviations from its mean, permuted within it; the simulations hold their targets."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsocial.analysis._exposure import Exposure


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_what_was_labelled_makes_no_difference(seed: int) -> None:
    """Adding a number to all labels of an image changes no value, and permutations stay within an image."""
    random = np.random.default_rng(seed)
    nodes, others = random.integers(0, 8, 40), np.unique(random.integers(0, 12, 40), return_inverse=True)[1]
    labels = random.normal(size=(40, 2))
    one = Exposure.of(nodes, others, labels, 8)
    other = Exposure.of(nodes, others, labels + random.normal(size=(12, 1))[others], 8)
    np.testing.assert_allclose(one.values(), other.values(), atol=1e-12)
    assert set(one.others) == {image for image in others if (others == image).sum() > 1}
    for image in np.unique(one.others):
        np.testing.assert_allclose(one.deviations[one.others == image].sum(0), 0, atol=1e-12)
    counts = np.bincount(one.nodes, minlength=8)[one.known]
    for values in (one.values(), one.permuted(random)):
        np.testing.assert_allclose(counts @ values, 0, atol=1e-12)  # each deviation once
    expected = [labels[nodes == node][:0].sum(0) for node in one.known]
    for row, node in enumerate(one.known):
        rows = [n for n in np.flatnonzero(nodes == node) if (others == others[n]).sum() > 1]
        expected[row] = np.mean([labels[n] - labels[others == others[n]].mean(0) for n in rows], axis=0)
    np.testing.assert_allclose(one.values(), np.stack(expected), atol=1e-12)


def test_permutations_of_an_image_with_two_labels_exchange_them_half_of_the_time() -> None:
    random = np.random.default_rng(0)
    exposure = Exposure.of(np.arange(4), np.array([0, 0, 1, 1]), np.array([[0.0], [2.0], [5.0], [6.0]]), 4)
    drawn = np.stack([exposure.permuted(random)[:, 0] for _ in range(400)])
    assert set(map(tuple, drawn)) == {(a, -a, b, -b) for a in (1.0, -1.0) for b in (0.5, -0.5)}
    assert np.abs(drawn.mean(0)).max() < 0.15


@pytest.mark.slow
def test_shared_exposure_is_not_taken_for_homophily() -> None:
    """The table in docs/statistics.md is from the same simulation."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    inference = importlib.import_module("inference")
    for line in inference.friends(100):
        if line.target == "0.05":
            assert line.share <= 0.13, line
        elif not line.design.startswith("2 "):  # two labels an image tell little
            assert line.share >= 0.5, line
