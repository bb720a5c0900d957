"""The graph as a value: tensors read from the store, with maps back to the source's ids; rebuilt at will."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.errors import DataError
from graphsocial.feature_tensors import Feature as Feature  # it is part of the graph
from graphsocial.feature_tensors import came_along, encoded, mean_over, table_of, tensor, visible_rows
from graphsocial.featurization import FeatureUse
from graphsocial.store import GraphStore
from graphsocial.tabular import KINDS, Tabular
from graphsocial.tasks.base import Context, Labels
from graphsocial.types import EdgeType, NodeType, Target

if TYPE_CHECKING:
    from dgl import DGLGraph

Canonical = tuple[str, str, str]
NEVER = int(np.iinfo(np.int64).max)  # a time that is not known
CONTEXT = "*"  # what stands for a node type's name where the encoding is that of the examples' context
_UNKNOWN = float("nan")


@dataclass(frozen=True)
class Edges:
    """The message edges of one relation, in the store's order.

    Attributes:
        src, dst: (E,) int64, local node numbers.
        example: (E,) int64, the example that the edge belongs to; None where the relation is not supervised.
        time: (E,) int64, microseconds since 1970 UTC, the largest integer where unknown; None in timeless relations.
        reverse_of: the relation this one turns around.
    """

    src: Tensor
    dst: Tensor
    example: Tensor | None = None
    time: Tensor | None = None
    reverse_of: Canonical | None = None

    def __len__(self) -> int:
        return len(self.src)


@dataclass(frozen=True)
class NodeRows:
    """What is known of some nodes of one type, gathered.

    Attributes:
        nodes: (n,) int64, local node numbers.
        features: the features of these rows.
        table: (n, D) the encoded numbers and categories, or None where the type has none.
    """

    nodes: Tensor
    features: tuple[Feature, ...]
    table: Tensor | None


@dataclass(frozen=True)
class SocialGraph:
    """A heterogeneous graph in tensors, and the examples whose answers are asked for: nodes, or pairs of nodes.

    Attributes:
        ids: node type → (N,) the source's own ids, by local number.
        edges: canonical edge type → its message edges, reverses included.
        entity: what is asked about: a node type's name, or the canonical type of the supervised edges, whose reverse
            is `(dst, "rev_…", src)`.
        ends: (P,) int64, local node numbers of the examples: one tensor for nodes, two for the ends of pairs.
        targets: what is asked, with classes.
        answers: target → (P,) int64 codes, -1 where there is none, or float64 numbers, NaN where there is none.
        example_time: (P,) int64 microseconds, or None.
        known_time: (P,) when each answer had become known; None where that is `example_time`.
        node_features, edge_features: what encoders made of the columns.
        plain: node type → its numbers and categories, not yet encoded (that needs the training rows).
        tabular: node type → the fitted encoding of `plain`; `*` → that of `context`.
        context: what is known of each example when it is asked about, not yet encoded.
        reference: (P, K) true probabilities of the first target where the data has them (synthetic data), else None.
    """

    ids: dict[str, NDArray[np.object_]]
    edges: dict[Canonical, Edges]
    entity: Canonical | str
    ends: tuple[Tensor, ...]
    targets: tuple[Target, ...]
    answers: dict[str, Tensor]
    example_time: Tensor | None
    known_time: Tensor | None
    node_features: dict[str, tuple[Feature, ...]]
    edge_features: dict[Canonical, tuple[Feature, ...]]
    plain: dict[str, tuple[NodeType, pl.DataFrame]]
    tabular: dict[str, Tabular]
    context: Context | None = None
    reference: Tensor | None = None

    @property
    def num_nodes(self) -> dict[str, int]:
        """Node type → N."""
        return {name: len(ids) for name, ids in self.ids.items()}

    @property
    def end_types(self) -> tuple[str, ...]:
        """The node type of each end: one for nodes, two for pairs."""
        return (self.entity,) if isinstance(self.entity, str) else (self.entity[0], self.entity[2])

    @property
    def target(self) -> Target:
        """The first target."""
        return self.targets[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names of the first target, in the order of the logits."""
        return self.target.classes

    @property
    def numbers(self) -> tuple[Target, ...]:
        """The M targets that are numbers."""
        return tuple(target for target in self.targets if target.kind == "regression")

    @property
    def codes(self) -> Tensor:
        """(P,) the answers to the first target."""
        return self.answers[self.target.name]

    @property
    def num_examples(self) -> int:
        """P."""
        return len(self.ends[0])

    @cached_property
    def answered(self) -> Tensor:
        """(P,) bool: an answer to at least one target is known."""
        return torch.stack([is_known(answers) for answers in self.answers.values()]).any(0)

    def example_ids(self, examples: NDArray[np.int64] | None = None) -> tuple[NDArray[np.object_], ...]:
        """The source's ids of these examples (all by default): of the nodes, or of both ends of the pairs."""
        ends = (end.numpy() for end in self.ends)
        return tuple(
            self.ids[name][end if examples is None else end[examples]]
            for name, end in zip(self.end_types, ends, strict=True)
        )

    def fit_tabular(self, train: NDArray[np.int64]) -> SocialGraph:
        """The same graph with its numbers and categories encoded by what the training examples' nodes show."""
        fitted = {}
        for name, (entry, frame) in self.plain.items():
            ends = [end[train] for kind, end in zip(self.end_types, self.ends, strict=True) if kind == name]
            seen = np.unique(torch.cat(ends).numpy()) if ends else np.arange(frame.height)
            fitted[name] = Tabular.fit(frame, entry.columns, seen)
        if self.context is not None:
            fitted[CONTEXT] = Tabular.fit(self.context.rows, self.context.columns, train)
        return self.with_tabular(fitted)

    def with_tabular(self, fitted: dict[str, Tabular]) -> SocialGraph:
        """The same graph with numbers and categories encoded as a run fitted them."""
        return replace(self, tabular={name: part for name, part in fitted.items() if part.width})

    @cached_property
    def tables(self) -> dict[str, Tensor]:
        """Node type → (N, D) the encoded numbers and categories."""
        return {
            name: torch.from_numpy(part.encode(self.plain[name][1]))
            for name, part in self.tabular.items()
            if name != CONTEXT
        }

    @cached_property
    def context_numbers(self) -> dict[str, Tensor]:
        """Name → (P,) float32, NaN where unknown: the context's numbers as they are, of every role."""
        if self.context is None:
            return {}
        return {
            column.name: torch.tensor(self.context.rows[column.name].to_numpy(), dtype=torch.float32)
            for column in self.context.columns
            if column.kind == "number"
        }

    @cached_property
    def context_table(self) -> Tensor:
        """(P, D) the encoded context of the examples; D is 0 where there is none."""
        if self.context is None or CONTEXT not in self.tabular:
            return torch.zeros(self.num_examples, 0)
        return torch.from_numpy(self.tabular[CONTEXT].encode(self.context.rows))

    def with_pairs(self, src: Tensor, dst: Tensor, code: int = -1) -> SocialGraph:
        """The same graph with more pairs to classify (negative samples, new questions); they add no edges.

        Args:
            code: the class of all of them.
        """
        times = [
            time if time is None else torch.cat([time, torch.full((len(src),), NEVER)])
            for time in (self.example_time, self.known_time)
        ]
        return replace(
            self,
            ends=(torch.cat([self.ends[0], src]), torch.cat([self.ends[1], dst])),
            answers={
                name: torch.cat([told, torch.full((len(src),), _UNKNOWN if told.is_floating_point() else code)])
                for name, told in self.answers.items()
            },
            example_time=times[0],
            known_time=times[1],
            context=self.context
            and replace(self.context, rows=pl.concat([self.context.rows, self.context.rows.clear(len(src))])),
            reference=None,
        )

    def rows(self, name: str, nodes: Tensor) -> NodeRows:
        """What is known of these nodes of one type."""
        table = self.tables[name][nodes] if name in self.tables else None
        return NodeRows(nodes, tuple(part.take(nodes) for part in self.node_features.get(name, ())), table)

    @cached_property
    def heterograph(self) -> DGLGraph:
        """The same edges as a DGL heterograph, edge for edge."""
        os.environ.setdefault("DGLBACKEND", "pytorch")  # or DGL asks, and writes into the home folder
        import dgl

        return dgl.heterograph(
            {kind: (edges.src, edges.dst) for kind, edges in self.edges.items()}, num_nodes_dict=self.num_nodes
        )


def is_known(answers: Tensor) -> Tensor:
    """(P,) bool: which codes or numbers are answers."""
    return ~torch.isnan(answers) if answers.is_floating_point() else answers >= 0


def build(
    store: GraphStore,
    dataset: str,
    entity: NodeType | EdgeType,
    labels: Labels,
    *,
    features: Sequence[FeatureUse] = (),
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
    schema = store.schema
    wanted = [schema.edge(name) for name in edge_types] or list(schema.edges)
    if isinstance(entity, EdgeType) and entity not in wanted:
        wanted.append(entity)
    wanted = [edge for edge in wanted if len(store.span(edge, dataset))]
    ends = (entity.src, entity.dst) if isinstance(entity, EdgeType) else (entity.name,)
    lending = {use.entry.name for use in features if isinstance(use.entry, NodeType) and use.entry.name not in ends}
    nodes = {name: schema.node(name) for name in [*ends, *(end for edge in wanted for end in (edge.src, edge.dst))]}
    idx: dict[str, NDArray[np.int64]] = {}
    ids: dict[str, NDArray[np.object_]] = {}
    plain: dict[str, tuple[NodeType, pl.DataFrame]] = {}
    uses: dict[str, list[FeatureUse]] = {}
    for use in features:
        uses.setdefault(use.entry.table, []).append(use)
    node_features: dict[str, list[Feature]] = {}
    for name, node in nodes.items():
        kept = replace(node, columns=tuple(c for c in node.columns if f"{name}.{c.name}" not in leave_out))
        rows = visible_rows(store, node, dataset, ["id", *_inputs(kept)], as_of)
        if not rows.num_rows and name in ends:
            raise DataError(f"'{dataset}' has no '{name}' nodes{f' as of {as_of}' if as_of else ''}.")
        idx[name] = rows["idx"].to_numpy()
        ids[name] = rows["id"].to_numpy()
        node_features[name] = [encoded(store, use, dataset, idx[name]) for use in uses.get(node.table, ())]
        if name not in lending:
            node_features[name] += came_along(kept, rows)
            plain[name] = (kept, pl.DataFrame(rows.select(["idx", *_inputs(kept, *KINDS)])))
    edges: dict[Canonical, Edges] = {}
    edge_features: dict[Canonical, tuple[Feature, ...]] = {}
    pair_key = labels.src if labels.dst is None else _key(labels.src, labels.dst)
    reference = None
    for edge in wanted:
        optimal = [c.name for c in edge.columns if edge == entity and (c.name, c.role) == ("optimal", "reference")]
        rows = visible_rows(store, edge, dataset, ["src", "dst", *([edge.time] if edge.time else []), *optimal], as_of)
        src, dst = (_local(tensor(rows[key]), idx[end]) for key, end in (("src", edge.src), ("dst", edge.dst)))
        if edge.src in lending or edge.dst in lending:
            for here, there, a, b in ((edge.src, edge.dst, src, dst), (edge.dst, edge.src, dst, src)):
                if there in lending and here not in lending:
                    node_features[here] += [mean_over(f, a, b, len(idx[here])) for f in node_features[there]]
            continue
        found = Edges(src, dst, time=_micros(rows[edge.time]) if edge.time else None)
        if edge == entity:
            pair = _find(_key(rows["src"].to_numpy(), rows["dst"].to_numpy()), pair_key)
            found = replace(found, example=torch.from_numpy(pair))
            reference = _reference(rows["optimal"], pair, labels) if optimal else None
        edges[edge.canonical] = found
        vectors = tuple(encoded(store, use, dataset, rows["idx"].to_numpy()) for use in uses.get(edge.table, ()))
        if vectors:
            edge_features[edge.canonical] = vectors
        if edge.src != edge.dst or (both_ways and not _symmetric(src, dst, len(idx[edge.src]))):
            back = (edge.dst, f"rev_{edge.relation}", edge.src)
            edges[back] = replace(found, src=dst, dst=src, reverse_of=edge.canonical)
            if vectors:
                edge_features[back] = vectors
    taking = {*ends, *(name for kind in edges for name in (kind[0], kind[2]))}
    return SocialGraph(
        ids={name: ids[name] for name in nodes if name in taking},
        edges=edges,
        entity=entity.canonical if isinstance(entity, EdgeType) else entity.name,
        ends=tuple(
            _local(torch.tensor(end), idx[name])
            for name, end in zip(ends, (labels.src, labels.dst), strict=False)
            if end is not None
        ),
        targets=labels.targets,
        answers={name: torch.tensor(told) for name, told in labels.answers.items()},
        example_time=None if labels.times is None else _micros(pa.array(labels.times)),
        known_time=None if labels.known is None else _micros(pa.array(labels.known)),
        node_features={name: tuple(node_features[name]) for name in nodes if name in taking and node_features[name]},
        edge_features=edge_features,
        plain={name: part for name, part in plain.items() if name in taking},
        tabular={},
        context=labels.context,
        reference=reference,
    )


def _inputs(node: NodeType, *kinds: str) -> list[str]:
    """The columns of these kinds that models may see; by default all that are numbers, categories or vectors."""
    return [c.name for c in node.columns if c.role == "feature" and c.kind in (kinds or (*KINDS, "vector"))]


def _key(src: NDArray[np.int64], dst: NDArray[np.int64]) -> NDArray[np.int64]:
    return (src << 32) | dst  # idx are dense, so far below 2³¹


def _find(keys: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each key stands in `among`, whose keys are distinct.

    Raises:
        DataError: a key is not there.
    """
    place = pc.index_in(pa.array(keys), value_set=pa.array(among))
    if place.null_count:
        raise DataError(
            f"The task has no line for {place.null_count:,} of the edges that it asks about; labels() must."
        )
    found: NDArray[np.int64] = place.to_numpy().astype(np.int64)
    return found


def _local(idx: Tensor, known: NDArray[np.int64]) -> Tensor:
    """Store idx → local number, the rank among the visible nodes."""
    if len(known) and known[-1] - known[0] + 1 == len(known):
        return idx - int(known[0]) if known[0] else idx
    return torch.from_numpy(np.searchsorted(known, idx.numpy()))


def _micros(times: pa.Array | pa.ChunkedArray) -> Tensor:
    return tensor(pc.fill_null(times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64()), NEVER))


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
