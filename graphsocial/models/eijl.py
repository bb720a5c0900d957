"""EIJL: how often a post is shared, from its text and image, how both feel, and the class and the count learnt jointly.

Leng & Yan, "EIJL: Popularity Prediction of Social Media Advertisements Based on Multimodal Emotional Interaction and
Joint Learning", Data Intelligence, 2025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph import Canonical, Feature, NodeRows, SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.models.base import ForwardTrace, Model, Network, of_ends
from graphsocial.nn.aggregation import take_rows
from graphsocial.nn.convolution import FusedConvolutions
from graphsocial.nn.graph_attention import GraphAttention
from graphsocial.nn.inputs import NodeInputs, Projection
from graphsocial.nn.tuned import TunedEncoder


@dataclass(frozen=True)
class Eijl(Model):
    """The paper's network, with message passing, context and projections beside it.

    The paper's own form is in `examples/settings/eijl_paper.yaml`. Encoders of the posts' own columns may leave their
    last layers to the network, which trains them (`sentence,tune=2`, `clip,tune=2,tower=image`): experiment 1.

    Attributes:
        branches: a CNN for each vector of a post (`separate`) or one over all of them in a row (`joint`); `none` leaves
            the CNNs out.
        channels, tokens: of a CNN: filters, and places that are kept of each vector by pooling.
        attention: the fused places attend to each other.
        emotion: the emotional interaction layer (eq. 2), with what is known of text emotion, image emotion and likes.
        joint: the loss of the classes teaches the whole network; else only their own head.
        graph: messages along edges (author, brand, page, site, similar posts), where there are some; beyond the paper.
        projection: the vectors and the node's own columns also enter by a linear map; beyond the paper's CNNs.
        context: the context of each post enters, where the task gives one; beyond the paper.
        identity: learned vectors for the nodes of types without any features (pages, authors, brands).
        width: of the hidden layers.
        dropout: share of hidden values dropped in training.
    """

    branches: Literal["separate", "joint", "none"] = "separate"
    channels: int = 16
    tokens: int = 8
    attention: bool = True
    emotion: bool = True
    joint: bool = True
    graph: bool = True
    projection: bool = True
    context: bool = True
    identity: bool = True
    width: int = 256
    dropout: float = 0.2

    tunes: ClassVar[bool] = True
    training: ClassVar[Mapping[str, Any]] = {
        "epochs": 20,
        "batch_size": 512,
        "learning_rate": 0.002,
        "weight_decay": 0.02,
        "class_weights": "none",
        "patience": 6,
    }

    def __post_init__(self) -> None:
        if self.branches not in ("separate", "joint", "none"):
            raise InputError(f"branches is 'separate', 'joint' or 'none', not '{self.branches}'.")
        if min(self.channels, self.tokens, self.width) < 1:
            raise InputError("channels, tokens and width are at least 1.")

    @property
    def layers(self) -> int:
        """One message-passing layer where the graph is used: posts hear from their neighbours."""
        return int(self.graph)

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Raises:
            InputError: the task asks about pairs.
        """
        if not isinstance(graph.entity, str):
            raise InputError("'eijl' answers questions about nodes; this task asks about pairs.")
        return EijlNetwork(self, graph, train)


class EijlNetwork(Network):
    """Vectors → CNNs → fusion attention → messages → context → emotional interaction → a head for each target."""

    def __init__(self, settings: Eijl, graph: SocialGraph, train: Tensor) -> None:
        super().__init__()
        self.settings = settings
        self.entity = graph.end_types[0]
        width = settings.width
        known = {*graph.node_features, *graph.tables}
        bare = tuple(name for name in graph.num_nodes if name not in known and name != self.entity)
        ids = bare if settings.identity and settings.graph and graph.edges else ()
        self.transductive = bool(ids)
        self.inputs = NodeInputs(graph, width, ids=ids)
        features = graph.node_features.get(self.entity, ())
        tuned = {at: TunedEncoder(f.tuned, dropout=settings.dropout) for at, f in enumerate(features) if f.tuned}
        self.tuned = nn.ModuleDict({str(at): encoder for at, encoder in tuned.items()})  # by the feature's place
        self.projected = nn.ModuleDict()
        if settings.projection:
            self.projected.update({str(at): Projection(one.out_features, width) for at, one in tuned.items()})
        sizes = [tuned[at].out_features if at in tuned else f.vectors.shape[1] for at, f in enumerate(features)]
        self.convolutions = None
        if sizes and settings.branches != "none":
            self.convolutions = FusedConvolutions(
                sizes,
                width,
                joint=settings.branches == "joint",
                channels=settings.channels,
                tokens=settings.tokens,
                attention=settings.attention,
            )
        self.peers = any(kind[0] == kind[2] == self.entity for kind in graph.edges)  # posts hear from posts
        self.messages = None
        if settings.graph and graph.edges:
            self.messages = GraphAttention(
                tuple(graph.num_nodes),
                tuple(graph.edges),
                width,
                width,
                share="relation",
                heads=4 if width % 4 == 0 else 1,
            )
        size = graph.context_table.shape[1] if settings.context else 0
        self.context = nn.Linear(size, width) if size else None
        self.emotion = EmotionalInteraction(graph, train, width) if settings.emotion else None
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Sequential(
            nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(settings.dropout)
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.heads = nn.ModuleDict(
            {
                target.name: nn.Sequential(
                    nn.Linear(width, width),
                    nn.ReLU(),
                    nn.Dropout(settings.dropout),
                    nn.Linear(width, len(target.classes) or 1),
                )
                for target in graph.targets
            }
        )

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) logits of classes, (B,) standardised counts."""
        phi = self._represent(graph, batch)
        said = {}
        for target in graph.targets:
            heard = phi if self.settings.joint or not target.classes or len(graph.targets) == 1 else phi.detach()
            out = self.heads[target.name](heard)
            said[target.name] = out if target.classes else out.squeeze(1)
        return said

    def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
        """The post as it goes in and as the heads read it, its neighbours' weights, where its fusion attends."""
        edges: list[dict[Canonical, Tensor]] = []
        after = self._represent(graph, batch, edges)
        nodes = graph.ends[0][batch.examples]
        features = self._read([feature.take(nodes) for feature in graph.node_features.get(self.entity, ())])
        gates: dict[str, Tensor] = {}
        if self.convolutions is not None:
            shares = self.convolutions.shares(features)
            if shares.shape[1] > 2:  # else all vectors go through one branch
                gates = dict(zip(["learned place", *(one.name for one in features)], shares.unbind(1), strict=True))
        own = of_ends(self._inputs(graph, batch)[0], graph, batch)
        return ForwardTrace(self._with_convolutions(own, features), after, gates, tuple(edges))

    def _represent(
        self, graph: SocialGraph, batch: Batch, edges: list[dict[Canonical, Tensor]] | None = None
    ) -> Tensor:
        """(B, H) what the heads read.

        Args:
            edges: filled with the weights of the neighbours' messages.
        """
        phi = self._content(graph, batch, edges)[batch.ends[0]]  # (B, H)
        if self.context is not None:
            phi = phi + self.context(graph.context_table[batch.examples])
        if self.emotion is not None:
            phi = phi + self.emotion(graph, batch.examples)
        phi = self.dropout(torch.relu(self.norm(phi)))
        found: Tensor = phi + self.hidden(phi)
        return found

    def _own(self, graph: SocialGraph, batch: Batch) -> NodeRows:
        """What is known of the posts that the batch reads."""
        return _everything(graph, self.entity) if batch.rows is None else batch.rows[self.entity]

    def _inputs(self, graph: SocialGraph, batch: Batch) -> tuple[dict[str, Tensor], list[Feature]]:
        """What the batch reads before any convolution or message: node type → (N, H), and the posts' vectors."""
        features = self._read(self._own(graph, batch).features)
        x: dict[str, Tensor] = self.inputs(graph, batch.rows)
        if not self.settings.projection:
            x[self.entity] = self.inputs.bias[self.entity].expand(len(x[self.entity]), -1)
            return x, features
        for place, project in self.projected.items():
            x[self.entity] = x[self.entity] + project(features[int(place)])
        return x, features

    def _read(self, features: Sequence[Feature]) -> list[Feature]:
        """The same as vectors, which tuned encoders make of their sequences as they are now."""
        found = list(features)
        for place, encoder in self.tuned.items():
            part = features[int(place)]
            found[int(place)] = Feature(part.name, encoder(part), part.index)
        return found

    def _content(self, graph: SocialGraph, batch: Batch, edges: list[dict[Canonical, Tensor]] | None = None) -> Tensor:
        """(n, H) what the posts of the batch say by themselves and hear from their neighbours."""
        x, features = self._inputs(graph, batch)
        if self.messages is None or not batch.layers:
            return self._with_convolutions(x[self.entity], features)
        (layer,) = batch.layers
        if layer.take is not None:
            x = {name: take_rows(part, layer.take[name]) for name, part in x.items()}
            features = [part.take(layer.take[self.entity]) for part in features]
        count = len(x[self.entity]) if layer.num_dst is None else layer.num_dst[self.entity]
        asked = self._with_convolutions(x[self.entity][:count], [part.first(count) for part in features])
        if not self.peers:  # else posts speak by their projections: there may be many, and convolutions cost most
            x[self.entity] = asked
        mask = {kind: part for kind, part in layer.mask.items() if part is not None}
        if edges is not None:
            edges.append(self.messages.attention(x, layer.relations, edge_mask=mask, num_dst=layer.num_dst)[0])
        heard: Tensor = self.messages(x, layer.relations, edge_mask=mask, num_dst=layer.num_dst)[self.entity]
        return asked + heard

    def _with_convolutions(self, x: Tensor, features: Sequence[Feature]) -> Tensor:
        return x if self.convolutions is None else x + self.convolutions(features)


class EmotionalInteraction(nn.Module):
    """EIJL, eq. 2: φ_emo = φ + ω1 text emotion + ω2 image emotion + ω3 likability; this is what is added to φ.

    Text emotion, 1 to 5, goes in as -1 to 1, image emotion as 0 to 1, likability (the third of the training examples
    that the likes fall into) as -1, 0 or 1; what is not known adds nothing. The head after it, which is not linear, is
    where they interact.
    """

    cuts: Tensor

    def __init__(self, graph: SocialGraph, train: Tensor, width: int) -> None:
        super().__init__()
        self.names = tuple(name for name in ("text_emotion", "image_emotion", "likes") if _may_see(graph, name))
        seen = graph.context_numbers["likes"][train] if "likes" in self.names else torch.zeros(0)
        seen = seen[~torch.isnan(seen)]
        cuts = torch.quantile(seen.double(), torch.tensor([1 / 3, 2 / 3]).double()) if len(seen) else torch.zeros(2)
        self.register_buffer("cuts", cuts.float())
        self.weights = nn.Linear(3, width, bias=False)  # ω1, ω2, ω3

    def forward(self, graph: SocialGraph, examples: Tensor) -> Tensor:
        """(B, H)."""
        nothing = torch.full((len(examples),), torch.nan)
        text, image, likes = (
            graph.context_numbers[name][examples] if name in self.names else nothing
            for name in ("text_emotion", "image_emotion", "likes")
        )
        level = torch.where(likes.isnan(), likes, (likes[:, None] > self.cuts).sum(1) - 1.0)
        felt = torch.stack([(text - 3) / 2, image, level], dim=1).nan_to_num(0.0)  # (B, 3)
        added: Tensor = self.weights(felt)
        return added


def _may_see(graph: SocialGraph, name: str) -> bool:
    """Whether the context has a number of that name that is no answer."""
    return graph.context is not None and any(c.name == name and c.role != "label" for c in graph.context.columns)


def _everything(graph: SocialGraph, name: str) -> NodeRows:
    return NodeRows(torch.arange(graph.num_nodes[name]), graph.node_features.get(name, ()), graph.tables.get(name))
