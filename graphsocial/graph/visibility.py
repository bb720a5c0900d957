"""What a batch may see: never the edge that it asks about, nor anything from after its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph import NEVER, Canonical, SocialGraph

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
        known = graph.example_time if graph.label_time is None else graph.label_time
        before = {name: torch.full((size,), earliest) for name, size in graph.num_nodes.items()}
        if isinstance(graph.entity, str):
            before[graph.entity][graph.ends[0][asked]] = torch.where(times < NEVER, times + 1, earliest)
        return replace(self, label=self.label & (known < earliest), before=before)


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


def shown_vectors(graph: SocialGraph, kind: Canonical, shown: Tensor, edge_ids: Tensor | None) -> list[Tensor]:
    """For each feature of one edge type, the row of its vector on each edge: (E,), -1 where there is none to see.

    Args:
        graph: the graph.
        kind: an edge type that has features.
        shown: (P,) bool, the examples whose edges' features may be seen (`View.features`).
        edge_ids: (E,) positions in `SocialGraph.edges`; all edges by default.
    """
    example = graph.edges[kind].example
    if example is not None:
        shown = shown[example if edge_ids is None else example[edge_ids]]
    rows = (part.index if edge_ids is None else part.index[edge_ids] for part in graph.edge_features[kind])
    return [index if example is None else torch.where(shown, index, -1) for index in rows]
