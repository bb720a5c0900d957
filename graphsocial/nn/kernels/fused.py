"""The edge kernels for the CPU, compiled by numba: one pass over the edges each, rows fetched ahead of their use.

What bounds message passing is fetching a row of H numbers per edge from all over memory. The processor cannot guess
which row comes next, but the index array says it: each kernel asks for the row of the edge `AHEAD` steps on. That alone
makes these passes 2 to 3 times faster than a library's CSR product. Every output row is summed by one thread in the
order of its edges, so results do not depend on the number of threads.

Kernels take a range of rows `lo .. hi` and release the GIL; threads of torch's number share the ranges.
Arrays: indptr (N + 1), index (E) the other end of each edge, per-edge values (E, K) for K heads, rows (N, H).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graphsocial._compat.memory import keep_freed
from graphsocial._compat.numba_threads import compiled, run
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.kernels import Columns, Scores
from graphsocial.nn.kernels._vectors import AHEAD, BLOCK, add_block, add_block_back, prefetch

keep_freed()

_fetch_row = prefetch(4)  # the first 64 float32; hardware follows with the rest
_fetch_one = prefetch(1)


@compiled
def _add_rows(lo, hi, indptr, index, weights, x, out, fresh, column):  # type: ignore[no-untyped-def]
    """out_i += Σ_k w_k x[index_k], from a column on; a `fresh` out holds nothing yet."""
    last, heads = indptr[hi], weights.shape[1]
    width = x.shape[1] // heads
    for i in range(lo, hi):
        total = out[i, column : column + x.shape[1]]
        if fresh:
            total[:] = 0
        if heads == 1 and width % BLOCK == 0:
            for h in range(0, width, BLOCK):
                add_block(out, i, column + h, x, h, index, weights, indptr[i], indptr[i + 1], last)
            continue
        for k in range(indptr[i], indptr[i + 1]):
            if k + AHEAD < last:
                _fetch_row(x, index[k + AHEAD], 0)
            for head in range(heads):
                w = weights[k, head]
                row = x[index[k], head * width : (head + 1) * width]
                into = total[head * width : (head + 1) * width]
                for h in range(width):
                    into[h] += w * row[h]


@compiled
def _add_rows_back(  # type: ignore[no-untyped-def]
    lo, hi, indptr, dst, order, weights, x, grad, d_x, d_weights, fresh, wants_x, wants_weights, column
):
    """From the sources' side: d_x_j += Σ_i w_ij g_i and d_w_ij = g_i · x_j, with g_i fetched once for both."""
    last, heads = indptr[hi], weights.shape[1]
    width = x.shape[1] // heads
    for j in range(lo, hi):
        if fresh and wants_x:
            d_x[j] = 0
        first, end = indptr[j], indptr[j + 1]
        if wants_x and wants_weights and heads == 1 and width % BLOCK == 0:
            for h in range(0, width, BLOCK):
                add_block_back(d_x, d_weights, j, x, h, grad, column + h, dst, order, weights, first, end, last)
            continue
        for k in range(first, end):
            if k + AHEAD < last:
                _fetch_row(grad, dst[k + AHEAD], column)
                _fetch_one(weights, order[k + AHEAD], 0)
                _fetch_one(d_weights, order[k + AHEAD], 0)
            edge = order[k]
            for head in range(heads):
                upstream = grad[dst[k], column + head * width : column + (head + 1) * width]
                if wants_weights:
                    row = x[j, head * width : (head + 1) * width]
                    dot = x.dtype.type(0)
                    for h in range(width):
                        dot += upstream[h] * row[h]
                    d_weights[edge, head] = dot
                if wants_x:
                    w = weights[edge, head]
                    into = d_x[j, head * width : (head + 1) * width]
                    for h in range(width):
                        into[h] += w * upstream[h]


@compiled
def _exponentials(lo, hi, indptr, src, source, destination, edge, keep, slope, weights, top, total, at):  # type: ignore[no-untyped-def]
    """w = exp(f(s_j + d_i + e) - top_i), with the largest logit and the sum so far kept for further relations.

    `at` is the top that a row's weights refer to: later relations may raise it.
    """
    for i in range(lo, hi):
        first, end = indptr[i], indptr[i + 1]
        for head in range(weights.shape[1]):
            high = top[i, head]
            for k in range(first, end):
                logit = destination[i, head] + source[src[k], head]
                if len(edge):
                    logit += edge[k, head]
                logit = max(logit, logit * slope)
                if len(keep) and not keep[k]:
                    logit = -np.inf
                weights[k, head] = logit
                high = max(high, logit)
            at[i, head] = high
            if high == -np.inf:  # nothing so far: all are masked
                for k in range(first, end):
                    weights[k, head] = 0
                continue
            sums = total[i, head] * math.exp(top[i, head] - high) if total[i, head] else total[i, head]
            for k in range(first, end):
                w = math.exp(weights[k, head] - high)
                weights[k, head] = w
                sums += w
            top[i, head], total[i, head] = high, sums


@compiled
def _normalise(lo, hi, indptr, weights, top, total, at):  # type: ignore[no-untyped-def]
    """w *= exp(at_i - top_i) / total_i"""
    for i in range(lo, hi):
        for head in range(weights.shape[1]):
            if total[i, head] > 0:
                scale = math.exp(at[i, head] - top[i, head]) / total[i, head]
                for k in range(indptr[i], indptr[i + 1]):
                    weights[k, head] *= scale


@compiled
def _add_means(lo, hi, indptr, weights, grads, mean):  # type: ignore[no-untyped-def]
    """mean_i += Σ_k w_k g_k"""
    for i in range(lo, hi):
        for head in range(weights.shape[1]):
            found = mean[i, head]
            for k in range(indptr[i], indptr[i + 1]):
                found += weights[k, head] * grads[k, head]
            mean[i, head] = found


@compiled
def _exponentials_back(  # type: ignore[no-untyped-def]
    lo, hi, indptr, src, source, destination, edge, slope, weights, grads, mean, d_logits, d_destination
):
    """d logit = w (g - mean_i) f', and its sum over each destination's edges."""
    for i in range(lo, hi):
        for head in range(weights.shape[1]):
            found = mean.dtype.type(0)
            for k in range(indptr[i], indptr[i + 1]):
                logit = destination[i, head] + source[src[k], head]
                if len(edge):
                    logit += edge[k, head]
                back = weights[k, head] * (grads[k, head] - mean[i, head])
                if not logit > 0:
                    back *= slope
                d_logits[k, head] = back
                found += back
            d_destination[i, head] = found


@compiled
def _sum_edges(lo, hi, indptr, order, values, out):  # type: ignore[no-untyped-def]
    """out_j = Σ_k values[order_k]; an empty order is the edges' own."""
    last = min(indptr[hi], len(order))
    for j in range(lo, hi):
        for head in range(values.shape[1]):
            found = values.dtype.type(0)
            for k in range(indptr[j], indptr[j + 1]):
                if k + AHEAD < last:
                    _fetch_one(values, order[k + AHEAD], 0)
                found += values[order[k] if len(order) else k, head]
            out[j, head] = found


def add_weighted(relation: Relation, weights: Tensor, x: Tensor, out: Columns, fresh: bool) -> None:
    """Add each destination's weighted neighbors to columns of `out`; see `kernels`."""
    run(
        _add_rows,
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
    """Add to `d_x`, and return the gradient of the weights where it is wanted; see `kernels`."""
    if d_x is None and not wants_weights:
        return None
    d_weights = torch.empty_like(weights)
    run(
        _add_rows_back,
        relation.t_parts,
        2 * relation.num_edges * x.shape[1],
        *(*relation.transpose, weights, x, grad.tensor),
        *(x if d_x is None else d_x, d_weights, fresh, d_x is not None, wants_weights, grad.start),
    )
    return d_weights if wants_weights else None


def softmax(
    relations: Sequence[Relation], scores: Scores, keep: Sequence[Tensor | None], own: Tensor | None, slope: float
) -> tuple[list[Tensor], Tensor | None]:
    """The weights of one softmax over all relations' edges and `own`; see `kernels`."""
    like = scores.destinations[0] if own is None else own
    top = torch.full_like(like, -math.inf) if own is None else own.clone()
    total = torch.zeros_like(like) if own is None else (own > -math.inf).to(own.dtype)
    slope = like.numpy().dtype.type(slope)
    results, at = [], []
    for relation, source, destination, edge, kept in zip(relations, *scores, keep, strict=True):
        weights, reference = source.new_empty(relation.num_edges, source.shape[1]), torch.empty_like(like)
        run(
            _exponentials,
            relation.parts,
            8 * weights.numel(),
            *(relation.indptr, relation.src, source, destination, source[:0] if edge is None else edge),
            *(relation.src.new_empty(0, dtype=torch.bool) if kept is None else kept, slope),
            *(weights, top, total, reference),
        )
        results.append(weights)
        at.append(reference)
    for relation, weights, reference in zip(relations, results, at, strict=True):
        run(_normalise, relation.parts, weights.numel(), relation.indptr, weights, top, total, reference)
    if own is None:
        return results, None
    bounds = torch.finfo(top.dtype)
    return results, (own - top.clamp_min(bounds.min)).exp_().div_(total.clamp_min(bounds.tiny))


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
        scores: what `softmax` was given.
        slope: of the LeakyReLU.
        weights: (E, K) of each relation, as `softmax` returned them.
        grads: (E, K) of each relation, the gradients of the weights.
        mean: (num_dst, K), Σ w g over what else is in the softmax (the self loop); the edges' part is added in place.
    """
    for relation, weight, grad in zip(relations, weights, grads, strict=True):
        run(_add_means, relation.parts, weight.numel(), relation.indptr, weight, grad, mean)
    gradients = []
    slope = mean.numpy().dtype.type(slope)
    for relation, source, destination, edge, weight, grad in zip(relations, *scores, weights, grads, strict=True):
        d_logits, d_destination, d_source = (torch.empty_like(part) for part in (weight, destination, source))
        run(
            _exponentials_back,
            relation.parts,
            4 * weight.numel(),
            *(relation.indptr, relation.src, source, destination, source[:0] if edge is None else edge),
            *(slope, weight, grad, mean, d_logits, d_destination),
        )
        back = relation.transpose
        run(_sum_edges, relation.t_parts, weight.numel(), back.indptr, back.order, d_logits, d_source)
        gradients.append((d_source, d_destination, d_logits))
    return gradients


def sum_by_dst(relation: Relation, values: Tensor) -> Tensor:
    """Sum (E, K) over the edges into each destination; (num_dst, K)."""
    out = values.new_empty(relation.num_dst, values.shape[1])
    run(_sum_edges, relation.parts, values.numel(), relation.indptr, relation.indptr[:0], values, out)
    return out
