"""Batches of examples with the messages passed for them: over the whole graph, or over sampled neighbours."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from graphsocial import dealing
from graphsocial.dealing import Cold
from graphsocial.graph import Canonical, SocialGraph
from graphsocial.nn.relation import Relation
from graphsocial.sampling import Batch, Layer, View, Visibility, edge_mask
from graphsocial.splits import apart

WORTH = 0.5  # a layer is cut down to what a batch needs where that is less than this share of the graph's edges
AHEAD = 2  # batches that wait, ready, while one is computed


@dataclass(frozen=True)
class FullGraph:
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
    def exact(self) -> FullGraph:
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
        cold: Cold | None = None,
    ) -> Iterator[Batch]:
        """The examples in batches of at most `size`; shuffled when a generator is given.

        Args:
            together: (P,) int64, examples of one number are dealt out in one batch, where time does not decide.
            cold: nodes whose examples are dealt out in one batch, which may be larger by less than one node's examples;
                where neither time nor `together` decides.
        """
        for asked in self.deal(examples, size, generator, together, cold):
            yield self.batch(asked, self.view(asked))

    def deal(
        self,
        examples: Tensor,
        size: int,
        generator: torch.Generator | None = None,
        together: Tensor | None = None,
        cold: Cold | None = None,
    ) -> list[Tensor]:
        """Which examples come into a batch together; see `batches`."""
        time = self.graph.example_time
        if self.in_turn and time is not None:
            return dealing.in_order(examples, time[examples], size, generator)
        if together is not None:
            return dealing.by_group(examples, together[examples], size, generator)
        if cold is not None:
            return dealing.by_node(examples, cold.of[examples], cold.share, size, generator)
        return dealing.one_by_one(examples, size, generator)

    def batch(self, asked: Tensor, view: View, *, cut: bool = True) -> Batch:
        """One batch that sees this much.

        Args:
            cut: cut the last layers down to what the batch needs; otherwise all layers are the whole graph, and rows
                are the graph's local node numbers.
        """
        ends = Ends.of(self.graph, asked)
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
    def blocks(self) -> Blocks:
        """What cuts layers out of this graph."""
        return Blocks(self.graph, self.relations)

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
class Neighbours:
    """Batches with sampled neighbourhoods (GraphSAGE, Hamilton et al. 2017); for graphs that do not fit.

    The next batches are sampled, and their features gathered, by a thread of its own while one is computed.

    Attributes:
        exact: the whole graph, for answers that leave nothing out.
        fanouts: neighbours per relation and node, the layer nearest to the pairs first; -1 for all.
    """

    exact: FullGraph
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
        cold: Cold | None = None,
    ) -> Iterator[Batch]:
        """The examples in batches of about `size`; see `FullGraph.batches`."""
        dealt = self.exact.deal(examples, size, generator, together, cold)
        return _ahead(self._batches(dealt, generator))

    def _batches(self, dealt: list[Tensor], generator: torch.Generator | None) -> Iterator[Batch]:
        for asked in dealt:
            view = self.exact.view(asked)
            ends = Ends.of(self.graph, asked)
            needed, layers = ends.nodes, list[Layer]()
            for fanout in self.fanouts:
                seed = int(torch.randint(2**62, (1,), generator=generator))
                layer, needed = self.exact.blocks.layer(needed, fanout, view, seed)
                layers.append(layer)
            yield ends.batch(self.graph, asked, view, layers, needed)


Loader = FullGraph | Neighbours


@dataclass(frozen=True)
class Ends:
    """The nodes that a batch asks about, each once, and where each example's ends are among them."""

    nodes: Mapping[str, Tensor]
    places: tuple[Tensor, ...]

    @classmethod
    def of(cls, graph: SocialGraph, asked: Tensor) -> Ends:
        """The ends of these examples; of node types at no end, none."""
        ends = [end[asked] for end in graph.ends]
        nodes = {
            name: torch.unique(
                torch.cat(
                    [torch.empty(0, dtype=torch.int64)]
                    + [end for kind, end in zip(graph.end_types, ends, strict=True) if kind == name]
                )
            )
            for name in graph.num_nodes
        }
        places = (torch.searchsorted(nodes[name], end) for name, end in zip(graph.end_types, ends, strict=True))
        return cls(nodes, tuple(places))

    def batch(
        self, graph: SocialGraph, asked: Tensor, view: View, layers: list[Layer], needed: Mapping[str, Tensor]
    ) -> Batch:
        """The batch of layers that were cut out from the last one to the first, which needs these nodes."""
        rows = {name: graph.rows(name, nodes) for name, nodes in needed.items()}
        return Batch(asked, self.places, view, tuple(reversed(layers)), rows)


class Blocks:
    """Cuts out of a graph what one layer needs: some nodes, and all or some of their neighbours.

    Args:
        graph: the graph.
        relations: its relations, sorted.
    """

    def __init__(self, graph: SocialGraph, relations: Mapping[Canonical, Relation]) -> None:
        self.graph, self.relations = graph, relations
        self.example = {kind: _sorted(relations[kind], edges.example) for kind, edges in graph.edges.items()}
        self.time = {kind: _sorted(relations[kind], edges.time) for kind, edges in graph.edges.items()}

    def layer(
        self, needed: Mapping[str, Tensor], fanout: int, view: View, seed: int = 0
    ) -> tuple[Layer, dict[str, Tensor]]:
        """One layer that computes these nodes.

        Args:
            needed: node type → the nodes, each once.
            fanout: neighbours per relation and node; -1 for all.
            view: which edges are there.
            seed: of the sample.

        Returns:
            The layer, and node type → the nodes that it reads, the needed ones first.
        """
        from graphsocial.nn.kernels import neighbours

        counts = {name: len(nodes) for name, nodes in needed.items()}
        nodes, local = {}, {}
        for name, size in self.graph.num_nodes.items():
            nodes[name], local[name] = np.empty(size, dtype=np.int64), np.full(size, -1, dtype=np.int32)
            nodes[name][: counts[name]] = needed[name].numpy()
            local[name][needed[name].numpy()] = np.arange(counts[name])
        num_dst, found, edge_ids = dict(counts), {}, {}
        for place, (kind, relation) in enumerate(self.relations.items()):
            indptr, edges = neighbours.pick(
                relation,
                needed[kind[2]],
                fanout,
                seed + place,
                example=self.example[kind],
                visible=None if self.example[kind] is None else view.edge,
                time=self.time[kind],
                before=None if view.before is None else view.before[kind[2]],
            )
            src, counts[kind[0]] = neighbours.relabel(relation, edges, local[kind[0]], nodes[kind[0]], counts[kind[0]])
            found[kind] = indptr, src
            edge_ids[kind] = edges if relation.order is None else relation.order[edges].long()
        relations = {
            kind: Relation(
                counts[kind[0]],
                num_dst[kind[2]],
                indptr,
                src,
                kernel=self.relations[kind].kernel,
                back=neighbours.transpose(indptr, src, counts[kind[0]]),
            )
            for kind, (indptr, src) in found.items()
        }
        read = {name: torch.from_numpy(nodes[name][: counts[name]]) for name in nodes}
        return Layer(relations, dict.fromkeys(relations), edge_ids, num_dst), read


def _sorted(relation: Relation, values: Tensor | None) -> Tensor | None:
    return None if values is None else relation.sort(values)


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
