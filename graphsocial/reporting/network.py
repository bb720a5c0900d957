"""The section about the distribution of errors in the graph: by degree, over the nodes, by community."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.analysis import _measures as measures
from graphsocial.comparison.outcomes import Array
from graphsocial.reporting import charts, graph_charts
from graphsocial.reporting.page import Chart, Section
from graphsocial.reporting.subject import MIN_ROWS, Subject, frame_of, is_sequence
from graphsocial.store.sql import quote
from graphsocial.types import EdgeType

DEGREE_BINS = {"0": 0, "1–2": 1, "3–9": 3, "10–29": 10, "30–99": 30, "100+": 100}  # label → the smallest degree
PERMUTATIONS = 200
MIN_NODES = 5  # per group, for a standard error over nodes
MAX_EDGES = 5_000_000  # of an edge type whose communities are computed
MAX_COMMUNITIES = 12


def graph(subject: Subject) -> Section | None:
    """Degrees and the distribution of errors; None where the endpoints have no edges."""
    store, examples = subject.store, subject.examples
    distributions: list[pl.DataFrame] = []
    by_degree: list[dict[str, Any]] = []
    for position, end in enumerate(dict.fromkeys(examples.ends)):
        for edge in store.schema.edges:
            if end not in (edge.src, edge.dst) or not len(store.span(edge, subject.run.dataset)):
                continue
            degrees = _degrees(subject, edge, end)
            if degrees["degree"].n_unique() > 1:
                distributions.append(graph_charts.survival(degrees["degree"].to_numpy(), f"{end}: {edge}"))
                by_degree += _error_by_degree(subject, position, degrees, f"{edge}, edges of the {end}")
    if not distributions:
        return None
    parts = [
        Chart(
            "Degree distribution",
            graph_charts.degree_distribution(pl.concat(distributions)),
            "Complementary cumulative distribution: the share of the nodes with at least that many edges of the edge "
            "type. On logarithmic axes, a power law is a straight line.",
        ),
    ]
    if by_degree:
        parts.append(
            Chart(
                f"{subject.error_name.capitalize()} by degree",
                charts.intervals(frame_of(by_degree), subject.error_name, reference=float(subject.errors.mean())),
                "Dots are means, lines ± 2 standard errors; the dashed line is the mean of all rows. Degrees count all "
                "edges of the dataset, whatever their split role.",
            )
        )
    parts += _concentration(subject)
    parts += _communities(subject)
    return Section(
        "Errors in the graph", "Distribution of the errors by degree, over the nodes, and by community.", parts
    )


def _degrees(subject: Subject, edge: EdgeType, end: str) -> pl.DataFrame:
    """Columns `id` and `degree` (in- plus out-degree over one edge type) of the dataset's nodes of one type."""
    store = subject.store
    sides = [name for name, kind in (("src", edge.src), ("dst", edge.dst)) if kind == end]
    edges = store.visible(edge, dataset=subject.run.dataset, as_of=subject.run.config.get("as_of"))
    ends = " union all ".join(f"select {side} as node from ({edges})" for side in sides)
    nodes = store.visible(store.schema.node(end), dataset=subject.run.dataset)
    degrees: pl.DataFrame = store.sql(
        f"select nodes.id, count(ends.node) as degree from ({nodes}) as nodes left join ({ends}) as ends "
        "on ends.node = nodes.idx group by nodes.idx, nodes.id order by nodes.idx"
    ).pl()
    return degrees


def _error_by_degree(subject: Subject, position: int, degrees: pl.DataFrame, by: str) -> list[dict[str, Any]]:
    """Mean errors by degree of one endpoint; no rows where only one bin is large enough."""
    ids = subject.examples.ids[position]
    joined = pl.DataFrame({"id": ids}).join(degrees, on="id", how="left", maintain_order="left")
    bins = np.searchsorted(list(DEGREE_BINS.values()), joined["degree"].fill_null(0).to_numpy(), side="right") - 1
    rows = _means(subject.errors, np.asarray(list(DEGREE_BINS))[bins], list(DEGREE_BINS), by, ids)
    return rows if len(rows) > 1 else []


def _means(errors: Array, groups: NDArray[np.str_], order: list[str], by: str, ids: pl.Series) -> list[dict[str, Any]]:
    """Mean error ± 2 standard errors of each large enough group; standard errors are clustered by node."""
    rows = []
    for name in order:
        in_group = np.flatnonzero(groups == name)
        if len(in_group) < MIN_ROWS or ids[in_group].n_unique() < MIN_NODES:
            continue
        mean = float(errors[in_group].mean())
        sums = (
            pl.DataFrame({"id": ids[in_group], "deviation": errors[in_group] - mean})
            .group_by("id")
            .agg(pl.sum("deviation"))
        )
        width = 2 * float(np.sqrt(np.square(sums["deviation"].to_numpy()).sum())) / len(in_group)
        bounds = {"value": mean, "low": max(0.0, mean - width), "high": min(float(errors.max()), mean + width)}
        rows.append({"by": by, "group": name, **bounds, "rows": len(in_group)})
    return rows


def _concentration(subject: Subject) -> list[Chart]:
    """Lorenz curves of the errors over the nodes, with their distribution under permutation; for pairs only."""
    if len(subject.examples.ends) < 2:
        return []
    frames, sentences = [], []
    for end, ids in zip(subject.examples.ends, subject.examples.ids, strict=True):
        node_index = ids.rank("dense").to_numpy().astype(np.int64) - 1
        observed = _lorenz(subject.errors, node_index)
        generator = np.random.default_rng(0)
        permuted = [_lorenz(generator.permutation(subject.errors), node_index) for _ in range(PERMUTATIONS)]
        low, high = np.quantile(permuted, [0.025, 0.975], axis=0)
        share = np.linspace(0, 1, len(observed))
        frames.append(pl.DataFrame({"end": end, "share": share, "observed": observed, "low": low, "high": high}))
        sentences.append(f"10 % of the {end}s have {observed[np.searchsorted(share, 0.1)]:.0%} of all errors")
    return [
        Chart(
            "Concentration of errors on nodes (Lorenz curves)",
            graph_charts.concentration(pl.concat(frames)),
            f"{'; '.join(sentences)}. Grey: central 95 % of {PERMUTATIONS} permutations of the errors among the rows. "
            "A curve above the band means that errors are concentrated on some nodes more than by chance.",
        )
    ]


def _lorenz(errors: Array, node_index: NDArray[np.int64], points: int = 51) -> Array:
    """(points,) cumulative share of the errors by share of the nodes, in descending order of errors per node."""
    by_node = np.sort(np.bincount(node_index, errors))[::-1]
    cumulative = np.concatenate([[0.0], by_node.cumsum() / max(by_node.sum(), 1e-12)])
    curve: Array = np.interp(np.linspace(0, len(by_node), points), np.arange(len(cumulative)), cumulative)
    return curve


def _communities(subject: Subject) -> list[Chart]:
    """Errors by Louvain community of the first edge type that joins the sources of the rows, if there is one."""
    store, end = subject.store, subject.examples.ends[0]
    for edge in store.schema.edges:
        span = store.span(edge, subject.run.dataset)
        if not (edge.src == edge.dst == end) or not 0 < len(span) <= MAX_EDGES:
            continue
        if is_sequence(store, edge, subject.run.dataset):
            continue
        nodes = store.span(store.schema.node(end), subject.run.dataset)
        visible = store.visible(edge, dataset=subject.run.dataset, as_of=subject.run.config.get("as_of"))
        links = store.sql(f"select src, dst from ({visible})").fetchnumpy()
        src, dst = (np.asarray(links[side], dtype=np.int64) - nodes.first for side in ("src", "dst"))
        communities = measures.communities(measures.undirected(measures.simple(src, dst, len(nodes))), seed=0)
        ids = store.sql(
            f"select id from {quote(store.schema.node(end).table)} where idx >= ? and idx < ? order by idx",
            [nodes.first, nodes.last],
        ).pl()
        members = pl.DataFrame({"id": ids["id"], "community": np.asarray(communities)})
        sources = pl.DataFrame({"id": subject.examples.ids[0]})
        numbers = sources.join(members, on="id", how="left", maintain_order="left")["community"]
        largest = numbers.drop_nulls().value_counts(sort=True)["community"].head(MAX_COMMUNITIES).to_list()
        names = np.asarray([f"community {number}" for number in numbers.fill_null(-1)])
        order = [f"community {number}" for number in largest]
        rows = _means(subject.errors, names, order, f"communities of {edge}", subject.examples.ids[0])
        rows.sort(key=lambda row: row["value"])
        if len(rows) < 2:
            continue
        return [
            Chart(
                f"{subject.error_name.capitalize()} by community",
                charts.intervals(frame_of(rows), subject.error_name, reference=float(subject.errors.mean())),
                f"Louvain communities of ‘{edge}’ with most test rows, sorted by error. Dots are means, lines ± 2 "
                "standard errors; the dashed line is the mean of all rows.",
            )
        ]
    return []
