"""Neighbor sampling: a batch's endpoints, and layer by layer all or some of their neighbors."""

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
    """The endpoints of a batch's examples.

    Attributes:
        nodes: node type → (n,) int64 local node numbers of its endpoints, ascending, each once; empty for a type that
            is no endpoint.
        positions: one tensor (B,) per endpoint: its position in `nodes` of its type.
    """

    nodes: Mapping[str, Tensor]
    positions: tuple[Tensor, ...]

    @classmethod
    def of(cls, graph: SocialGraph, examples: Tensor) -> SeedNodes:
        """The endpoints of these examples (B,)."""
        ends = [end[examples] for end in graph.ends]
        nodes = {
            name: torch.unique(
                torch.cat(
                    [torch.empty(0, dtype=torch.int64)]
                    + [end for kind, end in zip(graph.end_types, ends, strict=True) if kind == name]
                )
            )
            for name in graph.num_nodes
        }
        positions = (torch.searchsorted(nodes[name], end) for name, end in zip(graph.end_types, ends, strict=True))
        return cls(nodes, tuple(positions))

    def batch(
        self, graph: SocialGraph, examples: Tensor, view: View, layers: list[Layer], sources: Mapping[str, Tensor]
    ) -> Batch:
        """The batch with these layers.

        Args:
            graph: the graph.
            examples: (B,) whose endpoints these are.
            view: what may be used.
            layers: from the last layer to the first, as they were sampled.
            sources: node type → the nodes that the first layer reads, or these nodes where there are no layers.
        """
        graph = graph.as_of(view.before)
        rows = {name: graph.rows(name, nodes) for name, nodes in sources.items()}
        return Batch(examples, self.positions, view, tuple(reversed(layers)), rows)


class NeighborSampler:
    """Samples the edges into some nodes for one layer at a time.

    Args:
        graph: the graph.
        relations: canonical edge type → its adjacency.
    """

    def __init__(self, graph: SocialGraph, relations: Mapping[Canonical, Relation]) -> None:
        self.graph, self.relations = graph, relations
        self.example = {kind: _sorted(relations[kind], edges.example) for kind, edges in graph.edges.items()}
        self.time = {kind: _sorted(relations[kind], edges.time) for kind, edges in graph.edges.items()}

    def layer(
        self, needed: Mapping[str, Tensor], fanout: int, view: View, seed: int = 0
    ) -> tuple[Layer, dict[str, Tensor]]:
        """Sample a layer whose destinations are these nodes.

        Args:
            needed: node type → (n,) int64 destinations, each once.
            fanout: maximum number of edges per relation and destination, drawn without replacement; -1 for all.
            view: which edges may be used.
            seed: random seed of the sample.

        Returns:
            The layer, and node type → its source nodes, the destinations first.
        """
        from graphsocial.graph import _neighbor_kernels as kernels

        counts = {name: len(nodes) for name, nodes in needed.items()}
        nodes, local = {}, {}
        for name, size in self.graph.num_nodes.items():
            nodes[name], local[name] = np.empty(size, dtype=np.int64), np.full(size, -1, dtype=np.int32)
            nodes[name][: counts[name]] = needed[name].numpy()
            local[name][needed[name].numpy()] = np.arange(counts[name])
        num_dst, sampled, edge_ids = dict(counts), {}, {}
        for number, (kind, relation) in enumerate(self.relations.items()):
            indptr, edges = kernels.pick(
                relation,
                needed[kind[2]],
                fanout,
                seed + number,
                example=self.example[kind],
                visible=None if self.example[kind] is None else view.edge,
                time=self.time[kind],
                before=None if view.before is None else view.before[kind[2]],
            )
            src, counts[kind[0]] = kernels.relabel(relation, edges, local[kind[0]], nodes[kind[0]], counts[kind[0]])
            sampled[kind] = indptr, src
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
            for kind, (indptr, src) in sampled.items()
        }
        sources = {name: torch.from_numpy(nodes[name][: counts[name]]) for name in nodes}
        return Layer(relations, dict.fromkeys(relations), edge_ids, num_dst), sources


def _sorted(relation: Relation, values: Tensor | None) -> Tensor | None:
    return None if values is None else relation.sort(values)
