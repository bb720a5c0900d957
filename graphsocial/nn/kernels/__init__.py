"""What is done with edges, in three ways with the same results; a relation says which (`Relation.kernel`).

- `fused`: compiled for the CPU, one pass over the edges each; the default there.
- `csr`: torch's sparse products, on any device; the default on a GPU.
- `dgl`: DGL's own operators, the reference and the peer.

Each module has these functions. K heads share a relation's edges; weights and scores are (…, K), each head weighs its
own H / K columns of the values. Per-edge tensors are **sorted** as the relation's edges. Nothing here is
differentiable: `aggregation.weighted_sum` and `edge_softmax.joint_softmax` are, by what is here.

    add_weighted(relation, weights (E, K), x (num_src, H), out (num_dst, ≥ H), fresh, column)
        out_i += Σ_j w_ij x_j, in H columns from `column` on; a `fresh` out holds nothing yet: = for +=
    add_weighted_back(relation, weights, x, grad (num_dst, ≥ H), d_x, fresh, wants_weights, column)
        d_x_j += Σ_i w_ij g_i, unless d_x is None; d_w_ij = g_i·x_j; with g the H columns from `column` on
    softmax(relations, sources, destinations, edges, keep, own, slope)
        w_ij ∝ exp f(d_i + s_j + e_ij) and own ∝ exp own, together 1 for each destination
    softmax_back(relations, sources, destinations, edges, slope, weights, grads, mean)
        for each relation d_s, d_d, d_e; mean is Σ w g over what else is in the softmax
    sum_by_dst(relation, values (E, K))
        (num_dst, K)
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import Relation

MODULES = {"fused": "fused", "csr": "csr", "dgl": "stock"}  # stock.py: a module called dgl could not import DGL
NAMES = ("auto", *MODULES)


def kernel_of(relation: Relation, x: Tensor) -> ModuleType:
    """The module that does a relation's work on values such as `x`; loaded on first use.

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
