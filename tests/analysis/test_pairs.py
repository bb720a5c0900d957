"""Chance by blocks equals the mean of many permutations; the simulations of likeness hold their targets."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsocial.analysis._pairs import SpokenSegments


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_chance_is_the_mean_of_permutations_that_keep_the_first_segments(seed: int) -> None:
    random = np.random.default_rng(seed)
    blocks = np.unique(random.integers(0, 4, 14), return_inverse=True)[1]
    segments = SpokenSegments(random.integers(0, 3, 14), blocks, blocks // 2, 3)
    first, second = random.integers(0, 14, (2, 60))
    first, second = first[first != second], second[first != second]
    permuted = [segments.permuted(random) for _ in range(3000)]
    for codes in permuted[:20]:
        counts = np.zeros_like(segments.counts)
        np.add.at(counts, (blocks, codes), 1)
        assert (counts == segments.counts).all()
    all_codes = np.stack(permuted)
    one, two = all_codes[:, first], all_codes[:, second]
    for emotion in range(3):
        expected = np.mean([segments.chance(c, first, second, np.full(len(first), emotion)) for c in permuted], axis=0)
        assert np.abs((two == emotion).mean(0) - expected).max() < 0.05
    same = (one == two).mean(0)
    by_chance = np.mean([segments.chance(codes, first, second, codes[first]) for codes in permuted], axis=0)
    assert np.abs(same - by_chance).max() < 0.05


@pytest.mark.slow
def test_tests_and_intervals_of_replies_hold_what_they_say() -> None:
    """The table in docs/statistics.md is from the same simulation."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    inference = importlib.import_module("inference")
    for line in inference.replies(150):
        if line.target == "0.05":
            assert line.share <= 0.11, line
        elif line.target == "0.95" and not line.design.startswith("3 "):
            assert line.share >= 0.89, line
        elif line.target == "power":
            assert line.share > 0.9, line
