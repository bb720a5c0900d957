"""Metrics of class probabilities and of predicted numbers, computed by scikit-learn, SciPy and torchmetrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    log_loss,
    precision_recall_fscore_support,
    r2_score,
    roc_auc_score,
)

CALIBRATION_BINS = 15
LOG_LOSS_CLIP = 1e-7
"""Probabilities below are taken as this in the log loss."""


def multiclass(
    preds: NDArray[np.float64], target: NDArray[np.int64], classes: NDArray[np.int64] | None = None
) -> dict[str, float]:
    """The scores of class probabilities and of predicted classes.

    Weighted scores weight each class by its support, macro scores do not and are taken over the classes that occur in
    `target` or are predicted; a class that is never predicted has precision 0. The log loss is in nats and
    clips probabilities at 1e-7, so that one example costs at most 16.1; see `calibration_error`.

    Args:
        preds: (N, K) probabilities, rows sum to 1.
        target: (N,) true classes.
        classes: (N,) predicted classes; by default the most probable ones.

    Raises:
        ValueError: there are no rows.

    >>> import numpy as np
    >>> multiclass(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]))["accuracy"]
    0.6666666666666666
    """
    if not len(target):
        raise ValueError("No rows to score.")
    classes = preds.argmax(axis=1) if classes is None else classes
    precision, recall, f1, _ = precision_recall_fscore_support(target, classes, average="weighted", zero_division=0)
    _, _, macro, _ = precision_recall_fscore_support(target, classes, average="macro", zero_division=0)
    two = {}
    if preds.shape[1] == 2 and 0 < target.sum() < len(target):  # of the second class
        two["roc_auc"] = float(roc_auc_score(target, preds[:, 1]))
        two["average_precision"] = float(average_precision_score(target, preds[:, 1]))
    clipped = np.clip(preds, LOG_LOSS_CLIP, 1)
    return {
        **two,
        "weighted_f1": float(f1),
        "macro_f1": float(macro),
        "accuracy": float(accuracy_score(target, classes)),
        "weighted_precision": float(precision),
        "weighted_recall": float(recall),
        "log_loss": float(
            log_loss(target, clipped / clipped.sum(axis=1, keepdims=True), labels=np.arange(preds.shape[1]))
        ),
        "calibration_error": calibration_error(preds, target),
    }


def calibration_error(preds: NDArray[np.float64], target: NDArray[np.int64], bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error of the most probable class (Naeini et al. 2015): the mean of |confidence - accuracy|.

    It is above 0 for exact probabilities too, the more the fewer rows there are; see `exact_calibration_error`.

    Args:
        preds: (N, K) probabilities, rows sum to 1.
        target: (N,) true classes.
        bins: number of bins of equal width, each without its lower and with its upper edge, weighted by their rows.
    """
    right = (preds.argmax(axis=1) == target)[None]
    return float(_binned_gaps(preds.max(axis=1), right, bins)[0])


def exact_calibration_error(
    preds: NDArray[np.float64], *, bins: int = CALIBRATION_BINS, samples: int = 200, seed: int = 0
) -> float:
    """The calibration error that would be expected if the probabilities were exact (Bröcker & Smith 2007).

    The mean over samples of labels that are drawn from the probabilities: the part of `calibration_error` that is noise
    of so few rows.

    Args:
        preds: (N, K) probabilities, rows sum to 1.
        bins: number of bins, as of `calibration_error`.
        samples: number of samples of labels.
        seed: random seed of the samples.
    """
    confidence = preds.max(axis=1)
    right = np.random.default_rng(seed).random((samples, len(confidence))) < confidence
    return float(_binned_gaps(confidence, right, bins).mean())


def _binned_gaps(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int) -> NDArray[np.float64]:
    """(B,) the mean over rows of each bin's |confidence - accuracy|, for (B, N) right predictions."""
    index = calibration_bins(confidence, bins)
    gaps = np.stack([np.bincount(index, weights=row - confidence, minlength=bins) for row in right])
    total: NDArray[np.float64] = np.abs(gaps).sum(axis=1) / len(confidence)
    return total


def calibration_bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """(N,) the bin of each probability, each bin without its lower and with its upper edge; 0 is in the first."""
    index: NDArray[np.int64] = (np.ceil(confidence * bins) - 1).clip(0, bins - 1).astype(np.int64)
    return index


def ranking(scores: NDArray[np.float64], target: NDArray[np.int64], groups: NDArray[np.object_]) -> dict[str, float]:
    """How high the positive rows of each group rank among its negative rows: MRR and hits at 1, 3 and 10.

    The rank of a positive row is 1 + the number of negative rows of its group with a higher score, half of those with
    the same one. Groups without a positive or without a negative row are left out; without any, there are no metrics.

    Args:
        scores: (N,) higher for more likely links.
        target: (N,) 0 or 1.
        groups: (N,) the group of each row, such as the source of a pair.

    >>> import numpy as np
    >>> ranking(np.array([0.9, 0.5, 0.7]), np.array([0, 1, 0]), np.array(["a", "a", "a"], object))["mrr"]
    0.3333333333333333
    """
    _, group = np.unique(groups.astype(str), return_inverse=True)
    both = np.bincount(group, target == 1, group.max(initial=0) + 1) * np.bincount(
        group, target == 0, group.max(initial=0) + 1
    )
    rows = both[group] > 0
    if not rows.any():
        return {}
    level = np.unique(scores[rows], return_inverse=True)[1]
    size = int(level.max()) + 1
    keys, positive = group[rows] * size + level, target[rows] == 1
    negatives = np.sort(keys[~positive])
    end = np.searchsorted(negatives, (group[rows][positive] + 1) * size)
    higher = end - np.searchsorted(negatives, keys[positive], side="right")
    equal = np.searchsorted(negatives, keys[positive], side="right") - np.searchsorted(negatives, keys[positive])
    ranks = 1 + higher + equal / 2
    hits = {f"hits_{k}": float((ranks <= k).mean()) for k in (1, 3, 10)}
    return {"mrr": float((1 / ranks).mean()), **hits}


def multilabel(preds: NDArray[np.float64], target: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, float]:
    """The scores of the probabilities of labels, any number of which an example may have, and of the predicted labels.

    Micro F1 is over all examples and labels, macro F1 the mean over labels that occur in `target` or are predicted.
    `average_precision` is the mean over the labels that occur, but not everywhere, of the area under their
    precision–recall curve. `subset_accuracy` is the share of examples with exactly the true labels, and the log loss
    the mean sum of the labels' binary losses in nats.

    Args:
        preds: (N, K) probabilities.
        target: (N, K) 0 or 1.
        labels: (N, K) 0 or 1, the predicted labels.

    Raises:
        ValueError: there are no rows.

    >>> import numpy as np
    >>> target = np.array([[1, 0], [1, 1]])
    >>> round(multilabel(np.array([[0.9, 0.2], [0.6, 0.4]]), target, np.array([[1, 0], [1, 0]]))["micro_f1"], 3)
    0.8
    """
    if not len(target):
        raise ValueError("No rows to score.")
    hits, predicted, support = (target & labels).sum(0), labels.sum(0), target.sum(0)
    scored = (predicted + support) > 0
    some = (support > 0) & (support < len(target))
    clipped = np.clip(preds, 1e-7, 1 - 1e-7)
    losses = -np.where(target == 1, np.log(clipped), np.log1p(-clipped)).sum(1)
    return {
        "micro_f1": float(2 * hits.sum() / max(1, (predicted + support).sum())),
        "macro_f1": float((2 * hits[scored] / (predicted + support)[scored]).mean()) if scored.any() else 0.0,
        "average_precision": float(average_precision_score(target[:, some], preds[:, some], average="macro"))
        if some.any()
        else float("nan"),
        "subset_accuracy": float((target == labels).all(1).mean()),
        "log_loss": float(losses.mean()),
    }


def regression(
    preds: NDArray[np.float64],
    target: NDArray[np.float64],
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> dict[str, float]:
    """The scores of predicted numbers, in the target's unit.

    RMSLE, the root mean squared error of log(1 + x), is left out where a number is negative; correlations are NaN
    where predictions or targets do not vary, and so is R² where targets do not.

    Args:
        preds: (N,) predicted numbers.
        target: (N,) true numbers.
        bounds: (N,) lower and (N,) upper bounds of prediction intervals; `coverage` is the share of targets inside.

    Raises:
        ValueError: there are no rows.

    >>> import numpy as np
    >>> regression(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 3.0]))["mae"]
    0.6666666666666666
    """
    if not len(target):
        raise ValueError("No rows to score.")
    error = preds - target
    varies = bool(np.ptp(preds) > 0 and np.ptp(target) > 0)
    scores = {
        "mae": float(np.abs(error).mean()),
        "median_ae": float(np.median(np.abs(error))),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "r2": float(r2_score(target, preds)) if np.ptp(target) > 0 else float("nan"),
        "pearson": float(pearsonr(preds, target).statistic) if varies else float("nan"),
        "spearman": float(spearmanr(preds, target).statistic) if varies else float("nan"),
    }
    if preds.min() >= 0 and target.min() >= 0:
        scores["rmsle"] = float(np.sqrt(np.square(np.log1p(preds) - np.log1p(target)).mean()))
    if bounds is not None:
        scores["coverage"] = float(((bounds[0] <= target) & (target <= bounds[1])).mean())
    return scores


LOWER_IS_BETTER = frozenset({"log_loss", "calibration_error", "mae", "median_ae", "rmse", "rmsle"})
METRICS = (
    *("weighted_f1", "macro_f1", "accuracy", "weighted_precision", "weighted_recall", "r2", "pearson", "spearman"),
    *("micro_f1", "average_precision", "subset_accuracy", "roc_auc"),
    *sorted(LOWER_IS_BETTER),
)
"""The metrics by which the best epoch can be selected."""
