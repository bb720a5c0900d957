"""Scores of pairs from the paths between them, fitted to probabilities: the classic rivals of link prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.visibility import edge_mask
from graphsocial.models.base import Network
from graphsocial.types import LINK

Score = Callable[[sparse.csr_array, NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
TRAINING: dict[str, Any] = {"learning_rate": 0.1, "epochs": 20, "weight_decay": 0.0, "class_weights": "none"}


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


class PathNetwork(Network):
    """logit = a + b log(1 + score) for the score of each pair, with a and b learned.

    Args:
        score: adjacency matrix, (B,) rows of the sources, (B,) rows of the destinations → (B,) scores, 0 or more.
    """

    def __init__(self, score: Score) -> None:
        super().__init__()
        self.score = score
        self.linear = nn.Linear(1, 1)
        nn.init.ones_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, 2) logits."""
        links, offsets = adjacency(graph, batch)
        rows = [end[batch.examples].numpy() + offset for end, offset in zip(graph.ends, offsets, strict=True)]
        scores = torch.from_numpy(self.score(links, *rows)).float()
        logit = self.linear(torch.log1p(scores)[:, None])
        return {graph.target.name: torch.cat([torch.zeros_like(logit), logit], dim=1)}


def weighted_paths(
    links: sparse.csr_array, src: NDArray[np.int64], dst: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(B,) the sum of the weights of common neighbors; where the ends have none, of paths of three edges.

    Args:
        links: the symmetric adjacency matrix.
        src, dst: (B,) its rows.
        weights: (N,) the weight of each node on a path.
    """
    weighted = links @ sparse.diags_array(weights)
    common = np.asarray((weighted[src] * links[dst]).sum(axis=1)).reshape(-1)
    if common.any():
        return common
    nodes, position = np.unique(src, return_inverse=True)  # between two types, paths have an odd number of edges
    reached = sparse.csr_array(weighted[nodes] @ weighted)
    return np.asarray((reached[position] * links[dst]).sum(axis=1)).reshape(-1)
