"""The nodes of an example's sequence: the attention to each, and the drop of the score without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.explanation.ablation import without_nodes
from graphsocial.explanation.attribution import ExplainedBatch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SequenceContext:
    """The sequences of B examples, padded to S positions.

    Attributes:
        nodes: (B, S) row numbers of the nodes in sequence order, -1 for padding.
        position: (B,) the position of the example itself.
        attention: name → (B, S), the example's attention to each node.
        effects: target → (B, S), the drop of the score when that node is blanked; NaN for padding.
    """

    nodes: NDArray[np.int64]
    position: NDArray[np.int64]
    attention: Mapping[str, Floats]
    effects: Mapping[str, Floats]

    def fidelity(self, name: str, target: str, top: int) -> Floats:
        """(B,) the summed drops of the `top` most attended nodes less those of as many random ones.

        Nodes are blanked one at a time, so the expected sum over random ones is `top` times the mean over all.

        Args:
            name: name of the attention.
            target: name of the target whose drops are summed.
            top: number of nodes; NaN where a sequence has no more than that.
        """
        effects = self.effects[target]
        weights = np.where(self.nodes >= 0, self.attention[name], -1.0)
        most_attended = np.argsort(-weights, axis=1, kind="stable")[:, :top]
        count = (self.nodes >= 0).sum(1)
        total = np.take_along_axis(effects, most_attended, axis=1).sum(1)
        return np.where(count > top, total - top * np.nansum(effects, axis=1) / count, np.nan)


def sequence_context(explained: ExplainedBatch) -> SequenceContext | None:
    """The sequence around each example, for networks that read examples in their order; else None.

    The attention is that of the network. The effects are measured: each position is blanked in all sequences at once,
    and all examples are predicted again, with as many forward passes as the longest sequence has nodes. This works
    without attention too, and shows whether attention is faithful. Where messages are passed between sequences as well,
    the drop is that of the same position in all of them.
    """
    trace = explained.trace
    if trace.sequence is None:
        return None
    nodes = trace.sequence[explained.rows]  # (B, S)
    position = (nodes == explained.graph.ends[0][explained.examples][:, None]).long().argmax(1)
    return SequenceContext(
        nodes.numpy(),
        position.numpy(),
        {name: weights[explained.rows].double().numpy() for name, weights in trace.sequence_attention.items()},
        {name: effects.numpy() for name, effects in _effects(explained, nodes).items()},
    )


def _effects(explained: ExplainedBatch, nodes: Tensor) -> dict[str, Tensor]:
    """Target → (B, S)."""
    present = nodes >= 0
    effects = {name: torch.full(nodes.shape, torch.nan, dtype=torch.float64) for name in explained.full_scores}
    for position in range(int(present.sum(1).max())):
        blanked = nodes[present[:, position], position]
        graph, batch = without_nodes(explained.graph, explained.batch, explained.graph.end_types[0], blanked)
        for name, scores in explained.scores(graph, batch).items():
            drop = explained.full_scores[name] - scores
            effects[name][:, position] = torch.where(present[:, position], drop.double(), torch.nan)
    return effects
