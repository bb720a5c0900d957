"""What the others of a sequence have to do with an answer: how much it attends to them, what is lost without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.explanation.ablation import without_nodes
from graphsocial.explanation.attribution import Question

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Surroundings:
    """What each example was read together with, place by place.

    Attributes:
        nodes: (B, S) numbers of the nodes in their order, -1 beyond the end.
        own: (B,) the example's own place.
        attention: name → (B, S), how much the example attends to each.
        effects: target → (B, S), how much of the support goes when nothing is known of that node; NaN beyond the end.
    """

    nodes: NDArray[np.int64]
    own: NDArray[np.int64]
    attention: Mapping[str, Numbers]
    effects: Mapping[str, Numbers]

    def fidelity(self, name: str, target: str, top: int) -> Numbers:
        """(B,) how much more goes with the `top` most attended places, one at a time, than with as many random ones.

        It is the sum over these places less `top` times the mean over all, which is what random ones come to; NaN
        where there are no more than `top`.
        """
        effects = self.effects[target]
        weights = np.where(self.nodes >= 0, self.attention[name], -1.0)
        first = np.argsort(-weights, axis=1, kind="stable")[:, :top]
        count = (self.nodes >= 0).sum(1)
        of_first = np.take_along_axis(effects, first, axis=1).sum(1)
        return np.where(count > top, of_first - top * np.nansum(effects, axis=1) / count, np.nan)


def surroundings(question: Question) -> Surroundings | None:
    """Look at the places around each example, for networks that read examples in their order; else None.

    The attention is the network's own. The effects are measured: one place of all sequences after the other is read as
    if nothing were known of the node there, and all answers are given again, so that the passes are as many as the
    longest sequence is long. That serves networks with and without attention, and tells what attention is worth. Where
    messages are passed between sequences as well, the loss is that of the same place in all of them.
    """
    seen = question.seen
    if seen.beside is None:
        return None
    beside = seen.beside[question.rows]  # (B, S)
    own = (beside == question.graph.ends[0][question.examples][:, None]).long().argmax(1)
    return Surroundings(
        beside.numpy(),
        own.numpy(),
        {name: weights[question.rows].double().numpy() for name, weights in seen.places.items()},
        {name: found.numpy() for name, found in _effects(question, beside).items()},
    )


def _effects(question: Question, beside: Tensor) -> dict[str, Tensor]:
    """Target → (B, S)."""
    there = beside >= 0
    found = {name: torch.full(beside.shape, torch.nan, dtype=torch.float64) for name in question.unchanged}
    for place in range(int(there.sum(1).max())):
        nodes = beside[there[:, place], place]
        graph, batch = without_nodes(question.graph, question.batch, question.graph.end_types[0], nodes)
        for name, left in question.support(graph, batch).items():
            lost = question.unchanged[name] - left
            found[name][:, place] = torch.where(there[:, place], lost.double(), torch.nan)
    return found
