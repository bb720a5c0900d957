"""GraphSAGE layers beside a network over sequences; the heads read the outputs of both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphsocial.features.sequences import Chains
from graphsocial.graph import Canonical, SocialGraph
from graphsocial.graph.adjacency import first_rows
from graphsocial.graph.batching import Batch
from graphsocial.nn.aggregation import take_rows
from graphsocial.nn.inputs import NodeInputs
from graphsocial.nn.named import NamedModules
from graphsocial.nn.neighbor_conv import SageConv
from graphsocial.nn.normalisation import BatchNormRelu


class GraphContext(nn.Module):
    """Node inputs → layers of GraphSAGE over all edge types, each with its own weights → the batch's nodes.

    As in DialogueGCN (Ghosal et al. 2019), speakers and the order of utterances are relations; here replies are too.

    Args:
        graph: the graph that it will run on.
        width: H of the layers.
        layers: number of layers, as in the batches.
        past: the edge types to use; None for all of the graph's. See `forward_in_time`.
        dropout: dropout rate of the node inputs.
    """

    def __init__(
        self, graph: SocialGraph, width: int, layers: int, *, past: tuple[Canonical, ...] | None, dropout: float
    ) -> None:
        super().__init__()
        self.entity = str(graph.entity)
        self.kinds = tuple(graph.edges) if past is None else past
        types = tuple(graph.num_nodes)
        self.inputs = NodeInputs(graph, width, dropout=dropout)
        self.convolutions = nn.ModuleList(
            [SageConv(types, self.kinds, width, width, share="relation") for _ in range(layers)]
        )
        self.norms = nn.ModuleList(
            [NamedModules({name: BatchNormRelu(width) for name in types}) for _ in range(layers)]
        )

    def forward(self, graph: SocialGraph, batch: Batch) -> Tensor:
        """The representations of the batch's nodes: (B, H)."""
        x: dict[str, Tensor] = self.inputs(graph, batch.rows)
        for layer, convolution, norms in zip(batch.layers, self.convolutions, self.norms, strict=True):
            if layer.take is not None:
                x = {name: take_rows(part, layer.take[name]) for name, part in x.items()}
            mask = {kind: layer.mask[kind] for kind in self.kinds}
            out = convolution(
                x,
                {kind: layer.relations[kind] for kind in self.kinds},
                edge_mask={kind: part for kind, part in mask.items() if part is not None},
                num_dst=layer.num_dst,
            )
            x = {name: norms[name](part, first_rows(x[name], len(part))) for name, part in out.items()}  # type: ignore[index]  # a ModuleDict
        return take_rows(x[self.entity], batch.ends[0])


def forward_in_time(graph: SocialGraph, chains: Chains) -> tuple[Canonical, ...]:
    """The edge types between the predicted nodes whose edges all lead from earlier to later positions of a sequence.

    Args:
        graph: the graph.
        chains: the sequences of the predicted nodes.
    """
    forward = []
    for kind, edges in graph.edges.items():
        if kind[0] == kind[2] == graph.entity and len(edges):
            same = chains.chain[edges.src] == chains.chain[edges.dst]
            if bool(torch.all(same & (chains.position[edges.src] < chains.position[edges.dst]))):
                forward.append(kind)
    return tuple(forward)
