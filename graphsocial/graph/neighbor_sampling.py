"""Cuts out of a graph what a batch needs: its endpoints, and layer by layer all or some of their neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphsocial.graph import Canonical, SocialGraph
from graphsocial.graph.adjacency import Relation
from graphsocial.graph.batching import Batch, Layer
from graphsocial.graph.visibility import View


@dataclass(frozen=True)
class SeedNodes:
    """The nodes that a batch asks about, each once, and where each example's ends are among them."""

    nodes: Mapping[str, Tensor]
    places: tuple[Tensor, ...]

    @classmethod
    def of(cls, graph: SocialGraph, asked: Tensor) -> SeedNodes:
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


class NeighborSampler:
    """Cuts out of a graph what one layer needs: some nodes, and all or some of their kernels.

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
        from graphsocial.graph import _neighbor_kernels as kernels

        counts = {name: len(nodes) for name, nodes in needed.items()}
        nodes, local = {}, {}
        for name, size in self.graph.num_nodes.items():
            nodes[name], local[name] = np.empty(size, dtype=np.int64), np.full(size, -1, dtype=np.int32)
            nodes[name][: counts[name]] = needed[name].numpy()
            local[name][needed[name].numpy()] = np.arange(counts[name])
        num_dst, found, edge_ids = dict(counts), {}, {}
        for place, (kind, relation) in enumerate(self.relations.items()):
            indptr, edges = kernels.pick(
                relation,
                needed[kind[2]],
                fanout,
                seed + place,
                example=self.example[kind],
                visible=None if self.example[kind] is None else view.edge,
                time=self.time[kind],
                before=None if view.before is None else view.before[kind[2]],
            )
            src, counts[kind[0]] = kernels.relabel(relation, edges, local[kind[0]], nodes[kind[0]], counts[kind[0]])
            found[kind] = indptr, src
            edge_ids[kind] = edges if relation.order is None else relation.order[edges].long()
        relations = {
            kind: Relation(
                counts[kind[0]],
                num_dst[kind[2]],
                indptr,
                src,
                kernel=self.relations[kind].kernel,
                back=kernels.transpose(indptr, src, counts[kind[0]]),
            )
            for kind, (indptr, src) in found.items()
        }
        read = {name: torch.from_numpy(nodes[name][: counts[name]]) for name in nodes}
        return Layer(relations, dict.fromkeys(relations), edge_ids, num_dst), read


def _sorted(relation: Relation, values: Tensor | None) -> Tensor | None:
    return None if values is None else relation.sort(values)
