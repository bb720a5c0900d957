"""Batches that never show a model the edge it is asked about, nor anything from after its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph import Canonical, SocialGraph
from graphsocial.nn.relation import Relation

State = Literal["hidden", "structure", "full"]
STATES = ("hidden", "structure", "full")


@dataclass(frozen=True)
class Visibility:
    """What a model sees of supervised edges, beside the training edges that are not being asked about.

    `hidden`: the edge is not in the message graph. `structure`: it is, without its features (comments, from which
    labels are often derived). `full`: with its features. The label of an edge that is not a training edge, or that is
    being asked about, is never shown in any state. States hold for the pair: for every edge between the two ends, in
    both directions, duplicates included.

    Attributes:
        asked: the pairs whose label is being predicted.
        validation, test: the pairs of those roles while others are predicted.
    """

    asked: State = "hidden"
    validation: State = "hidden"
    test: State = "hidden"

    def __post_init__(self) -> None:
        for value in (self.asked, self.validation, self.test):
            if value not in STATES:
                raise InputError(f"'{value}' is no state of an edge; use one of {', '.join(STATES)}.")


@dataclass(frozen=True)
class PairView:
    """Per labelled pair, what a batch may use: the edge, its features, its label; (P,) bool each."""

    edge: Tensor
    features: Tensor
    label: Tensor

    @classmethod
    def of(cls, roles: Tensor, codes: Tensor, visibility: Visibility, asked: Tensor | None = None) -> PairView:
        """The view of a batch.

        Args:
            roles: (P,) 0 train, 1 validation, 2 test, -1 not supervised.
            codes: (P,) classes, -1 for none.
            asked: positions of the pairs being predicted.
        """
        edge = torch.ones_like(roles, dtype=torch.bool)
        features = edge.clone()
        label = (roles == 0) & (codes >= 0)
        for which, state in ((roles == 1, visibility.validation), (roles == 2, visibility.test)):
            edge[which] = state != "hidden"
            features[which] = state == "full"
        if asked is not None:
            edge[asked] = visibility.asked != "hidden"
            features[asked] = visibility.asked == "full"
            label[asked] = False
        return cls(edge, features, label)

    def before(self, time: int, pair_time: Tensor) -> PairView:
        """Without the labels that were not known before `time` (microseconds)."""
        return replace(self, label=self.label & (pair_time < time))


@dataclass(frozen=True)
class Layer:
    """The messages of one layer: relations, which of their edges are there, and where these stand in the graph.

    Attributes:
        relations: canonical edge type → sorted structure.
        mask: canonical edge type → (E,) bool, or None where all edges are there.
        edge_ids: canonical edge type → (E,) positions in `SocialGraph.edges`; None when the relation is whole.
        num_dst: node type → how many of the first source rows are destinations too; None when all are.
    """

    relations: Mapping[Canonical, Relation]
    mask: Mapping[Canonical, Tensor | None]
    edge_ids: Mapping[Canonical, Tensor] | None = None
    num_dst: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Batch:
    """Pairs to predict, and the part of the graph that may be used for it.

    Attributes:
        pairs: (B,) positions of the pairs.
        src, dst: (B,) rows of the pairs' ends in the output of the last layer.
        view: what may be seen of each pair.
        layers: one per message-passing layer, the first to be computed first.
        nodes: node type → the nodes whose inputs are needed, in order; None for all.
    """

    pairs: Tensor
    src: Tensor
    dst: Tensor
    view: PairView
    layers: tuple[Layer, ...]
    nodes: Mapping[str, Tensor] | None = None


def edge_mask(graph: SocialGraph, view: PairView, before: int | None = None) -> dict[Canonical, Tensor | None]:
    """Which message edges are there: by pair, so both directions and duplicates; and, if asked, only earlier ones."""
    masks: dict[Canonical, Tensor | None] = {}
    for kind, edges in graph.edges.items():
        mask = view.edge[edges.pair] if edges.pair is not None else None
        if before is not None and edges.time is not None:
            earlier = edges.time < before
            mask = earlier if mask is None else mask & earlier
        masks[kind] = mask
    return masks


def label_history(graph: SocialGraph, view: PairView, prior: Tensor, strength: float = 2.0) -> dict[str, Tensor]:
    """What labels a node's visible edges carry: log share of each class against the prior, and the log count.

    A share is smoothed towards the prior by `strength` imaginary edges, so that a node without labels is neutral.

    Args:
        prior: (K,) class shares of the training pairs.

    Returns:
        Node type of either end → (N, K + 1) float32.
    """
    seen = torch.nonzero(view.label).squeeze(1)
    found: dict[str, Tensor] = {}
    for name, ends in ((graph.entity[0], graph.pair_src), (graph.entity[2], graph.pair_dst)):
        size, classes = graph.num_nodes[name], len(graph.classes)
        counts = torch.bincount(ends[seen] * classes + graph.codes[seen], minlength=size * classes).view(size, classes)
        total = counts.sum(1, keepdim=True).float()
        share = (counts + strength * prior) / (total + strength)
        history = torch.cat([torch.log(share / prior), torch.log1p(total)], dim=1)
        found[name] = found[name] + history if name in found else history  # both ends of one type: user → user
    return found


@dataclass(frozen=True)
class FullGraph:
    """Batches that pass messages over the whole graph; for all that fits into memory.

    Attributes:
        graph: the graph.
        roles: (P,) the split's roles.
        visibility: what may be seen of supervised edges.
        depth: the number of message-passing layers.
        temporal: a batch sees only edges from before its earliest pair; batches are then contiguous in time.
    """

    graph: SocialGraph
    roles: Tensor
    visibility: Visibility
    depth: int
    temporal: bool = False

    @cached_property
    def relations(self) -> dict[Canonical, Relation]:
        """The whole graph's relations, sorted once."""
        sizes = self.graph.num_nodes
        return {
            kind: Relation.from_edges(edges.src, edges.dst, sizes[kind[0]], sizes[kind[2]])
            for kind, edges in self.graph.edges.items()
        }

    def batches(self, pairs: Tensor, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """The pairs in batches of at most `size`; shuffled when a generator is given."""
        for asked in _deal(self.graph, pairs, size, generator, self.temporal):
            view, before = _view(self, asked)
            layer = Layer(self.relations, edge_mask(self.graph, view, before))
            yield Batch(asked, self.graph.pair_src[asked], self.graph.pair_dst[asked], view, (layer,) * self.depth)


@dataclass(frozen=True)
class Neighbours:
    """Batches with sampled neighbourhoods (GraphSAGE, Hamilton et al. 2017); for graphs that do not fit.

    Attributes:
        fanouts: neighbours per relation and node, the layer nearest to the pairs last; -1 for all.
        graph, roles, visibility, temporal: as in `FullGraph`.
    """

    graph: SocialGraph
    roles: Tensor
    visibility: Visibility
    fanouts: tuple[int, ...]
    temporal: bool = False

    def batches(self, pairs: Tensor, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """The pairs in batches of at most `size`; shuffled when a generator is given."""
        import dgl

        full = self.graph.heterograph
        source, target = self.graph.entity[0], self.graph.entity[2]
        for asked in _deal(self.graph, pairs, size, generator, self.temporal):
            view, before = _view(self, asked)
            for kind, mask in edge_mask(self.graph, view, before).items():
                full.edges[kind].data["there"] = (
                    torch.ones(len(self.graph.edges[kind])) if mask is None else mask.float()
                )
            dgl.seed(int(torch.randint(2**31, (1,), generator=generator)))
            ends: dict[str, list[Tensor]] = {}
            ends.setdefault(source, []).append(self.graph.pair_src[asked])
            ends.setdefault(target, []).append(self.graph.pair_dst[asked])
            seeds = {name: torch.unique(torch.cat(parts)) for name, parts in ends.items()}
            needed, layers = seeds, []
            for fanout in reversed(self.fanouts):
                frontier = dgl.sampling.sample_neighbors(full, needed, fanout, prob="there")
                block = dgl.to_block(frontier, needed)
                edge_ids = {
                    kind: frontier.edges[kind].data[dgl.EID][block.edges[kind].data[dgl.EID]]
                    for kind in self.graph.edges
                }
                relations = {}
                for kind in self.graph.edges:
                    src, dst = block.edges(etype=kind)
                    relations[kind] = Relation.from_edges(
                        src, dst, block.num_src_nodes(kind[0]), block.num_dst_nodes(kind[2])
                    )
                num_dst = {name: block.num_dst_nodes(name) for name in self.graph.num_nodes}
                layers.append(Layer(relations, dict.fromkeys(relations), edge_ids, num_dst))
                needed = {name: block.srcnodes[name].data[dgl.NID] for name in self.graph.num_nodes}
            yield Batch(
                asked,
                torch.searchsorted(seeds[source], self.graph.pair_src[asked]),
                torch.searchsorted(seeds[target], self.graph.pair_dst[asked]),
                view,
                tuple(reversed(layers)),
                needed,
            )


Loader = FullGraph | Neighbours


def _view(loader: Loader, asked: Tensor) -> tuple[PairView, int | None]:
    graph = loader.graph
    view = PairView.of(loader.roles, graph.codes, loader.visibility, asked)
    if not loader.temporal:
        return view, None
    if graph.pair_time is None:
        raise InputError("The edges have no times, so messages cannot be kept to earlier ones.")
    before = int(graph.pair_time[asked].min())
    return view.before(before, graph.pair_time), before


def _deal(
    graph: SocialGraph, pairs: Tensor, size: int, generator: torch.Generator | None, temporal: bool
) -> list[Tensor]:
    if temporal and graph.pair_time is not None:
        parts = list(torch.split(pairs[torch.argsort(graph.pair_time[pairs], stable=True)], size))
        order = torch.randperm(len(parts), generator=generator).tolist() if generator else range(len(parts))
        return [parts[place] for place in order]
    if generator is not None:
        pairs = pairs[torch.randperm(len(pairs), generator=generator)]
    return list(torch.split(pairs, size))
