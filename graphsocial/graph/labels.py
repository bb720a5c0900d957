"""Known labels as inputs: those of a node's visible edges, and those of each edge of a layer."""

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
    """Statistics of the labels on each node's edges that the view shows: log class shares, log count, mean numbers.

    The log share of each class is relative to the prior. Shares are smoothed towards the prior, and means towards 0, by
    `strength` pseudo-counts, so that a node without labels gets zeros.

    Args:
        graph: a graph with two endpoints per example.
        view: which labels may be used.
        prior: (K,) class shares of the training pairs.
        numbers: (P, M) standardised labels of the targets that are numbers; NaN where unknown.
        strength: pseudo-counts.

    Returns:
        Node type of each endpoint → (N, K + 1 + M) float32.
    """
    seen = torch.nonzero(view.label).squeeze(1)
    values = numbers[seen] if numbers is not None else torch.zeros(len(seen), 0)
    known = ~torch.isnan(values)
    histories: dict[str, Tensor] = {}
    for name, ends in zip(graph.end_types, graph.ends, strict=True):
        size, classes = graph.num_nodes[name], len(graph.classes)
        coded = seen[graph.codes[seen] >= 0]
        counts = torch.bincount(ends[coded] * classes + graph.codes[coded], minlength=size * classes)[: size * classes]
        counts = counts.view(size, classes) if classes else torch.zeros(size, 0)
        total = counts.sum(1, keepdim=True).float()
        share = (counts + strength * prior) / (total + strength)
        if not classes:
            total = torch.bincount(ends[seen], minlength=size).float()[:, None]
        sums = torch.zeros(2, size, values.shape[1])
        sums.index_add_(1, ends[seen], torch.stack([values.nan_to_num(), known]))
        history = torch.cat([torch.log(share / prior), torch.log1p(total), sums[0] / (sums[1] + strength)], dim=1)
        # both endpoints of one type: user → user
        histories[name] = histories[name] + history if name in histories else history
    return histories


def known_labels(
    graph: SocialGraph, view: View, layer: Layer, kinds: Sequence[Canonical], target_labels: Tensor | None = None
) -> dict[Canonical, Tensor]:
    """The labels of a layer's edges that the view shows, in the layer's order.

    Args:
        graph: the graph.
        view: which labels may be used.
        layer: the layer.
        kinds: supervised edge types.
        target_labels: (P, M) numbers, NaN where unknown; the first target's class codes by default.

    Returns:
        Edge type → (E,) int64 codes, -1 where hidden or unknown; or (E, M) numbers, 0 there.
    """
    labels = {}
    for kind in kinds:
        example = graph.edges[kind].example
        assert example is not None  # only supervised edges have labels
        if layer.edge_ids is not None:
            example = example[layer.edge_ids[kind]]
        mask = layer.mask[kind]
        shown = view.label[example] if mask is None else view.label[example] & mask
        if target_labels is None:
            labels[kind] = torch.where(shown, graph.codes[example], -1)
        else:
            labels[kind] = torch.where(shown[:, None], target_labels[example].nan_to_num(), 0.0)
    return labels
