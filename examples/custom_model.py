"""A model of your own in one file: GraphSAGE (Hamilton et al. 2017) over all edge types, for any task.

    graphsocial train edge-emotion --model examples/custom_model.py --set layers=1
    graphsocial train examples/custom_task.py --model examples/custom_model.py

The dataclass holds the settings and builds the network; the network predicts batches. A batch holds the edges that its
examples may see, so that no label and nothing later than an example comes into its prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphsocial.extending import Batch, InputError, Model, Network, NodeInputs, SageConv, SocialGraph


@dataclass(frozen=True)
class CustomModel(Model):
    """Projected features → message passing → the endpoints of each example → one linear head for each target.

    Attributes:
        width: of the hidden states, H.
        layers: message-passing layers.
        dropout: on the input.
    """

    width: int = 64
    layers: int = 2
    dropout: float = 0.2

    training = {"patience": 10}  # noqa: RUF012 - settings of the training that suit it better than the defaults

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise InputError(f"layers is 1 or more, not {self.layers}.")

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network for this graph's node types, edge types, features and targets."""
        return CustomNetwork(self, graph)


class CustomNetwork(Network):
    """x' = ReLU(W₁ x + Σ_r W₂ʳ mean of the neighbors along r), layer by layer."""

    def __init__(self, settings: CustomModel, graph: SocialGraph) -> None:
        super().__init__()
        width, types, edges = settings.width, tuple(graph.num_nodes), tuple(graph.edges)
        self.inputs = NodeInputs(graph, width, dropout=settings.dropout)
        self.layers = nn.ModuleList([SageConv(types, edges, width, width) for _ in range(settings.layers)])
        self.heads = nn.ModuleDict(
            {t.name: nn.Linear(len(graph.end_types) * width, len(t.classes) or 1) for t in graph.targets}
        )

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """Target → (B, K) logits, or (B,) standardised numbers."""
        x = self.inputs(graph, batch.rows)  # {node type: (N, H)}
        for layer, convolution in zip(batch.layers, self.layers, strict=True):
            if layer.take is not None:  # a sampled batch: the rows that this layer reads
                x = {name: part[layer.take[name]] for name, part in x.items()}
            mask = {kind: part for kind, part in layer.mask.items() if part is not None}
            x = convolution(x, layer.relations, edge_mask=mask, num_dst=layer.num_dst)
            x = {name: torch.relu(part) for name, part in x.items()}
        ends = [x[name][rows] for name, rows in zip(graph.end_types, batch.ends, strict=True)]
        joined = torch.cat(ends, dim=1)  # (B, H) for nodes, (B, 2 H) for pairs
        outputs = {target: self.heads[target.name](joined) for target in graph.targets}
        return {target.name: out if target.classes else out.squeeze(1) for target, out in outputs.items()}
