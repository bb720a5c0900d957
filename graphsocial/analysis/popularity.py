"""Popularity: the distribution of shares, emotions of posts, correlations, and eq. 1 of EIJL as a regression.

Leng & Yan, "EIJL: Popularity Prediction of Social Media Advertisements Based on Multimodal Emotional Interaction and
Joint Learning", Data Intelligence, 2025, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from graphsocial.analysis._lognormal import LogNormalCounts
from graphsocial.analysis._regression import MIN_ROWS, regress
from graphsocial.analysis.base import Findings
from graphsocial.errors import DataError, InputError
from graphsocial.store.sql import quote
from graphsocial.tasks._posts import EMOTIONS, counted_node, emotions
from graphsocial.types import NodeType, Progress

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

COUNTS = ("likes", "favourites", "comments", "shares", "reactions")
FEELINGS = ("text", "image")
MAX_BINS = 30  # of the histogram
PUBLISHERS = ("page", "author", "brand")  # whose posts are alike, in the order in which they are looked for
ROWS = "rows"


@dataclass(frozen=True)
class Popularity:
    """Five tables of the nodes that have shares (`note`, `post`).

    `shares`: the distribution of shares, with a log-normal of whole numbers fitted to those above zero and its goodness
    of fit: Kolmogorov's distance at whole numbers.
    `histogram`: the number of nodes with `low` up to below `high` shares, observed and by the log-normal.
    `emotions`: the number of texts by grade of emotion, and of covers with and without an emotional face.
    `correlations`: Spearman's ρ and Pearson's r of likes, favourites, comments and shares, pair by pair; on `--export`
    as a heat map too.
    `regression`: EIJL's eq. 1 four times, with coefficients, standard errors, p values and 95 % intervals:

        Y = β0 + β1 text + β2 image + β3 likability + β4 text·image + β5 text·image·likability + ε

    `ols` is as published: Y is 1 for the most shared fifth, else 0, by least squares. `logit` is the logistic
    regression of the same binary Y; its R² is McFadden's. `log_shares` is least squares with Y = log(1 + shares),
    without a threshold; `log_shares_centred` is the same with the factors minus their means and all their interactions,
    so that β1, β2 and β3 are effects at the means of the other factors and `vif`, the variance inflation factor, is
    small.

    Posts of one page, author or brand are alike, so standard errors are by leaving out each of their `clusters` in turn
    (jackknife, with t of as many degrees of freedom less one); without clusters each row is one (HC3). `p_holm` is
    adjusted for the number of coefficients in the table (Holm 1979).

    Text emotion is the grade 1 to 5, image emotion the intensity 0 to 1, likability the tercile of likes: 0, 1 or 2. A
    term that the data does not have is left out, with its interactions.

    Attributes:
        node: node type; by default the only one that has the column of shares.
        shares: column of the number of shares.
        likes: column of the number of likes.
        popular: share of nodes that counts as popular, between 0 and 1.
        cluster: node type or column of what a post's errors are clustered by, or `rows` for none; by default the page,
            author or brand.
    """

    node: str | None = None
    shares: str = "shares"
    likes: str = "likes"
    popular: float = 0.2
    cluster: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.popular < 1:
            raise InputError(f"popular is a share between 0 and 1, not {self.popular}.")

    def analyze(self, store: GraphStore, dataset: str, *, progress: Progress | None = None) -> Findings:
        """Analyze the shares of one node type; the tables are described above.

        Args:
            store: the store to read.
            dataset: name of the dataset.
            progress: called with the name of the step, steps done and steps in all.

        Raises:
            DataError: no node type has the column of shares, or too few rows have a value.
        """
        node = counted_node(store.schema, self.node, self.shares)
        steps = progress or (lambda what, done, of: None)
        rows, notes = self._rows(store, node, dataset)
        if rows.height < MIN_ROWS:
            raise DataError(f"Only {rows.height:,} '{node}' nodes have '{self.shares}'; {MIN_ROWS} are needed.")
        frames: dict[str, pl.DataFrame] = {}
        tables = {
            "shares": _distribution,
            "histogram": _histogram,
            "emotions": _emotion_counts,
            "correlations": _correlations,
        }
        for number, (name, make_table) in enumerate(tables.items()):
            steps(name, number, len(tables) + 1)
            frames[name] = make_table(rows)
        steps("regression", len(tables), len(tables) + 1)
        frames["regression"], more_notes = regress(rows, self.popular)
        return Findings(
            {name: frame for name, frame in frames.items() if frame.height},
            {"node": str(node)},
            (*notes, *more_notes),
            {"popularity_correlations.html": partial(_write_heat_map, frames["correlations"], f"{dataset}, {node}")},
        )

    def _rows(self, store: GraphStore, node: NodeType, dataset: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
        """The counts by name, `text` and `image` emotion and `likability`, of the nodes with shares."""
        columns = {column.name: column for column in node.columns}
        names = {"shares": self.shares, "likes": self.likes}
        names |= {name: name for name in COUNTS if name not in names}
        counts = {
            name: column for name, column in names.items() if column in columns and columns[column].kind == "integer"
        }
        posts = f"({store.visible(node, dataset=dataset)})"
        of_posts = emotions(store, node, dataset)
        selected = ", ".join(f"n.{quote(column)}::double as {quote(name)}" for name, column in counts.items())
        cluster = _cluster(store, node, dataset, self.cluster)
        rows = store.sql(
            f"select {selected}, e.* exclude (idx), c.cluster from {posts} as n "
            f"join ({of_posts.over(posts)}) as e using (idx) left join ({cluster[1]}) as c using (idx) "
            f"where n.{quote(self.shares)} is not null order by idx"
        ).pl()
        if cluster[0] is None:
            rows = rows.drop("cluster")
        rows = rows.rename({name: name.removesuffix("_emotion") for name in EMOTIONS if name in rows.columns})
        notes = [of_posts.note] if of_posts.note else []
        if cluster[0] is not None:
            count = rows["cluster"].drop_nulls().n_unique()
            notes.append(f"Standard errors of the regression are clustered by {cluster[0]}: {count:,}.")
        if "likes" in counts and rows["likes"].null_count() < rows.height:
            likes = rows["likes"].to_numpy()
            terciles = np.nanquantile(likes, [1 / 3, 2 / 3])
            level = (likes[:, None] > terciles).sum(axis=1).astype(float)
            rows = rows.with_columns(pl.Series("likability", np.where(np.isnan(likes), np.nan, level)).fill_nan(None))
            notes.append(f"Likability: terciles of likes, cut at {terciles[0]:,.0f} and {terciles[1]:,.0f}.")
        return rows, tuple(notes)


def _cluster(store: GraphStore, node: NodeType, dataset: str, name: str | None) -> tuple[str | None, str]:
    """What a node's errors are clustered by, None for nothing; and an SQL select of `idx` and `cluster`."""
    posts = store.visible(node, dataset=dataset)
    columns = {column.name for column in node.columns}
    selects: dict[str, str] = {}
    for edge in store.schema.edges:
        ends = {edge.src: ("dst", "src"), edge.dst: ("src", "dst")}
        if node.name in ends and edge.src != edge.dst and len(store.span(edge, dataset)):
            other = edge.dst if edge.src == node.name else edge.src
            of_other, of_node = ends[node.name]
            edges = store.visible(edge, dataset=dataset)
            select = f"select {of_node} as idx, min({of_other}) as cluster from ({edges}) group by {of_node}"
            selects.setdefault(other, select)
    selects |= {
        column: f"select idx, {quote(column)}::varchar as cluster from ({posts})" for column in columns - {*selects}
    }
    nothing = f"select idx, null as cluster from ({posts}) limit 0"
    if name is not None and name not in selects and name != ROWS:
        raise InputError(f"'{node}' has no '{name}' to cluster by; it has {', '.join(sorted(selects))}, or {ROWS}.")
    wanted = (name,) if name else tuple(part for who in PUBLISHERS for part in (who, f"{who}_id"))
    chosen = next((part for part in wanted if part in selects), None)
    return chosen, nothing if chosen is None else selects[chosen]


def _distribution(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each measure: quantiles, moments of logarithms, the fitted log-normal, its and the normal's fit."""
    from scipy import stats

    shares = rows["shares"].to_numpy()
    logs = np.log(shares[shares > 0])
    if len(logs) < 3 or logs.std() == 0:
        raise DataError("Nearly all nodes have the same number of shares; there is no distribution to describe.")
    plain = shares[shares > 0]
    fitted = LogNormalCounts.fit(plain)
    values, times = np.unique(plain, return_counts=True)
    normal = stats.norm(plain.mean(), plain.std(ddof=1)).cdf(values + 0.5)
    order = stats.probplot(logs, fit=True)[1]
    measures = {
        "nodes": float(len(shares)),
        "zero": float((shares == 0).mean()),
        "mean": float(shares.mean()),
        **{f"quantile_{q}": float(np.quantile(shares, q / 100)) for q in (25, 50, 75, 90, 99)},
        "most": float(shares.max()),
        "log_mean": float(logs.mean()),
        "log_deviation": float(logs.std(ddof=1)),
        "log_skewness": float(stats.skew(logs)),
        "log_excess_kurtosis": float(stats.kurtosis(logs)),
        "fitted_mean": fitted.mean,
        "fitted_deviation": fitted.deviation,
        "kolmogorov_smirnov": fitted.distance(plain),
        "kolmogorov_smirnov_of_normal": float(np.abs(times.cumsum() / times.sum() - normal).max()),
        "probability_plot_r2": float(order[2] ** 2),
    }
    return pl.DataFrame({"measure": list(measures), "value": list(measures.values())})


def _histogram(rows: pl.DataFrame) -> pl.DataFrame:
    """Counts in bins of equal width in the logarithm, cut at whole numbers; nodes without shares are left out."""
    shares = rows["shares"].to_numpy()
    shares = shares[shares > 0]
    edges = np.unique(np.ceil(np.geomspace(1, shares.max() + 1, MAX_BINS + 1)))
    counts = np.histogram(shares, edges)[0]
    expected = np.diff(LogNormalCounts.fit(shares).cdf(edges - 0.5)) * len(shares)
    return pl.DataFrame({"low": edges[:-1], "high": edges[1:], "nodes": counts, "fitted": expected})


def _emotion_counts(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each emotion and level: number and share of nodes, and their mean log(1 + shares)."""
    parts = []
    for name in (name for name in FEELINGS if name in rows.columns):
        level = pl.col(name).round() if name == "text" else (pl.col(name) > 0).cast(pl.Float64)
        parts.append(
            rows.filter(pl.col(name).is_not_null())
            .group_by(level.alias("level"))
            .agg(pl.len().cast(pl.Int64).alias("nodes"), pl.col("shares").log1p().mean().alias("mean_log_shares"))
            .sort("level")
            .select(
                pl.lit(name).alias("emotion"),
                "level",
                "nodes",
                (pl.col("nodes") / pl.col("nodes").sum()).alias("share"),
                "mean_log_shares",
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame()


def _correlations(rows: pl.DataFrame) -> pl.DataFrame:
    """Each pair of counts: Spearman's ρ, Pearson's r of the counts and of their logarithms."""
    from scipy import stats

    names = [name for name in COUNTS if name in rows.columns]
    pairs = []
    for a in names:
        for b in names:
            both = rows.select(pl.col(a).alias("a"), pl.col(b).alias("b")).drop_nulls().to_numpy()
            if len(both) > 2 and (both.std(axis=0) > 0).all():
                pairs.append(
                    {
                        "one": a,
                        "other": b,
                        "spearman": float(stats.spearmanr(both[:, 0], both[:, 1]).statistic),
                        "pearson": float(np.corrcoef(both.T)[0, 1]),
                        "pearson_of_logs": float(np.corrcoef(np.log1p(both).T)[0, 1]),
                        "nodes": len(both),
                    }
                )
    return pl.DataFrame(pairs)


def _write_heat_map(correlations: pl.DataFrame, what: str, path: Path) -> None:
    """Write Spearman's ρ of each pair as coloured cells of a self-contained HTML table.

    Args:
        correlations: the table `correlations`.
        what: name of the data, for the heading.
        path: the file to write.
    """
    names = correlations["one"].unique(maintain_order=True).to_list() if correlations.height else []
    values = {(row["one"], row["other"]): row["spearman"] for row in correlations.to_dicts()}

    def cell(value: float | None) -> str:
        if value is None:
            return "<td></td>"
        red, blue = (round(255 * (1 - 0.6 * max(0.0, side))) for side in (value, -value))  # blue above 0, red below
        return f'<td style="background:rgb({red},{min(red, blue)},{blue})">{value:.2f}</td>'

    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = [f"<tr><th>{escape(a)}</th>{''.join(cell(values.get((a, b))) for b in names)}</tr>" for a in names]
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Correlations</title>'
        "<style>body{font-family:sans-serif}td,th{padding:.6em 1em;text-align:right}</style>"
        f"<h1>Correlations of {escape(what)}</h1><p>Spearman's ρ.</p>"
        f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table></html>\n",
        encoding="utf-8",
    )
