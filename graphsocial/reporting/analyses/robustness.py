"""The section about robustness: a run's test scores with missing modalities."""

from __future__ import annotations

import polars as pl

from graphsocial.evaluation.metrics import LOWER_IS_BETTER
from graphsocial.reporting.analyses import charts
from graphsocial.reporting.analyses.base import StoredAnalysis
from graphsocial.reporting.page import Chart, Section, Table, metric_title

METRICS = ("weighted_f1", "rmsle", "rmse", "mae")  # the first of them that a target has is drawn


def sections(analysis: StoredAnalysis) -> list[Section]:
    """One section for one run."""
    scores = analysis.frame("scores")
    if not scores.height or "share" not in scores.columns:
        return []
    metrics = [name for name in scores.columns if name not in ("missing", "share", "target")]
    parts: list[Chart | Table] = []
    by_share: dict[str, list[pl.DataFrame]] = {}
    for (target,), rows in scores.group_by("target", maintain_order=True):
        of_target = rows.drop([name for name in metrics if rows[name].null_count() == rows.height])
        metric = next((name for name in METRICS if name in of_target.columns), of_target.columns[3])
        axis_title = f"{metric_title(metric)} of {target}"
        full_score = float(of_target.filter(missing="nothing")[metric][0])
        removed = of_target.filter(pl.col("share").is_null()).select("missing", value=metric)
        if removed.height:
            worse = "; scores to the right of it are worse" if metric in LOWER_IS_BETTER else ""
            parts.append(
                Chart(
                    f"Scores without one modality: {target}",
                    charts.scores_without(removed, axis_title, full_score),
                    f"The dashed line is the score with all modalities, {full_score:.3f}{worse}. The modality is "
                    "missing for all nodes of the type, neighbors included; the model is not retrained.",
                )
            )
        curve = of_target.filter(pl.col("share").is_not_null()).select(
            pl.lit(str(target)).alias("target"), "share", value=metric
        )
        by_share.setdefault(metric, []).append(curve)
        columns = of_target.drop("share", "target")
        parts.append(
            Table(
                f"Scores with missing modalities: {target}",
                ["missing", *map(metric_title, columns.columns[1:])],
                columns.rows(),
            )
        )
    for metric, curves in by_share.items():
        frame = pl.concat(curves)
        if frame["share"].n_unique() > 1:
            parts.append(
                Chart(
                    f"Scores by missing share of each modality: {metric_title(metric)}",
                    charts.scores_by_missing_share(frame, metric_title(metric)),
                    "The nodes that lose a modality are sampled independently for each modality; means over "
                    f"{analysis.settings.get('draws', 1)} random draws.",
                )
            )
    intro = f"Test scores of {analysis.key['run_id']} with missing modalities."
    return [Section(f"Robustness: {analysis.key['run_id']}", intro, [*parts, *analysis.remarks])]
