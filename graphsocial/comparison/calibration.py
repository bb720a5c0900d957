"""Calibration of probabilities: reliability diagram, temperature scaling and the risk–coverage curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from graphsocial.comparison.outcomes import Array, ClassOutcomes
from graphsocial.evaluation.metrics import (
    CALIBRATION_BINS,
    calibration_bins,
    calibration_error,
    exact_calibration_error,
)

COVERAGES = tuple(n / 20 for n in range(1, 21))
LIMITS = (-3.0, 3.0)  # log temperature: 0.05 to 20


def reliability(probabilities: Array, target: NDArray[np.int64], bins: int = CALIBRATION_BINS) -> pl.DataFrame:
    """The reliability diagram: accuracy of the most probable class in bins of its probability.

    Args:
        probabilities: (N, K).
        target: (N,) true classes.
        bins: number of bins of equal width, each without its lower and with its upper edge.

    Returns:
        One row for each bin that has rows: `low`, `high`, `rows`, `confidence` and `accuracy`, both means.
    """
    confidence = probabilities.max(axis=1)
    frame = pl.DataFrame(
        {
            "bin": calibration_bins(confidence, bins),
            "confidence": confidence,
            "accuracy": (probabilities.argmax(axis=1) == target).astype(np.float64),
        }
    )
    table = frame.group_by("bin").agg(pl.len().alias("rows"), pl.mean("confidence"), pl.mean("accuracy")).sort("bin")
    low = pl.col("bin") / bins
    return table.select(low.alias("low"), (low + 1 / bins).alias("high"), "rows", "confidence", "accuracy")


def fit_temperature(probabilities: Array, target: NDArray[np.int64]) -> float:
    """The T that minimizes the log loss of softmax(logits / T) (Guo et al. 2017); above 1 for overconfident models.

    Fit it on rows that are neither trained on nor scored afterwards: those of the validation role.

    Args:
        probabilities: (N, K), whose logarithms serve as logits.
        target: (N,) true classes.
    """

    def loss(log_temperature: float) -> float:
        target_probabilities = scaled(probabilities, float(np.exp(log_temperature)))[np.arange(len(target)), target]
        return float(-np.log(target_probabilities.clip(1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=LIMITS, method="bounded").x))


def scaled(probabilities: Array, temperature: float) -> Array:
    """(N, K) probabilities after temperature scaling; the ranking of the classes stays."""
    logits = np.log(probabilities.clip(1e-12)) / temperature
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def risk_coverage(confidence: Array, errors: Array) -> Array:
    """(N,) the risk–coverage curve (El-Yaniv & Wiener 2010): error rate of the n most confident predictions, n = 1…N.

    Its mean is AURC, the area under the curve: the lower, the better confidence separates right from wrong predictions.
    The errors of rows with equal confidence are averaged, so that their order does not matter.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_errors, sorted_confidence = errors[order], confidence[order]
    starts = np.flatnonzero(np.diff(sorted_confidence, prepend=np.inf))
    sizes = np.diff(starts, append=len(sorted_confidence))
    tie_means = np.repeat(np.add.reduceat(sorted_errors, starts) / sizes, sizes)
    risk: Array = np.cumsum(tie_means) / np.arange(1, len(sorted_confidence) + 1)
    return risk


def tables(seeds: Sequence[ClassOutcomes], temperatures: Sequence[float]) -> dict[str, pl.DataFrame]:
    """One configuration's `calibration` (a row), `reliability` and `abstention` curves, over its seeds.

    Args:
        seeds: the outcomes of each seed on the same rows.
        temperatures: the fitted temperature of each seed; empty where none could be fitted.
    """
    after = [scaled(seed.probabilities, t) for seed, t in zip(seeds, temperatures, strict=False)]
    risks = np.mean([risk_coverage(confidence_of(seed), seed.errors) for seed in seeds], axis=0)
    pooled = [(np.concatenate([seed.probabilities for seed in seeds]), "unscaled")]
    pooled += [(np.concatenate(after), "temperature-scaled")] if after else []
    target = np.concatenate([seed.target for seed in seeds])
    row = {
        "temperature": _mean(temperatures),
        "log_loss": _mean([log_loss(seed.probabilities, seed.target) for seed in seeds]),
        "log_loss_scaled": _mean([log_loss(part, seed.target) for part, seed in zip(after, seeds, strict=False)]),
        "calibration_error": _mean([calibration_error(seed.probabilities, seed.target) for seed in seeds]),
        "calibration_error_scaled": _mean(
            [calibration_error(part, seed.target) for part, seed in zip(after, seeds, strict=False)]
        ),
        "calibration_error_exact": _mean([exact_calibration_error(seed.probabilities) for seed in seeds]),
        "aurc": float(risks.mean()),
    }
    positions = np.ceil(np.asarray(COVERAGES) * len(risks)).astype(np.int64).clip(1) - 1
    return {
        "calibration": pl.DataFrame([row], schema=dict.fromkeys(row, pl.Float64)),
        "reliability": pl.concat(
            [reliability(part, target).select(pl.lit(kind).alias("probabilities"), pl.all()) for part, kind in pooled]
        ),
        "abstention": pl.DataFrame({"coverage": COVERAGES, "risk": risks[positions]}),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def confidence_of(outcomes: ClassOutcomes) -> Array:
    """(N,) the probability of the predicted class."""
    confidence: Array = outcomes.probabilities[np.arange(len(outcomes.predicted)), outcomes.predicted]
    return confidence


def log_loss(probabilities: Array, target: NDArray[np.int64]) -> float:
    """Mean negative log probability of the true class in nats, as in `metrics.multiclass`."""
    return float(ClassOutcomes(target, target, probabilities).losses.mean())
