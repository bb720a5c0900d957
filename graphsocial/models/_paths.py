"""Scores of pairs from the paths between them, fitted to probabilities: the classic rivals of link prediction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.visibility import edge_mask
from graphsocial.models.base import Model, Network
from graphsocial.plugins import registered_name
from graphsocial.types import LINK


def check_link(graph: SocialGraph, what: str) -> None:
    """Raise `InputError` unless the task is link prediction."""
    if graph.classes != LINK or len(graph.targets) > 1:
        raise InputError(f"'{what}' predicts links; this task has other targets. Train the task 'link' with it.")


def adjacency(graph: SocialGraph, batch: Batch) -> tuple[sparse.csr_array, tuple[int, int]]:
    """The links that a batch may see, in both directions and once each; and the first row of each endpoint's nodes."""
    assert not isinstance(graph.entity, str)
    edges, mask = graph.edges[graph.entity], edge_mask(graph, batch.view)[graph.entity]
    src, dst = (end.numpy() if mask is None else end[mask].numpy() for end in (edges.src, edges.dst))
    source, destination = graph.end_types
    offset = 0 if source == destination else graph.num_nodes[source]
    size = graph.num_nodes[source] + (graph.num_nodes[destination] if offset else 0)
    ends = np.concatenate([src, dst + offset]), np.concatenate([dst + offset, src])
    links = sparse.csr_array((np.ones(len(ends[0])), ends), shape=(size, size))
    links.sum_duplicates()
    links.data[:] = 1.0
    return links, (0, offset)


@dataclass(frozen=True)
class PathModel(Model):
    """log odds = a + b log(1 + score) of each pair, with a and b learned."""

    reads: ClassVar[tuple[str, ...]] = ()
    training: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 0.1,
        "epochs": 20,
        "weight_decay": 0.0,
        "class_weights": "none",
    }

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
        check_link(graph, registered_name(type(self)))
        return PathNetwork(self)

    @abstractmethod
    def score(
        self, links: sparse.csr_array, src: NDArray[np.int64], dst: NDArray[np.int64], *, two_types: bool
    ) -> NDArray[np.float64]:
        """(B,) the scores of pairs, 0 or more.

        Args:
            links: (N, N) the symmetric adjacency matrix.
            src: (B,) rows of the sources.
            dst: (B,) rows of the destinations.
            two_types: whether sources and destinations are of two types, so that paths have an odd number of edges.
        """


class PathNetwork(Network):
    """logit = a + b log(1 + score).

    Args:
        model: scores the pairs.
    """

    def __init__(self, model: PathModel) -> None:
        super().__init__()
        self.model = model
        self.linear = nn.Linear(1, 1)
        nn.init.ones_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, 2) logits."""
        links, offsets = adjacency(graph, batch)
        rows = [end[batch.examples].numpy() + offset for end, offset in zip(graph.ends, offsets, strict=True)]
        two_types = graph.end_types[0] != graph.end_types[1]
        scores = torch.from_numpy(self.model.score(links, *rows, two_types=two_types)).float()
        logit = self.linear(torch.log1p(scores)[:, None])
        return {graph.target.name: torch.cat([torch.zeros_like(logit), logit], dim=1)}


def weighted_paths(
    links: sparse.csr_array,
    src: NDArray[np.int64],
    dst: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    two_types: bool,
) -> NDArray[np.float64]:
    """(B,) the sum of the weights of common neighbors; between two types, of the inner nodes of paths of three edges.

    Args:
        links: (N, N) the symmetric adjacency matrix.
        src: (B,) rows of the sources.
        dst: (B,) rows of the destinations.
        weights: (N,) the weight of each node on a path.
        two_types: whether sources and destinations are of two types.
    """
    weighted = links @ sparse.diags_array(weights)
    if not two_types:
        return np.asarray((weighted[src] * links[dst]).sum(axis=1)).reshape(-1)
    nodes, position = np.unique(src, return_inverse=True)
    reached = sparse.csr_array(weighted[nodes] @ weighted)
    return np.asarray((reached[position] * links[dst]).sum(axis=1)).reshape(-1)
