"""The section about popularity: distribution of shares, emotions, correlations, and the regression of EIJL."""

from __future__ import annotations

from typing import Any

import polars as pl

from graphsocial.reporting import matrices
from graphsocial.reporting.analyses import charts
from graphsocial.reporting.analyses.base import StoredAnalysis
from graphsocial.reporting.page import Chart, Section, Table

MODELS = {
    "ols": "least squares, popular (0/1)",
    "logit": "logistic, popular (0/1)",
    "log_shares": "least squares, log(1 + shares)",
    "log_shares_centred": "least squares, log(1 + shares), centred, all interactions",
}
AS_PUBLISHED = tuple(MODELS.values())[:3]
TERMS = {
    "text_image": "text × image",
    "text_likability": "text × likability",
    "image_likability": "image × likability",
    "text_image_likability": "text × image × likability",
}
LEVELS = {
    "text": {1: "1 very negative", 2: "2 negative", 3: "3 neutral", 4: "4 positive", 5: "5 very positive"},
    "image": {0: "no emotional face", 1: "emotional face"},
}


def sections(analysis: StoredAnalysis) -> list[Section]:
    """One section for one node type."""
    shares = analysis.frame("shares")
    if not shares.height:
        return []
    node = analysis.key["node"]
    parts = [
        *_distribution(analysis, node),
        *_emotions(analysis.frame("emotions"), node),
        *_correlations(analysis.frame("correlations")),
        *_regression(analysis.frame("regression")),
        *analysis.remarks,
    ]
    count = int(analysis.number("shares", "nodes") or 0)
    return [Section(f"Popularity: {node}", f"Shares of {count:,} {node}s and their correlates.", parts)]


def _distribution(analysis: StoredAnalysis, node: str) -> list[Chart | Table]:
    measures = {row["measure"]: row["value"] for row in analysis.frame("shares").to_dicts()}
    facts = [
        ["without shares", f"{measures['zero']:.1%}"],
        ["mean", f"{measures['mean']:,.1f}"],
        ["quantiles", ", ".join(f"{q} %: {measures[f'quantile_{q}']:,.0f}" for q in (25, 50, 75, 90, 99))],
        ["maximum", f"{measures['most']:,.0f}"],
        [
            "log-normal fit",  # analyses by earlier versions have the moments alone
            f"μ = {measures.get('fitted_mean', measures['log_mean']):.3f}, "
            f"σ = {measures.get('fitted_deviation', measures['log_deviation']):.3f}",
        ],
        [
            "log shares",
            f"skewness {measures['log_skewness']:.2f}, excess kurtosis {measures['log_excess_kurtosis']:.2f}",
        ],
        [
            "Kolmogorov–Smirnov distance",
            f"{measures['kolmogorov_smirnov']:.3f} from the log-normal, "
            f"{measures['kolmogorov_smirnov_of_normal']:.3f} from the normal",
        ],
        ["probability plot", f"R² = {measures['probability_plot_r2']:.4f}"],
    ]
    table = Table("Summary statistics of shares", (), facts)
    if not (bins := analysis.frame("histogram")).height:
        return [table]
    return [
        Chart(
            "Distribution of shares",
            charts.histogram(bins, x="shares", y=f"{node}s"),
            f"Bars: number of {node}s by shares, on a logarithmic axis, without the {measures['zero']:.1%} that have "
            "no shares. Line: expected numbers of the fitted log-normal distribution in the same bins.",
        ),
        table,
    ]


def _emotions(emotions: pl.DataFrame, node: str) -> list[Chart | Table]:
    if not emotions.height:
        return []
    parts: list[Chart | Table] = []
    for (emotion,), rows in emotions.group_by("emotion", maintain_order=True):
        names = LEVELS[str(emotion)]
        levels = pl.Series("group", [names.get(level, f"{level:g}") for level in rows["level"]])
        parts.append(
            Chart(
                f"Shares by emotion of the {emotion}",
                charts.side_by_side(
                    rows.with_columns(levels),
                    [("share", f"share of the {node}s", ".0%"), ("mean_log_shares", "mean log(1 + shares)", ".2f")],
                ),
                f"Left: share of the {node}s with this emotion. Right: mean logarithm of their shares.",
            )
        )
    return parts


def _correlations(correlations: pl.DataFrame) -> list[Chart | Table]:
    if not correlations.height or correlations["one"].n_unique() < 2:
        return []
    cells = correlations.select(row="one", column="other", value="spearman")
    return [
        Chart(
            "Rank correlations of the counts",
            matrices.matrix(cells, x="", y="", value="value", domain=(-1, 0, 1)),
            "Spearman's ρ of each pair of counts.",
        )
    ]


def _regression(regression: pl.DataFrame) -> list[Chart | Table]:
    if not regression.height:
        return []
    named = regression.with_columns(model=pl.col("model").replace(MODELS), term=pl.col("term").replace(TERMS))
    order = pl.col("model").replace_strict(
        list(MODELS.values()), range(len(MODELS)), default=len(MODELS), return_dtype=pl.Int64
    )
    named = named.sort(order, maintain_order=True)
    for name in ("p_holm", "vif", "clusters"):  # analyses by earlier versions have none
        named = named if name in named.columns else named.with_columns(pl.lit(None).alias(name))
    tables = [
        Table(
            f"Regression: {model}",
            ["term", "coefficient", "standard error", "p", "p (Holm)", "95 % confidence interval", "VIF"],
            [_line(row) for row in part.to_dicts()],
            f"{part['nodes'][0]:,} rows, {'McFadden’s ' if 'logistic' in str(model) else ''}R² = {part['r2'][0]:.3f}. "
            + (f"Standard errors by leaving out each of {count:,} clusters." if (count := part["clusters"][0]) else ""),
        )
        for (model,), part in named.group_by("model", maintain_order=True)
    ]
    return [
        Chart(
            "Regression coefficients",
            charts.coefficients(named.filter(pl.col("term") != "constant", pl.col("model").is_in(AS_PUBLISHED))),
            "Equation 1 of EIJL: Y = β0 + β1 text + β2 image + β3 likability + β4 text·image + "
            "β5 text·image·likability. Dots are coefficients, lines 95 % confidence intervals. The axes of the "
            "models differ. Text ranges from 1 to 5, image from 0 to 1, likability from 0 to 2. VIF: variance "
            "inflation factor, how many times larger the variance is than if the other terms were uncorrelated; Holm: "
            "p adjusted for all coefficients of the tables.",
        ),
        *tables,
    ]


def _line(row: dict[str, Any]) -> list[Any]:
    p_values = ("" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.4f}" for p in (row["p"], row["p_holm"]))
    error = "" if row["standard_error"] is None else f"{row['standard_error']:.4f}"
    bounds = "" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
    vif = "" if row["vif"] is None else f"{row['vif']:.1f}"
    return [row["term"], f"{row['coefficient']:+.4f}", error, *p_values, bounds, vif]
