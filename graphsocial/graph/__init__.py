"""The graph as a value: tensors, with the source's ids of all nodes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial._compat.dgl import import_dgl
from graphsocial.errors import InputError
from graphsocial.featurizers._tabular import Tabular
from graphsocial.graph.exchange import edge_columns, edge_times, kept_positions, node_columns, rows_of
from graphsocial.graph.features import NEVER as NEVER  # they are parts of the graph
from graphsocial.graph.features import Feature as Feature
from graphsocial.graph.features import TimedMeans
from graphsocial.store.exchange import PropertyGraph
from graphsocial.tasks import Context
from graphsocial.types import EdgeType, GraphSchema, NodeType, Target

if TYPE_CHECKING:
    from dgl import DGLGraph

Canonical = tuple[str, str, str]
_CONTEXT = "context of examples"  # the key of its encoding in `tabular_state`, which no node type can have
_UNKNOWN = float("nan")


@dataclass(frozen=True)
class Edges:
    """The E message edges of one edge type, in the store's order.

    Attributes:
        src: (E,) int64, local node numbers of the sources: positions in `SocialGraph.ids` of the source type.
        dst: (E,) int64, local node numbers of the destinations.
        example: (E,) int64, the example (0 to P - 1) of each edge; None where edges of this type have no labels.
        time: (E,) int64, from when each exists, in microseconds since 1970 UTC: the latest of its own time and its
            endpoints' (`store.time`); `NEVER` where that is not known; None where neither has times.
        reverse_of: the edge type that this one is the reverse of, edge for edge; None for a type of the data.
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
    """The inputs of n nodes of one type.

    Attributes:
        nodes: (n,) int64, local node numbers.
        features: their encoded vectors, with one row per node.
        table: (n, D) float32, their encoded numbers and categories; None where the type has none.
    """

    nodes: Tensor
    features: tuple[Feature, ...]
    table: Tensor | None


@dataclass(frozen=True)
class SocialGraph:
    """A heterogeneous graph in tensors, with the P examples to predict: nodes, or pairs of nodes.

    A network reads its inputs from `node_features`, `tables`, `edge_features` and `context_table`; which edges, edge
    features and labels it may use for a batch is in the batch (`batching.Batch`).

    Attributes:
        ids: node type → (N,) the source's own ids, by local node number.
        edges: canonical edge type (source type, relation, destination type) → its message edges, reverses included.
        entity: what the examples are: a node type's name, or the canonical type of the supervised edges, whose reverse
            is `(dst, "rev_…", src)`.
        ends: (P,) int64, local node numbers of the examples' endpoints: one tensor for nodes, two for pairs.
        targets: what is predicted, with classes.
        target_labels: target → (P,) its labels: int64 class codes, -1 where unknown, or float64 numbers, NaN
            where unknown; of several labels, (P, K) int64 0 or 1, -1 where unknown.
        example_time: (P,) int64 microseconds since 1970 UTC; None where the data has no times.
        label_time: (P,) int64, when each label became known; None where that is `example_time`.
        node_features: node type → the encoders' vectors of its columns, and its vector columns.
        edge_features: canonical edge type → the encoders' vectors of its columns, such as comments.
        plain: node type → its numbers and categories as they are; `fit_tabular` encodes them by the training rows.
        tabular: node type → the fitted encoding of `plain`.
        context_tabular: the fitted encoding of `context`; None where it is not fitted or has no columns.
        context: columns of the examples themselves, as of their time, as they are.
        reference: (P, K) true class probabilities of the first target, in synthetic data; else None.
        ends_time: (P,) int64, from when all endpoints of each example exist; None where they have no times.
    """

    ids: dict[str, NDArray[np.object_]]
    edges: dict[Canonical, Edges]
    entity: Canonical | str
    ends: tuple[Tensor, ...]
    targets: tuple[Target, ...]
    target_labels: dict[str, Tensor]
    example_time: Tensor | None
    label_time: Tensor | None
    node_features: dict[str, tuple[Feature, ...]]
    edge_features: dict[Canonical, tuple[Feature, ...]]
    plain: dict[str, tuple[NodeType, pl.DataFrame]]
    tabular: dict[str, Tabular]
    context_tabular: Tabular | None = None
    context: Context | None = None
    reference: Tensor | None = None
    ends_time: Tensor | None = None

    @property
    def num_nodes(self) -> dict[str, int]:
        """Node type → N."""
        return {name: len(ids) for name, ids in self.ids.items()}

    @property
    def end_types(self) -> tuple[str, ...]:
        """The node type of each endpoint: one for nodes, two for pairs."""
        return (self.entity,) if isinstance(self.entity, str) else (self.entity[0], self.entity[2])

    @property
    def target(self) -> Target:
        """The first target."""
        return self.targets[0]

    @property
    def class_target(self) -> Target | None:
        """The first target with one class per example; None if there is none."""
        return next((target for target in self.targets if target.kind == "multiclass"), None)

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names of `class_target`, in the order of the logits; none where it is None."""
        return () if self.class_target is None else self.class_target.classes

    @property
    def numbers(self) -> tuple[Target, ...]:
        """The M targets that are numbers, in order."""
        return tuple(target for target in self.targets if target.kind == "regression")

    @property
    def codes(self) -> Tensor:
        """(P,) the labels of `class_target`; -1 where it is None."""
        target = self.class_target
        return torch.full((self.num_examples,), -1) if target is None else self.target_labels[target.name]

    @property
    def num_examples(self) -> int:
        """P, the number of examples."""
        return len(self.ends[0])

    @cached_property
    def labelled(self) -> Tensor:
        """(P,) bool, whether the label of at least one target is known."""
        return torch.stack([is_known(labels) for labels in self.target_labels.values()]).any(0)

    @cached_property
    def opposite(self) -> Tensor | None:
        """(P,) the example of the pair in the opposite direction, -1 where there is none.

        None where examples are nodes, or pairs of nodes of different types. A pair of a node with itself has none.
        """
        if len(self.ends) < 2 or self.end_types[0] != self.end_types[1]:
            return None
        src, dst = self.ends
        size = self.num_nodes[self.end_types[0]]
        keys, order = torch.sort(src * size + dst)
        reversed_keys = dst * size + src
        position = torch.searchsorted(keys, reversed_keys).clamp_max(len(keys) - 1)
        return torch.where((keys[position] == reversed_keys) & (src != dst), order[position], -1)

    def example_ids(self, examples: NDArray[np.int64] | None = None) -> tuple[NDArray[np.object_], ...]:
        """The source's ids of these examples (all by default): one array for nodes, two for the endpoints of pairs."""
        ends = (end.numpy() for end in self.ends)
        return tuple(
            self.ids[name][end if examples is None else end[examples]]
            for name, end in zip(self.end_types, ends, strict=True)
        )

    def fit_tabular(self, train: NDArray[np.int64]) -> SocialGraph:
        """The same graph with its numbers and categories encoded: means, deviations, vocabularies of the training rows.

        Args:
            train: (n,) positions of the training examples.
        """
        fitted = {}
        for name, (entry, frame) in self.plain.items():
            ends = [end[train] for kind, end in zip(self.end_types, self.ends, strict=True) if kind == name]
            rows = np.unique(torch.cat(ends).numpy()) if ends else np.arange(frame.height)
            fitted[name] = Tabular.fit(frame, entry.columns, rows)
        context = None if self.context is None else Tabular.fit(self.context.rows, self.context.columns, train)
        return self._with_tabular(fitted, context)

    def tabular_state(self) -> dict[str, Any]:
        """The fitted encodings as JSON, which a run keeps: by node type, and the context's."""
        fitted = self.tabular if self.context_tabular is None else {**self.tabular, _CONTEXT: self.context_tabular}
        return {name: part.state() for name, part in fitted.items()}

    def with_tabular_state(self, state: Mapping[str, Any]) -> SocialGraph:
        """The same graph with its numbers and categories encoded as a run fitted the encodings; see `tabular_state`."""
        fitted = {name: Tabular.restore(part) for name, part in state.items()}
        context = fitted.pop(_CONTEXT, fitted.pop("*", None))  # its key in runs of 0.1.0
        return self._with_tabular(fitted, context)

    def _with_tabular(self, fitted: Mapping[str, Tabular], context: Tabular | None) -> SocialGraph:
        return replace(
            self,
            tabular={name: part for name, part in fitted.items() if part.width},
            context_tabular=context if context is not None and context.width else None,
        )

    @cached_property
    def tables(self) -> dict[str, Tensor]:
        """Node type → (N, D) float32, the encoded numbers and categories; not for types that have none."""
        return {name: torch.from_numpy(part.encode(self.plain[name][1])) for name, part in self.tabular.items()}

    @cached_property
    def context_numbers(self) -> dict[str, Tensor]:
        """Column → (P,) float32, NaN where unknown: the context's numbers as they are, of every role."""
        if self.context is None:
            return {}
        return {
            column.name: torch.tensor(self.context.rows[column.name].to_numpy(), dtype=torch.float32)
            for column in self.context.columns
            if column.kind == "number"
        }

    @cached_property
    def context_table(self) -> Tensor:
        """(P, D) float32, the encoded context of the examples; D is 0 where there is none."""
        if self.context is None or self.context_tabular is None:
            return torch.zeros(self.num_examples, 0)
        return torch.from_numpy(self.context_tabular.encode(self.context.rows))

    def with_pairs(self, src: Tensor, dst: Tensor, code: int = -1) -> SocialGraph:
        """The same graph with M more pairs as examples (negative samples, pairs to predict); they add no edges.

        Args:
            src: (M,) int64, local node numbers of the sources.
            dst: (M,) int64, of the destinations.
            code: the class of all of them; -1 for unknown.
        """
        times = [
            time if time is None else torch.cat([time, torch.full((len(src),), NEVER)])
            for time in (self.example_time, self.label_time, self.ends_time)
        ]
        return replace(
            self,
            ends=(torch.cat([self.ends[0], src]), torch.cat([self.ends[1], dst])),
            target_labels={
                name: torch.cat([labels, _repeated(labels, code, len(src))])
                for name, labels in self.target_labels.items()
            },
            example_time=times[0],
            label_time=times[1],
            ends_time=times[2],
            context=self.context
            and replace(self.context, rows=pl.concat([self.context.rows, self.context.rows.clear(len(src))])),
            reference=None,
        )

    def as_of(self, before: Mapping[str, Tensor] | None) -> SocialGraph:
        """The same graph with means of neighbors' vectors over the edges that exist before a time.

        Edges are masked by the batch; see `batching.Batch`.

        Args:
            before: node type → (N,) int64 microseconds, exclusive (`View.before`); None where time does not matter.
        """
        if before is None or not any(isinstance(f, TimedMeans) for part in self.node_features.values() for f in part):
            return self
        features = {name: tuple(f.as_of(before[name]) for f in part) for name, part in self.node_features.items()}
        graph = copy(self)  # keeps what is cached
        graph.__dict__.pop("property_graph", None)
        object.__setattr__(graph, "node_features", features)
        return graph

    def rows(self, name: str, nodes: Tensor) -> NodeRows:
        """The inputs of these nodes (n,) of one type."""
        table = self.tables[name][nodes] if name in self.tables else None
        return NodeRows(nodes, tuple(part.take(nodes) for part in self.node_features.get(name, ())), table)

    @cached_property
    def heterograph(self) -> DGLGraph:
        """The same edges as a DGL heterograph, with the same node numbers and edge order."""
        return import_dgl().heterograph(
            {kind: (edges.src, edges.dst) for kind, edges in self.edges.items()}, num_nodes_dict=self.num_nodes
        )

    @cached_property
    def property_graph(self) -> PropertyGraph:
        """The same nodes and edges as a value that goes to DGL, PyG and networkx; it has no labels.

        Nodes have the numbers and categories of the store and a column of vectors for each encoded column. Edges,
        reverses included, have their `position` in `edges`, their `time`, and columns of vectors. Sequences of vectors
        are left out.
        """
        nodes, edges, node_frames, edge_frames = [], [], {}, {}
        for name, ids in self.ids.items():
            entry, frame = self.plain.get(name, (NodeType(name), pl.DataFrame()))
            columns, values = node_columns(entry, frame, self.node_features.get(name, ()))
            times = [column.name for column in columns if column.name == entry.time]
            nodes.append(NodeType(name, columns, times[0] if times else None))
            node_frames[name] = pl.DataFrame({"id": pl.Series(ids, dtype=pl.String), **values})
        for kind, part in self.edges.items():
            columns, values = edge_columns(len(part), part.time, self.edge_features.get(kind, ()))
            edges.append(EdgeType(*kind, columns, None if part.time is None else "time"))
            edge_frames[kind] = pl.DataFrame({"src": part.src.numpy(), "dst": part.dst.numpy(), **values})
        return PropertyGraph(GraphSchema(tuple(nodes), tuple(edges)), node_frames, edge_frames)

    def with_edges(self, changed: PropertyGraph) -> SocialGraph:
        """The same nodes and examples with the message edges of another graph, such as one that DGL has rewired.

        Args:
            changed: the changed result of `property_graph`. Nodes are matched by type and id. An edge whose `position`
                is that of an edge between the same nodes keeps its features and its example; any other is new and has
                no features.

        Raises:
            InputError: a node that this graph does not have, or a new edge of a supervised type, which would belong to
                no example.
        """
        none = torch.empty(0, dtype=torch.int64)
        local = {name: rows_of(name, frame["id"], self.ids.get(name)) for name, frame in changed.nodes.items()}
        edges, edge_features = {}, {}
        for kind, frame in changed.edges.items():
            before = self.edges.get(kind, Edges(none, none))
            src = local[kind[0]][torch.tensor(frame["src"].to_numpy())]
            dst = local[kind[2]][torch.tensor(frame["dst"].to_numpy())]
            position = kept_positions(frame, (src, dst), (before.src, before.dst))
            example = before.example
            if example is not None and (position < 0).any():
                raise InputError(f"A new edge '{' '.join(kind)}' belongs to no example; the task is about these edges.")
            example = None if example is None else example[position]
            edges[kind] = replace(before, src=src, dst=dst, example=example, time=edge_times(frame))
            if kind in self.edge_features:
                edge_features[kind] = tuple(
                    replace(feature, index=torch.cat([feature.index, torch.tensor([-1])])[position])
                    for feature in self.edge_features[kind]
                )
        return replace(self, edges=edges, edge_features=edge_features)


def is_known(labels: Tensor) -> Tensor:
    """(P,) bool, which labels are known: codes of at least 0, numbers that are not NaN."""
    if labels.is_floating_point():
        return ~torch.isnan(labels)
    return labels >= 0 if labels.ndim == 1 else (labels >= 0).all(1)


def _repeated(labels: Tensor, code: int, count: int) -> Tensor:
    """(M,) the class `code`, or M unknown labels where they are numbers or sets."""
    if labels.ndim > 1:
        return torch.full((count, *labels.shape[1:]), -1)
    return torch.full((count,), _UNKNOWN if labels.is_floating_point() else code)
