"""The section about what a run's scores lose when something is missing."""

from __future__ import annotations

import polars as pl

from graphsocial.evaluation.metrics import LOWER_IS_BETTER
from graphsocial.reporting.analyses import charts
from graphsocial.reporting.analyses.base import Study
from graphsocial.reporting.page import Chart, Section, Table, words

METRICS = ("weighted_f1", "rmsle", "rmse", "mae")  # the first that a target has is drawn


def sections(study: Study) -> list[Section]:
    """One section for one run."""
    scores = study.frame("scores")
    if not scores.height or "share" not in scores.columns:
        return []
    metrics = [name for name in scores.columns if name not in ("missing", "share", "target")]
    parts: list[Chart | Table] = []
    by_share: dict[str, list[pl.DataFrame]] = {}
    for (target,), rows in scores.group_by("target", maintain_order=True):
        told = rows.drop([name for name in metrics if rows[name].null_count() == rows.height])
        metric = next((name for name in METRICS if name in told.columns), told.columns[3])
        title = f"{words(metric)} of {target}"
        whole = float(told.filter(missing="nothing")[metric][0])
        gone = told.filter(pl.col("share").is_null()).select("missing", value=metric)
        if gone.height:
            less = "; to the right of it, the answers got worse" if metric in LOWER_IS_BETTER else ""
            parts.append(
                Chart(
                    f"One modality removed: {target}",
                    charts.losses(gone, title, whole),
                    f"The dashed line is the score with everything in place, {whole:.3f}{less}. A modality is missing "
                    "for all nodes of its type, neighbours included; the run was not trained anew.",
                )
            )
        curve = told.filter(pl.col("share").is_not_null()).select(
            pl.lit(str(target)).alias("target"), "share", value=metric
        )
        by_share.setdefault(metric, []).append(curve)
        columns = told.drop("share", "target")
        parts.append(Table(f"{target}, in numbers", ["missing", *map(words, columns.columns[1:])], columns.rows()))
    for metric, curves in by_share.items():
        frame = pl.concat(curves)
        if frame["share"].n_unique() > 1:
            parts.append(
                Chart(
                    f"Some of each modality missing: {words(metric)}",
                    charts.decline(frame, words(metric)),
                    "Nodes that lose a modality are drawn at random, for each modality by itself; means over "
                    f"{study.settings.get('draws', 1)} draws.",
                )
            )
    intro = f"What is left of the scores of {study.key['run_id']} on its test part when something is missing."
    return [Section(f"Robustness: {study.key['run_id']}", intro, [*parts, *study.remarks])]
