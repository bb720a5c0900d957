"""Who is linked to whom: degrees, centralities, communities, and whether linked people feel alike."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from graphsocial import runs
from graphsocial.analysis import _measures as measures
from graphsocial.analysis._assortativity import assortativity, likeness
from graphsocial.analysis._averages import align, labels, predictions
from graphsocial.analysis._files import write_graphml
from graphsocial.analysis._measures import Floats, Ints
from graphsocial.analysis.base import Findings
from graphsocial.errors import DataError, InputError
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.types import EdgeType, Progress

WORK = 3.5e10  # multiplications for betweenness, and for all permutations: a minute each on one core, roughly
LIKENESS = {
    "source": pl.String,
    "name": pl.String,
    "value": pl.String,
    "nodes": pl.Int64,
    "links": pl.Int64,
    "mean": pl.Float64,
    "at_ends": pl.Float64,
    "beside": pl.Float64,
    "assortativity": pl.Float64,
    "by_chance": pl.Float64,
    "z": pl.Float64,
    "p": pl.Float64,
    "permutations": pl.Int64,
}


@dataclass(frozen=True)
class Network:
    """The network of one edge type: a row for each node, measures of the whole, and likeness along links.

    Parallel edges count once and loops not at all. PageRank, in- and out-degrees go by the edges' direction, all other
    measures take an edge as a link between its ends. Likeness asks whether the two ends of a link are more alike than
    if the values were dealt out anew among the same nodes: of labels, averaged over each node's labelled edges, and of
    a run's predictions, averaged alike.

    Attributes:
        edges: the edge type, such as `user connects user`; by default the only one that joins nodes of one type.
        run: whose predictions are compared along links as well; a run's id, the start of it, or `latest`.
        pivots: the sources that betweenness starts from; 0 for all where that takes about a minute at most, and for
            as many random ones as do where it takes longer.
        permutations: of the test of likeness; fewer where they would take more than about a minute.
        seed: of pivots, communities and permutations.
    """

    edges: str | None = None
    run: str | None = None
    pivots: int = 0
    permutations: int = 999
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pivots < 0 or self.permutations < 19:
            raise InputError("pivots is 0 or more, and permutations at least 19, which can find p = 0.05.")

    def analyze(self, store: GraphStore, dataset: str, *, progress: Progress | None = None) -> Findings:
        """See `analyze`.

        Raises:
            DataError: the dataset has no such edges.
            InputError: several edge types may be meant.
        """
        edge = self._edge(store, dataset)
        names, src, dst = _read(store, edge, dataset)
        if not len(src):
            raise DataError(f"'{dataset}' has no '{edge}' edges.")
        directed = measures.simple(src, dst, names.height)
        graph = measures.undirected(directed)
        degree, closed = measures.degrees(graph), measures.triangles(graph)
        between, notes = self._betweenness(graph, progress)
        groups, parts = measures.communities(graph, seed=self.seed), measures.components(graph)
        clustering = measures.clustering(graph, closed)
        nodes = names.with_columns(
            degree=degree,
            in_degree=measures.degrees(directed.T.tocsr()),
            out_degree=measures.degrees(directed),
            pagerank=measures.pagerank(directed),
            betweenness=between,
            core=measures.cores(graph),
            clustering=clustering,
            component=parts,
            community=groups,
        )
        mutual = float(directed.multiply(directed.T).sum() / directed.nnz) if directed.nnz else 0.0
        summary: dict[str, float | None] = {
            "nodes": names.height,
            "edges": len(src),
            "links": graph.nnz // 2,
            "reciprocity": mutual,
            "density": graph.nnz / (names.height * (names.height - 1)) if names.height > 1 else 0.0,
            "mean_degree": float(degree.mean()),
            "largest_degree": int(degree.max()),
            "isolated_nodes": int((degree == 0).sum()),
            "components": int(parts.max()) + 1,
            "largest_component": float((parts == 0).mean()),
            "communities": int(groups.max()) + 1,
            "modularity": measures.modularity(graph, groups),
            "mean_clustering": float(clustering.mean()),
            "transitivity": measures.transitivity(graph, closed),
            "degree_assortativity": assortativity(graph, degree.astype(np.float64)),
        }
        alike, more = self._likeness(store, edge, dataset, graph, names, progress)
        return Findings(
            frames={
                "summary": pl.DataFrame({"measure": list(summary), "value": [_float(v) for v in summary.values()]}),
                "likeness": alike,
                "nodes": nodes,
            },
            key={"edges": str(edge)},
            notes=(*notes, *more),
            files={
                "network.graphml": partial(write_graphml, nodes=nodes, ends=(src, dst)),
                "network_edges.parquet": partial(_write_edges, store, edge, dataset),
            },
        )

    def _edge(self, store: GraphStore, dataset: str) -> EdgeType:
        if self.edges is not None:
            return store.schema.edge(self.edges)
        among = [edge for edge in store.schema.edges if edge.src == edge.dst and len(store.span(edge, dataset))]
        if len(among) == 1:
            return among[0]
        known = ", ".join(f"'{edge}'" for edge in (among or store.schema.edges)) or "none"
        found = "Several edge types" if among else "No edge type"
        raise InputError(
            f"{found} of '{dataset}' {'join' if among else 'joins'} nodes of one type; name one with --edges "
            f"(`edges` in Python). Known: {known}."
        )

    def _betweenness(self, graph: Any, progress: Progress | None) -> tuple[Floats, list[str]]:
        random = np.random.default_rng([self.seed, 1])
        nodes = graph.shape[0]
        count = min(nodes, self.pivots or measures.affordable(graph, WORK, random))
        sources: Ints = random.choice(nodes, size=count, replace=False) if count < nodes else np.arange(nodes)
        begin = perf_counter()
        found = measures.betweenness(graph, sources, progress=progress)
        if count == nodes:
            return found, []
        whole = (perf_counter() - begin) * nodes / count
        return found, [
            f"Betweenness is an estimate from {count:,} of {nodes:,} nodes as sources; all of them would take about "
            f"{whole / 60:,.0f} minutes (--set pivots={nodes})."
        ]

    def _likeness(
        self,
        store: GraphStore,
        edge: EdgeType,
        dataset: str,
        graph: Any,
        names: pl.DataFrame,
        progress: Progress | None,
    ) -> tuple[pl.DataFrame, list[str]]:
        """A row for each class of each label column and of the run's predictions."""
        if edge.src != edge.dst:
            if self.run is not None:
                raise InputError(f"'{edge}' joins nodes of two types; predictions are compared where both are one.")
            return pl.DataFrame(schema=LIKENESS), [f"'{edge}' joins nodes of two types, so likeness is not asked."]
        node = store.schema.node(edge.src)
        asked = [("labels", *found) for found in labels(store, node, dataset)]
        notes: list[str] = []
        if self.run is not None:
            run = runs.load(store, self.run)
            if run.dataset != dataset:
                raise InputError(f"The run '{run.id}' speaks about '{run.dataset}', not about '{dataset}'.")
            predicted = [(f"predictions of {run.id}", *found) for found in predictions(store, node, run.id)]
            if not predicted:
                raise DataError(f"The run '{run.id}' says nothing about '{node}' nodes or their edges.")
            asked += predicted
            notes.append(
                "Predictions of a model that passes messages along these edges are alike along them for that reason "
                "too; compare with a model without edges, such as features_only."
            )
        columns: list[tuple[str, str, str | None, Floats]] = []
        for source, name, shares in asked:
            wide, values = align(names, shares)
            columns += [(source, name, value, wide[:, place]) for place, value in enumerate(values)]
        each = WORK / max(1, len(columns) * (graph.nnz + 2 * graph.shape[0]))
        count = min(self.permutations, max(99, int(each)))
        if count < self.permutations:
            notes.append(f"Likeness is tested by {count} permutations, not {self.permutations}, to take no longer.")
        rows = []
        for number, (source, name, value, told) in enumerate(columns):
            if progress:
                progress("likeness", number, len(columns))
            random = np.random.default_rng([self.seed, 2, number])
            found = likeness(graph, told, shares=value is not None, permutations=count, random=random)
            rows.append({"source": source, "name": name, "value": value, **asdict(found)})
        if not rows:
            notes.append(f"'{node}' nodes and their edges have no labels here, so likeness is not asked.")
        return pl.DataFrame(rows, schema=LIKENESS), notes


def _read(store: GraphStore, edge: EdgeType, dataset: str) -> tuple[pl.DataFrame, Ints, Ints]:
    """The nodes (`node_type`, `entity_id`), and the rows of the edges' ends among them."""
    frames: list[pl.DataFrame] = []
    starts: dict[str, int] = {}
    for name in dict.fromkeys((edge.src, edge.dst)):
        node = store.schema.node(name)
        starts[name] = sum(frame.height for frame in frames) - store.span(node, dataset).first
        ids = store.sql(f"select id from ({store.visible(node, dataset=dataset)}) order by idx").pl()
        frames.append(ids.select(pl.lit(name).alias("node_type"), entity_id="id"))
    ends = store.sql(f"select src, dst from ({store.visible(edge, dataset=dataset)}) order by idx").to_arrow_table()
    src, dst = (ends[key].to_numpy() + starts[name] for key, name in (("src", edge.src), ("dst", edge.dst)))
    return pl.concat(frames), src, dst


def _write_edges(store: GraphStore, edge: EdgeType, dataset: str, path: Path) -> None:
    """The edges with the source's own ids and their columns, as Parquet."""
    columns = "".join(f", e.{quote(column.name)}" for column in edge.columns)
    query = (
        f"select s.id as src, d.id as dst{columns} from ({store.visible(edge, dataset=dataset)}) as e "
        f"join {quote(store.schema.node(edge.src).table)} as s on s.idx = e.src "
        f"join {quote(store.schema.node(edge.dst).table)} as d on d.idx = e.dst order by e.idx"
    )
    store.connection.execute(f"copy ({query}) to {literal(str(path))} (format parquet)").fetchall()


def _float(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
