"""Running means of vectors, compiled for the CPU.

Each is summed by itself in float64, so that later edges do not even change how it is rounded.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphsocial._compat.numba_threads import compiled


@compiled
def _run(vectors, rows, starts, ends, means):  # type: ignore[no-untyped-def]
    total = np.zeros(vectors.shape[1])
    for node in range(len(starts)):
        total[:] = 0.0
        for edge in range(starts[node], ends[node]):
            total += vectors[rows[edge]]
            means[edge] = total / (edge + 1 - starts[node])


def running_means(vectors: Tensor, rows: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """(E, D) float32, for each edge the mean over its node's edges up to itself.

    Args:
        vectors: (M, D) float32.
        rows: (E,) int64, the vector of each edge; a node's edges are contiguous.
        starts: (N,) int64, the first edge of each node.
        ends: (N,) int64, the edge after its last.
    """
    means = np.empty((len(rows), vectors.shape[1]), dtype=np.float32)
    _run(vectors.numpy(), rows.numpy(), starts.numpy(), ends.numpy(), means)
    return torch.from_numpy(means)
