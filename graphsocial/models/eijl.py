"""EIJL: how often a post is shared, from its text and image and their emotions; class and count are learnt jointly.

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
from graphsocial.models.base import ForwardTrace, Model, Network, head_name, of_ends
from graphsocial.nn.aggregation import take_rows
from graphsocial.nn.convolution import FusedConvolutions
from graphsocial.nn.graph_attention import GraphAttention
from graphsocial.nn.inputs import NodeInputs, Projection
from graphsocial.nn.tuned import TunedEncoder


@dataclass(frozen=True)
class Eijl(Model):
    """The paper's network, with message passing, context and linear projections in addition.

    The paper's own settings are in `examples/settings/eijl_paper.yaml`. The last layers of the encoders of the posts'
    columns can be trained with the network (`sentence,tune=2`, `clip,tune=2,tower=image`): experiment 1.

    Attributes:
        branches: `separate`: one CNN per vector of a post; `joint`: one CNN over all of them concatenated; `none`: no
            CNN.
        channels: number of filters of a CNN.
        tokens: positions that pooling keeps of each vector.
        attention: multi-head self-attention over the fused positions.
        emotion: the emotional interaction layer (eq. 2), with the known text emotion, image emotion and likes.
        joint: the loss of the classes trains the whole network; otherwise only the classes' own head.
        graph: message passing along edges (author, brand, page, site, similar posts), where there are some; beyond the
            paper.
        projection: the vectors and the node's own columns also enter by a linear map; beyond the paper's CNNs.
        context: use the context columns of each post, where the task has some; beyond the paper.
        identity: learned embeddings for nodes of types without any features (pages, authors, brands).
        width: hidden size.
        dropout: dropout rate of hidden layers.
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
        """1 where the graph is used, from the posts' neighbors; otherwise 0."""
        return int(self.graph)

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The untrained network.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples, whose terciles of the likes are stored.
            seed: unused; the initial weights follow torch's global seed.

        Raises:
            InputError: the task is about pairs.
        """
        if not isinstance(graph.entity, str):
            raise InputError("'eijl' predicts nodes; this task is about pairs.")
        return EijlNetwork(self, graph, train)


class EijlNetwork(Network):
    """Vectors → CNNs → fusion attention → messages → context → emotional interaction → a head for each target.

    Args:
        settings: the settings of the model.
        graph: the graph that it will run on.
        train: (n,) int64 positions of the training examples.
    """

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
        self.tuned = nn.ModuleDict({str(at): encoder for at, encoder in tuned.items()})  # by the feature's position
        self.projected = nn.ModuleDict()
        if settings.projection:
            self.projected.update({str(at): Projection(encoder.out_features, width) for at, encoder in tuned.items()})
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
        self.peers = any(kind[0] == kind[2] == self.entity for kind in graph.edges)  # posts are neighbors of posts
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
                head_name(target): nn.Sequential(
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
        outputs = {}
        for target in graph.targets:
            x = phi if self.settings.joint or not target.classes or len(graph.targets) == 1 else phi.detach()
            out = self.heads[head_name(target)](x)
            outputs[target.name] = out if target.classes else out.squeeze(1)
        return outputs

    def trace(self, graph: SocialGraph, batch: Batch) -> ForwardTrace:
        """The posts' inputs and representations, the attention weights of their neighbors and of the fusion."""
        edges: list[dict[Canonical, Tensor]] = []
        after = self._represent(graph, batch, edges)
        nodes = graph.ends[0][batch.examples]
        features = self._read([feature.take(nodes) for feature in graph.node_features.get(self.entity, ())])
        gates: dict[str, Tensor] = {}
        if self.convolutions is not None:
            shares = self.convolutions.shares(features)
            if shares.shape[1] > 2:  # else all vectors go through one branch
                names = ["learned place", *(feature.name for feature in features)]
                gates = dict(zip(names, shares.unbind(1), strict=True))
        x = of_ends(self._inputs(graph, batch)[0], graph, batch)
        return ForwardTrace(self._with_convolutions(x, features), after, gates, tuple(edges))

    def _represent(
        self, graph: SocialGraph, batch: Batch, edges: list[dict[Canonical, Tensor]] | None = None
    ) -> Tensor:
        """(B, H) the representations that the heads read.

        Args:
            graph: the graph.
            batch: the batch.
            edges: filled with the attention weights of the edges.
        """
        phi = self._content(graph, batch, edges)[batch.ends[0]]  # (B, H)
        if self.context is not None:
            phi = phi + self.context(graph.context_table[batch.examples])
        if self.emotion is not None:
            phi = phi + self.emotion(graph, batch.examples)
        phi = self.dropout(torch.relu(self.norm(phi)))
        represented: Tensor = phi + self.hidden(phi)
        return represented

    def _post_rows(self, graph: SocialGraph, batch: Batch) -> NodeRows:
        """The inputs of the posts that the batch reads."""
        return _all_nodes(graph, self.entity) if batch.rows is None else batch.rows[self.entity]

    def _inputs(self, graph: SocialGraph, batch: Batch) -> tuple[dict[str, Tensor], list[Feature]]:
        """The inputs before any convolution or message passing: node type → (N, H), and the posts' vectors."""
        features = self._read(self._post_rows(graph, batch).features)
        x: dict[str, Tensor] = self.inputs(graph, batch.rows)
        if not self.settings.projection:
            x[self.entity] = self.inputs.bias[self.entity].expand(len(x[self.entity]), -1)
            return x, features
        for position, project in self.projected.items():
            x[self.entity] = x[self.entity] + project(features[int(position)])
        return x, features

    def _read(self, features: Sequence[Feature]) -> list[Feature]:
        """The same features, with the vectors that tuned encoders compute from their sequences."""
        vectors = list(features)
        for position, encoder in self.tuned.items():
            part = features[int(position)]
            vectors[int(position)] = Feature(part.name, encoder(part), part.index)
        return vectors

    def _content(self, graph: SocialGraph, batch: Batch, edges: list[dict[Canonical, Tensor]] | None = None) -> Tensor:
        """(n, H) the batch's posts after convolutions and message passing."""
        x, features = self._inputs(graph, batch)
        if self.messages is None or not batch.layers:
            return self._with_convolutions(x[self.entity], features)
        (layer,) = batch.layers
        if layer.take is not None:
            x = {name: take_rows(part, layer.take[name]) for name, part in x.items()}
            features = [part.take(layer.take[self.entity]) for part in features]
        count = len(x[self.entity]) if layer.num_dst is None else layer.num_dst[self.entity]
        posts = self._with_convolutions(x[self.entity][:count], [part.first(count) for part in features])
        if not self.peers:  # else the messages of posts are their projections: convolutions of many posts cost most
            x[self.entity] = posts
        mask = {kind: part for kind, part in layer.mask.items() if part is not None}
        if edges is not None:
            edges.append(self.messages.attention(x, layer.relations, edge_mask=mask, num_dst=layer.num_dst)[0])
        messages: Tensor = self.messages(x, layer.relations, edge_mask=mask, num_dst=layer.num_dst)[self.entity]
        return posts + messages

    def _with_convolutions(self, x: Tensor, features: Sequence[Feature]) -> Tensor:
        return x if self.convolutions is None else x + self.convolutions(features)


class EmotionalInteraction(nn.Module):
    """The second term of EIJL's eq. 2: φ_emo = φ + (ω1 text emotion + ω2 image emotion + ω3 likability).

    Text emotion, 1 to 5, is scaled to -1 to 1; image emotion is 0 to 1; likability is -1, 0 or 1, by the tercile of the
    training examples' likes. Unknown values add nothing. They interact in the nonlinear head that follows.

    Args:
        graph: the graph with the context columns of the posts.
        train: (n,) int64 positions of the training examples.
        width: H.
    """

    cuts: Tensor

    def __init__(self, graph: SocialGraph, train: Tensor, width: int) -> None:
        super().__init__()
        self.names = tuple(name for name in ("text_emotion", "image_emotion", "likes") if _is_input(graph, name))
        likes = graph.context_numbers["likes"][train] if "likes" in self.names else torch.zeros(0)
        likes = likes[~torch.isnan(likes)]
        cuts = torch.quantile(likes.double(), torch.tensor([1 / 3, 2 / 3]).double()) if len(likes) else torch.zeros(2)
        self.register_buffer("cuts", cuts.float())
        self.weights = nn.Linear(3, width, bias=False)  # ω1, ω2, ω3

    def forward(self, graph: SocialGraph, examples: Tensor) -> Tensor:
        """The emotional interaction of these examples (B,): (B, H)."""
        unknown = torch.full((len(examples),), torch.nan)
        text, image, likes = (
            graph.context_numbers[name][examples] if name in self.names else unknown
            for name in ("text_emotion", "image_emotion", "likes")
        )
        level = torch.where(likes.isnan(), likes, (likes[:, None] > self.cuts).sum(1) - 1.0)
        emotions = torch.stack([(text - 3) / 2, image, level], dim=1).nan_to_num(0.0)  # (B, 3)
        added: Tensor = self.weights(emotions)
        return added


def _is_input(graph: SocialGraph, name: str) -> bool:
    """Whether the context has a column of that name that is no label."""
    return graph.context is not None and any(c.name == name and c.role != "label" for c in graph.context.columns)


def _all_nodes(graph: SocialGraph, name: str) -> NodeRows:
    return NodeRows(torch.arange(graph.num_nodes[name]), graph.node_features.get(name, ()), graph.tables.get(name))
