"""Which known labels a batch shows: those of a node's visible edges, and those of each edge of a layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphsocial.graph import Canonical, SocialGraph
from graphsocial.graph.layers import Layer
from graphsocial.graph.visibility import View


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
