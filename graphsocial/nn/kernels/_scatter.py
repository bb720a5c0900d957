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
    own: Tensor | None,
    slope: float,
    *,
    sum_by_dst: ByNode,
    max_by_dst: ByNode,
) -> tuple[list[Tensor], Tensor | None]:
    """The weights of one softmax over all relations' edges and `own`; see `kernels`."""
    logits = []
    for relation, source, destination, edge, kept in zip(relations, *scores, keep, strict=True):
        logit = leaky_relu(_logits(relation, source, destination, edge), slope)
        logits.append(logit if kept is None else logit.masked_fill(~kept[:, None], float("-inf")))
    tops = [max_by_dst(relation, logit) for relation, logit in zip(relations, logits, strict=True)]
    top = reduce(torch.maximum, tops if own is None else [*tops, own])
    top = top.clamp_min(torch.finfo(top.dtype).min)  # no edge at all: -inf less -inf would be nan
    weights = [(logit - top.index_select(0, r.dst)).exp_() for r, logit in zip(relations, logits, strict=True)]
    own_weight = None if own is None else (own - top).exp_()
    sums = [sum_by_dst(relation, weight) for relation, weight in zip(relations, weights, strict=True)]
    total = reduce(torch.add, sums if own_weight is None else [*sums, own_weight])
    scale = total.clamp_min(torch.finfo(total.dtype).tiny).reciprocal_()  # touches only nodes without any edge
    for relation, weight in zip(relations, weights, strict=True):
        weight *= scale.index_select(0, relation.dst)
    return weights, None if own_weight is None else own_weight * scale


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
    """For each relation the gradients of its source, destination and edge scores; see `kernels`."""
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
