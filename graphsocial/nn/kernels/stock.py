"""The edge kernels as DGL's own operators: the reference in tests, and `--set kernel=dgl`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from graphsocial._compat.dgl import import_dgl
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.kernels import Columns, _scatter

if TYPE_CHECKING:
    from dgl import DGLGraph

dgl = import_dgl()
_KEY = "_graphsocial_dgl"


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
    sums = dgl.ops.u_mul_e_sum(graphs_of(relation)[0], _heads(x, weights), weights[:, :, None])
    sums = sums.reshape(columns_of_out.shape)
    columns_of_out.copy_(sums) if fresh else columns_of_out.add_(sums)


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
    graph, transposed = graphs_of(relation)
    if d_x is not None:
        back = dgl.ops.u_mul_e_sum(transposed, _heads(upstream, weights), weights[:, :, None])
        back = back.reshape(d_x.shape)
        d_x.copy_(back) if fresh else d_x.add_(back)
    if not wants_weights:
        return None
    dots: Tensor = dgl.ops.u_dot_v(graph, _heads(x, weights), _heads(upstream, weights))
    return dots[:, :, 0]


def sum_by_dst(relation: Relation, values: Tensor) -> Tensor:
    """Sum (E, K) over the edges into each destination; (num_dst, K)."""
    reduced: Tensor = dgl.ops.copy_e_sum(graphs_of(relation)[0], values)
    return reduced


def _sum_by_src(relation: Relation, values: Tensor) -> Tensor:
    reduced: Tensor = dgl.ops.copy_e_sum(graphs_of(relation)[1], values)
    return reduced


def _max_by_dst(relation: Relation, values: Tensor) -> Tensor:
    reduced: Tensor = dgl.ops.copy_e_max(graphs_of(relation)[0], values)
    empty = relation.indptr.diff() == 0
    return reduced.masked_fill(empty[:, None], float("-inf"))  # DGL gives 0


softmax = partial(_scatter.softmax, sum_by_dst=sum_by_dst, max_by_dst=_max_by_dst)
softmax_back = partial(_scatter.softmax_back, sum_by_dst=sum_by_dst, sum_by_src=_sum_by_src)


def graphs_of(relation: Relation) -> tuple[DGLGraph, DGLGraph]:
    """The relation and its transpose as DGL graphs whose edges are numbered in its sorted order; made once."""
    graphs = relation.__dict__.get(_KEY)
    if graphs is None:
        ends, counts = (relation.src.long(), relation.dst.long()), (relation.num_src, relation.num_dst)
        graphs = tuple(
            dgl.heterograph({("a", "to", "b"): step}, num_nodes_dict=dict(zip("ab", sizes, strict=True)))
            for step, sizes in ((ends, counts), (ends[::-1], counts[::-1]))
        )
        for graph in graphs:
            graph.create_formats_()
        relation.__dict__[_KEY] = graphs
    return graphs


def _heads(x: Tensor, weights: Tensor) -> Tensor:
    return x.reshape(len(x), weights.shape[1], -1)
