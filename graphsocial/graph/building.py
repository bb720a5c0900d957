"""From the store to the graph that one question is asked of; rebuilt at will."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
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
from graphsocial.graph.aggregation import mean_over
from graphsocial.graph.features import Feature, came_along, encoded, micros, table_of, tensor, visible_rows
from graphsocial.store import GraphStore
from graphsocial.tasks.base import Labels
from graphsocial.types import EdgeType, NodeType


@dataclass(frozen=True)
class _Nodes:
    """The visible nodes of one type.

    Attributes:
        idx: (N,) their numbers in the store, ascending.
        ids: (N,) the source's own ids.
        features: what encoders made of their columns, and what came along.
        plain: their type with the columns that are used, and its numbers and categories.
    """

    idx: NDArray[np.int64]
    ids: NDArray[np.object_]
    features: tuple[Feature, ...]
    plain: tuple[NodeType, pl.DataFrame]

    def local(self, idx: Tensor) -> Tensor:
        """Numbers in the store → local numbers, the rank among the visible nodes."""
        known = self.idx
        if len(known) and known[-1] - known[0] + 1 == len(known):
            return idx - int(known[0]) if known[0] else idx
        return torch.from_numpy(np.searchsorted(known, idx.numpy()))


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
) -> SocialGraph:
    """Read a dataset's graph for one question.

    A node type that is no end of `entity` and has vectors (a group with its description) lends them to its neighbours
    as the mean over the edges that join them (HMG-Emo, eq. 1) and takes no part in message passing; all other types do.

    Args:
        entity: the node or edge type that is asked about; `labels` are its examples.
        features: the columns whose vectors are used.
        edge_types: the message edge types by name, such as `user views image`; all by default.
        both_ways: give edges between nodes of one type (contacts) a reverse relation as well, unless they already run
            both ways. Edges between different types always have one.
        as_of: only what had happened by then.
        leave_out: columns of nodes that are not used, such as `image.vector` or `user.age`.

    Raises:
        DataError: a node type has no rows as of then.
    """
    ends = (entity.src, entity.dst) if isinstance(entity, EdgeType) else (entity.name,)
    wanted = _wanted(store, dataset, entity, edge_types)
    lending = {use.entry.name for use in features if isinstance(use.entry, NodeType)} - {*ends}
    nodes: dict[str, _Nodes] = {}
    for name in dict.fromkeys([*ends, *(end for edge in wanted for end in (edge.src, edge.dst))]):
        node = store.schema.node(name)
        node = replace(node, columns=tuple(c for c in node.columns if f"{name}.{c.name}" not in leave_out))
        nodes[name] = _nodes(store, dataset, node, _of(features, node), as_of, lends=name in lending)
        if name in ends and not len(nodes[name].idx):
            raise DataError(f"'{dataset}' has no '{name}' nodes{f' as of {as_of}' if as_of else ''}.")
    edges: dict[Canonical, Edges] = {}
    edge_features: dict[Canonical, tuple[Feature, ...]] = {}
    reference = None
    for edge in wanted:
        optimal = [c.name for c in edge.columns if edge == entity and (c.name, c.role) == ("optimal", "reference")]
        rows = visible_rows(store, edge, dataset, ["src", "dst", *([edge.time] if edge.time else []), *optimal], as_of)
        src, dst = (nodes[end].local(tensor(rows[key])) for key, end in (("src", edge.src), ("dst", edge.dst)))
        if {edge.src, edge.dst} & lending:
            for name, lent in _lent(edge, src, dst, nodes, lending):
                nodes[name] = replace(nodes[name], features=(*nodes[name].features, *lent))
            continue
        found = Edges(src, dst, time=micros(rows[edge.time]) if edge.time else None)
        if edge == entity:
            pair = _examples(rows, labels)
            found = replace(found, example=torch.from_numpy(pair))
            reference = _reference(rows["optimal"], pair, labels) if optimal else None
        turned = edge.src != edge.dst or (both_ways and not _symmetric(src, dst, len(nodes[edge.src].idx)))
        relations = {edge.canonical: found, **(_reverse(edge, found) if turned else {})}
        edges |= relations
        vectors = tuple(encoded(store, use, dataset, rows["idx"].to_numpy()) for use in _of(features, edge))
        edge_features |= dict.fromkeys(relations, vectors) if vectors else {}
    taking = {*ends, *(name for kind in edges for name in (kind[0], kind[2]))}
    there = {name: part for name, part in nodes.items() if name in taking}
    return SocialGraph(
        ids={name: part.ids for name, part in there.items()},
        edges=edges,
        entity=entity.canonical if isinstance(entity, EdgeType) else entity.name,
        ends=tuple(
            nodes[name].local(torch.tensor(end))
            for name, end in zip(ends, (labels.src, labels.dst), strict=False)
            if end is not None
        ),
        targets=labels.targets,
        answers={name: torch.tensor(told) for name, told in labels.answers.items()},
        example_time=None if labels.times is None else micros(pa.array(labels.times)),
        label_time=None if labels.label_time is None else micros(pa.array(labels.label_time)),
        node_features={name: part.features for name, part in there.items() if part.features},
        edge_features=edge_features,
        plain={name: part.plain for name, part in there.items() if name not in lending},
        tabular={},
        context=labels.context,
        reference=reference,
    )


def _wanted(store: GraphStore, dataset: str, entity: NodeType | EdgeType, edge_types: Sequence[str]) -> list[EdgeType]:
    """The edge types to read: those named, or all, with the one that is asked about, as far as they have edges."""
    wanted = [store.schema.edge(name) for name in edge_types] or list(store.schema.edges)
    if isinstance(entity, EdgeType) and entity not in wanted:
        wanted.append(entity)
    return [edge for edge in wanted if len(store.span(edge, dataset))]


def _of(features: Sequence[FeatureRef], entry: NodeType | EdgeType) -> list[FeatureRef]:
    return [use for use in features if use.entry.table == entry.table]


def _nodes(
    store: GraphStore,
    dataset: str,
    node: NodeType,
    uses: Sequence[FeatureRef],
    as_of: datetime | None,
    *,
    lends: bool,
) -> _Nodes:
    """Read the nodes of one type; of one that lends its vectors to others, what encoders made alone."""
    rows = visible_rows(store, node, dataset, ["id", *_inputs(node)], as_of)
    idx = rows["idx"].to_numpy()
    features = [encoded(store, use, dataset, idx) for use in uses]
    features += [] if lends else came_along(node, rows)
    plain = pl.DataFrame(rows.select(["idx", *_inputs(node, *KINDS)]))
    return _Nodes(idx, rows["id"].to_numpy(), tuple(features), (node, plain))


def _lent(
    edge: EdgeType, src: Tensor, dst: Tensor, nodes: Mapping[str, _Nodes], lending: Collection[str]
) -> Iterator[tuple[str, list[Feature]]]:
    """The node type at one end of an edge type, and the means of the vectors that the other end lends to it."""
    for here, there, to, of in ((edge.src, edge.dst, src, dst), (edge.dst, edge.src, dst, src)):
        if there in lending and here not in lending:
            yield here, [mean_over(lent, to, of, len(nodes[here].idx)) for lent in nodes[there].features]


def _inputs(node: NodeType, *kinds: str) -> list[str]:
    """The columns of these kinds that models may see; by default all that are numbers, categories or vectors."""
    return [c.name for c in node.columns if c.role == "feature" and c.kind in (kinds or (*KINDS, "vector"))]


def _reverse(edge: EdgeType, edges: Edges) -> dict[Canonical, Edges]:
    """The relation that turns another around."""
    back = (edge.dst, f"rev_{edge.relation}", edge.src)
    return {back: replace(edges, src=edges.dst, dst=edges.src, reverse_of=edge.canonical)}


def _examples(rows: pa.Table, labels: Labels) -> NDArray[np.int64]:
    """(E,) the example of each edge that the task asks about.

    Raises:
        DataError: one has none.
    """
    among = labels.src if labels.dst is None else _key(labels.src, labels.dst)
    keys = _key(rows["src"].to_numpy(), rows["dst"].to_numpy())
    place = pc.index_in(pa.array(keys), value_set=pa.array(among))
    if place.null_count:
        raise DataError(
            f"The task has no line for {place.null_count:,} of the edges that it asks about; labels() must."
        )
    found: NDArray[np.int64] = place.to_numpy().astype(np.int64)
    return found


def _key(src: NDArray[np.int64], dst: NDArray[np.int64]) -> NDArray[np.int64]:
    return (src << 32) | dst  # idx are dense, so far below 2³¹


def _symmetric(src: Tensor, dst: Tensor, count: int) -> bool:
    """Whether every edge has one that runs back; parallel edges count once."""
    leaving, entering = (torch.bincount(end, minlength=count) > 0 for end in (src, dst))
    if not torch.equal(leaving, entering):  # mostly enough, and quick
        return False
    there, back = (np.unique((a * count + b).numpy()) for a, b in ((src, dst), (dst, src)))
    return np.array_equal(there, back)


def _reference(optimal: pa.ChunkedArray, pair: NDArray[np.int64], labels: Labels) -> Tensor | None:
    """(P, K) the true class probabilities of synthetic data, kept for comparison; NaN where an edge has none."""
    classes = len(labels.targets[0].classes)
    if pc.unique(pc.list_value_length(optimal).drop_null()).to_pylist() != [classes]:
        return None
    told = optimal.is_valid().to_numpy()
    values = np.full((len(labels), classes), np.nan, dtype=np.float32)
    values[pair[told]] = table_of(optimal, classes).numpy()
    values[pair[~told]] = np.nan
    return torch.from_numpy(values)
