"""Loops over edges, compiled by numba: one pass over the edges each, rows fetched ahead of their use.

The bottleneck of message passing is fetching a row of H numbers per edge from anywhere in memory. The processor cannot
predict which row comes next, but the index array has it: each kernel prefetches the row of the edge `AHEAD` steps on.
This alone makes these passes 2 to 3 times faster than a library's CSR product. Every output row is summed by one thread
in the order of its edges, so results do not depend on the number of threads.

Kernels take a range of rows `lo .. hi` and release the GIL; threads of torch's number share the ranges.
Arrays: indptr (N + 1), index (E) the other end of each edge, per-edge values (E, K) for K heads, rows (N, H).
"""

from __future__ import annotations

import math

import numpy as np

from graphsocial._compat.numba_threads import compiled
from graphsocial.nn.kernels._vectors import AHEAD, BLOCK, add_block, add_block_back, prefetch

_fetch_row = prefetch(4)  # the first 64 float32; hardware follows with the rest
_fetch_one = prefetch(1)


@compiled
def add_rows(lo, hi, indptr, index, weights, x, out, fresh, column):  # type: ignore[no-untyped-def]
    """out_i += Σ_k w_k x[index_k], in H columns of `out`.

    Args:
        lo: first row of the range.
        hi: end of the range.
        indptr: (N + 1,) offsets of each row's edges.
        index: (E,) source of each edge.
        weights: (E, K).
        x: (num_src, H).
        out: (num_dst, ≥ H), written.
        fresh: `out` has no values yet: = for +=.
        column: first of the H columns of `out`.
    """
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
def add_rows_back(  # type: ignore[no-untyped-def]
    lo, hi, indptr, dst, order, weights, x, grad, d_x, d_weights, fresh, wants_x, wants_weights, column
):
    """For each source: d_x_j += Σ_i w_ij g_i and d_w_ij = g_i · x_j, with g_i fetched once for both.

    Args:
        lo: first row of the range.
        hi: end of the range.
        indptr: (N + 1,) offsets of each row's edges.
        dst: (E,) destination of each edge, by source.
        order: (E,) index of each edge in the order by destination.
        weights: (E, K), by destination.
        x: (num_src, H).
        grad: (num_dst, ≥ H) g.
        d_x: (num_src, H), written.
        d_weights: (E, K), by destination, written.
        fresh: `d_x` has no values yet: = for +=.
        wants_x: whether to compute `d_x`.
        wants_weights: whether to compute `d_weights`.
        column: first of the H columns of `grad`.
    """
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
def exponentials(lo, hi, indptr, src, source, destination, edge, keep, slope, weights, top, total, at):  # type: ignore[no-untyped-def]
    """w = exp(f(s_j + d_i + e) - top_i), with the running maximum and sum for one softmax over several relations.

    Args:
        lo: first row of the range.
        hi: end of the range.
        indptr: (N + 1,) offsets of each row's edges.
        src: (E,) source of each edge.
        source: s, (num_src, K).
        destination: d, (num_dst, K).
        edge: e, (E, K); empty for none.
        keep: (E,) bool, False for edges to leave out; empty to keep all.
        slope: slope of the LeakyReLU f.
        weights: (E, K), written.
        top: (num_dst, K) running maximum of the logits, updated.
        total: (num_dst, K) running sum of exp(logit - top), updated.
        at: (num_dst, K), written: the `top` of these weights, which later relations may raise.
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
            if high == -np.inf:  # no edge so far, or all are masked
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
def normalise(lo, hi, indptr, weights, top, total, at):  # type: ignore[no-untyped-def]
    """w *= exp(at_i - top_i) / total_i

    Args:
        lo: first row of the range.
        hi: end of the range.
        indptr: (N + 1,) offsets of each row's edges.
        weights: (E, K), updated.
        top: (num_dst, K) maximum of the logits of all relations.
        total: (num_dst, K) sum of exp(logit - top) over all relations.
        at: (num_dst, K) the maximum that `weights` were computed with.
    """
    for i in range(lo, hi):
        for head in range(weights.shape[1]):
            if total[i, head] > 0:
                scale = math.exp(at[i, head] - top[i, head]) / total[i, head]
                for k in range(indptr[i], indptr[i + 1]):
                    weights[k, head] *= scale


@compiled
def add_means(lo, hi, indptr, weights, grads, mean):  # type: ignore[no-untyped-def]
    """mean_i += Σ_k w_k g_k

    Args:
        lo: first row of the range.
        hi: end of the range.
        indptr: (N + 1,) offsets of each row's edges.
        weights: (E, K).
        grads: (E, K) g.
        mean: (num_dst, K), updated.
    """
    for i in range(lo, hi):
        for head in range(weights.shape[1]):
            total = mean[i, head]
            for k in range(indptr[i], indptr[i + 1]):
                total += weights[k, head] * grads[k, head]
            mean[i, head] = total


@compiled
def exponentials_back(  # type: ignore[no-untyped-def]
    lo, hi, indptr, src, source, destination, edge, slope, weights, grads, mean, d_logits, d_destination
):
    """d logit = w (g - mean_i) f', and its sum over each destination's edges.

    Args:
        lo: first row of the range.
        hi: end of the range.
        indptr: (N + 1,) offsets of each row's edges.
        src: (E,) source of each edge.
        source: s, (num_src, K).
        destination: d, (num_dst, K).
        edge: e, (E, K); empty for none.
        slope: slope of the LeakyReLU f.
        weights: (E, K) weights of the softmax.
        grads: (E, K) g, gradients of the weights.
        mean: (num_dst, K) Σ w g over the whole softmax.
        d_logits: (E, K), written.
        d_destination: (num_dst, K), written.
    """
    for i in range(lo, hi):
        for head in range(weights.shape[1]):
            total = mean.dtype.type(0)
            for k in range(indptr[i], indptr[i + 1]):
                logit = destination[i, head] + source[src[k], head]
                if len(edge):
                    logit += edge[k, head]
                back = weights[k, head] * (grads[k, head] - mean[i, head])
                if not logit > 0:
                    back *= slope
                d_logits[k, head] = back
                total += back
            d_destination[i, head] = total


@compiled
def sum_edges(lo, hi, indptr, order, values, out):  # type: ignore[no-untyped-def]
    """out_j = Σ_k values[order_k].

    Args:
        lo: first row of the range.
        hi: end of the range.
        indptr: (N + 1,) offsets of each row's edges.
        order: (E,) index into `values` of each edge; empty where the edges are in the order of `values`.
        values: (E, K).
        out: (N, K), written.
    """
    last = min(indptr[hi], len(order))
    for j in range(lo, hi):
        for head in range(values.shape[1]):
            total = values.dtype.type(0)
            for k in range(indptr[j], indptr[j + 1]):
                if k + AHEAD < last:
                    _fetch_one(values, order[k + AHEAD], 0)
                total += values[order[k] if len(order) else k, head]
            out[j, head] = total
