"""Which edges, features and labels a batch may use: never those it predicts, nor anything after its time."""

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
    """What a model may use of supervised edges, other than the training edges that are not in the batch.

    `hidden`: the edge is not in the message graph. `structure`: it is, without its features (comments, from which
    labels are often derived). `full`: with its features. Labels of edges in the batch, and of edges that are not
    training edges, are hidden in every state. A state applies to the pair: to every edge between its two endpoints, in
    both directions, duplicates included.

    Attributes:
        predicted: state of the pairs in the batch, whose labels are predicted.
        validation: state of the validation pairs while others are predicted.
        test: state of the test pairs while others are predicted.
        reciprocal: whether the edge B → A may be used, as far as its own state and time allow, while A → B is
            predicted; for edges between nodes of one type. `hidden` hides its label too.
    """

    predicted: State = "hidden"
    validation: State = "hidden"
    test: State = "hidden"
    reciprocal: Literal["visible", "hidden"] = "visible"

    def __post_init__(self) -> None:
        if self.reciprocal not in ("visible", "hidden"):
            raise InputError(f"reciprocal is 'visible' or 'hidden', not '{self.reciprocal}'.")
        for value in (self.predicted, self.validation, self.test):
            if value not in STATES:
                raise InputError(f"'{value}' is no state of an edge; use one of {', '.join(STATES)}.")


@dataclass(frozen=True)
class View:
    """What a batch may use, by example and time.

    Attributes:
        edge: (P,) bool, the edges of the pair may be used; True for nodes.
        features: (P,) bool, the features of these edges may be used.
        label: (P,) bool, the labels may be used: `graph.target_labels[target][view.label]`.
        before: node type → (N,) int64 microseconds: only edges earlier than their destination's value may be used; None
            where time does not matter. The value is the time of the batch's earliest example; for nodes that are
            examples of the batch, just after their own time, so that edges created with them may be used.
    """

    edge: Tensor
    features: Tensor
    label: Tensor
    before: Mapping[str, Tensor] | None = None

    @classmethod
    def of(
        cls,
        roles: Tensor,
        labelled: Tensor,
        visibility: Visibility,
        examples: Tensor | None = None,
        opposite: Tensor | None = None,
    ) -> View:
        """The view of a batch, regardless of time.

        Args:
            roles: (P,) split roles: 0 train, 1 validation, 2 test, -1 none.
            labelled: (P,) bool, a label is known.
            visibility: what may be used of supervised edges.
            examples: (B,) positions of the batch's examples.
            opposite: (P,) position of the example in the opposite direction, -1 where there is none; None where
                the endpoints are of different types.
        """
        edge = torch.ones_like(roles, dtype=torch.bool)
        features = edge.clone()
        label = (roles == 0) & labelled
        for which, state in ((roles == 1, visibility.validation), (roles == 2, visibility.test)):
            edge[which] = state != "hidden"
            features[which] = state == "full"
        if examples is not None:
            edge[examples] = visibility.predicted != "hidden"
            features[examples] = visibility.predicted == "full"
            label[examples] = False
            if opposite is not None and visibility.reciprocal == "hidden":
                others = opposite[examples]
                others = others[others >= 0]
                edge[others], features[others], label[others] = False, False, False
        return cls(edge, features, label)

    def until(self, graph: SocialGraph, examples: Tensor) -> View:
        """The view without edges after the earliest of these examples, and without labels not known before it.

        Raises:
            InputError: the examples have no times.
        """
        if graph.example_time is None:
            raise InputError("The data has no times, so messages cannot be kept to earlier ones.")
        times = graph.example_time[examples]
        earliest = int(times.min())
        label_time = graph.example_time if graph.label_time is None else graph.label_time
        before = {name: torch.full((size,), earliest) for name, size in graph.num_nodes.items()}
        if isinstance(graph.entity, str):
            before[graph.entity][graph.ends[0][examples]] = torch.where(times < NEVER, times + 1, earliest)
        known = label_time < earliest
        if graph.ends_time is not None:
            known = known & (graph.ends_time < earliest)
        return replace(self, label=self.label & known, before=before)


def edge_mask(graph: SocialGraph, view: View) -> dict[Canonical, Tensor | None]:
    """Canonical edge type → (E,) bool, which edges the view lets be used; None where all are.

    It goes by example, so it covers both directions and duplicates; and by time.
    """
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
