"""Whom an answer listens to: the neighbours that get most attention, and what is lost without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.explanation.ablation import Copies, edges_into, with_copies
from graphsocial.explanation.attribution import DRAWS, Question
from graphsocial.graph import Canonical
from graphsocial.graph.batching import Batch

FEWEST_EDGES = 200_000  # copied in one pass, however small the graph is


@dataclass(frozen=True)
class Neighbour:
    """A neighbour that an example's end attends to.

    Attributes:
        example: the example's place in the question.
        end: the place of the end.
        kind: the relation that leads to the end.
        node: the neighbour's local number.
        weight: its share of the end's attention in that relation, the mean over layers and heads.
        rank: 1 for the largest in that relation.
    """

    example: int
    end: int
    kind: Canonical
    node: int
    weight: float
    rank: int


def neighbours(question: Question, top: int, *, seed: int) -> tuple[list[Neighbour], dict[str, NDArray[np.float64]]]:
    """Whom each end attends to most, and what the answers lose without them.

    Returns:
        The `top` neighbours of each end in each relation; and target → (B,) the fidelity: how much more of the support
        goes when the end no longer hears these, than when it no longer hears as many random ones of the same
        relations. It is NaN where no relation has more than `top` neighbours, and for networks that read examples
        beside each other. The rest of the graph stays as it is: the ends are copied, see `ablation.Copies`.
    """
    if not question.batch.layers:
        return [], {}
    whole = question.loader.batch(question.examples, question.view, cut=False)
    with torch.no_grad():
        layers = question.network.trace(question.graph, whole).edges
    if not layers:
        return [], {}
    weights = {
        kind: torch.stack([_of_edges(layer[kind]) for layer in layers]).mean(0).double().numpy() for kind in layers[0]
    }
    listed: list[Neighbour] = []
    deletions: list[_Deletion] = []
    for row, generator in enumerate(question.generators(seed)):
        deletion = _Deletion(row, [[{} for _ in question.graph.ends] for _ in range(1 + DRAWS)])
        for end, name in enumerate(question.graph.end_types):
            node = question.graph.ends[end][question.examples[row]]
            for kind in weights:
                if kind[2] == name:
                    heard = _heard(question, whole, kind, node, weights[kind])
                    listed += [
                        Neighbour(row, end, kind, int(heard.nodes[at]), float(heard.weights[at]), rank + 1)
                        for rank, at in enumerate(heard.order[:top])
                    ]
                    deletion.add(end, kind, heard, top, generator)
        deletions.append(deletion)
    alone = question.network.together(question.graph) is None
    return listed, _deletion_fidelity(question, whole, deletions if alone else [])


@dataclass(frozen=True)
class _Heard:
    """The neighbours of one node in one relation: numbers and weights, most attended first, and their edges."""

    nodes: NDArray[np.int64]
    weights: NDArray[np.float64]
    edges: NDArray[np.int64]
    owner: NDArray[np.int64]

    @cached_property
    def order(self) -> NDArray[np.int64]:
        return np.argsort(-self.weights, kind="stable")

    def edges_of(self, chosen: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.edges[np.isin(self.owner, chosen)])


class _Deletion:
    """What the copies of one example lose: the most attended neighbours, then `DRAWS` times as many random ones."""

    def __init__(self, row: int, gone: list[list[dict[Canonical, Tensor]]]) -> None:
        self.row, self.gone, self.compares = row, gone, False

    def add(self, end: int, kind: Canonical, heard: _Heard, top: int, generator: np.random.Generator) -> None:
        count = len(heard.nodes)
        self.compares |= count > top
        self.gone[0][end][kind] = heard.edges_of(heard.order[:top])
        for draw in range(1, len(self.gone)):
            chosen = generator.choice(count, min(top, count), replace=False)
            self.gone[draw][end][kind] = heard.edges_of(chosen)


def _of_edges(weights: Tensor) -> Tensor:
    return weights if weights.dim() == 1 else weights.mean(1)


def _heard(question: Question, whole: Batch, kind: Canonical, node: Tensor, weights: NDArray[np.float64]) -> _Heard:
    edges, _ = edges_into(whole.layers[0].relations[kind], node[None])
    mask = whole.layers[0].mask[kind]
    if mask is not None:
        edges = edges[mask[edges]]
    nodes, owner = np.unique(question.graph.edges[kind].src[edges].numpy(), return_inverse=True)
    shares = np.bincount(owner, weights=weights[edges.numpy()], minlength=len(nodes)).astype(np.float64)
    return _Heard(nodes, shares, edges.numpy(), owner)


def _deletion_fidelity(
    question: Question, whole: Batch, deletions: Sequence[_Deletion]
) -> dict[str, NDArray[np.float64]]:
    found = {name: np.full(len(question.examples), np.nan) for name in question.unchanged}
    for some in _portions(question, whole, [one for one in deletions if one.compares]):
        rows = np.asarray([one.row for one in some for _ in one.gone])
        gone = tuple([copy[end] for one in some for copy in one.gone] for end in range(len(question.graph.ends)))
        copies = Copies(question.examples[torch.from_numpy(rows)], gone)
        support = question.support(question.graph, with_copies(question.graph, whole, copies), rows)
        for name, values in support.items():
            left = values.view(len(some), 1 + DRAWS).numpy()
            found[name][rows[:: 1 + DRAWS]] = left[:, 1:].mean(1) - left[:, 0]
    return found


def _portions(question: Question, whole: Batch, deletions: Sequence[_Deletion]) -> Iterator[list[_Deletion]]:
    """As many at a time as have, with their copies, about as many edges as the graph has."""
    relations = whole.layers[0].relations
    limit = max(FEWEST_EDGES, sum(relation.num_edges for relation in relations.values()))
    portion: list[_Deletion] = []
    size = 0
    for one in deletions:
        for end, name in enumerate(question.graph.end_types):
            node = question.graph.ends[end][question.examples[one.row]]
            into = (relation.indptr for kind, relation in relations.items() if kind[2] == name)
            size += len(one.gone) * sum(int(indptr[node + 1] - indptr[node]) for indptr in into)
        portion.append(one)
        if size >= limit:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
