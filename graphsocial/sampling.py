"""What a batch may see: never the edge that it asks about, nor anything from after its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph import NEVER, Canonical, NodeRows, SocialGraph
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
class View:
    """What a batch may use: of each example, and up to which time.

    Attributes:
        edge: (P,) bool, the edges of the pair are there; True for nodes.
        features: (P,) bool, these edges show their features.
        label: (P,) bool, the answers are shown.
        before: node type → (N,) int64 microseconds: an edge into a node is there only if it is earlier; None where time
            does not matter. It is the time of the batch's earliest example, and for the nodes that are asked about
            their own time, which still lets in the edges that came with them.
    """

    edge: Tensor
    features: Tensor
    label: Tensor
    before: Mapping[str, Tensor] | None = None

    @classmethod
    def of(cls, roles: Tensor, answered: Tensor, visibility: Visibility, asked: Tensor | None = None) -> View:
        """The view of a batch, whatever the time.

        Args:
            roles: (P,) 0 train, 1 validation, 2 test, -1 not supervised.
            answered: (P,) bool, an answer is known.
            asked: positions of the examples being predicted.
        """
        edge = torch.ones_like(roles, dtype=torch.bool)
        features = edge.clone()
        label = (roles == 0) & answered
        for which, state in ((roles == 1, visibility.validation), (roles == 2, visibility.test)):
            edge[which] = state != "hidden"
            features[which] = state == "full"
        if asked is not None:
            edge[asked] = visibility.asked != "hidden"
            features[asked] = visibility.asked == "full"
            label[asked] = False
        return cls(edge, features, label)

    def until(self, graph: SocialGraph, asked: Tensor) -> View:
        """Without what came after the earliest of these examples: edges, and answers that were not known before it.

        Raises:
            InputError: the examples have no times.
        """
        if graph.example_time is None:
            raise InputError("The data has no times, so messages cannot be kept to earlier ones.")
        times = graph.example_time[asked]
        earliest = int(times.min())
        known = graph.example_time if graph.known_time is None else graph.known_time
        before = {name: torch.full((size,), earliest) for name, size in graph.num_nodes.items()}
        if isinstance(graph.entity, str):
            before[graph.entity][graph.ends[0][asked]] = torch.where(times < NEVER, times + 1, earliest)
        return replace(self, label=self.label & (known < earliest), before=before)


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


def edge_mask(graph: SocialGraph, view: View) -> dict[Canonical, Tensor | None]:
    """Which message edges are there: by example, so both directions and duplicates; and in time, only earlier ones."""
    masks: dict[Canonical, Tensor | None] = {}
    for kind, edges in graph.edges.items():
        mask = view.edge[edges.example] if edges.example is not None else None
        if view.before is not None and edges.time is not None:
            earlier = edges.time < view.before[kind[2]][edges.dst]
            mask = earlier if mask is None else mask & earlier
        masks[kind] = mask
    return masks


def label_history(
    graph: SocialGraph, view: View, prior: Tensor, numbers: Tensor | None = None, strength: float = 2.0
) -> dict[str, Tensor]:
    """What labels a node's visible edges carry: log share of each class against the prior, the log count, mean numbers.

    A share is smoothed towards the prior, and a mean towards 0, by `strength` imaginary edges, so that a node without
    labels is neutral.

    Args:
        prior: (K,) class shares of the training pairs.
        numbers: (P, M) standardised answers that are numbers; NaN where unknown.

    Returns:
        Node type of either end → (N, K + 1 + M) float32.
    """
    seen = torch.nonzero(view.label).squeeze(1)
    told = numbers[seen] if numbers is not None else torch.zeros(len(seen), 0)
    known = ~torch.isnan(told)
    found: dict[str, Tensor] = {}
    for name, ends in zip(graph.end_types, graph.ends, strict=True):
        size, classes = graph.num_nodes[name], len(graph.classes)
        counts = torch.bincount(ends[seen] * classes + graph.codes[seen], minlength=size * classes).view(size, classes)
        total = counts.sum(1, keepdim=True).float()
        share = (counts + strength * prior) / (total + strength)
        sums = torch.zeros(2, size, told.shape[1]).index_add_(1, ends[seen], torch.stack([told.nan_to_num(), known]))
        history = torch.cat([torch.log(share / prior), torch.log1p(total), sums[0] / (sums[1] + strength)], dim=1)
        found[name] = found[name] + history if name in found else history  # both ends of one type: user → user
    return found


def known_labels(
    graph: SocialGraph, view: View, layer: Layer, kinds: Sequence[Canonical], answers: Tensor | None = None
) -> dict[Canonical, Tensor]:
    """What each edge of a layer shows of its answers, in the layer's order.

    Args:
        answers: (P, M) numbers; the class codes by default.

    Returns:
        Edge type → (E,) int64 codes, -1 where an edge shows none; or (E, M) numbers, 0 where it shows none.
    """
    found = {}
    for kind in kinds:
        example = graph.edges[kind].example
        assert example is not None  # only supervised edges have labels
        if layer.edge_ids is not None:
            example = example[layer.edge_ids[kind]]
        mask = layer.mask[kind]
        shown = view.label[example] if mask is None else view.label[example] & mask
        if answers is None:
            found[kind] = torch.where(shown, graph.codes[example], -1)
        else:
            found[kind] = torch.where(shown[:, None], answers[example].nan_to_num(), 0.0)
    return found
