"""Means of the neighbours' vectors, taken once while the graph is built (HMG-Emo, eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from graphsocial.graph.features import Feature


def mean_over(feature: Feature, to: Tensor, of: Tensor, count: int) -> Feature:
    """HMG-Emo, eq. 1: the mean of the neighbours' vectors, for those that have a neighbour with one.

    Args:
        feature: the neighbours' vectors.
        to, of: (E,) int64, the edges between `count` nodes and their neighbours.
    """
    known = feature.index[of] >= 0
    to, order = torch.sort(to[known], stable=True)
    number = torch.bincount(to, minlength=count)
    some = number > 0
    starts = (number.cumsum(0) - number)[some]
    means = embedding_bag(feature.index[of[known]][order], feature.vectors, starts, mode="mean")
    return Feature(f"mean of {feature.name}", means, torch.where(some, some.cumsum(0) - 1, -1))
