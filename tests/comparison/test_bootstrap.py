"""The bootstrap: intervals with their coverage, clusters that widen them, paired differences."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from graphsocial.comparison.bootstrap import BootstrapSamples, ScoredRows, paired_t
from graphsocial.comparison.outcomes import ClassOutcomes, ValueOutcomes


def of(right: np.ndarray) -> ClassOutcomes:
    """Outcomes of two classes with correct predictions where `right` is true."""
    chosen = (~right).astype(np.int64)
    shares = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    return ClassOutcomes(np.zeros(len(right), dtype=np.int64), chosen, shares)


def interval(right: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    part = ScoredRows([of(right)], np.arange(len(right)))
    found = BootstrapSamples((clusters,), 2000).scores({"a": part}).interval("a", "accuracy")
    assert found["low"] is not None
    assert found["high"] is not None
    return found["low"], found["high"]


def test_the_interval_of_an_accuracy_is_the_binomial_one() -> None:
    right = np.random.default_rng(0).random(400) < 0.7
    low, high = interval(right, np.arange(400))
    width = 2 * 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert high - low == pytest.approx(width, rel=0.1)
    assert low < right.mean() < high


def test_clustered_rows_widen_the_interval() -> None:
    right = np.repeat(np.random.default_rng(0).random(40) < 0.7, 10)  # a user is right always or never
    low, high = interval(right, np.arange(400))
    low_users, high_users = interval(right, np.repeat(np.arange(40), 10))
    assert high_users - low_users == pytest.approx((high - low) * np.sqrt(10), rel=0.2)


def test_samples_hold_whole_clusters_as_many_as_there_are() -> None:
    bootstrap = BootstrapSamples((np.array([0, 0, 0, 1, 2, 2]),), 50)
    weights = np.concatenate(list(bootstrap.weights()))
    assert weights.shape == (50, 3)
    assert (weights.sum(1) == 3).all()
    assert (weights == np.concatenate(list(bootstrap.weights()))).all()
    outcomes = ValueOutcomes(np.zeros(6), np.arange(6.0))
    found = bootstrap.scores({"a": ScoredRows([outcomes], np.arange(6))}).sampled["a"]
    by_rows = outcomes.scores(weights[:, bootstrap.ways[0]])
    for metric in ("mae", "rmse", "rmsle"):
        assert found[metric][0] == pytest.approx(by_rows[metric])


def test_only_the_given_metrics_are_sampled() -> None:
    outcomes = ValueOutcomes(np.arange(9.0), np.arange(9.0)[::-1])
    found = BootstrapSamples((np.arange(9),), 100).scores({"a": ScoredRows([outcomes], np.arange(9))}, ["mae"])
    assert list(found.sampled["a"]) == ["mae"]
    assert found.value["a"]["spearman"] == pytest.approx(-1)


def test_paired_differences_have_narrower_intervals() -> None:
    random = np.random.default_rng(0)
    right = random.random(500) < 0.6
    better = right | (random.random(500) < 0.05)
    every = np.arange(500)
    scores = BootstrapSamples((every,)).scores(
        {"a": ScoredRows([of(better)], every), "b": ScoredRows([of(right)], every)}
    )
    found = scores.difference("a", "b", "accuracy")
    assert found["value"] == pytest.approx(better.mean() - right.mean())
    assert found["low"] is not None
    assert found["high"] is not None
    assert found["low"] > 0
    assert found["high"] - found["low"] < 0.05 < 0.08 < np.diff(interval(right, every))[0]
    assert scores.difference("a", "a", "accuracy") == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_seeds_are_averaged_over_the_given_rows() -> None:
    outcomes = [ValueOutcomes(np.zeros(4), np.array([1.0, 1, 3, 3]) * seed) for seed in (1, 3)]
    scores = BootstrapSamples((np.arange(4),), 100).scores({"low": ScoredRows(outcomes, np.array([0, 1]))})
    assert scores.value["low"]["mae"] == 2
    assert scores.interval("low", "mae") == {"value": 2, "low": 2, "high": 2}
    assert scores.interval("low", "spearman") == {"value": None, "low": None, "high": None}


def test_paired_t_needs_pairs_that_differ() -> None:
    def of_seeds(*scores: float) -> dict[tuple[str, int], float]:
        return {("split", seed): score for seed, score in enumerate(scores)}

    t, p = paired_t(of_seeds(0.70, 0.72, 0.71), of_seeds(0.60, 0.61, 0.62))
    assert t == pytest.approx(17.32, abs=0.01)
    assert p == pytest.approx(0.0033, abs=1e-4)
    assert paired_t(of_seeds(0.7), of_seeds(0.6)) == (None, None)
    assert paired_t(of_seeds(0.7, 0.7), of_seeds(0.6, 0.6)) == (None, None)


def test_folds_are_one_pair_each_and_share_training_rows() -> None:
    """Nadeau and Bengio (2003): the variance of the mean is (1 / J + test / train) s²."""
    gaps = np.asarray([0.02, 0.05, -0.01, 0.03, 0.04])
    scores = {(f"fold{n}", seed): gap + (seed - 1) * 0.01 for n, gap in enumerate(gaps) for seed in range(3)}
    t, p = paired_t(scores, dict.fromkeys(scores, 0.0), test_share=0.25)
    assert t == pytest.approx(gaps.mean() / np.sqrt((1 / 5 + 0.25) * gaps.var(ddof=1)))
    assert p == pytest.approx(2 * stats.t.sf(t, 4))


def test_two_ways_of_clustering_are_wider_than_each() -> None:
    """Rows that cross users and images: V = V_users + V_images - V_rows."""
    random = np.random.default_rng(0)
    users, images = (part.ravel() for part in np.meshgrid(np.arange(30), np.arange(20), indexing="ij"))
    skill, ease = random.normal(0, 1, 30), random.normal(0, 1, 20)
    right = random.random(600) < 1 / (1 + np.exp(-(skill[users] + ease[images])))
    widths = {}
    for name, ways in {
        "users": (users,),
        "images": (images,),
        "rows": (np.arange(600),),
        "both": (users, images),
    }.items():
        part = ScoredRows([of(right)], np.arange(600))
        found = BootstrapSamples(ways, 3000).scores({"a": part}).interval("a", "accuracy")
        assert found["low"] is not None and found["high"] is not None
        degrees = min(int(way.max()) for way in ways)
        widths[name] = (found["high"] - found["low"]) / 2 / stats.t.ppf(0.975, degrees)
    by_ways = widths["users"] ** 2 + widths["images"] ** 2 - widths["rows"] ** 2
    assert widths["both"] == pytest.approx(np.sqrt(by_ways), rel=0.05)
    assert widths["both"] > max(widths["users"], widths["images"]) > 1.5 * widths["rows"]


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Independent, clustered and crossed rows; the table in docs/statistics.md is from the same simulation."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    inference = importlib.import_module("inference")
    for line in inference.intervals(200):
        assert 0.90 < line.share <= 1.0, line
