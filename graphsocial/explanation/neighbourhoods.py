"""The neighbors that an example attends to most, and the drop of its score without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.explanation.ablation import Copies, edges_into, with_copies
from graphsocial.explanation.attribution import RANDOM_DELETIONS, ExplainedBatch
from graphsocial.graph import Canonical
from graphsocial.graph.batching import Batch

MIN_EDGES = 200_000  # edges of copies in one forward pass, however small the graph is


@dataclass(frozen=True)
class Neighbour:
    """A neighbor that an example's endpoint attends to.

    Attributes:
        example: position of the example in the batch.
        endpoint: 0 for the source or the only node, 1 for the destination.
        edge_type: the canonical edge type that leads to the endpoint.
        node: row number of the neighbor in its node type.
        weight: share of the endpoint's attention in that edge type, the mean over layers and heads.
        rank: 1 for the largest weight in that edge type.
    """

    example: int
    endpoint: int
    edge_type: Canonical
    node: int
    weight: float
    rank: int


def neighbours(
    explained: ExplainedBatch, top: int, *, seed: int
) -> tuple[list[Neighbour], dict[str, NDArray[np.float64]]]:
    """The neighbors with most attention, and the drop of the scores without them.

    Args:
        explained: the examples, their network and their view of the graph.
        top: number of neighbors for each endpoint and edge type.
        seed: random seed of the random neighbors that they are compared with.

    Returns:
        The `top` neighbors of each endpoint in each edge type; and target → (B,) the fidelity: the drop of the score
        without their messages to the endpoints less that without those of as many random neighbors in the same edge
        types. It is NaN where no edge type has more than `top` neighbors, and for networks that read examples
        together. The rest of the graph stays as it is: the endpoints are copied, see `ablation.Copies`.
    """
    if not explained.batch.layers:
        return [], {}
    whole = explained.loader.batch(explained.examples, explained.view, cut=False)
    with torch.no_grad():
        layers = explained.network.trace(whole.as_of(explained.graph), whole).edges
    if not layers:
        return [], {}
    weights = {
        edge_type: torch.stack([_mean_over_heads(layer[edge_type]) for layer in layers]).mean(0).double().numpy()
        for edge_type in layers[0]
    }
    listed: list[Neighbour] = []
    deletions: list[_Deletions] = []
    for row, generator in enumerate(explained.generators(seed)):
        deletion = _Deletions(row, [[{} for _ in explained.graph.ends] for _ in range(1 + RANDOM_DELETIONS)])
        for endpoint, name in enumerate(explained.graph.end_types):
            node = explained.graph.ends[endpoint][explained.examples[row]]
            for edge_type in weights:
                if edge_type[2] == name:
                    attended = _attended(explained, whole, edge_type, node, weights[edge_type])
                    listed += [
                        Neighbour(
                            row, endpoint, edge_type, int(attended.nodes[index]), float(attended.weights[index]), rank
                        )
                        for rank, index in enumerate(attended.order[:top], start=1)
                    ]
                    deletion.add(endpoint, edge_type, attended, top, generator)
        deletions.append(deletion)
    independent = explained.network.together(explained.graph) is None
    return listed, _deletion_fidelity(explained, whole, deletions if independent else [])


@dataclass(frozen=True)
class _Attended:
    """The M neighbors of one node in one edge type, and the E edges from them.

    Attributes:
        nodes: (M,) row numbers of the neighbors.
        weights: (M,) the node's attention to each.
        edges: (E,) rows of the edges.
        source: (E,) the position in `nodes` of each edge's source.
    """

    nodes: NDArray[np.int64]
    weights: NDArray[np.float64]
    edges: NDArray[np.int64]
    source: NDArray[np.int64]

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """(M,) positions of the neighbors, most attention first."""
        return np.argsort(-self.weights, kind="stable")

    def edges_of(self, positions: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.edges[np.isin(self.source, positions)])


class _Deletions:
    """The edges that the copies of one example lose: the most attended first, then `RANDOM_DELETIONS` random sets.

    Args:
        row: position of the example in the batch.
        edges: copy by copy, endpoint by endpoint, edge type → rows of edges; filled by `add`.
    """

    def __init__(self, row: int, edges: list[list[dict[Canonical, Tensor]]]) -> None:
        self.row, self.edges, self.compares = row, edges, False

    def add(
        self, endpoint: int, edge_type: Canonical, attended: _Attended, top: int, generator: np.random.Generator
    ) -> None:
        count = len(attended.nodes)
        self.compares |= count > top
        self.edges[0][endpoint][edge_type] = attended.edges_of(attended.order[:top])
        for draw in range(1, len(self.edges)):
            sample = generator.choice(count, min(top, count), replace=False)
            self.edges[draw][endpoint][edge_type] = attended.edges_of(sample)


def _mean_over_heads(weights: Tensor) -> Tensor:
    return weights if weights.dim() == 1 else weights.mean(1)


def _attended(
    explained: ExplainedBatch, whole: Batch, edge_type: Canonical, node: Tensor, weights: NDArray[np.float64]
) -> _Attended:
    edges, _ = edges_into(whole.layers[0].relations[edge_type], node[None])
    mask = whole.layers[0].mask[edge_type]
    if mask is not None:
        edges = edges[mask[edges]]
    nodes, source = np.unique(explained.graph.edges[edge_type].src[edges].numpy(), return_inverse=True)
    shares = np.bincount(source, weights=weights[edges.numpy()], minlength=len(nodes)).astype(np.float64)
    return _Attended(nodes, shares, edges.numpy(), source)


def _deletion_fidelity(
    explained: ExplainedBatch, whole: Batch, deletions: Sequence[_Deletions]
) -> dict[str, NDArray[np.float64]]:
    fidelity = {name: np.full(len(explained.examples), np.nan) for name in explained.full_scores}
    for chunk in _chunks(explained, whole, [deletion for deletion in deletions if deletion.compares]):
        rows = np.asarray([deletion.row for deletion in chunk for _ in deletion.edges])
        removed = tuple(
            [copy[endpoint] for deletion in chunk for copy in deletion.edges]
            for endpoint in range(len(explained.graph.ends))
        )
        copies = Copies(explained.examples[torch.from_numpy(rows)], removed)
        scores = explained.scores(explained.graph, with_copies(explained.graph, whole, copies), rows)
        for name, values in scores.items():
            copy_scores = values.view(len(chunk), 1 + RANDOM_DELETIONS).numpy()
            fidelity[name][rows[:: 1 + RANDOM_DELETIONS]] = copy_scores[:, 1:].mean(1) - copy_scores[:, 0]
    return fidelity


def _chunks(explained: ExplainedBatch, whole: Batch, deletions: Sequence[_Deletions]) -> Iterator[list[_Deletions]]:
    """The deletions in chunks whose copies have about as many edges as the graph has."""
    relations = whole.layers[0].relations
    limit = max(MIN_EDGES, sum(relation.num_edges for relation in relations.values()))
    chunk: list[_Deletions] = []
    size = 0
    for deletion in deletions:
        for endpoint, name in enumerate(explained.graph.end_types):
            node = explained.graph.ends[endpoint][explained.examples[deletion.row]]
            into = (relation.indptr for edge_type, relation in relations.items() if edge_type[2] == name)
            size += len(deletion.edges) * sum(int(indptr[node + 1] - indptr[node]) for indptr in into)
        chunk.append(deletion)
        if size >= limit:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
