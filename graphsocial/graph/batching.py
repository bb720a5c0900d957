"""What a batch is, and how examples are split into batches: at random, by time, by group or by node."""

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
    """B examples to predict, and the part of the graph that may be used for it.

    A network computes the inputs of the nodes in `rows`, applies one message-passing layer per entry of `layers`, and
    reads the representations of the examples' endpoints out of the result:

        x = inputs(graph, batch.rows)  # {node type: (n, D)}
        for layer, convolution in zip(batch.layers, convolutions, strict=True):
            if layer.take is not None:
                x = {name: part[layer.take[name]] for name, part in x.items()}
            x = convolution(x, layer.relations, edge_mask=layer.mask, num_dst=layer.num_dst)
        endpoints = [x[name][rows] for name, rows in zip(graph.end_types, batch.ends, strict=True)]  # (B, H) each

    `to_dgl` gives the same as DGL graphs.

    Attributes:
        examples: (B,) int64, positions of the examples in the graph's P examples.
        ends: one tensor (B,) per endpoint (one for nodes, two for pairs): the endpoint's row in the last layer's output
            of its node type, or among the inputs where there are no layers.
        view: which edges, edge features and labels may be used, and up to which time.
        layers: one per message-passing layer, the first to be computed first.
        rows: node type → the nodes whose inputs are needed, with their features; None for all nodes of the graph, by
            local node number.
    """

    examples: Tensor
    ends: tuple[Tensor, ...]
    view: View
    layers: tuple[Layer, ...]
    rows: Mapping[str, NodeRows] | None = None

    def as_of(self, graph: SocialGraph) -> SocialGraph:
        """The graph as the batch may see it: means of neighbors' vectors are over the edges that it may use."""
        return graph.as_of(self.view.before)

    def to_dgl(self, graph: SocialGraph) -> list[DGLGraph]:
        """The batch as DGL graphs, one per message-passing layer; see `message_flow.message_flow_graphs`.

        Raises:
            PackageError: DGL is not installed.
            InputError: the graph has no edge types.
        """
        return message_flow_graphs(self.as_of(graph), self.view, self.layers, self.rows)


@dataclass(frozen=True)
class NodeGroups:
    """Nodes whose examples are all in one batch, so that the batch shows none of their labels.

    A network that is trained so learns to predict for nodes without any known label, as at a cold start (after the node
    dropout of Van den Berg, Kipf & Welling 2017, https://arxiv.org/abs/1706.02263, section 3.2).

    Attributes:
        of: (P,) int64, the node of each example.
        share: of the nodes that are grouped, drawn anew for each epoch; the other nodes' examples are split at random.
    """

    of: Tensor
    share: float = 1.0


def shuffled(examples: Tensor, size: int, generator: torch.Generator | None) -> list[Tensor]:
    """Batches of `size` examples in random order.

    Args:
        examples: (n,) int64 positions.
        size: examples per batch.
        generator: of the order; None keeps the examples' own.
    """
    if generator is not None:
        examples = examples[torch.randperm(len(examples), generator=generator)]
    return list(torch.split(examples, size))


def by_time(examples: Tensor, time: Tensor, size: int, generator: torch.Generator | None) -> list[Tensor]:
    """Batches of `size` examples that are contiguous in time.

    Args:
        examples: (n,) int64 positions.
        time: (n,) int64, the time of each.
        size: examples per batch.
        generator: of the order of the batches; None for chronological order.
    """
    return _in_random_order(list(torch.split(examples[torch.argsort(time, stable=True)], size)), generator)


def by_group(examples: Tensor, group: Tensor, size: int, generator: torch.Generator | None) -> list[Tensor]:
    """Batches of whole groups of similar size, which keeps padding small; a group larger than `size` is a batch alone.

    Args:
        examples: (n,) int64 positions.
        group: (n,) int64, the group of each, such as its dialogue.
        size: maximum number of examples per batch of several groups.
        generator: of the order of groups of equal size and of the batches; None for the groups' own order.
    """
    groups, group, lengths = torch.unique(group, return_inverse=True, return_counts=True)
    order = torch.argsort(lengths * len(groups) + _ranks(len(groups), generator))  # by length, at random among equals
    batch_of = torch.empty_like(order)  # group → batch
    batch, filled = 0, 0
    for position, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        if filled and filled + length > size:
            batch, filled = batch + 1, 0
        batch_of[position] = batch
        filled += length
    by_batch = torch.argsort(batch_of[group], stable=True)
    batches = list(torch.split(examples[by_batch], torch.bincount(batch_of[group]).tolist()))
    return _in_random_order(batches, generator)


def by_node(examples: Tensor, node: Tensor, share: float, size: int, generator: torch.Generator | None) -> list[Tensor]:
    """Batches in which a share of the nodes have all their examples together (`NodeGroups`).

    The units, a grouped node with all its examples or a single example, are in random order, and a batch ends where the
    next `size` examples are full. So there are at most as many batches as `shuffled` makes.

    Args:
        examples: (n,) int64 positions.
        node: (n,) int64, the node of each.
        share: of the nodes that are grouped, 0 to 1.
        size: examples per batch; a batch is larger by less than one node's examples.
        generator: of the nodes and the order; None takes the first ones in their own order.
    """
    nodes, node = torch.unique(node, return_inverse=True)
    grouped = _ranks(len(nodes), generator) < round(share * len(nodes))
    unit = torch.where(grouped[node], node, len(nodes) + torch.arange(len(examples)))
    _, unit, lengths = torch.unique(unit, return_inverse=True, return_counts=True)
    order = torch.argsort(_ranks(len(lengths), generator))
    batch_of = torch.empty_like(order)  # unit → batch
    batch_of[order] = (torch.cumsum(lengths[order], 0) - lengths[order]) // size
    counts = torch.bincount(batch_of[unit])
    return list(torch.split(examples[torch.argsort(batch_of[unit], stable=True)], counts[counts > 0].tolist()))


def _ranks(count: int, generator: torch.Generator | None) -> Tensor:
    return torch.randperm(count, generator=generator) if generator else torch.arange(count)


def _in_random_order(batches: list[Tensor], generator: torch.Generator | None) -> list[Tensor]:
    return [batches[position] for position in _ranks(len(batches), generator).tolist()]
