"""The network of one edge type: degrees, centralities, communities and homophily."""

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
from graphsocial.analysis._assortativity import assortativity, homophily
from graphsocial.analysis._averages import labels, predictions
from graphsocial.analysis._files import write_graphml
from graphsocial.analysis._measures import Floats, Ints
from graphsocial.analysis.base import Findings
from graphsocial.errors import DataError, InputError
from graphsocial.evaluation.multiple_tests import holm
from graphsocial.store import GraphStore
from graphsocial.store.exporting import relation_to_parquet
from graphsocial.store.sql import quote
from graphsocial.types import EdgeType, Progress

VISITS = 2.5e9  # of edges and nodes for betweenness: about half a minute on one core
WORK = 6e9  # multiplications for all permutations: about half a minute on one core
PREPARING, EACH_VISIT, EACH_PRODUCT = 3e-6, 8e-9, 3e-9  # seconds, as measured on one core
HOMOPHILY = {
    "source": pl.String,
    "name": pl.String,
    "value": pl.String,
    "mean": pl.Float64,
    "at_ends": pl.Float64,
    "beside": pl.Float64,
    "within": pl.String,
    "nodes": pl.Int64,
    "links": pl.Int64,
    "assortativity": pl.Float64,
    "by_chance": pl.Float64,
    "z": pl.Float64,
    "p": pl.Float64,
    "p_holm": pl.Float64,
    "permutations": pl.Int64,
}


@dataclass(frozen=True)
class Network:
    """Three tables of the network of one edge type: `nodes`, `summary` and `likeness` (homophily).

    Parallel edges count once and loops are left out. PageRank, in- and out-degrees are of the directed graph, all other
    measures of the undirected one. Homophily is the assortativity of labels and of a run's predictions, with a
    permutation test; `p_holm` is adjusted for the number of rows (Holm 1979). Labels of the nodes themselves are
    permuted among the nodes. Labels on edges, such as what a user felt about an image, are tested `within` their other
    end, as friends who see the same images have like labels for that reason alone: as deviations from the image's mean
    label, averaged by user, with the labels of each image permuted among the users who gave them.

    Attributes:
        edges: the edge type, such as `user connects user`; by default the only one that joins nodes of one type.
        run: a run's id, a prefix of it, or `latest`, whose predictions are tested for homophily too.
        pivots: number of random source nodes of betweenness; 0 for all nodes, or for as many as about a minute allows.
        permutations: maximum number of permutations; fewer where they would take more than about a minute.
        seed: random seed of pivots, communities and permutations.
    """

    edges: str | None = None
    run: str | None = None
    pivots: int = 0
    permutations: int = 999
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pivots < 0 or self.permutations < 19:
            raise InputError("pivots is 0 or more, and permutations at least 19, which can find p = 0.05.")

    def seconds(self, store: GraphStore, dataset: str) -> float:
        """An estimate of the time of `analyze` on one core, from the numbers of nodes and edges.

        Args:
            store: the store to read.
            dataset: name of the dataset.
        """
        edge = self._edge(store, dataset)
        ones = 2 * len(store.span(edge, dataset))
        nodes = sum(len(store.span(store.schema.node(name), dataset)) for name in {edge.src, edge.dst})
        visits = measures.visits(nodes, ones)
        sources = min(nodes, self.pivots) if self.pivots else min(nodes, max(1, VISITS / visits))
        permuted = min(WORK, 10 * self.permutations * ones)
        return ones * PREPARING + sources * visits * EACH_VISIT + permuted * EACH_PRODUCT

    def analyze(self, store: GraphStore, dataset: str, *, progress: Progress | None = None) -> Findings:
        """Analyze the edges of one type; the tables are described above.

        Args:
            store: the store to read.
            dataset: name of the dataset.
            progress: called with the name of the step, steps done and steps in all.

        Raises:
            DataError: the dataset has no such edges.
            InputError: several edge types join nodes of one type.
        """
        edge = self._edge(store, dataset)
        names, src, dst = _read(store, edge, dataset)
        if not len(src):
            raise DataError(f"'{dataset}' has no '{edge}' edges.")
        directed = measures.simple(src, dst, names.height)
        graph = measures.undirected(directed)
        degree, closed = measures.degrees(graph), measures.triangles(graph)
        between, notes = self._betweenness(graph, progress)
        groups, component = measures.communities(graph, seed=self.seed), measures.components(graph)
        clustering = measures.clustering(graph, closed)
        nodes = names.with_columns(
            degree=degree,
            in_degree=measures.degrees(directed.T.tocsr()),
            out_degree=measures.degrees(directed),
            pagerank=measures.pagerank(directed),
            betweenness=between,
            core=measures.cores(graph),
            clustering=clustering,
            component=component,
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
            "components": int(component.max()) + 1,
            "largest_component": float((component == 0).mean()),
            "communities": int(groups.max()) + 1,
            "modularity": measures.modularity(graph, groups),
            "mean_clustering": float(clustering.mean()),
            "transitivity": measures.transitivity(graph, closed),
            "degree_assortativity": assortativity(graph, degree.astype(np.float64)),
        }
        likeness, more_notes = self._homophily(store, edge, dataset, graph, names, progress)
        return Findings(
            frames={
                "summary": pl.DataFrame({"measure": list(summary), "value": [_float(v) for v in summary.values()]}),
                "likeness": likeness,
                "nodes": nodes,
            },
            key={"edges": str(edge)},
            notes=(*notes, *more_notes),
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
        edge_types = ", ".join(f"'{edge}'" for edge in (among or store.schema.edges)) or "none"
        subject = "Several edge types" if among else "No edge type"
        raise InputError(
            f"{subject} of '{dataset}' {'join' if among else 'joins'} nodes of one type; name one with --edges "
            f"(`edges` in Python). Known: {edge_types}."
        )

    def _betweenness(self, graph: Any, progress: Progress | None) -> tuple[Floats, list[str]]:
        random = np.random.default_rng([self.seed, 1])
        nodes = graph.shape[0]
        count = min(nodes, self.pivots or measures.affordable(graph, VISITS))
        sources: Ints = random.choice(nodes, size=count, replace=False) if count < nodes else np.arange(nodes)
        begin = perf_counter()
        centrality = measures.betweenness(graph, sources, progress=progress)
        if count == nodes:
            return centrality, []
        seconds = (perf_counter() - begin) * nodes / count
        return centrality, [
            f"Betweenness is an estimate from {count:,} of {nodes:,} nodes as sources; all of them would take about "
            f"{seconds / 60:,.0f} minutes (--set pivots={nodes})."
        ]

    def _homophily(
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
                raise InputError(f"'{edge}' joins nodes of two types; homophily is defined for nodes of one type.")
            return pl.DataFrame(schema=HOMOPHILY), [f"'{edge}' joins nodes of two types: no homophily."]
        node = store.schema.node(edge.src)
        ids = names["entity_id"]
        values = [("labels", of_column) for of_column in labels(store, node, dataset, ids)]
        notes: list[str] = []
        if self.run is not None:
            run = runs.load(store, self.run)
            if run.dataset != dataset:
                raise InputError(f"The run '{run.id}' is of the dataset '{run.dataset}', not of '{dataset}'.")
            source = f"predictions of {run.id}"
            predicted = [(source, of_target) for of_target in predictions(store, node, run.id, ids)]
            if not predicted:
                raise DataError(f"The run '{run.id}' has no predictions of '{node}' nodes or their edges.")
            values += predicted
            notes.append(
                "Predictions of a model that passes messages along these edges show homophily for that reason too; "
                "compare with a model without edges, such as features_only."
            )
        notes += [
            f"Labels about '{within}' nodes are tested as deviations from the mean label of the same {within}, by "
            "permutations among those who labelled it; nodes with one label do not count."
            for within in sorted({of_column.within for _, of_column in values if of_column.within})
        ]
        work = sum(
            of_column.values.shape[1] * (graph.nnz + 2 * graph.shape[0])
            + (0 if of_column.exposure is None else of_column.exposure.work)
            for _, of_column in values
        )
        count = min(self.permutations, max(99, int(WORK / max(1, work))))
        if count < self.permutations:
            notes.append(f"Homophily is tested with {count} permutations, not {self.permutations}, to save time.")
        rows: list[dict[str, Any]] = []
        for number, (source, of_column) in enumerate(values):
            if progress:
                progress("homophily", number, len(values))
            random = np.random.default_rng([self.seed, 2, number])
            results = homophily(graph, of_column, permutations=count, random=random)
            for value, result in zip(of_column.classes, results, strict=True):
                key = {"source": source, "name": of_column.name, "value": value, "within": of_column.within}
                rows.append(key | asdict(result))
        for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
            row["p_holm"] = adjusted
        if not rows:
            notes.append(f"'{node}' nodes and their edges have no labels in this dataset: no homophily.")
        return pl.DataFrame(rows, schema=HOMOPHILY), notes


def _read(store: GraphStore, edge: EdgeType, dataset: str) -> tuple[pl.DataFrame, Ints, Ints]:
    """The nodes (`node_type`, `entity_id`), and the row numbers of the edges' sources and destinations among them."""
    frames: list[pl.DataFrame] = []
    row_offset: dict[str, int] = {}
    for name in dict.fromkeys((edge.src, edge.dst)):
        node = store.schema.node(name)
        row_offset[name] = sum(frame.height for frame in frames) - store.span(node, dataset).first
        ids = store.sql(f"select id from ({store.visible(node, dataset=dataset)}) order by idx").pl()
        frames.append(ids.select(pl.lit(name).alias("node_type"), entity_id="id"))
    ends = store.sql(f"select src, dst from ({store.visible(edge, dataset=dataset)}) order by idx").to_arrow_table()
    src, dst = (ends[key].to_numpy() + row_offset[name] for key, name in (("src", edge.src), ("dst", edge.dst)))
    return pl.concat(frames), src, dst


def _write_edges(store: GraphStore, edge: EdgeType, dataset: str, path: Path) -> None:
    """The edges with the source's own ids and their columns, as Parquet."""
    columns = "".join(f", e.{quote(column.name)}" for column in edge.columns)
    query = (
        f"select s.id as src, d.id as dst{columns} from ({store.visible(edge, dataset=dataset)}) as e "
        f"join {quote(store.schema.node(edge.src).table)} as s on s.idx = e.src "
        f"join {quote(store.schema.node(edge.dst).table)} as d on d.idx = e.dst order by e.idx"
    )
    relation_to_parquet(store.sql(query), path)


def _float(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
