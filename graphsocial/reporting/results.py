"""Sections about the quality of predictions: scores, learning curves, classes, calibration, numeric errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from graphsocial.comparison import Comparison, breakdowns
from graphsocial.comparison.outcomes import ClassOutcomes, is_classes
from graphsocial.reporting import charts, matrices
from graphsocial.reporting.page import Chart, Section, Table, format_interval, metric_title
from graphsocial.reporting.subject import Subject, frame_of, is_skewed

MAX_POINTS = 2000  # of the scatter plot


def scores(subject: Subject) -> Section:
    """Scores of all models with confidence intervals, and paired differences."""
    comparison = subject.comparison
    units = list(comparison.clusters)
    resampled = "rows" if units == ["row"] else f"{'s and of '.join(units)}s with all their rows"
    runs = int(comparison.scores["runs"][0])
    parts: list[Chart | Table] = [
        Chart(
            "Test scores with 95 % confidence intervals",
            charts.forest(comparison.scores),
            f"Dots are means over the seeds, lines 95 % confidence intervals from {comparison.samples:,} bootstrap "
            f"samples of test {resampled}. Models with overlapping intervals may still differ significantly: see the "
            "paired differences below. For log loss and the errors of numeric targets, lower is better.",
        ),
        Table("Test scores by model", *_wide(comparison), "Mean ± standard deviation over the seeds."),
    ]
    differences = pl.concat(
        [frame for frame in (comparison.differences, comparison.lift) if frame.height] or [comparison.lift]
    )
    if differences.height:
        rows = differences.unique(["model", "against", "metric"], maintain_order=True).filter(model=subject.label)
        parts.append(
            Table(
                "Paired differences",
                ["against", "metric", f"{subject.label} − other", "p (seeds)"],
                [
                    [
                        row["against"]
                        + (" (same features without edges)" if row["against"] == "features_only" else ""),
                        metric_title(row["metric"]),
                        format_interval(row["difference"], row["low"], row["high"], signed=True),
                        None if row["p_holm"] is None else f"{row['p_holm']:.2g}",
                    ]
                    for row in rows.to_dicts()
                ],
                "Intervals are 95 % confidence intervals of the paired bootstrap over the test rows; p is that of "
                "the paired t test over the training seeds. The difference from the same features without edges is "
                "the graph lift.",
            )
        )
    intro = f"{comparison.rows:,} {subject.unit} of the test set, {runs} training seed{'s' if runs > 1 else ''}."
    return Section("Scores", intro, parts)


def _wide(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Column names, and a row for each model with a column for each metric."""
    metrics = comparison.scores["metric"].unique(maintain_order=True).to_list()
    rows: list[list[Any]] = []
    for (model,), part in comparison.scores.group_by("model", maintain_order=True):
        scores = {row["metric"]: row for row in part.to_dicts()}
        cells = [_mean_and_sd(scores[metric]["mean"], scores[metric]["sd"]) for metric in metrics]
        rows.append([model, int(part["runs"][0]), *cells])
    return ["model", "seeds", *map(metric_title, metrics)], rows


def _mean_and_sd(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return "–"
    return f"{mean:.3f}" + (f" ± {sd:.3f}" if sd is not None else "")


def learning(subject: Subject) -> Section | None:
    """Training loss and validation score by epoch; None for models that are not trained."""
    epochs = subject.store.sql(
        "select runs.seed, epoch, train_loss, metric, value, epoch = best_epoch as best from run_epochs "
        "join runs using (run_id) where config_id = ? and split = ? and dataset = ? order by seed, epoch",
        [subject.record["config_id"], subject.record["split"], subject.record["dataset"]],
    ).pl()
    if epochs["epoch"].n_unique() < 2:
        return None
    return Section(
        "Learning curves",
        "",
        [
            Chart(
                "Training loss and validation score by epoch",
                charts.learning_curves(epochs, str(epochs["metric"][0])),
                "One line per seed; the dot marks the epoch with the best validation score, whose weights were kept.",
            )
        ],
    )


def classes(subject: Subject) -> Section | None:
    """Confusion matrix, precision, recall and F1 by class; None for numeric targets."""
    names = subject.examples.classes
    if not names:
        return None
    tables = [breakdowns.confusion(outcomes, len(names)) for outcomes in subject.outcomes if is_classes(outcomes)]
    cells = np.mean(tables, axis=0)
    support, predicted = cells.sum(1), cells.sum(0)
    order = [index for index in range(len(names)) if support[index] + predicted[index]]
    pairs = [(names[i], names[j], cells[i, j], cells[i, j] / max(support[i], 1)) for i in order for j in order]
    confusion = pl.DataFrame(pairs, schema=["true", "predicted", "rows", "share"], orient="row")
    by_class = {row["class"]: row for row in subject.comparison.classes.filter(model=subject.label).to_dicts()}
    measures = [
        {"class": names[index], "measure": metric_title(measure), "value": by_class[names[index]][measure]}
        for index in order
        for measure in ("precision", "recall", "f1")
        if by_class[names[index]][measure] is not None
    ]
    shares = [
        {"class": names[index], "kind": kind, "share": count[index] / cells.sum()}
        for index in order
        for kind, count in (("true", support), ("predicted", predicted))
    ]
    return Section(
        "Classes",
        "Means over the seeds; classes that occur in the test set neither as labels nor as predictions are left out.",
        [
            Chart(
                "Confusion matrix",
                matrices.confusion(confusion, [names[index] for index in order]),
                "Rows are true classes and add up to 100 %: the shares of their test rows by predicted class. The "
                "diagonal is the recall.",
            ),
            Chart(
                "Precision, recall and F1 by class",
                charts.class_metrics(frame_of(measures)),
                "With a low recall, rows of the class are predicted as other classes; with a low precision, rows of "
                "other classes are predicted as this one.",
            ),
            Chart(
                "True and predicted class frequencies",
                charts.class_frequencies(frame_of(shares)),
                "Where the second bar is shorter than the first, the class is predicted less often than it occurs.",
            ),
            Table(
                "Metrics by class",
                ["class", "precision", "recall", "F1", "true rows", "predicted rows"],
                [
                    [
                        *(
                            names[index],
                            *(by_class[names[index]][measure] for measure in ("precision", "recall", "f1")),
                        ),
                        *(int(support[index]), round(float(predicted[index]))),
                    ]
                    for index in order
                ],
            ),
        ],
    )


def calibration(subject: Subject) -> Section | None:
    """Calibration and risk–coverage curves; None for predictions without probabilities."""
    comparison = subject.comparison
    if comparison.calibration.is_empty():
        return None
    curve = comparison.reliability.filter(model=subject.label)
    (row,) = comparison.calibration.filter(model=subject.label).to_dicts()
    is_half = (pl.col("model") == subject.label) & (pl.col("coverage") == 0.5)
    half_risk = comparison.abstention.filter(is_half)["risk"][0]
    is_scaled = row["temperature"] is not None
    return Section(
        "Calibration",
        "Agreement of predicted probabilities with observed frequencies, and error rate by confidence.",
        [
            Chart(
                "Calibration curve",
                charts.reliability(curve),
                "On the dashed line the model is calibrated; below it overconfident, above it underconfident. The "
                "size of a dot grows with the number of rows in its bin."
                + (f" Temperature, fitted on validation rows: {row['temperature']:.2f}." if is_scaled else ""),
            ),
            Table(
                "Calibration by model",
                ["model", "temperature", "log loss", "scaled", "calibration error", "scaled", "if exact", "AURC"],
                [list(values.values()) for values in comparison.calibration.to_dicts()],
                "Scaled: after temperature scaling. Calibration error: expected calibration error with 15 bins; if "
                "exact: what exact probabilities would have on so many rows. AURC: area under the risk–coverage curve. "
                "For all, lower is better.",
            ),
            Chart(
                "Risk–coverage curve",
                charts.risk_coverage(comparison.abstention),
                f"Error rate of {subject.label} on the more confident half of the rows: {half_risk:.1%}; on all rows: "
                f"{subject.errors.mean():.1%}. A flat curve means that confidence does not predict errors.",
            ),
        ],
    )


def numbers(subject: Subject) -> Section | None:
    """Predicted against true numbers; None for classes."""
    first = subject.outcomes[0]
    if isinstance(first, ClassOutcomes):
        return None
    rows = np.sort(np.random.default_rng(0).permutation(len(first.target))[:MAX_POINTS])
    points = pl.DataFrame({"true": first.target[rows], "predicted": first.value[rows]})
    return Section(
        "Predicted and true values",
        "",
        [
            Chart(
                "Predicted against true values",
                charts.predicted_vs_true(points, log=is_skewed(first.target)),
                "Each point is a test row; on the dashed line, the prediction equals the true value."
                + (" Both axes have a symmetric logarithmic scale." if is_skewed(first.target) else ""),
            )
        ],
    )
