"""Weighted sums over neighbors, which every layer is built on, and two layers whose neighbors weigh the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import CanonicalEtype, Relation, check_edges, check_graph, first_rows
from graphsocial.nn.kernels import Columns, kernel_of
from graphsocial.nn.products import linear


def weighted_sum(
    relations: Sequence[Relation],
    weights: Sequence[Tensor],
    values: Sequence[Tensor],
    *,
    self_weight: Tensor | None = None,
    self_value: Tensor | None = None,
) -> Tensor:
    r"""Weighted neighbours of all relations and the node itself, added up in one buffer.

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
    """Weighted neighbours of each relation by itself, side by side: (num_dst, ΣH_r); see `weighted_sum`.

    A value that serves several relations gets its gradient added up in one buffer.
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
    where = tuple(slots[id(value)] for value in values)
    own = None if self_value is None else slots[id(self_value)]
    ends = tuple(accumulate((value.shape[1] for value in values), initial=0))
    columns = (0,) * len(values) if together else ends[:-1]
    result: Tensor = _WeightedSum.apply(  # type: ignore[no-untyped-call]
        tuple(relations), where, own, columns, self_weight, *unique.values(), *weights
    )
    return result


class _WeightedSum(torch.autograd.Function):
    """Tensors come as: self weight, distinct values, one weight tensor a relation."""

    @staticmethod
    def forward(
        ctx: Any, relations: Any, where: Any, own: Any, columns: Any, self_weight: Any, *tensors: Tensor
    ) -> Tensor:
        count = len(tensors) - len(relations)
        values, weights = [value.contiguous() for value in tensors[:count]], tensors[count:]
        if own is not None:
            result = (_heads(values[own], self_weight) * _wide(self_weight)[:, :, None]).flatten(1)
        else:
            width = max(column + values[slot].shape[1] for column, slot in zip(columns, where, strict=True))
            result = values[where[0]].new_empty(relations[0].num_dst, width)
        filled = set() if own is None else {0}
        for relation, slot, weight, column in zip(relations, where, weights, columns, strict=True):
            kernel_of(relation, result).add_weighted(
                relation, _wide(weight), values[slot], Columns(result, column), column not in filled
            )
            filled.add(column)
        ctx.relations, ctx.where, ctx.own, ctx.columns = relations, where, own, columns
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
        if ctx.own is not None:
            across = _heads(upstream, self_weight)
            if needed[0]:
                d_self = torch.einsum("nkf,nkf->nk", across, _heads(values[ctx.own], self_weight)).view_as(self_weight)
            if needed[1 + ctx.own]:
                d_values[ctx.own] = (across * _wide(self_weight)[:, :, None]).flatten(1)
        for r, (relation, slot, weight) in enumerate(zip(ctx.relations, ctx.where, weights, strict=True)):
            into, fresh = d_values[slot], d_values[slot] is None
            if needed[1 + slot] and into is None:
                into = d_values[slot] = torch.empty_like(values[slot])
            found = kernel_of(relation, grad).add_weighted_back(
                relation,
                _wide(weight),
                values[slot],
                Columns(upstream, ctx.columns[r]),
                into,
                fresh,
                needed[1 + count + r],
            )
            d_weights[r] = None if found is None else found.view_as(weight)
        return None, None, None, None, d_self, *d_values, *d_weights


def _wide(weights: Tensor) -> Tensor:
    """(E, K), whatever K."""
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
    """The mean or sum of each node's neighbours; zeros where there are none.

    Args:
        relation: the edges.
        x: (num_src, D).
        reduce: `mean` or `sum`.
        edge_mask: bool (E,) in the caller's edge order; False is as good as no edge.

    Returns:
        (num_dst, D)
    """
    if x.dim() != 2 or len(x) != relation.num_src:
        raise InputError(f"x has the shape {tuple(x.shape)}; the relation takes ({relation.num_src}, D).")
    if edge_mask is not None and edge_mask.shape != (relation.num_edges,):
        raise InputError(f"edge_mask has the shape {tuple(edge_mask.shape)}; it takes ({relation.num_edges},).")
    return weighted_sum([relation], [edge_weights(relation, reduce, edge_mask, x.dtype)], [x])


def edge_weights(relation: Relation, reduce: str, edge_mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """What each **sorted** edge counts in a mean or a sum; (E,)."""
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


class NeighbourConv(nn.Module):
    """A node's own features and those of its neighbours, each through a linear map, added up.

    Args:
        node_types: all node types of the graph.
        edge_types: all edge types, as (source type, relation, destination type).
        in_features: D, of every node type.
        out_features: H.
        share: `all`: one pair of maps for all types; `relation`: one map for each edge type's messages and one for each
            node type's own features.
        self_loops: whether the node's own features are added.
    """

    reduce: Literal["mean", "sum"]

    def __init__(
        self,
        node_types: Sequence[str],
        edge_types: Sequence[CanonicalEtype],
        in_features: int,
        out_features: int,
        *,
        share: Literal["all", "relation"] = "all",
        self_loops: bool = True,
    ) -> None:
        super().__init__()
        if share not in ("all", "relation"):
            raise InputError(f"share = '{share}' is not known; use 'all' or 'relation'.")
        self.node_types, self.edge_types = tuple(node_types), tuple(edge_types)
        self.in_features, self.out_features, self.share = in_features, out_features, share
        messages = ["all"] if share == "all" else ["-".join(etype) for etype in self.edge_types]
        nodes = ["all"] if share == "all" else [f"node-{name}" for name in self.node_types]
        shape = (out_features, in_features)
        self.weight = nn.ParameterDict({key: nn.Parameter(torch.empty(shape)) for key in messages})
        self.self_weight = nn.ParameterDict({key: nn.Parameter(torch.empty(shape)) for key in nodes if self_loops})
        self.bias = nn.ParameterDict({key: nn.Parameter(torch.empty(out_features)) for key in nodes})
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform weights, zero biases."""
        for parameter in self.parameters():
            nn.init.xavier_uniform_(parameter) if parameter.dim() == 2 else nn.init.zeros_(parameter)

    def forward(
        self,
        x: Mapping[str, Tensor],
        relations: Mapping[CanonicalEtype, Relation],
        *,
        edge_mask: Mapping[CanonicalEtype, Tensor] | None = None,
        num_dst: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the layer: {node_type: (N, D)} to {node_type: (num_dst, H)}; see `GraphAttention.forward`.

        Args:
            x: {node_type: (N, D)}; the first num_dst rows of a type are its destinations.
            relations: one for each edge type.
            edge_mask: {edge_type: bool (E,)}; edges that are False are left out.
            num_dst: {node_type: count} of destinations; all nodes of types that it does not name.
        """
        counts = check_graph(x, relations, self.node_types, self.edge_types, self.in_features, num_dst)
        masks = check_edges("edge_mask", edge_mask, relations, dict.fromkeys(self.edge_types, ()))
        one = self.share == "all"
        keys = {etype: "all" if one else "-".join(etype) for etype in self.edge_types}
        needed = dict.fromkeys((etype[0], key) for etype, key in keys.items())
        values = {(name, key): linear(x[name], self.weight[key]) for name, key in needed}  # (N, H)
        result = {}
        for name, count in counts.items():
            etypes = [etype for etype in self.edge_types if etype[2] == name]
            key = "all" if one else f"node-{name}"
            y = self.bias[key].expand(count, -1)
            if key in self.self_weight:
                y = linear(first_rows(x[name], count), self.self_weight[key], self.bias[key])
            if etypes:
                y = y + weighted_sum(
                    [relations[etype] for etype in etypes],
                    [edge_weights(relations[etype], self.reduce, masks.get(etype), x[name].dtype) for etype in etypes],
                    [values[etype[0], keys[etype]] for etype in etypes],
                )
            result[name] = y
        return result  # {node_type: (num_dst, H)}


class SageConv(NeighbourConv):
    r"""GraphSAGE with the mean aggregator (Hamilton et al. 2017, https://arxiv.org/abs/1706.02216).

    .. math:: x'_i = W_1 x_i + \sum_r W_2^r \operatorname{mean}_{j \in N_r(i)} x_j + b
    """

    reduce = "mean"


class GraphConv(NeighbourConv):
    r"""The higher-order network's 1-dimensional layer (Morris et al. 2019, https://arxiv.org/abs/1810.02244).

    .. math:: x'_i = W_1 x_i + \sum_r W_2^r \sum_{j \in N_r(i)} x_j + b
    """

    reduce = "sum"
