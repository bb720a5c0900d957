"""Common neighbors of a pair, weighted by the inverse logarithm of their degrees (Adamic & Adar 2003)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graphsocial.models._paths import PathModel, weighted_paths


@dataclass(frozen=True)
class AdamicAdar(PathModel):
    """log odds = a + b log(1 + Σ 1 / log degree of the common neighbors).

    Between two types, the sum is over the inner nodes of paths of three edges.
    """

    def score(
        self, links: sparse.csr_array, src: NDArray[np.int64], dst: NDArray[np.int64], *, two_types: bool
    ) -> NDArray[np.float64]:
        """(B,) the weighted number of common neighbors.

        Args:
            links: (N, N) the symmetric adjacency matrix.
            src: (B,) rows of the sources.
            dst: (B,) rows of the destinations.
            two_types: whether sources and destinations are of two types.
        """
        weights = 1 / np.log(np.maximum(np.diff(links.indptr), 2))
        return weighted_paths(links, src, dst, weights, two_types=two_types)
