"""EIJL's eq. 1 as regressions of popularity, with standard errors that hold where posts of one page are alike."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl

from graphsocial.analysis._measures import Floats, Ints
from graphsocial.evaluation.multiple_tests import holm

FACTORS = {"text": "text emotion that varies", "image": "image emotion that varies", "likability": "likes"}
INTERACTIONS = (("text", "image"), ("text", "image", "likability"))
ALL_INTERACTIONS = (("text", "image"), ("text", "likability"), ("image", "likability"), ("text", "image", "likability"))
CENTRED = "log_shares_centred"
MIN_ROWS = 50  # for a regression on five terms
TOLERANCE = 1e-9  # below which a share of a column's variance is nothing
LARGE_LOGIT = 15.0  # which few rows of data without separation have


def regress(rows: pl.DataFrame, popular: float = 0.2) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Eq. 1 by least squares (`ols`, `log_shares`, `log_shares_centred`) and as a logistic regression (`logit`).

    Args:
        rows: column `shares`, and `text`, `image` and `likability` where known; rows that lack a value are left out.
            `cluster`: the page or author of each row, where standard errors are clustered; rows without one are
            clusters of their own.
        popular: share of rows that counts as popular.

    Returns:
        A row for each model and term; notes on what was left out.
    """
    factors, used = _varying(rows)
    notes = [f"The data has no {FACTORS[name]}." for name in FACTORS if name not in factors]
    if not factors or used.height < MIN_ROWS:
        return pl.DataFrame(), (*notes, f"No regression: only {used.height:,} rows have all its terms.")
    values = {name: used[name].to_numpy().astype(float) for name in factors}
    terms, collinear = _terms(values, INTERACTIONS)
    centred, _ = _terms({name: column - column.mean() for name, column in values.items()}, ALL_INTERACTIONS)
    if collinear:
        notes.append(f"Left out, as a linear combination of the other terms: {', '.join(collinear)}.")
    clusters = None
    if "cluster" in used.columns:
        known = pl.col("cluster").cast(pl.String)
        own = pl.when(known.is_null()).then(pl.int_range(pl.len()).cast(pl.String)).otherwise(pl.lit("of ") + known)
        clusters = np.unique(used.select(own).to_series().to_numpy().astype(str), return_inverse=True)[1]
    shares = used["shares"].to_numpy().astype(float)
    threshold = float(np.quantile(shares, 1 - popular))
    y = (shares > threshold).astype(float)
    notes.append(f"Popular: more than {threshold:,.0f} shares, {y.mean():.1%} of {len(y):,}.")
    frames = []
    if y.any():
        frames.append(_least_squares("ols", y, terms, clusters))
        logit, failure = _logistic(y, terms, clusters)
        frames.append(logit)
        notes += [f"The logistic regression has no solution: {failure}."] if failure else []
    else:
        notes.append("No regression of popular nodes: there are none.")
    frames.append(_least_squares("log_shares", np.log1p(shares), terms, clusters))
    if any("_" in name for name in centred):
        frames.append(_least_squares(CENTRED, np.log1p(shares), centred, clusters))
    table = pl.concat([frame for frame in frames if frame.height])
    tested = [None if term == "constant" else p for term, p in table.select("term", "p").rows()]
    table = table.insert_column(table.columns.index("p") + 1, pl.Series("p_holm", holm(tested), pl.Float64))
    unsure = table.filter(pl.col("standard_error").is_null())["term"].unique(maintain_order=True)
    if len(unsure):
        notes.append(f"No standard error, as without one cluster there is no estimate: {', '.join(unsure)}.")
    return table, tuple(notes)


def _varying(rows: pl.DataFrame) -> tuple[list[str], pl.DataFrame]:
    """The factors that vary among the rows that have all of them, and these rows."""
    factors = [name for name in FACTORS if name in rows.columns and rows[name].drop_nulls().n_unique() > 1]
    cluster = [name for name in ("cluster",) if name in rows.columns]
    while True:
        finite = pl.all_horizontal(
            pl.col(name).cast(pl.Float64).is_finite().fill_null(False) for name in ("shares", *factors)
        )
        used = rows.filter(finite).select("shares", *factors, *cluster)
        constant = [name for name in factors if used[name].n_unique() < 2]
        if not constant or not used.height:
            return factors, used
        factors.remove(max(constant, key=lambda name: rows[name].null_count()))  # more rows may let the others vary


def _terms(
    values: Mapping[str, Floats], interactions: Sequence[tuple[str, ...]]
) -> tuple[dict[str, Floats], list[str]]:
    """Factors and their products by name, and the names of those that are linear combinations of earlier ones."""
    columns = dict(values)
    for names in interactions:
        if all(name in values for name in names):
            columns["_".join(names)] = np.prod([values[name] for name in names], axis=0)
    terms, collinear = dict[str, Floats](), list[str]()
    for name, column in columns.items():
        x = with_constant(terms, len(column))
        residual = column - x @ np.linalg.lstsq(x, column, rcond=None)[0]
        if residual @ residual > TOLERANCE * (column @ column):
            terms[name] = column
        else:
            collinear.append(name)
    return terms, collinear


def with_constant(terms: Mapping[str, Floats], rows: int) -> Floats:
    """(N, 1 + terms) the columns after a column of ones."""
    return np.column_stack([np.ones(rows), *terms.values()])


def _least_squares(model: str, y: Floats, terms: Mapping[str, Floats], clusters: Ints | None) -> pl.DataFrame:
    x = with_constant(terms, len(y))
    coefficients: Floats = np.linalg.lstsq(x, y, rcond=None)[0].astype(np.float64)
    residuals = y - x @ coefficients
    r2 = 1 - float(residuals @ residuals) / float(((y - y.mean()) ** 2).sum()) if y.std() else 0.0
    return _table(model, coefficients, x, np.ones(len(y)), residuals, clusters, terms=list(terms), r2=r2)


def _logistic(y: Floats, terms: Mapping[str, Floats], clusters: Ints | None) -> tuple[pl.DataFrame, str]:
    """The logistic regression; without a solution no rows, and the reason."""
    import statsmodels.api as sm

    x = with_constant(terms, len(y))
    fit: Any = None
    with warnings.catch_warnings(), suppress(np.linalg.LinAlgError):  # a singular Hessian is no solution
        warnings.simplefilter("ignore")  # of separation, overflow and iterations: all are looked for below
        fit = sm.Logit(y, x).fit(disp=False)
    solved = fit is not None and fit.mle_retvals["converged"] and np.isfinite(fit.params).all()
    logits = x @ fit.params if solved else np.full(len(y), np.inf)
    if np.abs(logits).max() > LARGE_LOGIT and (separating := separation(x, y)).any():
        names = [name for name, separates in zip(("constant", *terms), separating, strict=True) if separates]
        return pl.DataFrame(), (
            f"a sum of {', '.join(names)} separates rows that are all popular, or all not, from the others, so that "
            "coefficients grow without end"
        )
    if not solved:
        return pl.DataFrame(), "its iterations do not converge"
    p = 1 / (1 + np.exp(-logits))
    table = _table("logit", fit.params, x, p * (1 - p), y - p, clusters, terms=list(terms), r2=float(fit.prsquared))
    return table, ""


def separation(x: Floats, y: Floats) -> Any:
    """(P,) which coefficients a logistic regression can enlarge without end (Konis 2007, linear programming).

    The classes are separated, completely or in part, where some b has (2 y - 1) x b ≥ 0 for all rows and > 0 for some.

    Args:
        x: (N, P) columns.
        y: (N,) 0 or 1.
    """
    from scipy.optimize import linprog

    scaled = x / np.abs(x).max(axis=0)
    signed = np.unique(scaled * (2 * y - 1)[:, None], axis=0)
    # max Σ signed b with signed b ≥ 0 and |b| ≤ 1, as its dual: P equations instead of N inequalities
    mean, size = signed.mean(0), x.shape[1]
    equations = np.hstack([np.eye(size), -np.eye(size), -signed.T])
    costs = np.concatenate([np.ones(2 * size), np.zeros(len(signed))])
    solution = linprog(costs, A_eq=equations, b_eq=mean, method="highs")
    separated = solution.status == 0 and solution.fun > 1e-9
    return np.abs(solution.eqlin.marginals) > 1e-6 if separated else np.zeros(size, dtype=bool)


def jackknife(x: Floats, weights: Floats, residuals: Floats, clusters: Ints) -> Floats:
    """(P, P) covariance of coefficients by leaving out each cluster; NaN for one that a cluster alone determines.

    V = (G - 1) / G Σ_g d_g d_g',  d_g = (X'WX - X_g'W_g X_g)⁻¹ X_g'r_g,  where d_g is the change of the coefficients
    without cluster g: exactly so in least squares, by one Newton step in a logistic regression. With a row for each
    cluster it is HC3 (MacKinnon & White 1985, https://doi.org/10.1016/0304-4076(85)90158-7); with few clusters it holds
    better than the usual clustered variance (MacKinnon, Nielsen & Webb 2023, https://doi.org/10.1002/jae.2969).

    Args:
        x: (N, P) columns.
        weights: (N,) 1, or p (1 - p) in a logistic regression.
        residuals: (N,) observed minus fitted values.
        clusters: (N,) cluster of each row, numbered from 0.
    """
    scale = np.sqrt((x**2 * weights[:, None]).sum(0))
    z, count, size = x / scale, int(clusters.max()) + 1, x.shape[1]
    products = np.empty((count, size, size))
    for i in range(size):
        for j in range(size):
            products[:, i, j] = np.bincount(clusters, weights * z[:, i] * z[:, j], count)
    scores = np.stack([np.bincount(clusters, residuals * column, count) for column in z.T], axis=1)
    values, vectors = np.linalg.eigh(products.sum(0) - products)  # (G, P), (G, P, P)
    lost = values < TOLERANCE
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=~lost)
    changes = np.einsum("gij,gj,gkj,gk->gi", vectors, inverse, vectors, scores, optimize=True)
    undetermined = ((np.abs(vectors) > 1e-6) & lost[:, None, :]).any(axis=(0, 2))
    covariance = (count - 1) / count * changes.T @ changes / np.outer(scale, scale)
    covariance[undetermined] = covariance[:, undetermined] = np.nan
    return np.asarray(covariance)


def inflation(x: Floats) -> Floats:
    """(P - 1,) variance inflation factors: 1 / (1 - R²) of each column on all others, without the first, of ones."""
    if x.shape[1] < 3:
        return np.ones(x.shape[1] - 1)
    return np.diag(np.linalg.inv(np.corrcoef(x[:, 1:], rowvar=False)))


def _table(
    model: str,
    coefficients: Floats,
    x: Floats,
    weights: Floats,
    residuals: Floats,
    clusters: Ints | None,
    *,
    terms: Sequence[str],
    r2: float,
) -> pl.DataFrame:
    """A row for each term; t has as many degrees of freedom as there are clusters, less one."""
    from scipy import stats

    clustered = clusters is not None and clusters.max() > 0
    groups = clusters if clusters is not None and clustered else np.arange(len(x))
    count = int(groups.max()) + 1
    degrees = count - 1 if clustered else len(x) - x.shape[1]
    error = np.sqrt(np.diag(jackknife(x, weights, residuals, groups)))
    t = np.divide(coefficients, error, out=np.full_like(error, np.nan), where=error > 0)
    half = stats.t.ppf(0.975, degrees) * error
    return pl.DataFrame(
        {
            "model": model,
            "term": ["constant", *terms],
            "coefficient": coefficients,
            "standard_error": error,
            "p": 2 * stats.t.sf(np.abs(t), degrees),
            "low": coefficients - half,
            "high": coefficients + half,
            "vif": [np.nan, *inflation(x)],
            "r2": r2,
            "nodes": len(x),
            "clusters": pl.Series([count if clustered else None] * len(error), dtype=pl.Int64),
        }
    ).with_columns(pl.selectors.float().fill_nan(None))
