"""What a batch may see: never the edge that it asks about, nor anything from after its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph import Canonical, NodeRows, SocialGraph
from graphsocial.nn.relation import Relation

State = Literal["hidden", "structure", "full"]
STATES = ("hidden", "structure", "full")


@dataclass(frozen=True)
class Visibility:
    """What a model sees of supervised edges, beside the training edges that are not being asked about.

    `hidden`: the edge is not in the message graph. `structure`: it is, without its features (comments, from which
    labels are often derived). `full`: with its features. The label of an edge that is not a training edge, or that is
    being asked about, is never shown in any state. States hold for the pair: for every edge between the two ends, in
    both directions, duplicates included.

    Attributes:
        asked: the pairs whose label is being predicted.
        validation, test: the pairs of those roles while others are predicted.
    """

    asked: State = "hidden"
    validation: State = "hidden"
    test: State = "hidden"

    def __post_init__(self) -> None:
        for value in (self.asked, self.validation, self.test):
            if value not in STATES:
                raise InputError(f"'{value}' is no state of an edge; use one of {', '.join(STATES)}.")


@dataclass(frozen=True)
class PairView:
    """Per labelled pair, what a batch may use: the edge, its features, its label; (P,) bool each."""

    edge: Tensor
    features: Tensor
    label: Tensor

    @classmethod
    def of(cls, roles: Tensor, codes: Tensor, visibility: Visibility, asked: Tensor | None = None) -> PairView:
        """The view of a batch.

        Args:
            roles: (P,) 0 train, 1 validation, 2 test, -1 not supervised.
            codes: (P,) classes, -1 for none.
            asked: positions of the pairs being predicted.
        """
        edge = torch.ones_like(roles, dtype=torch.bool)
        features = edge.clone()
        label = (roles == 0) & (codes >= 0)
        for which, state in ((roles == 1, visibility.validation), (roles == 2, visibility.test)):
            edge[which] = state != "hidden"
            features[which] = state == "full"
        if asked is not None:
            edge[asked] = visibility.asked != "hidden"
            features[asked] = visibility.asked == "full"
            label[asked] = False
        return cls(edge, features, label)

    def before(self, time: int, pair_time: Tensor) -> PairView:
        """Without the labels that were not known before `time` (microseconds)."""
        return replace(self, label=self.label & (pair_time < time))


@dataclass(frozen=True)
class Layer:
    """The messages of one layer: relations, which of their edges are there, and where these stand in the graph.

    Attributes:
        relations: canonical edge type → sorted structure.
        mask: canonical edge type → (E,) bool, or None where all edges are there.
        edge_ids: canonical edge type → (E,) positions in `SocialGraph.edges`; None when the relation is whole.
        num_dst: node type → how many of the first source rows are destinations too; None when all are.
        take: node type → which rows of the layer before are this one's sources; None when all are, in order.
    """

    relations: Mapping[Canonical, Relation]
    mask: Mapping[Canonical, Tensor | None]
    edge_ids: Mapping[Canonical, Tensor] | None = None
    num_dst: Mapping[str, int] | None = None
    take: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Batch:
    """Pairs to predict, and the part of the graph that may be used for it.

    Attributes:
        pairs: (B,) positions of the pairs.
        src, dst: (B,) rows of the pairs' ends in the output of the last layer.
        view: what may be seen of each pair.
        layers: one per message-passing layer, the first to be computed first.
        rows: node type → what is known of the nodes whose inputs are needed; None for all nodes.
    """

    pairs: Tensor
    src: Tensor
    dst: Tensor
    view: PairView
    layers: tuple[Layer, ...]
    rows: Mapping[str, NodeRows] | None = None


def edge_mask(graph: SocialGraph, view: PairView, before: int | None = None) -> dict[Canonical, Tensor | None]:
    """Which message edges are there: by pair, so both directions and duplicates; and, if asked, only earlier ones."""
    masks: dict[Canonical, Tensor | None] = {}
    for kind, edges in graph.edges.items():
        mask = view.edge[edges.pair] if edges.pair is not None else None
        if before is not None and edges.time is not None:
            earlier = edges.time < before
            mask = earlier if mask is None else mask & earlier
        masks[kind] = mask
    return masks


def label_history(graph: SocialGraph, view: PairView, prior: Tensor, strength: float = 2.0) -> dict[str, Tensor]:
    """What labels a node's visible edges carry: log share of each class against the prior, and the log count.

    A share is smoothed towards the prior by `strength` imaginary edges, so that a node without labels is neutral.

    Args:
        prior: (K,) class shares of the training pairs.

    Returns:
        Node type of either end → (N, K + 1) float32.
    """
    seen = torch.nonzero(view.label).squeeze(1)
    found: dict[str, Tensor] = {}
    for name, ends in ((graph.entity[0], graph.pair_src), (graph.entity[2], graph.pair_dst)):
        size, classes = graph.num_nodes[name], len(graph.classes)
        counts = torch.bincount(ends[seen] * classes + graph.codes[seen], minlength=size * classes).view(size, classes)
        total = counts.sum(1, keepdim=True).float()
        share = (counts + strength * prior) / (total + strength)
        history = torch.cat([torch.log(share / prior), torch.log1p(total)], dim=1)
        found[name] = found[name] + history if name in found else history  # both ends of one type: user → user
    return found
