"""The section about who is linked to whom: degrees, centralities, communities, likeness along links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from graphsocial.reporting import charts
from graphsocial.reporting.analyses import charts as drawn
from graphsocial.reporting.analyses.base import Study
from graphsocial.reporting.page import Chart, Section, Table

POINTS = 2000  # of a cloud
LEADING = 10  # nodes that are named
COMMUNITIES = 15
WHOLE = ("nodes", "edges", "links", "isolated_nodes", "components", "communities", "largest_degree")


def sections(study: Study) -> list[Section]:
    """One section for one network."""
    nodes, edges = study.frame("nodes"), study.key["edges"]
    if not nodes.height:
        return []
    parts = [_degrees(nodes), *_central(nodes), *_communities(study, nodes), *_likeness(study.frame("likeness"))]
    facts = [[_words(row["measure"]), _value(row)] for row in study.frame("summary").to_dicts()]
    links = study.number("summary", "links")
    intro = (
        f"{nodes.height:,} nodes, {int(links or 0):,} links of ‘{edges}’; an edge counts as a link in both directions."
    )
    return [Section(f"Network: {edges}", intro, [*parts, Table("The whole", (), facts), *study.remarks])]


def of_run(study: Study, run_id: str) -> Study:
    """The study without the likeness of other runs' predictions."""
    alike = study.frame("likeness")
    if not alike.height:
        return study
    kept = alike.filter(pl.col("source").is_in(["labels", f"predictions of {run_id}"]))
    return replace(study, frames={**study.frames, "likeness": kept})


def _words(measure: str) -> str:
    return measure.replace("_", " ")


def _value(row: dict[str, object]) -> int | float | None:
    value = row["value"]
    assert value is None or isinstance(value, float)
    return int(value) if value is not None and row["measure"] in WHOLE else value


def _degrees(nodes: pl.DataFrame) -> Chart:
    kinds = {"degree": "links", "in_degree": "edges into the node", "out_degree": "edges out of it"}
    frames = [charts.survival(nodes[name].to_numpy(), told) for name, told in kinds.items()]
    middle, most = (int(nodes["degree"].quantile(q, "nearest") or 0) for q in (0.5, 1.0))
    return Chart(
        "How many links nodes have",
        charts.degrees(pl.concat(frames)),
        f"Read: the share on the vertical axis has at least so many. Half of the nodes have {middle:,} links or fewer, "
        f"the best linked one {most:,}. Both axes are logarithmic: a straight line is a power law.",
    )


def _central(nodes: pl.DataFrame) -> list[Chart | Table]:
    chosen = np.sort(np.random.default_rng(0).permutation(nodes.height)[:POINTS])
    measures = [("pagerank", "PageRank"), ("betweenness", "betweenness")]
    measures = [
        (name, title) for name, title in measures if nodes.filter(pl.col(name) > 0, pl.col("degree") > 0).height
    ]
    several = nodes["node_type"].n_unique() > 1
    leading = nodes.sort("pagerank", descending=True, maintain_order=True).head(LEADING)
    shown = ["entity_id", *(["node_type"] if several else []), "degree", "pagerank", "betweenness", "core", "community"]
    some = f"{POINTS:,} of {nodes.height:,} nodes, drawn at random. " if nodes.height > POINTS else ""
    table = Table(
        f"The {leading.height} nodes of highest PageRank",
        [_words(name) for name in shown],
        [[_small(value) for value in row] for row in leading.select(shown).rows()],
        "PageRank: the share of a random walk's time. Betweenness: the share of shortest paths that lead through it. "
        "Core: the largest k for which it is in a group where all have k links to each other. All of them are in "
        "network_nodes, which joins with predictions.",
    )
    if not measures:
        return [table]
    picture = Chart(
        "Centralities",
        drawn.centrality(nodes[chosen], measures),
        f"{some}Each point is a node; nodes with a value of 0 are left out. Where the cloud is narrow, the number of "
        "links says it all; nodes above it matter more than their links alone would have it.",
    )
    return [picture, table]


def _small(value: object) -> object:
    return f"{value:.5f}" if isinstance(value, float) else value


def _communities(study: Study, nodes: pl.DataFrame) -> list[Chart]:
    sizes = nodes.group_by("community").len().sort("len", "community", descending=[True, False])
    if sizes.height < 2:
        return []
    shown = sizes.head(COMMUNITIES).select(pl.col("community").cast(pl.String).alias("group"), value="len")
    told = f"The {COMMUNITIES} largest of {sizes.height:,}. " if sizes.height > COMMUNITIES else ""
    modularity = study.number("summary", "modularity")
    return [
        Chart(
            "Communities",
            drawn.columns(shown, x="community", y="nodes"),
            f"{told}Groups with more links inside than chance would give them (Louvain); their modularity is "
            f"{modularity or 0:.2f}, where 0 is chance and values above 0.3 are clear groups.",
        )
    ]


def _likeness(found: pl.DataFrame) -> list[Chart | Table]:
    """Likeness along links, where it was tested."""
    if not found.height or not (tested := found.filter(pl.col("assortativity").is_not_null())).height:
        return []
    spread = pl.when(pl.col("z") != 0).then((pl.col("assortativity") - pl.col("by_chance")) / pl.col("z")).abs() * 2
    shown = tested.select(
        by=pl.col("source") + ": " + pl.when(pl.col("value").is_null()).then(pl.lit("numbers")).otherwise("name"),
        group=pl.coalesce("value", "name"),
        value="assortativity",
        middle="by_chance",
        low=pl.col("by_chance") - spread.fill_null(0),
        high=pl.col("by_chance") + spread.fill_null(0),
    )
    rows: Sequence[Sequence[object]] = [
        [row["source"], row["name"], row["value"], row["assortativity"], row["by_chance"], row["z"], f"{row['p']:.2g}"]
        for row in tested.to_dicts()
    ]
    permutations = int(tested["permutations"].max())  # type: ignore[arg-type]  # a number
    return [
        Chart(
            "Are linked nodes alike?",
            drawn.observed(shown, "assortativity"),
            "Assortativity is the correlation of a value at the two ends of links: above 0, friends of those who have "
            f"much of it have much of it too. Grey: two standard deviations around the mean of {permutations:,} "
            "permutations of the values among the same nodes. What lies outside is more (or less) alike than chance.",
        ),
        Table(
            "Likeness, in numbers",
            ["of", "what", "value", "assortativity", "by chance", "z", "p"],
            rows,
            "p is two-sided; of many values, one in twenty is below 0.05 by chance.",
        ),
    ]
