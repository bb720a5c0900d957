"""The edge kernels as torch's sparse products: any device, and sums in a fixed order."""

from __future__ import annotations

import warnings
from functools import partial

import torch
from torch import Tensor

from graphsocial.graph.adjacency import Relation
from graphsocial.nn.kernels import Columns, _scatter

with warnings.catch_warnings():  # torch warns once per process; here it is ignored
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
    torch.sparse_csr_tensor(
        torch.tensor([0, 0]), torch.tensor([]).long(), torch.tensor([]), (1, 1), check_invariants=False
    )


def add_weighted(relation: Relation, weights: Tensor, x: Tensor, out: Columns, fresh: bool) -> None:
    """Add the weighted sum of each destination's neighbors to columns of `out`; see `kernels`.

    Args:
        relation: the edges.
        weights: (E, K), **sorted** as the relation's edges.
        x: (num_src, H).
        out: H columns of (num_dst, ≥ H), updated in place.
        fresh: `out` has no values yet: it is overwritten.
    """
    columns_of_out = out.view(x.shape[1])
    for head, columns in enumerate(_columns(x, weights)):
        matrix = _matrix(relation, weights[:, head])
        head_columns = columns_of_out[:, columns]
        sums = matrix @ x[:, columns].contiguous()
        head_columns.copy_(sums) if fresh else head_columns.add_(sums)


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
    upstream = grad.view(x.shape[1])
    d_weights = torch.empty_like(weights) if wants_weights else None
    for head, columns in enumerate(_columns(x, weights)):
        left = upstream[:, columns].contiguous()
        if d_weights is not None:
            pattern = _matrix(relation, weights[:, head])  # its values do not matter: beta is 0
            dots = torch.sparse.sampled_addmm(pattern, left, x[:, columns].contiguous().t(), beta=0.0)
            d_weights[:, head] = dots.values()
        if d_x is not None:
            sums = _transposed(relation, weights[:, head]) @ left
            d_x[:, columns].copy_(sums) if fresh else d_x[:, columns].add_(sums)
    return d_weights


def sum_by_dst(relation: Relation, values: Tensor) -> Tensor:
    """Sum (E, K) over the edges into each destination; (num_dst, K)."""
    ones = values.new_ones(relation.num_src)
    return torch.stack([_matrix(relation, value) @ ones for value in values.unbind(1)], 1)


def _sum_by_src(relation: Relation, values: Tensor) -> Tensor:
    ones = values.new_ones(relation.num_dst)
    return torch.stack([_transposed(relation, value) @ ones for value in values.unbind(1)], 1)


def _max_by_dst(relation: Relation, values: Tensor) -> Tensor:
    return torch.segment_reduce(values, "max", offsets=relation.indptr.long(), initial=float("-inf"))


softmax = partial(_scatter.softmax, sum_by_dst=sum_by_dst, max_by_dst=_max_by_dst)
softmax_back = partial(_scatter.softmax_back, sum_by_dst=sum_by_dst, sum_by_src=_sum_by_src)


def _columns(x: Tensor, weights: Tensor) -> list[slice]:
    width = x.shape[1] // weights.shape[1]
    return [slice(head * width, (head + 1) * width) for head in range(weights.shape[1])]


def _matrix(relation: Relation, entries: Tensor) -> Tensor:
    shape = (relation.num_dst, relation.num_src)
    return torch.sparse_csr_tensor(relation.indptr, relation.src, entries.contiguous(), shape, check_invariants=False)


def _transposed(relation: Relation, entries: Tensor) -> Tensor:
    back, shape = relation.transpose, (relation.num_src, relation.num_dst)
    return torch.sparse_csr_tensor(
        back.indptr, back.dst, entries.index_select(0, back.order), shape, check_invariants=False
    )
