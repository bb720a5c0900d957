"""The edge kernels for the CPU, as compiled loops over the edges (`_loops`) that run in several threads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from graphsocial._compat.memory import keep_freed
from graphsocial._compat.numba_threads import run
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.kernels import Columns, Scores, _loops

keep_freed()


def add_weighted(relation: Relation, weights: Tensor, x: Tensor, out: Columns, fresh: bool) -> None:
    """Add the weighted sum of each destination's neighbors to columns of `out`; see `kernels`.

    Args:
        relation: the edges.
        weights: (E, K), **sorted** as the relation's edges.
        x: (num_src, H).
        out: H columns of (num_dst, ≥ H), updated in place.
        fresh: `out` has no values yet: it is overwritten.
    """
    run(
        _loops.add_rows,
        relation.parts,
        relation.num_edges * x.shape[1],
        relation.indptr,
        relation.src,
        weights,
        x,
        out.tensor,
        fresh,
        out.start,
    )


def add_weighted_back(
    relation: Relation, weights: Tensor, x: Tensor, grad: Columns, d_x: Tensor | None, fresh: bool, wants_weights: bool
) -> Tensor | None:
    """Add to the gradient of `x`, and return that of the weights; see `kernels`.

    Args:
        relation: the edges.
        weights: (E, K), **sorted** as the relation's edges.
        x: (num_src, H).
        grad: gradient of the sums, H columns of (num_dst, ≥ H).
        d_x: (num_src, H) gradient of `x`, updated in place; None where it is not needed.
        fresh: `d_x` has no values yet: it is overwritten.
        wants_weights: whether to compute the gradient of the weights.

    Returns:
        (E, K) gradient of the weights, or None.
    """
    if d_x is None and not wants_weights:
        return None
    d_weights = torch.empty_like(weights)
    run(
        _loops.add_rows_back,
        relation.t_parts,
        2 * relation.num_edges * x.shape[1],
        *(*relation.transpose, weights, x, grad.tensor),
        *(x if d_x is None else d_x, d_weights, fresh, d_x is not None, wants_weights, grad.start),
    )
    return d_weights if wants_weights else None


def softmax(
    relations: Sequence[Relation],
    scores: Scores,
    keep: Sequence[Tensor | None],
    self_logit: Tensor | None,
    slope: float,
) -> tuple[list[Tensor], Tensor | None]:
    """The weights of one softmax over all relations' edges and the self loop; see `kernels`.

    Args:
        relations: R relations into the same nodes.
        scores: the parts of the edges' logits.
        keep: for each relation (E,) bool, **sorted**, False for edges to leave out, or None to keep all.
        self_logit: (num_dst, K) logits of the self loop, after the LeakyReLU, or None for no self loop.
        slope: slope of the LeakyReLU.

    Returns:
        (E, K) weights of each relation, **sorted**, and (num_dst, K) of the self loop or None.
    """
    like = scores.destinations[0] if self_logit is None else self_logit
    top = torch.full_like(like, -math.inf) if self_logit is None else self_logit.clone()
    total = torch.zeros_like(like) if self_logit is None else (self_logit > -math.inf).to(self_logit.dtype)
    slope = like.numpy().dtype.type(slope)
    results, tops = [], []
    for relation, source, destination, edge, kept in zip(relations, *scores, keep, strict=True):
        weights, reference = source.new_empty(relation.num_edges, source.shape[1]), torch.empty_like(like)
        run(
            _loops.exponentials,
            relation.parts,
            8 * weights.numel(),
            *(relation.indptr, relation.src, source, destination, source[:0] if edge is None else edge),
            *(relation.src.new_empty(0, dtype=torch.bool) if kept is None else kept, slope),
            *(weights, top, total, reference),
        )
        results.append(weights)
        tops.append(reference)
    for relation, weights, reference in zip(relations, results, tops, strict=True):
        run(_loops.normalise, relation.parts, weights.numel(), relation.indptr, weights, top, total, reference)
    if self_logit is None:
        return results, None
    bounds = torch.finfo(top.dtype)
    return results, (self_logit - top.clamp_min(bounds.min)).exp_().div_(total.clamp_min(bounds.tiny))


def softmax_back(
    relations: Sequence[Relation],
    scores: Scores,
    slope: float,
    weights: Sequence[Tensor],
    grads: Sequence[Tensor],
    mean: Tensor,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each relation the gradients of its source, destination and edge scores; see `kernels`.

    Args:
        relations: R relations into the same nodes.
        scores: the parts of the edges' logits, as for `softmax`.
        slope: slope of the LeakyReLU.
        weights: (E, K) of each relation, as `softmax` returned them.
        grads: (E, K) of each relation, the gradients of the weights.
        mean: (num_dst, K), w g of the self loop, 0 without one; Σ w g over the edges is added in place.
    """
    for relation, weight, grad in zip(relations, weights, grads, strict=True):
        run(_loops.add_means, relation.parts, weight.numel(), relation.indptr, weight, grad, mean)
    gradients = []
    slope = mean.numpy().dtype.type(slope)
    for relation, source, destination, edge, weight, grad in zip(relations, *scores, weights, grads, strict=True):
        d_logits, d_destination, d_source = (torch.empty_like(part) for part in (weight, destination, source))
        run(
            _loops.exponentials_back,
            relation.parts,
            4 * weight.numel(),
            *(relation.indptr, relation.src, source, destination, source[:0] if edge is None else edge),
            *(slope, weight, grad, mean, d_logits, d_destination),
        )
        back = relation.transpose
        run(_loops.sum_edges, relation.t_parts, weight.numel(), back.indptr, back.order, d_logits, d_source)
        gradients.append((d_source, d_destination, d_logits))
    return gradients


def sum_by_dst(relation: Relation, values: Tensor) -> Tensor:
    """Sum (E, K) over the edges into each destination; (num_dst, K)."""
    out = values.new_empty(relation.num_dst, values.shape[1])
    run(_loops.sum_edges, relation.parts, values.numel(), relation.indptr, relation.indptr[:0], values, out)
    return out
