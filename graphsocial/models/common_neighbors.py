"""The number of common neighbors of a pair: the simplest rival of link prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from graphsocial.graph import SocialGraph
from graphsocial.models._paths import TRAINING, PathNetwork, check_link, weighted_paths
from graphsocial.models.base import Model, Network


@dataclass(frozen=True)
class CommonNeighbors(Model):
    """log odds = a + b log(1 + common neighbors); between two types, the number of paths of three edges."""

    reads: ClassVar[tuple[str, ...]] = ()
    training: ClassVar[Mapping[str, Any]] = TRAINING

    @property
    def layers(self) -> int:
        """1: it reads the edges that a batch may see."""
        return 1

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """The network before a and b are learned.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training pairs; unused.
            seed: unused; nothing is random.

        Raises:
            InputError: the task is not link prediction.
        """
        check_link(graph, "common_neighbors")
        return PathNetwork(_common)


def _common(links: sparse.csr_array, src: NDArray[np.int64], dst: NDArray[np.int64]) -> NDArray[np.float64]:
    return weighted_paths(links, src, dst, np.ones(links.shape[0]))
