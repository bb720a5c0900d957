"""Batches of examples with the messages passed for them: over the whole graph, or over sampled neighbours."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from graphsocial.evaluation.splits import apart
from graphsocial.graph import Canonical, SocialGraph, batching
from graphsocial.graph.adjacency import Relation
from graphsocial.graph.batching import Batch, Layer, NodeGroups
from graphsocial.graph.neighbor_sampling import NeighborSampler, SeedNodes
from graphsocial.graph.visibility import View, Visibility, edge_mask

WORTH = 0.5  # a layer is cut down to what a batch needs where that is less than this share of the graph's edges
AHEAD = 2  # batches that wait, ready, while one is computed


@dataclass(frozen=True)
class FullGraphLoader:
    """Batches that pass messages over the whole graph; for all that fits into memory.

    The last layers, of which a batch needs a few nodes only, are cut down to these; that changes no message.

    Attributes:
        graph: the graph.
        roles: (P,) the split's roles.
        visibility: what may be seen of supervised edges.
        depth: the number of message-passing layers.
        temporal: a batch sees only what came before its earliest example, and of the nodes that it asks about only
            edges that came before each.
        kernel: what works on the edges; see `nn.kernels`.
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
        """The whole graph's relations, sorted once; those that turn another around come from it."""
        sizes, found = self.graph.num_nodes, dict[Canonical, Relation]()
        for kind, edges in self.graph.edges.items():
            other = self.graph.edges.get(edges.reverse_of) if edges.reverse_of in found else None
            if edges.reverse_of and other and edges.src is other.dst and edges.dst is other.src:
                found[kind] = found[edges.reverse_of].reversed()
            else:
                found[kind] = Relation.from_edges(
                    edges.src, edges.dst, sizes[kind[0]], sizes[kind[2]], kernel=self.kernel
                )
        return found

    @cached_property
    def kept_apart(self) -> int | None:
        """Which end of the pairs the split keeps apart; see `splits.apart`."""
        return apart(self.roles.numpy(), tuple(end.numpy() for end in self.graph.ends))

    def batches(
        self,
        examples: Tensor,
        size: int,
        generator: torch.Generator | None = None,
        together: Tensor | None = None,
        groups: NodeGroups | None = None,
    ) -> Iterator[Batch]:
        """The examples in batches of at most `size`; shuffled when a generator is given.

        Args:
            together: (P,) int64, examples of one number are dealt out in one batch, where time does not decide.
            groups: nodes whose examples come in one batch, which may be larger by less than one node's examples;
                where neither time nor `together` decides.
        """
        for asked in self.deal(examples, size, generator, together, groups):
            yield self.batch(asked, self.view(asked))

    def deal(
        self,
        examples: Tensor,
        size: int,
        generator: torch.Generator | None = None,
        together: Tensor | None = None,
        groups: NodeGroups | None = None,
    ) -> list[Tensor]:
        """Which examples come into a batch together; see `batches`."""
        time = self.graph.example_time
        if self.in_turn and time is not None:
            return batching.in_order(examples, time[examples], size, generator)
        if together is not None:
            return batching.by_group(examples, together[examples], size, generator)
        if groups is not None:
            return batching.by_node(examples, groups.of[examples], groups.share, size, generator)
        return batching.one_by_one(examples, size, generator)

    def batch(self, asked: Tensor, view: View, *, cut: bool = True) -> Batch:
        """One batch that sees this much.

        Args:
            cut: cut the last layers down to what the batch needs; otherwise all layers are the whole graph, and rows
                are the graph's local node numbers.
        """
        ends = SeedNodes.of(self.graph, asked)
        needed, layers = ends.nodes, list[Layer]()
        while cut and len(layers) < self.depth and self._few(needed):
            layer, needed = self.blocks.layer(needed, -1, view)
            layers.append(layer)
        if len(layers) == self.depth and cut:
            return ends.batch(self.graph, asked, view, layers, needed)
        whole = Layer(self.relations, edge_mask(self.graph, view))
        if layers:
            layers[-1] = _taking(layers[-1], needed)
        places = ends.places if layers else tuple(end[asked] for end in self.graph.ends)
        return Batch(asked, places, view, (whole,) * (self.depth - len(layers)) + tuple(reversed(layers)))

    @property
    def in_turn(self) -> bool:
        """Batches are contiguous in time, since all but the nodes asked about are seen as of the earliest example.

        One layer only looks at edges into the nodes asked about, each of which has its own time.
        """
        return self.temporal and not (self.depth == 1 and isinstance(self.graph.entity, str))

    @cached_property
    def blocks(self) -> NeighborSampler:
        """What cuts layers out of this graph."""
        return NeighborSampler(self.graph, self.relations)

    def view(self, asked: Tensor) -> View:
        """What a batch with these examples may see."""
        view = View.of(self.roles, self.graph.answered, self.visibility, asked)
        return view.until(self.graph, asked) if self.temporal else view

    def _few(self, needed: Mapping[str, Tensor]) -> bool:
        """Whether these nodes have few of the graph's edges."""
        into = sum(
            int((relation.indptr[needed[kind[2]] + 1] - relation.indptr[needed[kind[2]]]).sum())
            for kind, relation in self.relations.items()
        )
        return into < WORTH * sum(relation.num_edges for relation in self.relations.values())


@dataclass(frozen=True)
class NeighborLoader:
    """Batches with sampled neighbourhoods (GraphSAGE, Hamilton et al. 2017); for graphs that do not fit.

    The next batches are sampled, and their features gathered, by a thread of its own while one is computed.

    Attributes:
        exact: the whole graph, for answers that leave nothing out.
        fanouts: neighbours per relation and node, the layer nearest to the pairs first; -1 for all.
    """

    exact: FullGraphLoader
    fanouts: tuple[int, ...]

    @property
    def graph(self) -> SocialGraph:
        """The graph."""
        return self.exact.graph

    def batches(
        self,
        examples: Tensor,
        size: int,
        generator: torch.Generator | None = None,
        together: Tensor | None = None,
        groups: NodeGroups | None = None,
    ) -> Iterator[Batch]:
        """The examples in batches of about `size`; see `FullGraphLoader.batches`."""
        dealt = self.exact.deal(examples, size, generator, together, groups)
        return _ahead(self._batches(dealt, generator))

    def _batches(self, dealt: list[Tensor], generator: torch.Generator | None) -> Iterator[Batch]:
        for asked in dealt:
            view = self.exact.view(asked)
            ends = SeedNodes.of(self.graph, asked)
            needed, layers = ends.nodes, list[Layer]()
            for fanout in self.fanouts:
                seed = int(torch.randint(2**62, (1,), generator=generator))
                layer, needed = self.exact.blocks.layer(needed, fanout, view, seed)
                layers.append(layer)
            yield ends.batch(self.graph, asked, view, layers, needed)


Loader = FullGraphLoader | NeighborLoader


def _taking(layer: Layer, rows: Mapping[str, Tensor]) -> Layer:
    return Layer(layer.relations, layer.mask, layer.edge_ids, layer.num_dst, rows)


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, made by a thread that stays a few ahead; its errors are raised here."""
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=AHEAD)
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
