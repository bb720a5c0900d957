"""GraphSAGE whose inputs include the known labels of other nodes: the default of tasks on the nodes of any graph.

Hamilton, Ying & Leskovec, "Inductive Representation Learning on Large Graphs" (2017); labels as inputs as in Shi et
al., "Masked Label Prediction: Unified Message Passing Model for Semi-Supervised Classification" (2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.adjacency import first_rows
from graphsocial.graph.batching import Batch
from graphsocial.models.base import ForwardTrace, Model, Network, of_ends
from graphsocial.nn.aggregation import take_rows
from graphsocial.nn.fusion import Classifier
from graphsocial.nn.inputs import NodeInputs
from graphsocial.nn.labelled import neighbor_labels
from graphsocial.nn.losses import encoded_labels, objectives, outputs_of_means
from graphsocial.nn.named import NamedModules
from graphsocial.nn.neighbor_conv import SageConv
from graphsocial.nn.normalisation import BatchNormRelu


@dataclass(frozen=True)
class LabelSage(Model):
    """x' = ReLU(norm(W₁ x + Σ_r W₂ʳ mean of the neighbors along r)) + x, with the labels that the batch may see in x.

    The labels of the batch's own nodes are hidden from it, so the network learns to predict a node from its features
    and from what is known of its neighbors.

    Attributes:
        layers: number of message-passing layers.
        width: hidden size.
        labels: known labels of training nodes are an input.
        vote: logits and numbers are added to those of the neighbors' vote (`neighbor_vote`), times a learned factor
            that begins at 1, so that the network begins there.
        dropout: dropout rate of the inputs and the classifiers.
        identity: learned embeddings of the predicted nodes and of nodes without any features; `none`, `bare` (types
            without features that are not predicted) or `all`. With `all`, new nodes cannot be predicted well.
    """

    layers: int = 2
    width: int = 64
    labels: bool = True
    vote: bool = True
    dropout: float = 0.2
    identity: str = "none"

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise InputError(f"{self.layers} layers pass no messages; use at least 1, or the model 'features-only'.")
        if self.identity not in ("none", "bare", "all"):
            raise InputError(f"identity is 'none', 'bare' or 'all', not '{self.identity}'.")

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training nodes, whose class shares and means are stored.
            seed: unused; the initial weights follow torch's global seed.

        Raises:
            InputError: the task is about pairs.
        """
        if not isinstance(graph.entity, str):
            raise InputError("'label_sage' predicts nodes; this task is about pairs.")
        return LabelSageNetwork(self, graph, train)


class LabelSageNetwork(Network):
    """Node inputs and known labels → message passing → a classifier for each target.

    Args:
        settings: the settings of the model.
        graph: the graph that it will run on.
        train: (n,) int64 positions of the training nodes.
    """

    def __init__(self, settings: LabelSage, graph: SocialGraph, train: Tensor) -> None:
        super().__init__()
        self.entity, self.parts = graph.end_types[0], objectives(graph, train)
        types, width = tuple(graph.num_nodes), settings.width
        known = {*graph.node_features, *graph.tables}
        bare = tuple(name for name in types if name not in known and name != self.entity)
        ids = {"none": (), "bare": bare, "all": (*bare, self.entity)}[settings.identity]
        self.transductive = self.entity in ids
        self.inputs = NodeInputs(graph, width, ids=ids, dropout=settings.dropout)
        sizes = [len(part.target.classes) or 1 for part in self.parts]
        self.labels = nn.Linear(sum(sizes) + len(sizes), width, bias=False) if settings.labels else None
        self.convolutions = nn.ModuleList(
            [SageConv(types, tuple(graph.edges), width, width, share="relation") for _ in range(settings.layers)]
        )
        self.norms = nn.ModuleList(
            [NamedModules({name: BatchNormRelu(width) for name in types}) for _ in range(settings.layers)]
        )
        context = graph.context_table.shape[1]
        self.context = nn.Linear(context, width) if context else None
        self.heads = nn.ModuleList([Classifier(width, width, size, dropout=settings.dropout) for size in sizes])
        for position, part in enumerate(self.parts):
            self.register_buffer(f"prior_{position}", part.prior(graph, train)[None])
        self.vote = nn.Parameter(torch.ones(len(sizes))) if settings.vote else None
        head: Any  # a Classifier
        for head in self.heads:
            nn.init.zeros_(head[-1].weight)
            nn.init.zeros_(head[-1].bias)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """Target → (B, K) logits, or (B,) standardised numbers."""
        represented, outputs = self._represent(graph, batch), {}
        for position, (part, head) in enumerate(zip(self.parts, self.heads, strict=True)):
            out = head(represented)
            out = out if part.target.classes else out.squeeze(1)
            begin = outputs_of_means(part.target, self.get_buffer(f"prior_{position}"))
            if self.vote is not None:
                votes = neighbor_labels(graph, batch.view, part)[graph.ends[0][batch.examples]]
                means = (votes[:, :-1] + self.get_buffer(f"prior_{position}")) / (votes[:, -1:] + 1)
                begin = begin + self.vote[position] * (outputs_of_means(part.target, means) - begin)
            outputs[part.target.name] = out + begin
        return outputs

    def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
        """The inputs and the representations of the nodes."""
        return ForwardTrace(
            before=of_ends(self._first(graph, batch), graph, batch), after=self._represent(graph, batch)
        )

    def _represent(self, graph: SocialGraph, batch: Batch) -> Tensor:
        """(B, H) of the batch's nodes."""
        x = self._first(graph, batch)
        for layer, convolution, norms in zip(batch.layers, self.convolutions, self.norms, strict=True):
            if layer.take is not None:
                x = {name: take_rows(part, layer.take[name]) for name, part in x.items()}
            mask = {kind: part for kind, part in layer.mask.items() if part is not None}
            out = convolution(x, layer.relations, edge_mask=mask, num_dst=layer.num_dst)
            x = {name: norms[name](part, first_rows(x[name], len(part))) for name, part in out.items()}  # type: ignore[index]  # a ModuleDict
        nodes = take_rows(x[self.entity], batch.ends[0])
        if self.context is not None:
            nodes = nodes + self.context(graph.context_table[batch.examples])
        return nodes

    def _first(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """Node type → (N, H) the inputs of the nodes that the batch reads."""
        x: dict[str, Tensor] = self.inputs(graph, batch.rows)
        if self.labels is not None:
            nodes = None if batch.rows is None else batch.rows[self.entity].nodes
            known = self._known(graph, batch.view.label)
            x = {**x, self.entity: x[self.entity] + self.labels(known if nodes is None else known[nodes])}
        return x

    def _known(self, graph: SocialGraph, visible: Tensor) -> Tensor:
        """(N, Σ K + T) the visible labels of each node relative to the prior, and whether there are some."""
        columns = []
        for part in self.parts:
            labels = graph.target_labels[part.target.name]
            seen = torch.nonzero(visible & is_known(labels)).squeeze(1)
            values = encoded_labels(part, labels[seen])
            table = torch.zeros(graph.num_nodes[self.entity], values.shape[1] + 1)
            table[graph.ends[0][seen]] = torch.cat([values, torch.ones(len(seen), 1)], dim=1)
            columns.append(table)
        return torch.cat(columns, dim=1)
