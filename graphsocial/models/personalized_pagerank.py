"""Personalised PageRank of the destination from the source: random walks with restart (Page et al. 1999)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from graphsocial.graph import SocialGraph
from graphsocial.models._paths import TRAINING, PathNetwork, check_link
from graphsocial.models.base import Model, Network

BLOCK = 256  # sources whose walks are computed together


@dataclass(frozen=True)
class PersonalizedPagerank(Model):
    """log odds = a + b log(1 + N π), with π the share of walks from the source that end at the destination.

    Attributes:
        restart: probability with which a walk ends at each step.
        steps: maximum number of steps.
    """

    restart: float = 0.15
    steps: int = 5

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
        check_link(graph, "personalized_pagerank")
        return PathNetwork(partial(_pagerank, self.restart, self.steps))


def _pagerank(
    restart: float, steps: int, links: sparse.csr_array, src: NDArray[np.int64], dst: NDArray[np.int64]
) -> NDArray[np.float64]:
    size = links.shape[0]
    walk = sparse.diags_array(1 / np.maximum(1, np.diff(links.indptr))) @ links
    nodes, position = np.unique(src, return_inverse=True)
    scores = np.zeros(len(src))
    for start in range(0, len(nodes), BLOCK):
        block = nodes[start : start + BLOCK]
        there = np.zeros((len(block), size))
        there[np.arange(len(block)), block] = 1.0
        total = np.zeros_like(there)
        for step in range(1, steps + 1):
            there = there @ walk
            total += restart * (1 - restart) ** step * there
        rows = (position >= start) & (position < start + len(block))
        scores[rows] = total[position[rows] - start, dst[rows]]
    scores *= size
    return scores
