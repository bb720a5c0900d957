"""Sections about how good the answers are: scores, learning, classes, calibration, numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from graphsocial.comparison import Comparison, breakdowns
from graphsocial.comparison.outcomes import ClassOutcomes, is_classes
from graphsocial.reporting import charts, matrices
from graphsocial.reporting.page import Chart, Section, Table, interval, words
from graphsocial.reporting.subject import Subject, frame_of, is_skewed

SHOWN = 2000  # points of a cloud


def scores(subject: Subject) -> Section:
    """How good the model is beside others, and how sure that is."""
    found = subject.comparison
    drawn = "rows" if found.cluster == "row" else f"{found.cluster}s with all their rows"
    runs = int(found.scores["runs"][0])
    parts: list[Chart | Table] = [
        Chart(
            "Scores on test rows",
            charts.forest(found.scores),
            f"Dots are means over the seeds, lines 95 % intervals from {found.samples:,} bootstrap samples of test "
            f"{drawn}. Models whose lines overlap may still differ: the differences below are paired. "
            "For log loss and errors of numbers, less is better.",
        ),
        Table("In numbers", *_wide(found), "Mean ± standard deviation over the seeds."),
    ]
    differences = pl.concat([frame for frame in (found.differences, found.lift) if frame.height] or [found.lift])
    if differences.height:
        rows = differences.unique(["model", "against", "metric"], maintain_order=True).filter(model=subject.label)
        parts.append(
            Table(
                "Differences",
                ["against", "metric", f"{subject.label} minus it", "p over seeds"],
                [
                    [
                        row["against"] + (" (same features, no edges)" if row["against"] == "features_only" else ""),
                        words(row["metric"]),
                        interval(row["difference"], row["low"], row["high"], signed=True),
                        None if row["p"] is None else f"{row['p']:.2g}",
                    ]
                    for row in rows.to_dicts()
                ],
                "Intervals hold for new test rows of the same kind, p (paired t test) for new training seeds. "
                "The difference from the same features without edges is what the graph is worth.",
            )
        )
    intro = f"{found.rows:,} {subject.rows} of the test part, {runs} training seed{'s' if runs > 1 else ''}."
    return Section("Scores", intro, parts)


def _wide(found: Comparison) -> tuple[list[str], list[list[Any]]]:
    metrics = found.scores["metric"].unique(maintain_order=True).to_list()
    rows: list[list[Any]] = []
    for (model,), part in found.scores.group_by("model", maintain_order=True):
        told = {row["metric"]: row for row in part.to_dicts()}
        cells = [_plus(told[metric]["mean"], told[metric]["sd"]) for metric in metrics]
        rows.append([model, int(part["runs"][0]), *cells])
    return ["model", "seeds", *map(words, metrics)], rows


def _plus(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return "–"
    return f"{mean:.3f}" + (f" ± {deviation:.3f}" if deviation is not None else "")


def learning(subject: Subject) -> Section | None:
    """Loss and validation score by epoch; nothing for models that do not train."""
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
                "Training, epoch by epoch",
                charts.learning_curves(epochs, str(epochs["metric"][0])),
                "One line a seed; the dot is the epoch whose weights were kept, chosen on validation rows alone.",
            )
        ],
    )


def classes(subject: Subject) -> Section | None:
    """How each class is recognised and what it is taken for."""
    names = subject.examples.classes
    if not names:
        return None
    tables = [breakdowns.confusion(one, len(names)) for one in subject.answers if is_classes(one)]
    cells = np.mean(tables, axis=0)
    support, answered = cells.sum(1), cells.sum(0)
    order = [place for place in range(len(names)) if support[place] + answered[place]]
    pairs = [(names[t], names[a], cells[t, a], cells[t, a] / max(support[t], 1)) for t in order for a in order]
    confused = pl.DataFrame(pairs, schema=["true", "answered", "rows", "share"], orient="row")
    own = {row["class"]: row for row in subject.comparison.classes.filter(model=subject.label).to_dicts()}
    measures = [
        {"class": names[place], "measure": words(measure), "value": own[names[place]][measure]}
        for place in order
        for measure in ("precision", "recall", "f1")
        if own[names[place]][measure] is not None
    ]
    shares = [
        {"class": names[place], "kind": kind, "share": count[place] / cells.sum()}
        for place in order
        for kind, count in (("true", support), ("answered", answered))
    ]
    return Section(
        "Classes",
        "Means over the seeds; classes that are neither true nor answered in the test rows are left out.",
        [
            Chart(
                "What each class is taken for",
                matrices.confusion(confused, [names[place] for place in order]),
                "Each row adds up to 100 %: of the test rows with that true class, how many got which answer. The "
                "diagonal is the recall.",
            ),
            Chart(
                "Precision, recall and F1 of each class",
                charts.classes(frame_of(measures)),
                "A class with a low recall is overlooked; one with a low precision is named too often.",
            ),
            Chart(
                "How often each class is true, and answered",
                charts.bars(frame_of(shares), of="test rows"),
                "Where the second bar is shorter, the model keeps the class back.",
            ),
            Table(
                "In numbers",
                ["class", "precision", "recall", "F1", "true rows", "answered rows"],
                [
                    [
                        *(names[place], own[names[place]]["precision"], own[names[place]]["recall"]),
                        *(own[names[place]]["f1"], int(support[place]), round(float(answered[place]))),
                    ]
                    for place in order
                ],
            ),
        ],
    )


def calibration(subject: Subject) -> Section | None:
    """Whether probabilities mean what they say; nothing for answers without probabilities."""
    found = subject.comparison
    if found.calibration.is_empty():
        return None
    curve = found.reliability.filter(model=subject.label)
    (own,) = found.calibration.filter(model=subject.label).to_dicts()
    half = found.abstention.filter(pl.col("model") == subject.label, pl.col("coverage") == 0.5)["risk"][0]
    scaled = own["temperature"] is not None
    return Section(
        "Calibration",
        "Whether a confidence of 80 % is right in 80 % of the cases, and what it is worth to answer only when sure.",
        [
            Chart(
                "Confidence, and how often it is right",
                charts.reliability(curve),
                "On the dashed line, confidence is honest; below it, the model is too sure; above, too shy. Larger "
                "dots stand for more rows."
                + (f" The temperature, fitted on validation rows, is {own['temperature']:.2f}." if scaled else ""),
            ),
            Table(
                "In numbers",
                ["model", "temperature", "log loss", "scaled", "calibration error", "scaled", "AURC"],
                [list(row.values()) for row in found.calibration.to_dicts()],
                "Scaled: at the temperature. Calibration error: the expected one in 15 bins. AURC: the area under the "
                "curve below; less is better.",
            ),
            Chart(
                "Wrong answers when only the surest are given",
                charts.risk_coverage(found.abstention),
                f"Answering only its surer half, {subject.label} is wrong in {half:.1%} of the rows; answering all, in "
                f"{subject.errors.mean():.1%}. A flat line would mean that confidence tells nothing.",
            ),
        ],
    )


def numbers(subject: Subject) -> Section | None:
    """Predicted beside true numbers; nothing for classes."""
    first = subject.answers[0]
    if isinstance(first, ClassOutcomes):
        return None
    rows = np.sort(np.random.default_rng(0).permutation(len(first.target))[:SHOWN])
    shown = pl.DataFrame({"truth": first.target[rows], "said": first.value[rows]})
    return Section(
        "Predicted and true",
        "",
        [
            Chart(
                "Each row, as predicted and as it is",
                charts.agreement(shown, log=is_skewed(first.target)),
                "On the dashed line, the prediction is exact."
                + (" Both axes are logarithmic away from zero." if is_skewed(first.target) else ""),
            )
        ],
    )
