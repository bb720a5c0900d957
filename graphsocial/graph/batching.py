"""What a batch is, and which examples come into one: at random, in order of time, in whole groups, or node by node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphsocial.graph import NodeRows, SocialGraph
from graphsocial.graph.layers import Layer as Layer  # a batch is made of them
from graphsocial.graph.message_flow import message_flow_graphs
from graphsocial.graph.visibility import View

if TYPE_CHECKING:
    from dgl import DGLGraph


@dataclass(frozen=True)
class Batch:
    """Examples to predict, and the part of the graph that may be used for it.

    Attributes:
        examples: (B,) positions of the examples.
        ends: (B,) each, rows of the examples' ends in the output of the last layer.
        view: what may be seen of each example.
        layers: one per message-passing layer, the first to be computed first.
        rows: node type → what is known of the nodes whose inputs are needed; None for all nodes.
    """

    examples: Tensor
    ends: tuple[Tensor, ...]
    view: View
    layers: tuple[Layer, ...]
    rows: Mapping[str, NodeRows] | None = None

    def to_dgl(self, graph: SocialGraph) -> list[DGLGraph]:
        """The batch as DGL graphs, one per message-passing layer; see `message_flow.message_flow_graphs`.

        Raises:
            PackageError: DGL is not installed.
            InputError: the graph has no edge types.
        """
        return message_flow_graphs(graph, self.view, self.layers, self.rows)


@dataclass(frozen=True)
class NodeGroups:
    """Nodes that are asked about with all their examples at once, so that the batch shows no answer of theirs.

    Whoever is trained so learns to answer for nodes of which no answer is known (as by the node dropout of Van den
    Berg, Kipf & Welling 2017, https://arxiv.org/abs/1706.02263, section 3.2).

    Attributes:
        of: (P,) int64, the node of each example.
        share: of the nodes, drawn anew for each pass; the examples of the others are dealt out one by one.
    """

    of: Tensor
    share: float = 1.0


def one_by_one(examples: Tensor, size: int, generator: torch.Generator | None) -> list[Tensor]:
    """Batches of `size`; shuffled when a generator is given."""
    if generator is not None:
        examples = examples[torch.randperm(len(examples), generator=generator)]
    return list(torch.split(examples, size))


def in_order(examples: Tensor, time: Tensor, size: int, generator: torch.Generator | None) -> list[Tensor]:
    """Batches of `size` that are contiguous in time; these are shuffled."""
    return _shuffled(list(torch.split(examples[torch.argsort(time, stable=True)], size)), generator)


def by_group(examples: Tensor, group: Tensor, size: int, generator: torch.Generator | None) -> list[Tensor]:
    """Whole groups, those of about one size in one batch, so that little is padded; a larger group is a batch alone."""
    names, group, lengths = torch.unique(group, return_inverse=True, return_counts=True)
    order = torch.argsort(lengths * len(names) + _ranks(len(names), generator))  # by length, at random among equals
    batch = torch.empty_like(order)
    number, filled = 0, 0
    for name, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        if filled and filled + length > size:
            number, filled = number + 1, 0
        batch[name] = number
        filled += length
    of = torch.argsort(batch[group], stable=True)
    return _shuffled(list(torch.split(examples[of], torch.bincount(batch[group]).tolist())), generator)


def by_node(examples: Tensor, node: Tensor, share: float, size: int, generator: torch.Generator | None) -> list[Tensor]:
    """Units in random order, cut where the next `size` examples are full: a node with all its examples, or an example.

    So there are at most as many batches as if all examples were dealt out one by one.
    """
    names, node = torch.unique(node, return_inverse=True)
    drawn = _ranks(len(names), generator) < round(share * len(names))
    unit = torch.where(drawn[node], node, len(names) + torch.arange(len(examples)))
    _, unit, lengths = torch.unique(unit, return_inverse=True, return_counts=True)
    order = torch.argsort(_ranks(len(lengths), generator))
    batch = torch.empty_like(order)
    batch[order] = (torch.cumsum(lengths[order], 0) - lengths[order]) // size
    counts = torch.bincount(batch[unit])
    return list(torch.split(examples[torch.argsort(batch[unit], stable=True)], counts[counts > 0].tolist()))


def _ranks(count: int, generator: torch.Generator | None) -> Tensor:
    return torch.randperm(count, generator=generator) if generator else torch.arange(count)


def _shuffled(parts: list[Tensor], generator: torch.Generator | None) -> list[Tensor]:
    order = torch.randperm(len(parts), generator=generator).tolist() if generator else range(len(parts))
    return [parts[place] for place in order]
