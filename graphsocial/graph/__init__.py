"""The graph as a value: tensors, with maps back to the source's ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

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
from graphsocial.store.exchange import PropertyGraph
from graphsocial.tasks.base import Context
from graphsocial.types import EdgeType, GraphSchema, NodeType, Target

if TYPE_CHECKING:
    from dgl import DGLGraph

Canonical = tuple[str, str, str]
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
        label_time: (P,) when each answer had become known; None where that is `example_time`.
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
    label_time: Tensor | None
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
            for time in (self.example_time, self.label_time)
        ]
        return replace(
            self,
            ends=(torch.cat([self.ends[0], src]), torch.cat([self.ends[1], dst])),
            answers={
                name: torch.cat([told, torch.full((len(src),), _UNKNOWN if told.is_floating_point() else code)])
                for name, told in self.answers.items()
            },
            example_time=times[0],
            label_time=times[1],
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
            changed: what `property_graph` became. Nodes are found by type and id. An edge whose `position` is that of
                an edge between the same nodes keeps its features and its example; any other is new and has no features.

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


def is_known(answers: Tensor) -> Tensor:
    """(P,) bool: which codes or numbers are answers."""
    return ~torch.isnan(answers) if answers.is_floating_point() else answers >= 0
