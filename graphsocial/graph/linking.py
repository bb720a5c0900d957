"""Edges between nodes that are alike: each is joined to the k others, all of them earlier, with the nearest vectors."""

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
    """What decides the edges of one relation.

    Attributes:
        node: the type whose nodes are joined.
        by: column → encoder, or None for the default one and for columns of vectors; several are put beside each other.
        k: at most so many edges into a node.
        minimum: the least cosine of an edge, -1 to 1.
        relation: the edges are `<node> <relation> <node>`.
        exact: all pairs are compared; by default for up to 100,000 nodes.
        recall: beyond, the share of the true neighbours that has to be found.
        seed: of the search that is not exact.
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
        changed: False where the same edges were there already.
        edges: in the store now.
        linked: nodes with an edge into them.
        bare: nodes without a vector, or without a time where the type has one, which are joined to nothing.
        nodes: all nodes.
        recall: the share of true neighbours that the edges hold: 1 where the search was exact, else as measured.
        probed: how many of how many lists each node looked into, where the search was not exact.
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
        """As JSON."""
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
    """Join each node to the k others that are most alike, by the cosine of their vectors; columns are encoded first.

    An edge runs from the neighbour to the node, with the column `similarity`. Where nodes have times, neighbours are
    strictly earlier, and the edge has the node's time: it came into being with it. The same nodes, vectors and settings
    again change nothing; other ones replace the edges, in one transaction.

    Args:
        node: a node type.
        by: a column of text, image, audio, video or vectors, or several with their encoders; see `Linking`.
        dataset: needed where the store holds several.
        progress: called with a word, steps done and steps to do.

    Raises:
        InputError: a column or setting that cannot be used, or a relation that came with the data.
        DataError: fewer than two nodes have a vector.
    """
    if store.read_only:
        raise StoreError(f"'{store.path}' is open for reading only.")
    begin, dataset = perf_counter(), store.dataset(dataset)
    asked = Linking(node, {by: None} if isinstance(by, str) else dict(by), k, minimum, relation, exact, recall, seed)
    entry = store.schema.node(node)
    time = () if entry.time is None else (Column(entry.time, "timestamp"),)
    edge = EdgeType(node, relation, node, (Column("similarity", "number"), *time), entry.time)
    made = store.first("select key from links where dataset = ? and table_name = ?", [dataset, edge.table])
    if made is None and len(store.span(edge, dataset)):
        raise InputError(f"'{edge}' came with '{dataset}'; give these edges another name, such as --relation alike.")
    vectors = _vectors(store, entry, asked.by, dataset, progress)
    rows = visible_rows(store, entry, dataset, ["id"] if entry.time is None else ["id", entry.time])
    there, times = vectors.any(1), None
    if entry.time is not None:
        there &= torch.from_numpy(rows[entry.time].is_valid().to_numpy())
        times = micros(rows[entry.time])
    here = torch.nonzero(there).squeeze(1)
    key = _key(asked, vectors, there, times)
    if made != (key,):
        found = _nearest(asked, vectors, here, times, progress)
        edges = {
            "src": rows["id"].take(pa.array(here[found.found].numpy())),
            "dst": rows["id"].take(pa.array(here[found.of].numpy())),
            "similarity": pa.array(found.similarity.double().numpy()),
        }
        if entry.time is not None:
            edges[entry.time] = rows[entry.time].take(pa.array(here[found.of].numpy()))
        probed, lists = found.probed or (None, None)
        with store.transaction():
            store.declare(GraphSchema((entry,), (edge,)))
            store.clear(edge, dataset)
            store.write(edge, pa.table(edges), dataset=dataset)
            store.connection.execute(
                "insert or replace into links (dataset, table_name, key, settings, recall, probed, lists) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                [dataset, edge.table, key, json.dumps(asdict(asked)), found.recall, probed, lists],
            )
    return _report(store, edge, dataset, made != (key,), len(there), len(here), perf_counter() - begin)


def _nearest(
    asked: Linking, vectors: Tensor, here: Tensor, times: Tensor | None, progress: Progress | None
) -> NearestPairs:
    """Who is joined to whom, among the nodes that can be compared."""
    if len(here) < 2:
        raise DataError(
            f"{len(here)} of {len(vectors):,} '{asked.node}' nodes have what is compared; it takes two or more."
        )
    return nearest(
        vectors[here],
        asked.k,
        times=None if times is None else times[here],
        minimum=asked.minimum,
        exact=asked.exact,
        recall=asked.recall,
        seed=asked.seed,
        progress=progress and (lambda what, done, of: progress(f"{what} {asked.node}", done, of)),
    )


def _vectors(
    store: GraphStore, entry: NodeType, by: Mapping[str, str | None], dataset: str, progress: Progress | None
) -> Tensor:
    """(N, D) of length 1: the columns' vectors, each of length 1, beside each other; 0 for nodes without any."""
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


def _key(asked: Linking, vectors: Tensor, there: Tensor, times: Tensor | None) -> str:
    """A hash of all that the edges follow from."""
    digest = blake2b(json.dumps([asdict(asked), list(vectors.shape)], sort_keys=True).encode(), digest_size=16)
    for part in (vectors, there, *(() if times is None else (times,))):
        digest.update(part.contiguous().numpy().data)
    return digest.hexdigest()


def _report(
    store: GraphStore, edge: EdgeType, dataset: str, changed: bool, nodes: int, compared: int, seconds: float
) -> LinkReport:
    """What the store holds of these edges now."""
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
