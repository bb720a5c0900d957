"""The passes over the contacts of IESN, one by one: bytes moved, against the machine's copy and the other kernels.

    python benchmarks/kernel.py

1,649,058 edges, 64 numbers a node, float32. Counted is what a pass must touch: for each edge a row of the other end,
its index and its weight; for each node its own rows. Rows that several edges fetch count each time, so a pass whose
rows stay in the cache can beat a copy from memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from _harness import bandwidth, interleave, keep
from _iesn import CONNECTS, WIDTH, edges

from graphsocial.graph.adjacency import Relation
from graphsocial.nn.kernels import Columns, Scores, csr, fused, stock

KERNELS = {"fused": fused, "csr": csr, "dgl": stock}


def passes(relation: Relation) -> dict[str, tuple[int, Callable[..., Callable[[], object]]]]:
    """Name → the bytes it must touch, and what makes a call of it for a kernel."""
    torch.manual_seed(0)
    nodes, count = relation.num_dst, relation.num_edges
    x, grad = torch.randn(nodes, WIDTH), torch.randn(nodes, WIDTH)
    out, d_x = torch.empty(nodes, WIDTH), torch.empty(nodes, WIDTH)
    weights, scores = torch.rand(count, 1), torch.randn(nodes, 1)
    row, one = 4 * WIDTH, 4

    def softmax(kernel):  # type: ignore[no-untyped-def]
        return lambda: kernel.softmax([relation], Scores([scores], [scores], [None]), [None], None, 0.2)

    def softmax_back(kernel):  # type: ignore[no-untyped-def]
        return lambda: kernel.softmax_back(
            [relation], Scores([scores], [scores], [None]), 0.2, [weights], [weights], torch.zeros(nodes, 1)
        )

    return {
        "sum of neighbours": (
            count * (row + 2 * one) + nodes * row,
            lambda kernel: lambda: kernel.add_weighted(relation, weights, x, Columns(out), True),
        ),
        "its gradients": (
            count * (row + 4 * one) + 2 * nodes * row,
            lambda kernel: lambda: kernel.add_weighted_back(relation, weights, x, Columns(grad), d_x, True, True),
        ),
        "softmax": (count * 7 * one + nodes * 5 * one, softmax),
        "its gradient": (count * 11 * one + nodes * 6 * one, softmax_back),
    }


if __name__ == "__main__":
    graph = edges()
    size = graph.num_nodes["user"]
    copy, measured = bandwidth(), {}
    for name, (moved, call) in passes(Relation.from_edges(*graph.ends[CONNECTS], size, size)).items():
        print(name)
        taken = interleave({kernel: call(module) for kernel, module in KERNELS.items()}, rounds=15)
        measured[name] = {
            "megabytes": moved / 1e6,
            "milliseconds": {kernel: 1e3 * timing.minimum for kernel, timing in taken.items()},
            "gb_per_s": moved / taken["fused"].minimum / 1e9,
            "share_of_copy": moved / taken["fused"].minimum / 1e9 / copy,
        }
    keep("kernel", {"copy_bandwidth_gb_per_s": copy, "passes": measured})
