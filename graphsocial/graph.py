"""The graph as a value: tensors read from the store, with maps back to the source's ids; rebuilt at will."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.errors import DataError
from graphsocial.featurization import FeatureUse
from graphsocial.store import GraphStore, quote
from graphsocial.tabular import Tabular
from graphsocial.tasks.base import Labels
from graphsocial.types import EdgeType, NodeType, Target

if TYPE_CHECKING:
    from dgl import DGLGraph

Canonical = tuple[str, str, str]


@dataclass(frozen=True)
class Feature:
    """Vectors of some rows of a node or edge type; equal content is one vector.

    Attributes:
        name: where it comes from, such as `image.file`.
        vectors: (M, D) float32.
        index: (N,) int64, which vector each row has; -1 where it has none.
    """

    name: str
    vectors: Tensor
    index: Tensor

    @property
    def present(self) -> Tensor:
        """(N,) bool."""
        return self.index >= 0


@dataclass(frozen=True)
class Edges:
    """The message edges of one relation, in the store's order.

    Attributes:
        src, dst: (E,) int64, local node numbers.
        pair: (E,) int64, the labelled pair that the edge belongs to; None where the relation is not supervised.
        time: (E,) int64, microseconds since 1970 UTC, the largest integer where unknown; None in timeless relations.
        reverse_of: the relation this one turns around.
    """

    src: Tensor
    dst: Tensor
    pair: Tensor | None = None
    time: Tensor | None = None
    reverse_of: Canonical | None = None

    def __len__(self) -> int:
        return len(self.src)


@dataclass(frozen=True)
class SocialGraph:
    """A heterogeneous graph in tensors, and the pairs whose label is asked for.

    Attributes:
        ids: node type → (N,) the source's own ids, by local number.
        edges: canonical edge type → its message edges, reverses included.
        entity: the canonical type of the supervised edges; `(dst, "rev_…", src)` is its reverse.
        pair_src, pair_dst: (P,) int64, local node numbers of the pairs.
        codes: (P,) int64, class of each pair; -1 where it has none.
        pair_time: (P,) int64 microseconds, or None.
        target: what is asked, with its classes.
        node_features, edge_features: what encoders made of the columns.
        plain: node type → its numbers and categories, not yet encoded (that needs the training rows).
        tabular: node type → the fitted encoding of `plain`.
        reference: (P, K) reference probabilities where the data has them (synthetic data), else None.
    """

    ids: dict[str, NDArray[np.object_]]
    edges: dict[Canonical, Edges]
    entity: Canonical
    pair_src: Tensor
    pair_dst: Tensor
    codes: Tensor
    pair_time: Tensor | None
    target: Target
    node_features: dict[str, tuple[Feature, ...]]
    edge_features: dict[Canonical, tuple[Feature, ...]]
    plain: dict[str, tuple[NodeType, pl.DataFrame]]
    tabular: dict[str, Tabular]
    reference: Tensor | None = None

    @property
    def num_nodes(self) -> dict[str, int]:
        """Node type → N."""
        return {name: len(ids) for name, ids in self.ids.items()}

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names, in the order of the logits."""
        return self.target.classes

    @property
    def num_pairs(self) -> int:
        """P."""
        return len(self.codes)

    def pair_ids(self, pairs: NDArray[np.int64] | None = None) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        """The source's ids of the ends of these pairs (all by default)."""
        src, dst = self.pair_src.numpy(), self.pair_dst.numpy()
        if pairs is not None:
            src, dst = src[pairs], dst[pairs]
        return self.ids[self.entity[0]][src], self.ids[self.entity[2]][dst]

    def fit_tabular(self, train: NDArray[np.int64]) -> SocialGraph:
        """The same graph with its numbers and categories encoded by what the training pairs' nodes show."""
        ends = {self.entity[0]: self.pair_src[train], self.entity[2]: self.pair_dst[train]}
        fitted = {}
        for name, (entry, frame) in self.plain.items():
            seen = np.unique(ends[name].numpy()) if name in ends else np.arange(frame.height)
            fitted[name] = Tabular.fit(frame, entry.columns, seen)
        return self.with_tabular(fitted)

    def with_tabular(self, fitted: dict[str, Tabular]) -> SocialGraph:
        """The same graph with numbers and categories encoded as a run fitted them."""
        return replace(self, tabular={name: part for name, part in fitted.items() if part.width})

    @cached_property
    def tables(self) -> dict[str, Tensor]:
        """Node type → (N, D) the encoded numbers and categories."""
        return {name: torch.from_numpy(part.encode(self.plain[name][1])) for name, part in self.tabular.items()}

    def with_pairs(self, src: Tensor, dst: Tensor, codes: Tensor) -> SocialGraph:
        """The same graph with more pairs to classify (negative samples, new questions); they add no edges."""
        time = self.pair_time
        if time is not None:
            time = torch.cat([time, torch.full((len(src),), torch.iinfo(torch.int64).max)])
        return replace(
            self,
            pair_src=torch.cat([self.pair_src, src]),
            pair_dst=torch.cat([self.pair_dst, dst]),
            codes=torch.cat([self.codes, codes]),
            pair_time=time,
            reference=None,
        )

    @cached_property
    def heterograph(self) -> DGLGraph:
        """The same edges as a DGL heterograph, edge for edge."""
        os.environ.setdefault("DGLBACKEND", "pytorch")  # or DGL asks, and writes into the home folder
        import dgl

        return dgl.heterograph(
            {kind: (edges.src, edges.dst) for kind, edges in self.edges.items()}, num_nodes_dict=self.num_nodes
        )


def build(
    store: GraphStore,
    dataset: str,
    entity: EdgeType,
    labels: Labels,
    *,
    features: Sequence[FeatureUse] = (),
    edge_types: Sequence[str] = (),
    both_ways: bool = True,
    as_of: datetime | None = None,
) -> SocialGraph:
    """Read a dataset's graph for one question.

    A node type that is no end of `entity` and has vectors (a group with its description) lends them to its neighbours
    as the mean over the edges that join them (HMG-Emo, eq. 1) and takes no part in message passing; all other types do.

    Args:
        entity: the supervised edge type; `labels` are its pairs.
        features: the columns whose vectors are used.
        edge_types: the message edge types by name, such as `user views image`; all by default.
        both_ways: give edges between nodes of one type (contacts) a reverse relation as well, unless they already run
            both ways. Edges between different types always have one.
        as_of: only what had happened by then.

    Raises:
        DataError: a node type has no rows as of then.
    """
    schema = store.schema
    wanted = [schema.edge(name) for name in edge_types] or list(schema.edges)
    if entity not in wanted:
        wanted.append(entity)
    wanted = [edge for edge in wanted if len(store.span(edge, dataset))]
    ends = (entity.src, entity.dst)
    lending = {use.entry.name for use in features if isinstance(use.entry, NodeType) and use.entry.name not in ends}
    nodes = {name: schema.node(name) for edge in wanted for name in (edge.src, edge.dst)}
    idx: dict[str, NDArray[np.int64]] = {}
    ids: dict[str, NDArray[np.object_]] = {}
    plain: dict[str, tuple[NodeType, pl.DataFrame]] = {}
    for name, node in nodes.items():
        frame = store.read(node, dataset=dataset, as_of=as_of).pl()
        if not frame.height and name in ends:
            raise DataError(f"'{dataset}' has no '{name}' nodes{f' as of {as_of}' if as_of else ''}.")
        idx[name] = frame["idx"].to_numpy()
        ids[name] = frame["id"].to_numpy()
        if name not in lending:
            plain[name] = (node, frame)
    uses: dict[str, list[FeatureUse]] = {}
    for use in features:
        uses.setdefault(use.entry.table, []).append(use)
    node_features = {
        name: [_vectors(store, use, dataset, idx[name]) for use in uses.get(node.table, ())]
        for name, node in nodes.items()
    }
    for name in nodes:
        if name not in lending:
            node_features[name] += _stored_vectors(*plain[name])
    edges: dict[Canonical, Edges] = {}
    edge_features: dict[Canonical, tuple[Feature, ...]] = {}
    pair_key = _key(labels.src, labels.dst)
    for edge in wanted:
        rows = _edge_rows(store, edge, dataset, as_of)
        src, dst = _local(rows["src"], idx[edge.src]), _local(rows["dst"], idx[edge.dst])
        if edge.src in lending or edge.dst in lending:
            for here, there, a, b in ((edge.src, edge.dst, src, dst), (edge.dst, edge.src, dst, src)):
                if there in lending and here not in lending:
                    node_features[here] += [_mean(f, a, b, len(idx[here])) for f in node_features[there]]
            continue
        pair = torch.from_numpy(np.searchsorted(pair_key, _key(rows["src"], rows["dst"]))) if edge == entity else None
        found = Edges(src, dst, pair, torch.from_numpy(rows["time"]) if "time" in rows else None)
        edges[edge.canonical] = found
        vectors = tuple(_vectors(store, use, dataset, rows["idx"]) for use in uses.get(edge.table, ()))
        if vectors:
            edge_features[edge.canonical] = vectors
        if edge.src != edge.dst or (both_ways and not _symmetric(src, dst, len(idx[edge.src]))):
            back = (edge.dst, f"rev_{edge.relation}", edge.src)
            edges[back] = replace(found, src=dst, dst=src, reverse_of=edge.canonical)
            if vectors:
                edge_features[back] = vectors
    taking = {name for kind in edges for name in (kind[0], kind[2])}
    time = None if labels.times is None else torch.from_numpy(_micros(labels.times))
    return SocialGraph(
        ids={name: ids[name] for name in nodes if name in taking},
        edges=edges,
        entity=entity.canonical,
        pair_src=_local(labels.src, idx[entity.src]),
        pair_dst=_local(labels.dst, idx[entity.dst]),
        codes=torch.from_numpy(labels.codes),
        pair_time=time,
        target=labels.target,
        node_features={name: tuple(node_features[name]) for name in nodes if name in taking and node_features[name]},
        edge_features=edge_features,
        plain={name: part for name, part in plain.items() if name in taking},
        tabular={},
        reference=_reference(store, entity, dataset, labels),
    )


def _key(src: NDArray[np.int64], dst: NDArray[np.int64]) -> NDArray[np.int64]:
    return (src << 32) | dst  # idx are dense, so far below 2³¹


def _local(idx: NDArray[np.int64], known: NDArray[np.int64]) -> Tensor:
    """Store idx → local number, the rank among the visible nodes."""
    if len(known) and known[-1] - known[0] + 1 == len(known):
        return torch.from_numpy(idx - known[0])
    return torch.from_numpy(np.searchsorted(known, idx))


def _micros(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    values = times.astype("datetime64[us]").astype(np.int64)
    return np.where(np.isnat(times), np.iinfo(np.int64).max, values)


def _edge_rows(store: GraphStore, edge: EdgeType, dataset: str, as_of: datetime | None) -> dict[str, Any]:
    time = f", {quote(edge.time)} as time" if edge.time else ""
    visible = store.visible(edge, dataset=dataset, as_of=as_of)
    rows = store.sql(f"select idx, src, dst{time} from ({visible}) order by idx").to_arrow_table()
    columns: dict[str, Any] = {name: rows[name].to_numpy() for name in ("idx", "src", "dst")}
    if time:
        columns["time"] = _micros(rows["time"].cast("timestamp[us]").to_numpy())
    return columns


def _symmetric(src: Tensor, dst: Tensor, count: int) -> bool:
    there = torch.unique(src * count + dst)
    back = torch.unique(dst * count + src)
    return torch.equal(there, back)


def _vectors(store: GraphStore, use: FeatureUse, dataset: str, idx: NDArray[np.int64]) -> Feature:
    """One feature set's vectors for the visible rows `idx` (ascending); each distinct content once."""
    rows = store.sql(
        "select idx, dense_rank() over (order by content) - 1 as vector from feature_rows "
        "where set_id = ? and dataset = ? and table_name = ? and column_name = ? order by idx",
        [use.set_id, dataset, use.entry.table, use.column],
    ).to_arrow_table()
    vectors = store.sql(
        f"select vector from vectors_{use.dimension} where set_id = ? and content in ("
        "select content from feature_rows where set_id = ? and dataset = ? and table_name = ? and column_name = ?"
        ") order by content",
        [use.set_id, use.set_id, dataset, use.entry.table, use.column],
    ).to_arrow_table()
    flat = vectors["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    index = np.full(len(idx), -1, dtype=np.int64)
    at = np.searchsorted(idx, rows["idx"].to_numpy())
    here = at < len(idx)
    here[here] = idx[at[here]] == rows["idx"].to_numpy()[here]
    index[at[here]] = rows["vector"].to_numpy()[here]
    table = torch.from_numpy(np.array(flat, dtype=np.float32).reshape(-1, use.dimension))
    return Feature(str(use), table, torch.from_numpy(index))


def _stored_vectors(node: NodeType, frame: pl.DataFrame) -> list[Feature]:
    """Vector columns that came with the data.

    Raises:
        DataError: a column's vectors have several lengths.
    """
    found = []
    for column in node.columns:
        if column.kind != "vector" or column.role != "feature" or frame[column.name].null_count() == frame.height:
            continue
        values = frame[column.name]
        lengths = values.list.len().drop_nulls().unique().to_list()
        if len(lengths) > 1:
            raise DataError(f"The vectors in '{node}.{column.name}' have several lengths: {sorted(lengths)[:5]}.")
        present = values.is_not_null().to_numpy()
        flat = values.drop_nulls().explode().to_numpy().astype(np.float32)
        index = np.where(present, np.cumsum(present) - 1, -1)
        found.append(
            Feature(f"{node}.{column.name}", torch.from_numpy(flat.reshape(-1, lengths[0])), torch.from_numpy(index))
        )
    return found


def _mean(feature: Feature, to: Tensor, of: Tensor, count: int) -> Feature:
    """HMG-Emo, eq. 1: the mean of the neighbours' vectors, for those that have a neighbour with one."""
    known = feature.index[of] >= 0
    to, vector = to[known], feature.index[of[known]]
    number = torch.bincount(to, minlength=count)
    total = torch.zeros(count, feature.vectors.shape[1]).index_add_(0, to, feature.vectors[vector])
    some = number > 0
    index = torch.where(some, torch.cumsum(some, 0) - 1, -1)
    return Feature(f"mean of {feature.name}", total[some] / number[some, None], index)


def _reference(store: GraphStore, entity: EdgeType, dataset: str, labels: Labels) -> Tensor | None:
    """(P, K) the true class probabilities of synthetic data, kept for comparison."""
    if not any(column.name == "optimal" and column.role == "reference" for column in entity.columns):
        return None
    span = store.span(entity, dataset)
    rows = store.sql(
        f"select src, dst, any_value(optimal) as optimal from {quote(entity.table)} "
        "where idx >= ? and idx < ? group by src, dst having count(optimal) = count(*) order by src, dst",
        [span.first, span.last],
    ).to_arrow_table()
    lengths = set(rows["optimal"].combine_chunks().value_lengths().to_pylist())
    if lengths != {len(labels.target.classes)}:
        return None
    at = np.searchsorted(_key(labels.src, labels.dst), _key(rows["src"].to_numpy(), rows["dst"].to_numpy()))
    at = at[at < len(labels)]
    values = torch.full((len(labels), len(labels.target.classes)), float("nan"))
    flat = rows["optimal"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    values[torch.from_numpy(at)] = torch.from_numpy(
        np.array(flat, dtype=np.float32).reshape(-1, len(labels.target.classes))
    )[: len(at)]
    return values
