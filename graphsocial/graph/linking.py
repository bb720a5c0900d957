"""Similarity edges: each node gets edges from its k nearest neighbors, by the cosine of their vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from time import perf_counter
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import normalize

from graphsocial.errors import DataError, InputError, StoreError, UnknownNameError
from graphsocial.features import ENCODABLE, featurize
from graphsocial.graph.features import Feature, encoded, micros, vector_columns, visible_rows
from graphsocial.graph.nearest import NearestPairs, nearest
from graphsocial.store import GraphStore
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType, Progress


@dataclass(frozen=True)
class Linking:
    """The settings that determine the edges of one relation.

    Attributes:
        node: the node type.
        by: column → encoder, or None for the default one and for vector columns; several are concatenated.
        k: maximum number of edges into a node.
        minimum: minimum cosine of an edge, -1 to 1.
        relation: name of the relation; the edge type is `<node> <relation> <node>`.
        exact: compare all pairs; by default for up to 100,000 nodes.
        recall: for approximate search, the share of the true nearest neighbors to reach, above 0 to 1.
        seed: random seed of approximate search.
    """

    node: str
    by: Mapping[str, str | None]
    k: int = 10
    minimum: float = 0.0
    relation: str = "similar"
    exact: bool | None = None
    recall: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.by:
            raise InputError("Name at least one column to compare, such as message or message=sentence.")
        if not 1 <= self.k <= 1000:
            raise InputError(f"k is 1 to 1000, not {self.k}.")
        if not -1 <= self.minimum <= 1 or not 0 < self.recall <= 1:
            raise InputError("minimum is a cosine, -1 to 1; recall is above 0 and at most 1.")


@dataclass(frozen=True)
class LinkReport:
    """What `link` did.

    Attributes:
        edge: the edge type.
        dataset: the dataset.
        changed: False where the store already had the same edges.
        edges: number of edges in the store now.
        linked: number of nodes with an edge into them.
        bare: number of nodes without a vector, or without a time where the type has times; they get no edges.
        nodes: number of nodes.
        recall: share of the true nearest neighbors among the edges: 1 for exact search, else measured on a sample.
        probed: number of lists that were searched per node, and of all lists; None for exact search.
        seconds: wall time.
    """

    edge: str
    dataset: str
    changed: bool
    edges: int
    linked: int
    bare: int
    nodes: int
    recall: float
    probed: tuple[int, int] | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return asdict(self)


def link(
    store: GraphStore,
    node: str,
    by: str | Mapping[str, str | None],
    *,
    k: int = 10,
    minimum: float = 0.0,
    relation: str = "similar",
    exact: bool | None = None,
    recall: float = 0.95,
    seed: int = 0,
    dataset: str | None = None,
    progress: Progress | None = None,
) -> LinkReport:
    """Give each node edges from its k nearest neighbors, by the cosine of their vectors; columns are encoded first.

    An edge leads from the neighbor to the node and has the column `similarity`. Where nodes have times, neighbors are
    strictly earlier, and the edge has the node's time. Calling it again with the same nodes, vectors and settings
    changes nothing; otherwise the edges are replaced, in one transaction.

    Args:
        store: open for writing.
        node: a node type.
        by: a column of text, image, audio, video or vectors, or several with their encoders; see `Linking`.
        k: maximum number of edges into a node.
        minimum: minimum cosine of an edge, -1 to 1.
        relation: name of the relation.
        exact: compare all pairs; by default for up to 100,000 nodes.
        recall: for approximate search, the share of the true nearest neighbors to reach.
        seed: random seed of approximate search.
        dataset: needed where the store has several.
        progress: called with a description, steps done and all steps.

    Raises:
        InputError: a column or setting that cannot be used, or a relation of the data itself.
        DataError: fewer than two nodes have a vector.
    """
    if store.read_only:
        raise StoreError(f"'{store.path}' is open for reading only.")
    begin, dataset = perf_counter(), store.dataset(dataset)
    settings = Linking(node, {by: None} if isinstance(by, str) else dict(by), k, minimum, relation, exact, recall, seed)
    entry = store.schema.node(node)
    time = () if entry.time is None else (Column(entry.time, "timestamp"),)
    edge = EdgeType(node, relation, node, (Column("similarity", "number"), *time), entry.time)
    linked = store.first("select key from links where dataset = ? and table_name = ?", [dataset, edge.table])
    if linked is None and len(store.span(edge, dataset)):
        raise InputError(f"'{edge}' is an edge type of '{dataset}' itself; choose another, such as --relation alike.")
    vectors = _vectors(store, entry, settings.by, dataset, progress)
    rows = visible_rows(store, entry, dataset, ["id"] if entry.time is None else ["id", entry.time])
    comparable, times = vectors.any(1), None
    if entry.time is not None:
        comparable &= torch.from_numpy(rows[entry.time].is_valid().to_numpy())
        times = micros(rows[entry.time])
    nodes = torch.nonzero(comparable).squeeze(1)
    key = _key(settings, vectors, comparable, times)
    if linked != (key,):
        pairs = _nearest(settings, vectors, nodes, times, progress)
        edges = {
            "src": rows["id"].take(pa.array(nodes[pairs.neighbor].numpy())),
            "dst": rows["id"].take(pa.array(nodes[pairs.of].numpy())),
            "similarity": pa.array(pairs.similarity.double().numpy()),
        }
        if entry.time is not None:
            edges[entry.time] = rows[entry.time].take(pa.array(nodes[pairs.of].numpy()))
        probed, lists = pairs.probed or (None, None)
        with store.transaction():
            store.declare(GraphSchema((entry,), (edge,)))
            store.clear(edge, dataset)
            store.write(edge, pa.table(edges), dataset=dataset)
            store.connection.execute(
                "insert or replace into links (dataset, table_name, key, settings, recall, probed, lists) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                [dataset, edge.table, key, json.dumps(asdict(settings)), pairs.recall, probed, lists],
            )
    return _report(store, edge, dataset, linked != (key,), len(comparable), len(nodes), perf_counter() - begin)


def _nearest(
    settings: Linking, vectors: Tensor, nodes: Tensor, times: Tensor | None, progress: Progress | None
) -> NearestPairs:
    """The nearest neighbors among the nodes (n,) that can be compared."""
    if len(nodes) < 2:
        raise DataError(
            f"{len(nodes)} of {len(vectors):,} '{settings.node}' nodes have a vector to compare; it takes two or more."
        )
    return nearest(
        vectors[nodes],
        settings.k,
        times=None if times is None else times[nodes],
        minimum=settings.minimum,
        exact=settings.exact,
        recall=settings.recall,
        seed=settings.seed,
        progress=progress and (lambda what, done, of: progress(f"{what} {settings.node}", done, of)),
    )


def _vectors(
    store: GraphStore, entry: NodeType, by: Mapping[str, str | None], dataset: str, progress: Progress | None
) -> Tensor:
    """(N, D) of norm 1: the columns' vectors, each of norm 1, concatenated; 0 for nodes without any."""
    columns = {column.name: column for column in entry.columns if column.kind in (*ENCODABLE, "vector")}
    features: list[Feature] = []
    for name, encoder in by.items():
        if name not in columns:
            raise UnknownNameError.of(f"column of '{entry}' with content to compare", name, columns)
        if columns[name].kind == "vector":
            if encoder is not None:
                raise InputError(f"'{entry}.{name}' is a vector already; it takes no encoder.")
            features += vector_columns(
                NodeType(entry.name, (columns[name],)), visible_rows(store, entry, dataset, [name])
            )
            continue
        (report,) = featurize(store, f"{entry}.{name}", encoder, dataset=dataset, progress=progress)
        if report.use.sequences:
            raise InputError(f"{report.encoder} gives sequences of vectors; similarity is between single ones.")
        features.append(encoded(store, report.use, dataset, visible_rows(store, entry, dataset)["idx"].to_numpy()))
    parts = []
    for feature in features:
        part = feature.vectors.new_zeros(len(feature.index), feature.vectors.shape[1])
        part[feature.present] = normalize(feature.vectors, dim=1)[feature.index[feature.present]]
        parts.append(part)
    if not parts:
        raise DataError(f"None of the columns {', '.join(by)} of '{entry}' has a vector.")
    return normalize(torch.cat(parts, dim=1), dim=1)


def _key(settings: Linking, vectors: Tensor, comparable: Tensor, times: Tensor | None) -> str:
    """A hash of all that the edges depend on."""
    digest = blake2b(json.dumps([asdict(settings), list(vectors.shape)], sort_keys=True).encode(), digest_size=16)
    for part in (vectors, comparable, *(() if times is None else (times,))):
        digest.update(part.contiguous().numpy().data)
    return digest.hexdigest()


def _report(
    store: GraphStore, edge: EdgeType, dataset: str, changed: bool, nodes: int, compared: int, seconds: float
) -> LinkReport:
    """The report on the edges that are in the store now."""
    recall, probed, lists = store.first(
        "select recall, probed, lists from links where dataset = ? and table_name = ?", [dataset, edge.table]
    ) or (0.0, None, None)
    (linked,) = store.first(f"select count(distinct dst) from ({store.visible(edge, dataset=dataset)})") or (0,)
    return LinkReport(
        edge=str(edge),
        dataset=dataset,
        changed=changed,
        edges=len(store.span(edge, dataset)),
        linked=linked,
        bare=nodes - compared,
        nodes=nodes,
        recall=recall,
        probed=None if probed is None else (probed, lists),
        seconds=seconds,
    )
