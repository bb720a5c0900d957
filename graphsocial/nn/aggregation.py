"""Weighted sums over neighbors, on which every message-passing layer is built."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.kernels import Columns, kernel_of


def weighted_sum(
    relations: Sequence[Relation],
    weights: Sequence[Tensor],
    values: Sequence[Tensor],
    *,
    self_weight: Tensor | None = None,
    self_value: Tensor | None = None,
) -> Tensor:
    r"""Weighted neighbors of all relations and the node itself, added up in one buffer.

    .. math:: y_i = w_{ii} v_i + \sum_r \sum_{j \in N_r(i)} w^r_{ij} v^r_j

    With K heads, each weighs its own H / K columns of the values.

    Args:
        relations: R relations into the same num_dst destinations; at least one, or a self term.
        weights: for each relation (E_r,) or (E_r, K), **sorted** as the relation's edges.
        values: for each relation (num_src_r, H).
        self_weight: (num_dst,), (num_dst, K) or None.
        self_value: (num_dst, H), with `self_weight`.

    Returns:
        (num_dst, H), differentiable in weights and values.
    """
    return _sums(relations, weights, values, self_weight, self_value, together=True)


def weighted_sums(relations: Sequence[Relation], weights: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """The weighted sums of `weighted_sum` for each relation, concatenated: (num_dst, ΣH_r).

    The gradient of a value that several relations use is added up in one buffer.

    Args:
        relations: R relations into the same num_dst destinations; at least one.
        weights: for each relation (E_r,) or (E_r, K), **sorted** as the relation's edges.
        values: for each relation (num_src_r, H_r).
    """
    return _sums(relations, weights, values, None, None, together=False)


def _sums(
    relations: Sequence[Relation],
    weights: Sequence[Tensor],
    values: Sequence[Tensor],
    self_weight: Tensor | None,
    self_value: Tensor | None,
    *,
    together: bool,
) -> Tensor:
    unique: dict[int, Tensor] = {}
    for value in (*values, *(() if self_value is None else (self_value,))):
        unique.setdefault(id(value), value)
    slots = {key: slot for slot, key in enumerate(unique)}
    value_slots = tuple(slots[id(value)] for value in values)
    self_slot = None if self_value is None else slots[id(self_value)]
    ends = tuple(accumulate((value.shape[1] for value in values), initial=0))
    columns = (0,) * len(values) if together else ends[:-1]
    result: Tensor = _WeightedSum.apply(  # type: ignore[no-untyped-call]
        tuple(relations), value_slots, self_slot, columns, self_weight, *unique.values(), *weights
    )
    return result


class _WeightedSum(torch.autograd.Function):
    """Tensors are in this order: self weight, distinct values, one weight tensor per relation."""

    @staticmethod
    def forward(
        ctx: Any, relations: Any, value_slots: Any, self_slot: Any, columns: Any, self_weight: Any, *tensors: Tensor
    ) -> Tensor:
        count = len(tensors) - len(relations)
        values, weights = [value.contiguous() for value in tensors[:count]], tensors[count:]
        if self_slot is not None:
            result = (_heads(values[self_slot], self_weight) * _wide(self_weight)[:, :, None]).flatten(1)
        else:
            width = max(column + values[slot].shape[1] for column, slot in zip(columns, value_slots, strict=True))
            result = values[value_slots[0]].new_empty(relations[0].num_dst, width)
        filled = set() if self_slot is None else {0}
        for relation, slot, weight, column in zip(relations, value_slots, weights, columns, strict=True):
            kernel_of(relation, result).add_weighted(
                relation, _wide(weight), values[slot], Columns(result, column), column not in filled
            )
            filled.add(column)
        ctx.relations, ctx.value_slots, ctx.self_slot, ctx.columns = relations, value_slots, self_slot, columns
        ctx.save_for_backward(self_weight, *values, *weights)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        self_weight, *saved = ctx.saved_tensors
        count = len(saved) - len(ctx.relations)
        values, weights = saved[:count], saved[count:]
        needed = ctx.needs_input_grad[4:]
        upstream = grad.contiguous()
        d_self: Tensor | None = None
        d_values: list[Tensor | None] = [None] * count
        d_weights: list[Tensor | None] = [None] * len(weights)
        if ctx.self_slot is not None:
            grad_heads = _heads(upstream, self_weight)
            if needed[0]:
                d_self = torch.einsum("nkf,nkf->nk", grad_heads, _heads(values[ctx.self_slot], self_weight)).view_as(
                    self_weight
                )
            if needed[1 + ctx.self_slot]:
                d_values[ctx.self_slot] = (grad_heads * _wide(self_weight)[:, :, None]).flatten(1)
        for r, (relation, slot, weight) in enumerate(zip(ctx.relations, ctx.value_slots, weights, strict=True)):
            d_value, fresh = d_values[slot], d_values[slot] is None
            if needed[1 + slot] and d_value is None:
                d_value = d_values[slot] = torch.empty_like(values[slot])
            d_weight = kernel_of(relation, grad).add_weighted_back(
                relation,
                _wide(weight),
                values[slot],
                Columns(upstream, ctx.columns[r]),
                d_value,
                fresh,
                needed[1 + count + r],
            )
            d_weights[r] = None if d_weight is None else d_weight.view_as(weight)
        return None, None, None, None, d_self, *d_values, *d_weights


def _wide(weights: Tensor) -> Tensor:
    """(E, K); (E,) is one head."""
    return weights[:, None] if weights.dim() == 1 else weights


def _heads(x: Tensor, weights: Tensor) -> Tensor:
    """(N, H) as (N, K, H / K)."""
    heads = _wide(weights).shape[1]
    return x.view(len(x), heads, x.shape[1] // heads)


def take_rows(x: Tensor, rows: Tensor) -> Tensor:
    """`x[rows]` for rows that repeat: (N, H) to (B, H); its gradient adds up in a fixed order, without a scatter."""
    starts = torch.arange(len(rows) + 1, device=rows.device)
    index = torch.int32 if max(len(x), len(rows)) < 2**31 else torch.int64
    relation = Relation(len(x), len(rows), starts.to(index), rows.to(index))
    return weighted_sum([relation], [x.new_ones(len(rows))], [x])


def aggregate(
    relation: Relation,
    x: Tensor,
    *,
    reduce: Literal["mean", "sum"],
    edge_mask: Tensor | None = None,
) -> Tensor:
    """The mean or sum of each node's neighbors; zeros where there are none.

    Args:
        relation: the edges.
        x: (num_src, D).
        reduce: `mean` or `sum`.
        edge_mask: bool (E,) in the caller's edge order; edges that are False are left out. None keeps all.

    Returns:
        (num_dst, D)
    """
    if x.dim() != 2 or len(x) != relation.num_src:
        raise InputError(f"x has the shape {tuple(x.shape)}; the relation takes ({relation.num_src}, D).")
    if edge_mask is not None and edge_mask.shape != (relation.num_edges,):
        raise InputError(f"edge_mask has the shape {tuple(edge_mask.shape)}; it takes ({relation.num_edges},).")
    return weighted_sum([relation], [edge_weights(relation, reduce, edge_mask, x.dtype)], [x])


def edge_weights(relation: Relation, reduce: str, edge_mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The weight of each **sorted** edge in a mean or a sum; (E,).

    Args:
        relation: the edges.
        reduce: `mean` or `sum`.
        edge_mask: bool (E,) in the caller's edge order; the weight is 0 where it is False. None keeps all.
        dtype: floating-point type of the weights.
    """
    if reduce not in ("mean", "sum"):
        raise InputError(f"reduce = '{reduce}' is not known; use 'mean' or 'sum'.")
    if edge_mask is None:
        weights = torch.ones(relation.num_edges, dtype=dtype, device=relation.src.device)
    else:
        weights = relation.sort(edge_mask).to(dtype)
    if reduce == "mean":
        number = kernel_of(relation, weights).sum_by_dst(relation, weights[:, None])[:, 0]
        weights *= number.clamp_min(1).reciprocal().index_select(0, relation.dst)
    return weights
