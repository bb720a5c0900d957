"""From the store to the graph of one task: node types, edge types, labels; rebuilt whenever it is needed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.errors import DataError
from graphsocial.features import FeatureRef
from graphsocial.featurizers._tabular import KINDS
from graphsocial.graph import Canonical, Edges, SocialGraph
from graphsocial.graph.aggregation import neighbor_means
from graphsocial.graph.features import (
    EXISTS_FROM,
    Feature,
    encoded,
    micros,
    table_of,
    tensor,
    vector_columns,
    visible_rows,
)
from graphsocial.store import GraphStore
from graphsocial.tasks import Labels
from graphsocial.types import EdgeType, NodeType


@dataclass(frozen=True)
class _Nodes:
    """The visible nodes of one type.

    Attributes:
        idx: (N,) their `idx` in the store, ascending.
        ids: (N,) the source's own ids.
        time: (N,) int64 microseconds, from when they exist; None for a timeless type.
        features: the encoders' vectors of their columns, and vector columns as they are in the data.
        plain: their type with the columns that are used, and its numbers and categories.
    """

    idx: NDArray[np.int64]
    ids: NDArray[np.object_]
    time: Tensor | None
    features: tuple[Feature, ...]
    plain: tuple[NodeType, pl.DataFrame]

    def local(self, idx: Tensor) -> Tensor:
        """`idx` of the store → local node numbers: ranks among the visible nodes."""
        visible = self.idx
        if len(visible) and visible[-1] - visible[0] + 1 == len(visible):
            return idx - int(visible[0]) if visible[0] else idx
        return torch.from_numpy(np.searchsorted(visible, idx.numpy()))


@dataclass(frozen=True)
class _Edges:
    """The visible edges of one type, by `idx`.

    Attributes:
        type: the edge type.
        edges: their endpoints as local node numbers, and the times from which they exist.
        features: the encoders' vectors of their columns.
        example: (E,) the example of each edge, for the supervised edge type.
        optimal: the true class probabilities, where the supervised edges have them.
    """

    type: EdgeType
    edges: Edges
    features: tuple[Feature, ...]
    example: NDArray[np.int64] | None = None
    optimal: pa.ChunkedArray | None = None


def build(
    store: GraphStore,
    dataset: str,
    entity: NodeType | EdgeType,
    labels: Labels,
    *,
    features: Sequence[FeatureRef] = (),
    edge_types: Sequence[str] = (),
    both_ways: bool = True,
    as_of: datetime | None = None,
    leave_out: Collection[str] = (),
    averages: Mapping[str, Sequence[str]] | None = None,
    silent: Collection[str] = (),
) -> SocialGraph:
    """Read a dataset's graph for one task.

    Args:
        store: the store.
        dataset: the dataset.
        entity: the node or edge type whose labels are predicted.
        labels: the examples: their rows of `entity`, targets, labels, times and context.
        features: the columns whose encoded vectors are used.
        edge_types: the message edge types by name, such as `user views image`; all by default.
        both_ways: give edges between nodes of one type (contacts) a reverse relation as well, unless they already run
            both ways. Edges between different types always have one.
        as_of: use only rows that existed at this time.
        leave_out: columns of nodes that are not used, such as `image.vector` or `user.age`.
        averages: column of vectors, such as `group.description` → the node types whose nodes get the mean of their
            neighbors' vectors as a feature, over the edges that join them (HMG-Emo, eq. 1).
        silent: node types that pass no messages: their edges are read for averages alone.

    Raises:
        DataError: an endpoint's node type has no rows as of then, or an edge has no example.
    """
    endpoint_types = (entity.src, entity.dst) if isinstance(entity, EdgeType) else (entity.name,)
    message_types = _message_types(store, dataset, entity, edge_types)
    nodes: dict[str, _Nodes] = {}
    for name in dict.fromkeys([*endpoint_types, *(end for edge in message_types for end in (edge.src, edge.dst))]):
        node = store.schema.node(name)
        node = replace(node, columns=tuple(c for c in node.columns if f"{name}.{c.name}" not in leave_out))
        nodes[name] = _read_nodes(store, dataset, node, features, as_of)
        if name in endpoint_types and not len(nodes[name].idx):
            raise DataError(f"'{dataset}' has no '{name}' nodes{f' as of {as_of}' if as_of else ''}.")
    tables = [
        _read_edges(store, dataset, edge, nodes, features, as_of, labels=labels if edge == entity else None)
        for edge in message_types
    ]
    means = neighbor_means(
        [(part.type.src, part.type.dst, part.edges) for part in tables if part.example is None],
        {name: part.features for name, part in nodes.items()},
        averages or {},
        {name: len(part.idx) for name, part in nodes.items()},
    )
    nodes = {name: replace(part, features=(*part.features, *means.get(name, ()))) for name, part in nodes.items()}
    tables = [part for part in tables if not {part.type.src, part.type.dst} & {*silent}]
    return _assembled(entity, endpoint_types, labels, nodes, tables, both_ways=both_ways)


def _message_types(
    store: GraphStore, dataset: str, entity: NodeType | EdgeType, edge_types: Sequence[str]
) -> list[EdgeType]:
    """The edge types to read, by name or all, those without edges left out."""
    types = [store.schema.edge(name) for name in edge_types] or list(store.schema.edges)
    if isinstance(entity, EdgeType) and entity not in types:
        types.append(entity)
    return [edge for edge in types if len(store.span(edge, dataset))]


def _encoded(
    store: GraphStore,
    dataset: str,
    entry: NodeType | EdgeType,
    features: Sequence[FeatureRef],
    idx: NDArray[np.int64],
) -> list[Feature]:
    """The encoders' vectors of this type's columns, for the rows `idx`."""
    return [encoded(store, feature, dataset, idx) for feature in features if feature.entry.table == entry.table]


def _read_nodes(
    store: GraphStore,
    dataset: str,
    node: NodeType,
    features: Sequence[FeatureRef],
    as_of: datetime | None,
) -> _Nodes:
    """Read the visible nodes of one type."""
    rows = visible_rows(store, node, dataset, ["id", *_inputs(node)], as_of, with_time=True)
    idx = rows["idx"].to_numpy()
    vectors = _encoded(store, dataset, node, features, idx) + vector_columns(node, rows)
    plain = pl.DataFrame(rows.select(["idx", *_inputs(node, *KINDS)]))
    return _Nodes(idx, rows["id"].to_numpy(), _time(rows), tuple(vectors), (node, plain))


def _read_edges(
    store: GraphStore,
    dataset: str,
    edge: EdgeType,
    nodes: Mapping[str, _Nodes],
    features: Sequence[FeatureRef],
    as_of: datetime | None,
    *,
    labels: Labels | None,
) -> _Edges:
    """Read the visible edges of one type; those of the supervised type with the `labels` that they belong to."""
    optimal = [c.name for c in edge.columns if labels is not None and (c.name, c.role) == ("optimal", "reference")]
    rows = visible_rows(store, edge, dataset, ["src", "dst", *optimal], as_of, with_time=True)
    src, dst = (nodes[end].local(tensor(rows[key])) for key, end in (("src", edge.src), ("dst", edge.dst)))
    return _Edges(
        edge,
        Edges(src, dst, time=_time(rows)),
        tuple(_encoded(store, dataset, edge, features, rows["idx"].to_numpy())),
        example=None if labels is None else _examples(rows, labels),
        optimal=rows["optimal"] if optimal else None,
    )


def _assembled(
    entity: NodeType | EdgeType,
    endpoint_types: Sequence[str],
    labels: Labels,
    nodes: Mapping[str, _Nodes],
    tables: Iterable[_Edges],
    *,
    both_ways: bool,
) -> SocialGraph:
    """The graph of these nodes, edges with their reverses, and examples."""
    edges: dict[Canonical, Edges] = {}
    edge_features: dict[Canonical, tuple[Feature, ...]] = {}
    reference = None
    for part in tables:
        forward = part.edges
        if part.example is not None:
            forward = replace(forward, example=torch.from_numpy(part.example))
            reference = None if part.optimal is None else _reference(part.optimal, part.example, labels)
        relations = {part.type.canonical: forward}
        if part.type.src != part.type.dst or (both_ways and not _symmetric(forward, len(nodes[part.type.src].idx))):
            relations |= _reverse(part.type, forward)
        edges |= relations
        edge_features |= dict.fromkeys(relations, part.features) if part.features else {}
    used = {*endpoint_types, *(name for kind in edges for name in (kind[0], kind[2]))}
    nodes = {name: part for name, part in nodes.items() if name in used}
    ends = tuple(
        nodes[name].local(torch.tensor(end))
        for name, end in zip(endpoint_types, (labels.src, labels.dst), strict=False)
        if end is not None
    )
    return SocialGraph(
        ids={name: part.ids for name, part in nodes.items()},
        edges=edges,
        entity=entity.canonical if isinstance(entity, EdgeType) else entity.name,
        ends=ends,
        targets=labels.targets,
        target_labels={name: torch.tensor(values) for name, values in labels.target_labels.items()},
        example_time=None if labels.times is None else micros(pa.array(labels.times)),
        label_time=None if labels.label_time is None else micros(pa.array(labels.label_time)),
        ends_time=_ends_time([nodes[name] for name in endpoint_types], ends),
        node_features={name: part.features for name, part in nodes.items() if part.features},
        edge_features=edge_features,
        plain={name: part.plain for name, part in nodes.items()},
        tabular={},
        context=labels.context,
        reference=reference,
    )


def _time(rows: pa.Table) -> Tensor | None:
    """(M,) from when the rows exist; None for a timeless type."""
    return micros(rows[EXISTS_FROM]) if EXISTS_FROM in rows.column_names else None


def _ends_time(nodes: Sequence[_Nodes], ends: Sequence[Tensor]) -> Tensor | None:
    """(P,) from when all endpoints of each example exist; None where they have no times."""
    times = [part.time[end] for part, end in zip(nodes, ends, strict=True) if part.time is not None]
    return torch.stack(times).amax(0) if times else None


def _inputs(node: NodeType, *kinds: str) -> list[str]:
    """The feature columns of these kinds; by default all numbers, categories and vectors."""
    return [c.name for c in node.columns if c.role == "feature" and c.kind in (kinds or (*KINDS, "vector"))]


def _reverse(edge: EdgeType, edges: Edges) -> dict[Canonical, Edges]:
    """The reverse relation, edge for edge."""
    reverse = (edge.dst, f"rev_{edge.relation}", edge.src)
    return {reverse: replace(edges, src=edges.dst, dst=edges.src, reverse_of=edge.canonical)}


def _examples(rows: pa.Table, labels: Labels) -> NDArray[np.int64]:
    """(E,) the example of each supervised edge.

    Raises:
        DataError: an edge has none.
    """
    pairs = labels.src if labels.dst is None else _pair_key(labels.src, labels.dst)
    edges = _pair_key(rows["src"].to_numpy(), rows["dst"].to_numpy())
    position = pc.index_in(pa.array(edges), value_set=pa.array(pairs))
    if position.null_count:
        raise DataError(
            f"labels() of the task has no row for {position.null_count:,} of the edges that it predicts; it needs one "
            "for each pair of nodes, labelled or not."
        )
    examples: NDArray[np.int64] = position.to_numpy().astype(np.int64)
    return examples


def _pair_key(src: NDArray[np.int64], dst: NDArray[np.int64]) -> NDArray[np.int64]:
    return (src << 32) | dst  # idx are dense, so far below 2³¹


def _symmetric(edges: Edges, count: int) -> bool:
    """Whether every edge has one in the opposite direction; parallel edges count once."""
    leaving, entering = (torch.bincount(end, minlength=count) > 0 for end in (edges.src, edges.dst))
    if not torch.equal(leaving, entering):  # mostly enough, and quick
        return False
    pairs = ((edges.src, edges.dst), (edges.dst, edges.src))
    forward, backward = (np.unique((a * count + b).numpy()) for a, b in pairs)
    return np.array_equal(forward, backward)


def _reference(optimal: pa.ChunkedArray, example: NDArray[np.int64], labels: Labels) -> Tensor | None:
    """(P, K) the true class probabilities of synthetic data, kept for comparison; NaN where an edge has none."""
    classes = len(labels.targets[0].classes)
    if pc.unique(pc.list_value_length(optimal).drop_null()).to_pylist() != [classes]:
        return None
    valid = optimal.is_valid().to_numpy()
    values = np.full((len(labels), classes), np.nan, dtype=np.float32)
    values[example[valid]] = table_of(optimal, classes).numpy()
    values[example[~valid]] = np.nan
    return torch.from_numpy(values)
