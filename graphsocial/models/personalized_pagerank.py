"""Personalised PageRank of the destination from the source: random walks with restart (Page et al. 1999)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graphsocial.models._paths import PathModel

BLOCK = 256  # sources whose walks are computed together


@dataclass(frozen=True)
class PersonalizedPagerank(PathModel):
    """log odds = a + b log(1 + N π), with π the share of walks from the source that end at the destination.

    Attributes:
        restart: probability with which a walk ends at each step.
        steps: maximum number of steps.
    """

    restart: float = 0.15
    steps: int = 5

    def score(
        self, links: sparse.csr_array, src: NDArray[np.int64], dst: NDArray[np.int64], *, two_types: bool
    ) -> NDArray[np.float64]:
        """(B,) N π of each pair.

        Args:
            links: (N, N) the symmetric adjacency matrix.
            src: (B,) rows of the sources.
            dst: (B,) rows of the destinations.
            two_types: whether sources and destinations are of two types.
        """
        size = links.shape[0]
        walk = sparse.diags_array(1 / np.maximum(1, np.diff(links.indptr))) @ links
        nodes, position = np.unique(src, return_inverse=True)
        scores = np.zeros(len(src))
        for start in range(0, len(nodes), BLOCK):
            block = nodes[start : start + BLOCK]
            there = np.zeros((len(block), size))
            there[np.arange(len(block)), block] = 1.0
            total = np.zeros_like(there)
            for step in range(1, self.steps + 1):
                there = there @ walk
                total += self.restart * (1 - self.restart) ** step * there
            rows = (position >= start) & (position < start + len(block))
            scores[rows] = total[position[rows] - start, dst[rows]]
        scores *= size
        return scores
