"""The section about a network: degree distribution, centralities, communities and assortativity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from graphsocial.reporting import graph_charts
from graphsocial.reporting.analyses import charts
from graphsocial.reporting.analyses.base import StoredAnalysis
from graphsocial.reporting.page import Chart, Section, Table

MAX_POINTS = 2000  # of the scatter plots
TOP_NODES = 10  # by PageRank, in the table
MAX_COMMUNITIES = 15
COUNTS = ("nodes", "edges", "links", "isolated_nodes", "components", "communities", "largest_degree")


def sections(analysis: StoredAnalysis) -> list[Section]:
    """One section for the network of one edge type."""
    nodes, edges = analysis.frame("nodes"), analysis.key["edges"]
    if not nodes.height:
        return []
    parts = [
        _degrees(nodes),
        *_centralities(nodes),
        *_communities(analysis, nodes),
        *_assortativity(analysis.frame("likeness")),
    ]
    facts = [[_title(row["measure"]), _value(row)] for row in analysis.frame("summary").to_dicts()]
    links = analysis.number("summary", "links")
    intro = f"{nodes.height:,} nodes, {int(links or 0):,} undirected links of ‘{edges}’."
    return [Section(f"Network: {edges}", intro, [*parts, Table("Summary", (), facts), *analysis.remarks])]


def of_run(analysis: StoredAnalysis, run_id: str) -> StoredAnalysis:
    """The analysis without the assortativity of other runs' predictions."""
    likeness = analysis.frame("likeness")
    if not likeness.height:
        return analysis
    kept = likeness.filter(pl.col("source").is_in(["labels", f"predictions of {run_id}"]))
    return replace(analysis, frames={**analysis.frames, "likeness": kept})


def _title(measure: str) -> str:
    return measure.replace("_", " ")


def _value(row: dict[str, object]) -> int | float | None:
    value = row["value"]
    assert value is None or isinstance(value, float)
    return int(value) if value is not None and row["measure"] in COUNTS else value


def _degrees(nodes: pl.DataFrame) -> Chart:
    kinds = {"degree": "undirected links", "in_degree": "incoming edges", "out_degree": "outgoing edges"}
    frames = [graph_charts.survival(nodes[name].to_numpy(), kind) for name, kind in kinds.items()]
    median, maximum = (int(nodes["degree"].quantile(q, "nearest") or 0) for q in (0.5, 1.0))
    return Chart(
        "Degree distribution",
        graph_charts.degree_distribution(pl.concat(frames)),
        f"Complementary cumulative distribution: the share of the nodes of at least that degree. Median {median:,}, "
        f"maximum {maximum:,}. On logarithmic axes, a power law is a straight line.",
    )


def _centralities(nodes: pl.DataFrame) -> list[Chart | Table]:
    sampled = np.sort(np.random.default_rng(0).permutation(nodes.height)[:MAX_POINTS])
    measures = [("pagerank", "PageRank"), ("betweenness", "betweenness")]
    measures = [
        (name, title) for name, title in measures if nodes.filter(pl.col(name) > 0, pl.col("degree") > 0).height
    ]
    has_types = nodes["node_type"].n_unique() > 1
    top = nodes.sort("pagerank", descending=True, maintain_order=True).head(TOP_NODES)
    columns = [
        "entity_id",
        *(["node_type"] if has_types else []),
        "degree",
        "pagerank",
        "betweenness",
        "core",
        "community",
    ]
    sample_note = f"{MAX_POINTS:,} of {nodes.height:,} nodes, sampled at random. " if nodes.height > MAX_POINTS else ""
    table = Table(
        f"The {top.height} nodes with the highest PageRank",
        [_title(name) for name in columns],
        [[_small(value) for value in row] for row in top.select(columns).rows()],
        "Betweenness: share of the shortest paths through the node. Core: largest k of the k-cores that contain it. "
        "The table network_nodes has all nodes, and joins with predictions.",
    )
    if not measures:
        return [table]
    chart = Chart(
        "Centralities by degree",
        charts.centrality(nodes[sampled], measures),
        f"{sample_note}Each point is a node; nodes with a value of 0 are not drawn. Nodes above the cloud are more "
        "central than others of the same degree.",
    )
    return [chart, table]


def _small(value: object) -> object:
    return f"{value:.5f}" if isinstance(value, float) else value


def _communities(analysis: StoredAnalysis, nodes: pl.DataFrame) -> list[Chart]:
    sizes = nodes.group_by("community").len().sort("len", "community", descending=[True, False])
    if sizes.height < 2:
        return []
    largest = sizes.head(MAX_COMMUNITIES).select(pl.col("community").cast(pl.String).alias("group"), value="len")
    note = f"The {MAX_COMMUNITIES} largest of {sizes.height:,}. " if sizes.height > MAX_COMMUNITIES else ""
    modularity = analysis.number("summary", "modularity")
    return [
        Chart(
            "Community sizes",
            charts.vertical_bars(largest, x="community", y="nodes"),
            f"{note}Louvain communities; modularity {modularity or 0:.2f} (0: no more links within communities than by "
            "chance; above 0.3: clear communities).",
        )
    ]


def _assortativity(likeness: pl.DataFrame) -> list[Chart | Table]:
    """Assortativity of each value with its permutation test."""
    if not likeness.height or not (tested := likeness.filter(pl.col("assortativity").is_not_null())).height:
        return []
    two_sd = pl.when(pl.col("z") != 0).then((pl.col("assortativity") - pl.col("by_chance")) / pl.col("z")).abs() * 2
    values = tested.select(
        by=pl.col("source") + ": " + pl.when(pl.col("value").is_null()).then(pl.lit("numbers")).otherwise("name"),
        group=pl.coalesce("value", "name"),
        value="assortativity",
        mean="by_chance",
        low=pl.col("by_chance") - two_sd.fill_null(0),
        high=pl.col("by_chance") + two_sd.fill_null(0),
    )
    of_earlier = [name for name in ("within", "p_holm") if name not in tested.columns]  # versions
    rows: Sequence[Sequence[object]] = [
        [
            *(row[name] for name in ("source", "name", "value", "within", "assortativity", "by_chance", "z")),
            *("" if row[name] is None else f"{row[name]:.2g}" for name in ("p", "p_holm")),
        ]
        for row in tested.with_columns(pl.lit(None).alias(name) for name in of_earlier).to_dicts()
    ]
    permutations = int(tested["permutations"].max())  # type: ignore[arg-type]  # a number
    return [
        Chart(
            "Assortativity",
            charts.observed_vs_chance(values, "assortativity"),
            "Assortativity is the correlation of a value between the two ends of links; above chance it means "
            f"homophily. Grey: mean ± 2 standard deviations under {permutations:,} permutations: of the values among "
            "the nodes, or of labels on edges within their other end (‘within’ in the table). The latter are "
            "deviations from the mean label of that end, so that what linked nodes have seen alike does not count.",
        ),
        Table(
            "Permutation test of assortativity",
            ["source", "column", "value", "within", "assortativity", "by chance", "z", "p", "p (Holm)"],
            rows,
            "p: two-sided; Holm: adjusted for the number of rows.",
        ),
    ]
