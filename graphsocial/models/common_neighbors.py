"""The number of common neighbors of a pair: the simplest rival of link prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graphsocial.models._paths import PathModel, weighted_paths


@dataclass(frozen=True)
class CommonNeighbors(PathModel):
    """log odds = a + b log(1 + common neighbors); between two types, the number of paths of three edges."""

    def score(
        self, links: sparse.csr_array, src: NDArray[np.int64], dst: NDArray[np.int64], *, two_types: bool
    ) -> NDArray[np.float64]:
        """(B,) the number of common neighbors.

        Args:
            links: (N, N) the symmetric adjacency matrix.
            src: (B,) rows of the sources.
            dst: (B,) rows of the destinations.
            two_types: whether sources and destinations are of two types.
        """
        return weighted_paths(links, src, dst, np.ones(links.shape[0]), two_types=two_types)
