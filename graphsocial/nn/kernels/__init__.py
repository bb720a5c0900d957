"""The edge-wise operations of message passing, in three implementations with the same results (`Relation.kernel`).

- `fused`: compiled for the CPU, one pass over the edges per operation; the default there.
- `csr`: torch's sparse products, on any device; the default on a GPU.
- `dgl`: DGL's own operators, the reference.

Each module has the functions below. K heads share a relation's edges; weights and scores are (…, K), and each head
weighs its own H / K columns of the values. Per-edge tensors are **sorted** as the relation's edges. The functions
are not differentiable; `aggregation.weighted_sum` and `edge_softmax.joint_softmax`, which call them, are.

    add_weighted(relation, weights (E, K), x (num_src, H), out, fresh)
        out_i += Σ_j w_ij x_j, in H columns of `out`; = for += where `fresh`, since they have no values yet
    add_weighted_back(relation, weights, x, grad, d_x, fresh, wants_weights)
        d_x_j += Σ_i w_ij g_i, unless d_x is None; returns d_w_ij = g_i·x_j where wanted; g are H columns of `grad`
    softmax(relations, scores, keep, self_logit, slope)
        w_ij ∝ exp f(d_i + s_j + e_ij) and w_ii ∝ exp self_logit_i, which sum to 1 for each i; f is LeakyReLU of `slope`
    softmax_back(relations, scores, slope, weights, grads, mean)
        for each relation d_s, d_d, d_e; mean is w g of the self loop
    sum_by_dst(relation, values (E, K))
        (num_dst, K)
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import Relation

MODULES = {"fused": "fused", "csr": "csr", "dgl": "stock"}  # stock.py: a module called dgl could not import DGL
NAMES = ("auto", *MODULES)


class Columns(NamedTuple):
    """H columns of a wider tensor (num_dst, ≥ H), into which a relation's sums are added, or from which they are read.

    Attributes:
        tensor: the wider tensor.
        start: the first of the H columns.
    """

    tensor: Tensor
    start: int = 0

    def view(self, width: int) -> Tensor:
        """These `width` columns, as a view."""
        return self.tensor[:, self.start : self.start + width]


class Scores(NamedTuple):
    """The parts of the logits d_i + s_j + e_ij of one softmax; in each list one entry per relation.

    Attributes:
        sources: s, (num_src, K).
        destinations: d, (num_dst, K).
        edges: e, (E, K), or None.
    """

    sources: Sequence[Tensor]
    destinations: Sequence[Tensor]
    edges: Sequence[Tensor | None]


def kernel_of(relation: Relation, x: Tensor) -> ModuleType:
    """The module with the operations for a relation and the device of `x`; imported on first use.

    Raises:
        InputError: the kernel does not run where `x` is.
    """
    name = relation.kernel
    if name == "auto":
        name = "csr" if x.is_cuda else "fused"
    if x.device.type != "cpu" and name != "csr":
        raise InputError(f"The kernel '{name}' runs on the CPU only; on '{x.device}' use 'csr' or 'auto'.")
    if name not in MODULES:
        raise InputError(f"'{name}' is no kernel; use one of {', '.join(NAMES)}.")
    return import_module(f"{__name__}.{MODULES[name]}")
