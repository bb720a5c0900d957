"""Memory traffic and time of each kernel pass over the contacts of IESN, against a memory copy and other kernels.

    python benchmarks/kernel.py

1,649,058 edges, 64 features per node, float32. The traffic of a pass is, for each edge, the source's row, its index and
its weight, and for each node its rows. A row that several edges gather counts each time, so that a pass whose rows stay
in the cache can exceed the bandwidth of a copy.
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
    """Name → bytes read and written by the pass, and a function from a kernel module to a call of the pass."""
    torch.manual_seed(0)
    nodes, count = relation.num_dst, relation.num_edges
    x, grad = torch.randn(nodes, WIDTH), torch.randn(nodes, WIDTH)
    out, d_x = torch.empty(nodes, WIDTH), torch.empty(nodes, WIDTH)
    weights, scores = torch.rand(count, 1), torch.randn(nodes, 1)
    row, element = 4 * WIDTH, 4  # bytes

    def softmax(kernel):  # type: ignore[no-untyped-def]
        return lambda: kernel.softmax([relation], Scores([scores], [scores], [None]), [None], None, 0.2)

    def softmax_back(kernel):  # type: ignore[no-untyped-def]
        return lambda: kernel.softmax_back(
            [relation], Scores([scores], [scores], [None]), 0.2, [weights], [weights], torch.zeros(nodes, 1)
        )

    return {
        "sum of neighbors": (
            count * (row + 2 * element) + nodes * row,
            lambda kernel: lambda: kernel.add_weighted(relation, weights, x, Columns(out), True),
        ),
        "its gradients": (
            count * (row + 4 * element) + 2 * nodes * row,
            lambda kernel: lambda: kernel.add_weighted_back(relation, weights, x, Columns(grad), d_x, True, True),
        ),
        "softmax": (count * 7 * element + nodes * 5 * element, softmax),
        "its gradient": (count * 11 * element + nodes * 6 * element, softmax_back),
    }


if __name__ == "__main__":
    graph = edges()
    size = graph.num_nodes["user"]
    copy, measured = bandwidth(), {}
    for name, (moved, call) in passes(Relation.from_edges(*graph.ends[CONNECTS], size, size)).items():
        print(name)
        timings = interleave({kernel: call(module) for kernel, module in KERNELS.items()}, rounds=15)
        measured[name] = {
            "megabytes": moved / 1e6,
            "milliseconds": {kernel: 1e3 * timing.minimum for kernel, timing in timings.items()},
            "gb_per_s": moved / timings["fused"].minimum / 1e9,
            "share_of_copy": moved / timings["fused"].minimum / 1e9 / copy,
        }
    keep("kernel", {"copy_bandwidth_gb_per_s": copy, "passes": measured})
