"""Batches of examples with their message-passing layers: over the whole graph, or over sampled neighbors."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from graphsocial.evaluation.splits import disjoint_endpoint
from graphsocial.graph import Canonical, SocialGraph, batching
from graphsocial.graph.adjacency import Relation
from graphsocial.graph.batching import Batch, Layer, NodeGroups
from graphsocial.graph.neighbor_sampling import NeighborSampler, SeedNodes
from graphsocial.graph.visibility import View, Visibility, edge_mask

CUT_BELOW = 0.5  # a layer is cut down to what a batch needs where that is less than this share of the graph's edges
PREFETCH = 2  # batches that are ready while one is computed


class _Loader(ABC):
    """Splits examples into batches, each with the edges, features and labels that may be used for it."""

    @property
    @abstractmethod
    def exact(self) -> FullGraphLoader:
        """The loader whose batches leave no neighbor out."""

    @abstractmethod
    def load(self, parts: Sequence[Tensor], generator: torch.Generator | None = None) -> Iterator[Batch]:
        """A batch for each part of the examples.

        Args:
            parts: positions of the examples of each batch.
            generator: of sampled neighbors.
        """

    def batches(
        self,
        examples: Tensor,
        size: int,
        generator: torch.Generator | None = None,
        together: Tensor | None = None,
        groups: NodeGroups | None = None,
    ) -> Iterator[Batch]:
        """The examples in batches; in random order when a generator is given.

        Args:
            examples: (n,) int64 positions of examples.
            size: examples per batch.
            generator: of the order, and of sampled neighbors.
            together: (P,) int64 group of each example; a group's examples are in one batch, unless batches have to be
                contiguous in time.
            groups: nodes whose examples are in one batch, which may be larger by less than one node's examples;
                used where neither time nor `together` decides.
        """
        parts = self.exact.split(examples, size, generator, groups if together is None else together)
        return self.load(parts, generator)


@dataclass(frozen=True)
class FullGraphLoader(_Loader):
    """Batches that pass messages over the whole graph, for graphs that fit into memory.

    The last layers, of which a batch needs a few nodes only, are cut down to these; no message that matters is left
    out.

    Attributes:
        graph: the graph.
        roles: (P,) the split role of each example: 0 train, 1 validation, 2 test, -1 none.
        visibility: what may be used of supervised edges.
        depth: number of message-passing layers.
        temporal: a batch uses only what came before its earliest example; into a node that is itself an example, edges
            up to that node's own time.
        kernel: the message-passing kernel; see `nn.kernels`.
    """

    graph: SocialGraph
    roles: Tensor
    visibility: Visibility
    depth: int
    temporal: bool = False
    kernel: str = "auto"

    @property
    def exact(self) -> FullGraphLoader:
        """Itself: nothing is left out."""
        return self

    @cached_property
    def relations(self) -> dict[Canonical, Relation]:
        """The adjacency of each edge type, sorted once; a reverse type's comes from the type that it reverses."""
        sizes, relations = self.graph.num_nodes, dict[Canonical, Relation]()
        for kind, edges in self.graph.edges.items():
            other = self.graph.edges.get(edges.reverse_of) if edges.reverse_of in relations else None
            if edges.reverse_of and other and edges.src is other.dst and edges.dst is other.src:
                relations[kind] = relations[edges.reverse_of].reversed()
            else:
                relations[kind] = Relation.from_edges(
                    edges.src, edges.dst, sizes[kind[0]], sizes[kind[2]], kernel=self.kernel
                )
        return relations

    @cached_property
    def kept_apart(self) -> int | None:
        """Which endpoint of the pairs the split keeps apart; see `splits.disjoint_endpoint`."""
        return disjoint_endpoint(self.roles.numpy(), tuple(end.numpy() for end in self.graph.ends))

    def split(
        self,
        examples: Tensor,
        size: int,
        generator: torch.Generator | None = None,
        groups: Tensor | NodeGroups | None = None,
    ) -> list[Tensor]:
        """The examples of each batch; see `batches`.

        Args:
            examples: (n,) int64 positions of examples.
            size: examples per batch.
            generator: of the order; None for a fixed one.
            groups: (P,) int64 group of each example, or nodes whose examples are in one batch; not used where batches
                have to be contiguous in time.
        """
        time = self.graph.example_time
        if self.by_time and time is not None:
            return batching.by_time(examples, time[examples], size, generator)
        if isinstance(groups, NodeGroups):
            return batching.by_node(examples, groups.of[examples], groups.share, size, generator)
        if groups is not None:
            return batching.by_group(examples, groups[examples], size, generator)
        return batching.shuffled(examples, size, generator)

    def load(self, parts: Sequence[Tensor], generator: torch.Generator | None = None) -> Iterator[Batch]:
        """A batch for each part of the examples."""
        return (self.batch(examples, self.view(examples)) for examples in parts)

    def batch(self, examples: Tensor, view: View, *, cut: bool = True) -> Batch:
        """The batch of these examples with this view.

        Args:
            examples: (B,) int64 positions of examples.
            view: what may be used.
            cut: cut the last layers down to the nodes that the batch needs; otherwise every layer is the whole graph,
                and rows are local node numbers.
        """
        seeds = SeedNodes.of(self.graph, examples)
        layers, sources = self._cut_layers(seeds.nodes, view) if cut else ([], seeds.nodes)
        if cut and len(layers) == self.depth:
            return seeds.batch(self.graph, examples, view, layers, sources)
        whole = Layer(self.relations, edge_mask(self.graph, view))
        if layers:
            layers[-1] = replace(layers[-1], take=sources)
        rows = seeds.positions if layers else tuple(end[examples] for end in self.graph.ends)
        return Batch(examples, rows, view, (whole,) * (self.depth - len(layers)) + tuple(reversed(layers)))

    def _cut_layers(self, nodes: Mapping[str, Tensor], view: View) -> tuple[list[Layer], Mapping[str, Tensor]]:
        """From the last layer on, those that need few of the graph's edges; and the nodes that the first of them reads.

        Args:
            nodes: node type → the nodes that the last layer computes.
            view: which edges may be used.
        """
        layers: list[Layer] = []
        while len(layers) < self.depth and self._needs_few_edges(nodes):
            layer, nodes = self.blocks.layer(nodes, -1, view)
            layers.append(layer)
        return layers, nodes

    @property
    def by_time(self) -> bool:
        """Whether batches are contiguous in time, since nodes are seen as of the batch's earliest example.

        A single layer only uses edges into the examples' own nodes, each of which has its own time.
        """
        return self.temporal and not (self.depth == 1 and isinstance(self.graph.entity, str))

    @cached_property
    def blocks(self) -> NeighborSampler:
        """The sampler of this graph's layers."""
        return NeighborSampler(self.graph, self.relations)

    def view(self, examples: Tensor) -> View:
        """What a batch of these examples may use."""
        opposite = self.graph.opposite if self.visibility.reciprocal == "hidden" else None
        view = View.of(self.roles, self.graph.labelled, self.visibility, examples, opposite)
        return view.until(self.graph, examples) if self.temporal else view

    def _needs_few_edges(self, nodes: Mapping[str, Tensor]) -> bool:
        """Whether few of the graph's edges lead into these nodes."""
        into = sum(
            int((relation.indptr[nodes[kind[2]] + 1] - relation.indptr[nodes[kind[2]]]).sum())
            for kind, relation in self.relations.items()
        )
        return into < CUT_BELOW * sum(relation.num_edges for relation in self.relations.values())


@dataclass(frozen=True)
class NeighborLoader(_Loader):
    """Batches with sampled neighbors (GraphSAGE, Hamilton et al. 2017), for graphs that do not fit into memory.

    A thread samples the next batches, and gathers their features, while one is computed.

    Attributes:
        whole: the loader of the whole graph.
        fanouts: neighbors per relation and node, the layer nearest to the examples first; -1 for all.
    """

    whole: FullGraphLoader
    fanouts: tuple[int, ...]

    @property
    def exact(self) -> FullGraphLoader:
        """The loader of the whole graph, for predictions that leave no neighbor out."""
        return self.whole

    @property
    def graph(self) -> SocialGraph:
        """The graph."""
        return self.whole.graph

    def load(self, parts: Sequence[Tensor], generator: torch.Generator | None = None) -> Iterator[Batch]:
        """A batch for each part of the examples."""
        return _prefetched(self._sampled(examples, generator) for examples in parts)

    def _sampled(self, examples: Tensor, generator: torch.Generator | None) -> Batch:
        view = self.whole.view(examples)
        seeds = SeedNodes.of(self.graph, examples)
        nodes, layers = seeds.nodes, list[Layer]()
        for fanout in self.fanouts:
            seed = int(torch.randint(2**62, (1,), generator=generator))
            layer, nodes = self.whole.blocks.layer(nodes, fanout, view, seed)
            layers.append(layer)
        return seeds.batch(self.graph, examples, view, layers, nodes)


Loader = FullGraphLoader | NeighborLoader


def _prefetched(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, made by a thread that stays `PREFETCH` batches ahead; its errors are raised here."""
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=PREFETCH)
    stop = threading.Event()

    def put(item: Batch | BaseException | None) -> bool:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return True
        return False

    def make() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:  # whatever it is, it is raised again where batches are awaited
            put(error)

    thread = threading.Thread(target=make, name="graphsocial-sampling", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
