"""A model of your own with DGL's modules: graph attention over all edge types in two layers, and a classifier of pairs.

    graphsocial train edge-emotion --model examples/custom_dgl_model.py --set width=32
    graphsocial train edge-emotion --model examples/custom_dgl_model.py --set loader=sampled

`batch.to_dgl(graph)` gives one DGL graph per layer with only the edges, features and labels that the batch may see, so
whatever is built on it is free of leaks. See `docs/extending_dgl.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from dgl.nn import GATConv, HeteroGraphConv
from torch import Tensor, nn

from graphsocial.extending import Batch, InputError, Model, Network, SocialGraph, class_target, input_widths


@dataclass(frozen=True)
class CustomDglModel(Model):
    """Two layers of `HeteroGraphConv` of `GATConv`s, one for each edge type.

    Attributes:
        width: of the hidden states of nodes.
        heads: of the attention, which share the width.
        dropout: of the hidden states, in training.
    """

    width: int = 64
    heads: int = 2
    dropout: float = 0.2

    layers: ClassVar[int] = 2  # message-passing layers: each batch brings as many graphs
    reads: ClassVar[tuple[str, ...]] = ("nodes",)  # encoded columns of nodes; those of edges are not encoded

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise InputError(f"{self.heads} heads do not share a width of {self.width} evenly.")

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network for this graph's node types, edge types, input widths and classes."""
        class_target(graph, "custom_dgl_model")
        return DglNetwork(self, graph)


class Layer(nn.Module):
    """Attention over each edge type, summed, and a linear map of the node itself."""

    def __init__(self, settings: CustomDglModel, graph: SocialGraph) -> None:
        super().__init__()
        width, heads = settings.width, settings.heads
        self.attention = HeteroGraphConv(
            {kind: GATConv(width, width // heads, heads, bias=False) for kind in graph.edges}, aggregate="sum"
        )
        self.own = nn.ModuleDict({f"node {name}": nn.Linear(width, width) for name in graph.num_nodes})

    def forward(self, block, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """{node type: (N_src, H)} → {node type: (N_dst, H)}."""
        out = {name: self.own[f"node {name}"](part[: block.num_dst_nodes(name)]) for name, part in x.items()}
        for name, heads in self.attention(block, x).items():  # (N_dst, K, H / K)
            out[name] = out[name] + heads.flatten(1)
        return out


class DglNetwork(Network):
    """Inputs projected to one width → two layers → the two ends of each pair side by side → logits."""

    def __init__(self, settings: CustomDglModel, graph: SocialGraph) -> None:
        super().__init__()
        widths = input_widths(graph)
        self.inputs = nn.ModuleDict(
            {f"node {name}": nn.Linear(widths[name], settings.width) for name in graph.num_nodes}
        )
        self.layers = nn.ModuleList([Layer(settings, graph) for _ in range(settings.layers)])
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(2 * settings.width, len(graph.classes))

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """{target: (B, K) logits}."""
        blocks = batch.to_dgl(graph)
        x = {name: self.inputs[f"node {name}"](blocks[0].srcnodes[name].data["x"]) for name in graph.num_nodes}
        for block, layer in zip(blocks, self.layers, strict=True):
            x = {name: torch.relu(part) for name, part in layer(block, self._dropped(x)).items()}
        ends = [x[name][rows] for name, rows in zip(graph.end_types, batch.ends, strict=True)]
        return {graph.target.name: self.classifier(torch.cat(ends, dim=1))}

    def _dropped(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: self.dropout(part) for name, part in x.items()}
