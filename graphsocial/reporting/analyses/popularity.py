"""The section about what is shared: distribution, emotions, correlations, the regression of EIJL."""

from __future__ import annotations

from typing import Any

import polars as pl

from graphsocial.reporting import matrices
from graphsocial.reporting.analyses import charts
from graphsocial.reporting.analyses.base import Study
from graphsocial.reporting.page import Chart, Section, Table

MODELS = {
    "ols": "least squares, popular or not",
    "logit": "logistic, popular or not",
    "log_shares": "least squares, log(1 + shares)",
}
TERMS = {"text_image": "text × image", "text_image_likability": "text × image × likability"}
LEVELS = {
    "text": {1: "1 very negative", 2: "2 negative", 3: "3 neutral", 4: "4 positive", 5: "5 very positive"},
    "image": {0: "no face that shows one", 1: "a face that shows one"},
}


def sections(study: Study) -> list[Section]:
    """One section for one node type."""
    shares = study.frame("shares")
    if not shares.height:
        return []
    node = study.key["node"]
    parts = [
        *_distribution(study, node),
        *_emotions(study.frame("emotions"), node),
        *_correlations(study.frame("correlations")),
        *_regression(study.frame("regression")),
        *study.remarks,
    ]
    count = int(study.number("shares", "nodes") or 0)
    return [Section(f"Popularity: {node}", f"How often {count:,} {node}s are shared, and what goes with it.", parts)]


def _distribution(study: Study, node: str) -> list[Chart | Table]:
    told = {row["measure"]: row["value"] for row in study.frame("shares").to_dicts()}
    facts = [
        ["never shared", f"{told['zero']:.1%}"],
        ["mean", f"{told['mean']:,.1f}"],
        ["quantiles", ", ".join(f"{q} %: {told[f'quantile_{q}']:,.0f}" for q in (25, 50, 75, 90, 99))],
        ["most", f"{told['most']:,.0f}"],
        ["log-normal", f"μ = {told['log_mean']:.3f}, σ = {told['log_deviation']:.3f}"],
        ["logarithms", f"skewness {told['log_skewness']:.2f}, excess kurtosis {told['log_excess_kurtosis']:.2f}"],
        [
            "Kolmogorov–Smirnov distance",
            f"{told['kolmogorov_smirnov']:.3f} from the log-normal, "
            f"{told['kolmogorov_smirnov_of_normal']:.3f} from the normal",
        ],
        ["probability plot", f"R² = {told['probability_plot_r2']:.4f}"],
    ]
    table = Table("Shares, in numbers", (), facts)
    if not (bins := study.frame("histogram")).height:
        return [table]
    return [
        Chart(
            "How often they are shared",
            charts.histogram(bins, x="shares", y=f"{node}s"),
            f"Bars: {node}s with so many shares, on a logarithmic axis; {told['zero']:.1%} without a share are left "
            "out. Line: what the fitted log-normal would have in the same bins. The closer it is to the bars, the "
            "better the logarithm of shares is described by a mean and a deviation.",
        ),
        table,
    ]


def _emotions(found: pl.DataFrame, node: str) -> list[Chart | Table]:
    if not found.height:
        return []
    parts: list[Chart | Table] = []
    for (emotion,), rows in found.group_by("emotion", maintain_order=True):
        names = LEVELS[str(emotion)]
        levels = pl.Series("group", [names.get(level, f"{level:g}") for level in rows["level"]])
        parts.append(
            Chart(
                f"Emotion of the {emotion}",
                charts.beside(
                    rows.with_columns(levels),
                    [("share", f"share of the {node}s", ".0%"), ("mean_log_shares", "mean log(1 + shares)", ".2f")],
                ),
                f"Left: how many {node}s have it. Right: how often these are shared.",
            )
        )
    return parts


def _correlations(found: pl.DataFrame) -> list[Chart | Table]:
    if not found.height or found["one"].n_unique() < 2:
        return []
    shown = found.select(row="one", column="other", value="spearman")
    return [
        Chart(
            "What is counted together",
            matrices.matrix(shown, x="", y="", value="value", domain=(-1, 0, 1)),
            "Spearman's ρ of each pair of counts: 1 where one always grows with the other, 0 where neither tells "
            "anything of the other.",
        )
    ]


def _regression(found: pl.DataFrame) -> list[Chart | Table]:
    if not found.height:
        return []
    named = found.with_columns(model=pl.col("model").replace(MODELS), term=pl.col("term").replace(TERMS))
    order = pl.col("model").replace_strict(
        list(MODELS.values()), range(len(MODELS)), default=len(MODELS), return_dtype=pl.Int64
    )
    named = named.sort(order, maintain_order=True)
    tables = [
        Table(
            f"Regression: {model}",
            ["term", "coefficient", "standard error", "p", "95 % interval"],
            [_line(row) for row in part.to_dicts()],
            f"{part['nodes'][0]:,} rows, {'McFadden’s ' if 'logistic' in str(model) else ''}R² = {part['r2'][0]:.3f}.",
        )
        for (model,), part in named.group_by("model", maintain_order=True)
    ]
    return [
        Chart(
            "What goes with being popular",
            charts.coefficients(named.filter(pl.col("term") != "constant")),
            "Equation 1 of EIJL: Y = β0 + β1 text + β2 image + β3 likability + β4 text·image + "
            "β5 text·image·likability. Dots are coefficients, lines 95 % intervals; one that crosses the dashed line "
            "may be 0. The axes of the three models differ. Text is graded 1 to 5, image 0 to 1, likability 0 to 2.",
        ),
        *tables,
    ]


def _line(row: dict[str, Any]) -> list[Any]:
    p = "< 0.0001" if row["p"] < 1e-4 else f"{row['p']:.4f}"
    bounds = f"{row['low']:+.4f} to {row['high']:+.4f}"
    return [row["term"], f"{row['coefficient']:+.4f}", f"{row['standard_error']:.4f}", p, bounds]
