"""HMG-Emo: a heterogeneous multimodal graph network for the emotion that a user feels at an image.

Bhattacharyya, Yang & Wang, "A Heterogeneous Multimodal Graph Learning Framework for Recognizing User Emotions in
Social Networks" (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.graph import Canonical, SocialGraph
from graphsocial.graph.adjacency import first_rows
from graphsocial.graph.batching import Batch, Layer
from graphsocial.graph.labels import known_labels, label_history
from graphsocial.graph.visibility import shown_vectors
from graphsocial.models.base import ForwardTrace, Model, Network, of_ends
from graphsocial.nn import LAYERS
from graphsocial.nn.aggregation import take_rows
from graphsocial.nn.fusion import AdaptiveCombination, Classifier, Interaction
from graphsocial.nn.graph_attention import GraphAttention
from graphsocial.nn.inputs import EdgeInputs, NodeInputs
from graphsocial.nn.labelled import LabelMessages
from graphsocial.nn.losses import class_shares, number_scales, standardised_numbers
from graphsocial.nn.named import NamedModules
from graphsocial.nn.normalisation import BatchNormRelu
from graphsocial.types import Target


@dataclass(frozen=True)
class HmgEmo(Model):
    """The paper's network, with extensions that are on by default where validation favors them.

    The paper's own settings are in `examples/settings/hmg_emo_paper.yaml`.

    Attributes:
        backbone: message-passing layer: `gat` (eqs. 2-3, edge features in the attention logits), `sage` or `graphconv`
            (no edge features).
        layers: number of message-passing layers, each followed by batch normalisation and ReLU.
        width: hidden size of the layers.
        heads: number of attention heads, which share the width.
        node_width: size of the projected node features.
        edge_width: size of the projected comment features.
        share: `relation`: weights and a softmax for each edge type, summed (as in PyG's HeteroConv, which the authors
            used); `all`: shared by all node and edge types (eqs. 2-3 to the letter).
        combine: the adaptive combination of the endpoints (eqs. 5-6): `gated` (a sigmoid), `paper` (as printed,
            unbounded) or `none`.
        mechanism: how the two endpoints are joined: `concat`, `sum` or `dot`.
        comments: use comments as edge features.
        dropout: dropout rate of the classifier and the inputs.
        history: the labels of a node's other visible edges are an input (beyond the paper).
        residual: each layer adds its input, and the classifier also gets the first layer's input (beyond the paper).
        label_messages: the first layer adds messages that depend on the labels of visible edges (`nn.labelled`; beyond
            the paper).
        interaction: rank of a bilinear term of the two endpoints in the logits; 0 for none (beyond the paper).
        identity: learned embeddings for the nodes of: `none`; `context`, the types without any features that are no
            endpoint, such as categories and cities; `bare`, all types without any features; `all` types; or one type by
            name, such as `image` where few images are seen by many. For endpoints, beside `history`, they let a network
            that trains long infer a hidden label from what is missing: watch the log loss.
    """

    backbone: Literal["gat", "sage", "graphconv"] = "gat"
    layers: int = 5
    width: int = 64
    heads: int = 1
    node_width: int = 128
    edge_width: int = 256
    share: Literal["all", "relation"] = "relation"
    combine: Literal["gated", "paper", "none"] = "gated"
    mechanism: Literal["concat", "sum", "dot"] = "concat"
    comments: bool = True
    dropout: float = 0.2
    history: bool = True
    residual: bool = True
    label_messages: bool = False
    interaction: int = 0
    identity: str = "none"

    averages = {"group": "user"}  # noqa: RUF012 - eq. 1: a user's groups by their descriptions

    def __post_init__(self) -> None:
        if self.backbone not in LAYERS:
            raise InputError(f"'{self.backbone}' is no backbone; use one of {', '.join(LAYERS)}.")
        if self.layers < 1:
            raise InputError(f"{self.layers} layers pass no messages; use at least 1, or the model 'features-only'.")
        if self.interaction < 0:
            raise InputError(f"interaction = {self.interaction} is no rank; use 0 for none, or more.")

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples, whose class shares and means are stored.
            seed: unused; the initial weights follow torch's global seed.

        Raises:
            InputError: the task is about nodes.
        """
        if isinstance(graph.entity, str):
            raise InputError("'hmg_emo' predicts pairs; this task is about nodes.")
        return HmgEmoNetwork(self, graph, class_shares(graph, train), number_scales(graph, train))


class HmgEmoNetwork(Network):
    """Node inputs → message passing → adaptive combination of the pair's endpoints → classifier.

    Further targets are further outputs of the classifier. The known labels of the first target with one class per
    example, and of those that are numbers, are inputs.

    Args:
        settings: the settings of the model.
        graph: the graph that it will run on.
        prior: (K,) class shares of the training examples.
        scales: (M, 2) mean and standard deviation of each number in the training examples.
    """

    prior: Tensor
    scales: Tensor

    def __init__(self, settings: HmgEmo, graph: SocialGraph, prior: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("prior", prior)
        self.register_buffer("scales", scales)
        types = tuple(graph.num_nodes)
        known = {*graph.node_features, *graph.tables}
        bare = tuple(name for name in types if name not in known)
        around = tuple(name for name in bare if name not in graph.end_types)
        named = {"none": (), "context": around, "bare": bare, "all": types} | {name: (name,) for name in types}
        if settings.identity not in named:
            raise UnknownNameError.of("identity", settings.identity, named)
        ids = named[settings.identity]
        self.transductive = not {*ids}.isdisjoint(graph.end_types)
        self.inputs = NodeInputs(
            graph, settings.node_width, history=settings.history, ids=ids, dropout=settings.dropout
        )
        self.commented = tuple(graph.edge_features) if settings.comments and settings.backbone == "gat" else ()
        self.edge_inputs = EdgeInputs(graph, settings.edge_width) if self.commented else None
        widths = [settings.node_width] + [settings.width] * settings.layers
        options: dict[str, Any] = {}
        if settings.backbone == "gat":
            options = {"share": settings.share, "heads": settings.heads}
        if self.commented:
            options["edge_features"] = dict.fromkeys(self.commented, settings.edge_width)
        self.convolutions = nn.ModuleList(
            [
                LAYERS[settings.backbone](types, tuple(graph.edges), before, after, **options)
                for before, after in pairwise(widths)
            ]
        )
        self.norms = nn.ModuleList(
            [NamedModules({name: BatchNormRelu(after) for name in types}) for after in widths[1:]]
        )
        self.skip = nn.Linear(settings.node_width, settings.width) if settings.residual else None
        ends = settings.width * (2 if settings.residual else 1)
        self.combination = AdaptiveCombination(ends, mode=settings.combine, mechanism=settings.mechanism)
        labelled = tuple(kind for kind, edges in graph.edges.items() if edges.example is not None)
        self.labelled = (
            LabelMessages(labelled, settings.node_width, settings.width, len(prior), len(scales))
            if settings.label_messages
            else None
        )
        self.outputs = _outputs(graph)
        outputs = sum(size for _, size in self.outputs)
        self.interaction = Interaction(ends, settings.interaction, outputs) if settings.interaction else None
        self.classifier = Classifier(self.combination.out_features, settings.width, outputs, dropout=settings.dropout)

    def embed(
        self, graph: SocialGraph, batch: Batch, attention: list[dict[Canonical, Tensor]] | None = None
    ) -> dict[str, Tensor]:
        """The node representations of the batch's last layer: node type → (N, width), or twice that with residuals.

        Args:
            graph: the graph.
            batch: the batch.
            attention: filled with the attention weights of each layer's edges, where the layers attend.
        """
        numbers = standardised_numbers(graph, self.scales)
        x = self._first(graph, batch, numbers)
        scores = self._edge_scores(graph)
        shown: dict[Canonical, list[Tensor]] = {}
        first = None if self.skip is None else {name: self.skip(part) for name, part in x.items()}
        for depth, (layer, convolution) in enumerate(zip(batch.layers, self.convolutions, strict=True)):
            if layer.take is not None:
                x = {name: take_rows(part, layer.take[name]) for name, part in x.items()}
                first = first and {name: take_rows(part, layer.take[name]) for name, part in first.items()}
            shown = self._shown(graph, batch, layer, shown)
            mask = {kind: part for kind, part in layer.mask.items() if part is not None}
            options: dict[str, Any] = {"edge_mask": mask, "num_dst": layer.num_dst}
            if shown:
                options["edge_scores"] = _shown_scores(scores, depth, shown)
            if attention is not None and isinstance(convolution, GraphAttention):
                weights, _ = convolution.attention(x, layer.relations, **options)
                attention.append(weights)
            out = convolution(x, layer.relations, **options)
            if depth == 0:
                out |= self._label_messages(graph, batch, layer, x, out, numbers)
            before: dict[str, Tensor] = {}
            if first is not None:
                first = {name: first_rows(part, len(out[name])) for name, part in first.items()}
                before = {name: first_rows(part, len(out[name])) for name, part in x.items()} if depth else first
            norm: Any = self.norms[depth]
            x = {name: norm[name](part, before.get(name)) for name, part in out.items()}
        if first is not None:
            x = {name: torch.cat([part, first[name]], dim=1) for name, part in x.items()}
        return x

    def _label_messages(
        self,
        graph: SocialGraph,
        batch: Batch,
        layer: Layer,
        x: dict[str, Tensor],
        out: dict[str, Tensor],
        numbers: Tensor,
    ) -> dict[str, Tensor]:
        """Node type → (N, width) the layer's output plus the messages of visible labels, of the types that get some."""
        if self.labelled is None:
            return {}
        known = [known_labels(graph, batch.view, layer, self.labelled.edge_types, values) for values in (None, numbers)]
        messages = self.labelled(x, layer.relations, *known)
        return {name: out[name] + part for name, part in messages.items()}

    def _shown(
        self, graph: SocialGraph, batch: Batch, layer: Layer, before: dict[Canonical, list[Tensor]]
    ) -> dict[Canonical, list[Tensor]]:
        """Edge type → the vector of each feature that the layer's edges show; a whole relation reuses `before`."""
        if before and layer.edge_ids is None:
            return before
        ids = layer.edge_ids or dict.fromkeys(self.commented)
        return {kind: shown_vectors(graph, kind, batch.view.features, ids[kind]) for kind in self.commented}

    def _edge_scores(self, graph: SocialGraph) -> dict[tuple[int, Canonical], list[Tensor]]:
        """All layers' edge logits in one product: for each layer and direction, and each feature, (K, M + 1)."""
        if self.edge_inputs is None:
            return {}
        folded = {
            (depth, kind): vector
            for depth, convolution in enumerate(self.convolutions)
            for kind, vector in convolution.fold_edge_vector().items()  # type: ignore[operator]
        }
        tables = self.edge_inputs.scores(graph, torch.cat(list(folded.values())))
        heads = self.settings.heads
        parts = [table.view(-1, heads, table.shape[1]) for table in tables]
        return {key: [part[position] for part in parts] for position, key in enumerate(folded)}

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits of the batch's pairs, and (B,) of each number."""
        user, image = self._ends(graph, batch)
        joined, _ = self.combination(user, image)
        outputs = self.classifier(joined)
        if self.interaction is not None:
            outputs = outputs + self.interaction(user, image)
        parts = outputs.split([size for _, size in self.outputs], dim=1)
        return {
            target.name: part if target.classes else part.squeeze(1)
            for (target, _), part in zip(self.outputs, parts, strict=True)
        }

    def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
        """The endpoints; α of the edges in attention layers; β and 1 - β of eqs. 5-6, where endpoints are weighted."""
        edges: list[dict[Canonical, Tensor]] = []
        ends = self._ends(graph, batch, edges)
        _, beta = self.combination(*ends)
        source, destination = graph.end_types
        return ForwardTrace(
            before=of_ends(self._first(graph, batch, standardised_numbers(graph, self.scales)), graph, batch),
            after=torch.cat(ends, dim=1),
            gates={} if beta is None else {f"source {source}": beta, f"destination {destination}": 1 - beta},
            edges=tuple(edges),
        )

    def _first(self, graph: SocialGraph, batch: Batch, numbers: Tensor) -> dict[str, Tensor]:
        """The first hidden state of the nodes that the batch reads; `numbers` are (P, M), standardised."""
        history = label_history(graph, batch.view, self.prior, numbers) if self.settings.history else None
        hidden: dict[str, Tensor] = self.inputs(graph, batch.rows, history)
        return hidden

    def _ends(
        self, graph: SocialGraph, batch: Batch, attention: list[dict[Canonical, Tensor]] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, H) of each endpoint."""
        x = self.embed(graph, batch, attention)
        user, image = (take_rows(x[name], rows) for name, rows in zip(graph.end_types, batch.ends, strict=True))
        return user, image


def _outputs(graph: SocialGraph) -> list[tuple[Target, int]]:
    """The targets in the order of the classifier's outputs, and their number: the class, the numbers, all others."""
    first = [] if graph.class_target is None else [graph.class_target]
    others = [target for target in graph.targets if target not in (*first, *graph.numbers)]
    return [(target, len(target.classes) or 1) for target in (*first, *graph.numbers, *others)]


def _shown_scores(
    scores: dict[tuple[int, Canonical], list[Tensor]], depth: int, shown: dict[Canonical, list[Tensor]]
) -> dict[Canonical, Tensor]:
    """Edge type → (E, K) logits of the layer's edges: those of the features that they show, added up."""
    return {
        kind: reduce(torch.add, [table[:, at] for table, at in zip(scores[depth, kind], index, strict=True)]).t()
        for kind, index in shown.items()
    }
