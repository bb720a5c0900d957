"""The softmax over edges, and its gradient, from whole-tensor operations; for kernels without a fused one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphsocial.graph.adjacency import Relation
from graphsocial.nn.kernels import Scores

ByNode = Callable[[Relation, Tensor], Tensor]


def softmax(
    relations: Sequence[Relation],
    scores: Scores,
    keep: Sequence[Tensor | None],
    self_logit: Tensor | None,
    slope: float,
    *,
    sum_by_dst: ByNode,
    max_by_dst: ByNode,
) -> tuple[list[Tensor], Tensor | None]:
    """The weights of one softmax over all relations' edges and the self loop; see `kernels`.

    Args:
        relations: R relations into the same nodes.
        scores: the parts of the edges' logits.
        keep: for each relation (E,) bool, **sorted**, False for edges to leave out, or None to keep all.
        self_logit: (num_dst, K) logits of the self loop, after the LeakyReLU, or None for no self loop.
        slope: slope of the LeakyReLU.
        sum_by_dst: sums values (E, K) over the edges into each destination.
        max_by_dst: likewise their maximum, -inf where there is no edge.

    Returns:
        (E, K) weights of each relation, **sorted**, and (num_dst, K) of the self loop or None.
    """
    logits = []
    for relation, source, destination, edge, kept in zip(relations, *scores, keep, strict=True):
        logit = leaky_relu(_logits(relation, source, destination, edge), slope)
        logits.append(logit if kept is None else logit.masked_fill(~kept[:, None], float("-inf")))
    tops = [max_by_dst(relation, logit) for relation, logit in zip(relations, logits, strict=True)]
    top = reduce(torch.maximum, tops if self_logit is None else [*tops, self_logit])
    top = top.clamp_min(torch.finfo(top.dtype).min)  # no edge at all: -inf less -inf would be nan
    weights = [(logit - top.index_select(0, r.dst)).exp_() for r, logit in zip(relations, logits, strict=True)]
    self_weight = None if self_logit is None else (self_logit - top).exp_()
    sums = [sum_by_dst(relation, weight) for relation, weight in zip(relations, weights, strict=True)]
    total = reduce(torch.add, sums if self_weight is None else [*sums, self_weight])
    scale = total.clamp_min(torch.finfo(total.dtype).tiny).reciprocal_()  # touches only nodes without any edge
    for relation, weight in zip(relations, weights, strict=True):
        weight *= scale.index_select(0, relation.dst)
    return weights, None if self_weight is None else self_weight * scale


def softmax_back(
    relations: Sequence[Relation],
    scores: Scores,
    slope: float,
    weights: Sequence[Tensor],
    grads: Sequence[Tensor],
    mean: Tensor,
    *,
    sum_by_dst: ByNode,
    sum_by_src: ByNode,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each relation the gradients of its source, destination and edge scores; see `kernels`.

    Args:
        relations: R relations into the same nodes.
        scores: the parts of the edges' logits, as for `softmax`.
        slope: slope of the LeakyReLU.
        weights: (E, K) of each relation, as `softmax` returned them.
        grads: (E, K) of each relation, the gradients of the weights.
        mean: (num_dst, K), w g of the self loop, 0 without one; Σ w g over the edges is added in place.
        sum_by_dst: sums values (E, K) over the edges into each destination.
        sum_by_src: likewise over the edges from each source.
    """
    products = [weight * grad for weight, grad in zip(weights, grads, strict=True)]
    for relation, product in zip(relations, products, strict=True):
        mean += sum_by_dst(relation, product)
    gradients = []
    for relation, source, destination, edge, weight, product in zip(relations, *scores, weights, products, strict=True):
        back = product.sub_(weight * mean.index_select(0, relation.dst))
        back = torch.where(_logits(relation, source, destination, edge) > 0, back, back * slope)
        gradients.append((sum_by_src(relation, back), sum_by_dst(relation, back), back))
    return gradients


def _logits(relation: Relation, source: Tensor, destination: Tensor, edge: Tensor | None) -> Tensor:
    logit = source.index_select(0, relation.src)
    logit += destination.index_select(0, relation.dst)
    return logit if edge is None else logit.add_(edge)
