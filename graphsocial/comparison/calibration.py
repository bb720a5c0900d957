"""Whether probabilities mean what they say, and what an answer is worth when the unsure ones are held back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from graphsocial.comparison.outcomes import Array, ClassOutcomes
from graphsocial.evaluation.metrics import CALIBRATION_BINS

COVERAGES = tuple(n / 20 for n in range(1, 21))
LIMITS = (-3.0, 3.0)  # of the log temperature: 0.05 to 20


def reliability(probabilities: Array, target: NDArray[np.int64], bins: int = CALIBRATION_BINS) -> pl.DataFrame:
    """How often the likeliest class is right, by how likely it was said to be.

    Args:
        probabilities: (N, K).
        target: (N,) true classes.
        bins: of equal width, each without its lower and with its upper edge.

    Returns:
        One row for each bin that has rows: `low`, `high`, `rows`, `confidence` and `accuracy`, both means.
    """
    confidence = probabilities.max(axis=1)
    frame = pl.DataFrame(
        {
            "bin": (np.ceil(confidence * bins) - 1).clip(0, bins - 1),
            "confidence": confidence,
            "accuracy": (probabilities.argmax(axis=1) == target).astype(np.float64),
        }
    )
    found = frame.group_by("bin").agg(pl.len().alias("rows"), pl.mean("confidence"), pl.mean("accuracy")).sort("bin")
    low = pl.col("bin") / bins
    return found.select(low.alias("low"), (low + 1 / bins).alias("high"), "rows", "confidence", "accuracy")


def calibration_error(probabilities: Array, target: NDArray[np.int64], bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error of the likeliest class (Naeini et al. 2015): the mean gap between the two, by rows."""
    found = reliability(probabilities, target, bins)
    gap = (found["confidence"] - found["accuracy"]).abs().to_numpy()
    return float(np.average(gap, weights=found["rows"].to_numpy()))


def fit_temperature(probabilities: Array, target: NDArray[np.int64]) -> float:
    """The T that makes softmax(logits / T) likeliest (Guo et al. 2017); above 1 where a model is too sure.

    Fit it on rows that the model was not trained on and that are not scored afterwards: the validation part.

    Args:
        probabilities: (N, K), whose logs serve as logits.
        target: (N,) true classes.
    """

    def loss(log_temperature: float) -> float:
        at = scaled(probabilities, float(np.exp(log_temperature)))[np.arange(len(target)), target]
        return float(-np.log(at.clip(1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=LIMITS, method="bounded").x))


def scaled(probabilities: Array, temperature: float) -> Array:
    """(N, K) probabilities at another temperature; the order of the classes stays."""
    logits = np.log(probabilities.clip(1e-12)) / temperature
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Array = shares / shares.sum(axis=1, keepdims=True)
    return found


def risk_coverage(confidence: Array, errors: Array) -> Array:
    """(N,) the share of wrong answers among the n surest, n = 1…N (El-Yaniv & Wiener 2010).

    Their mean is AURC, the area under the risk–coverage curve: the lower, the better confidence tells right from wrong.
    Rows of one confidence are answered together, so that their order does not matter.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong, sure = errors[order], confidence[order]
    starts = np.flatnonzero(np.diff(sure, prepend=np.inf))
    sizes = np.diff(starts, append=len(sure))
    even = np.repeat(np.add.reduceat(wrong, starts) / sizes, sizes)  # a tie's errors, spread over it
    risk: Array = np.cumsum(even) / np.arange(1, len(sure) + 1)
    return risk


def tables(seeds: Sequence[ClassOutcomes], temperatures: Sequence[float]) -> dict[str, pl.DataFrame]:
    """One configuration's `calibration` (a row), `reliability` and `abstention` curves, over its seeds.

    Args:
        seeds: their answers to the same rows.
        temperatures: of each seed; none where they could not be fitted.
    """
    after = [scaled(one.probabilities, t) for one, t in zip(seeds, temperatures, strict=False)]
    risks = np.mean([risk_coverage(confidence_of(one), one.errors) for one in seeds], axis=0)
    together = [(np.concatenate([one.probabilities for one in seeds]), "as answered")]
    together += [(np.concatenate(after), "at the temperature")] if after else []
    target = np.concatenate([one.target for one in seeds])
    row = {
        "temperature": _mean(temperatures),
        "log_loss": _mean([log_loss(one.probabilities, one.target) for one in seeds]),
        "log_loss_scaled": _mean([log_loss(part, one.target) for part, one in zip(after, seeds, strict=False)]),
        "calibration_error": _mean([calibration_error(one.probabilities, one.target) for one in seeds]),
        "calibration_error_scaled": _mean(
            [calibration_error(part, one.target) for part, one in zip(after, seeds, strict=False)]
        ),
        "aurc": float(risks.mean()),
    }
    places = np.ceil(np.asarray(COVERAGES) * len(risks)).astype(np.int64).clip(1) - 1
    return {
        "calibration": pl.DataFrame([row], schema=dict.fromkeys(row, pl.Float64)),
        "reliability": pl.concat(
            [reliability(part, target).select(pl.lit(kind).alias("probabilities"), pl.all()) for part, kind in together]
        ),
        "abstention": pl.DataFrame({"coverage": COVERAGES, "risk": risks[places]}),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def confidence_of(outcomes: ClassOutcomes) -> Array:
    """(N,) the probability of the class that was answered."""
    found: Array = outcomes.probabilities[np.arange(len(outcomes.chosen)), outcomes.chosen]
    return found


def log_loss(probabilities: Array, target: NDArray[np.int64]) -> float:
    """Mean minus log probability of the true class, nats, as in `metrics.multiclass`."""
    return float(ClassOutcomes(target, target, probabilities).losses.mean())
