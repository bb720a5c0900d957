"""In which parts two batches of the same examples differ, and in which predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from torch import Tensor

from graphsocial.auditing.allowance import numbers
from graphsocial.auditing.perturbation import outputs
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.batching import Batch
from graphsocial.graph.features import Feature
from graphsocial.graph.loaders import FullGraphLoader
from graphsocial.graph.visibility import edge_mask
from graphsocial.models.base import Network
from graphsocial.nn.inputs import NodeInputs

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}  # sums may run in another order


def differences(whole: FullGraphLoader, reduced: FullGraphLoader, seeds: Tensor, network: Network) -> Iterator[str]:
    """The parts of a batch that differ between two graphs of the same nodes, or of fewer in the second.

    Args:
        whole: the loader of the run's graph.
        reduced: the loader of the other graph.
        seeds: (B,) the batch's examples in the run's graph.
        network: the trained network, set to evaluation.
    """
    graph, other = whole.graph, reduced.graph
    local = {name: numbers(graph, name, pa.array(ids, pa.string())) for name, ids in other.ids.items()}
    ends = [end[seeds] for end in graph.ends]
    same = torch.ones(other.num_examples, dtype=torch.bool)
    for name, there, here in zip(other.end_types, other.ends, ends, strict=True):
        same &= local[name][there] == here
    found = torch.nonzero(same).squeeze(1)
    if len(found) != len(seeds):
        yield "examples"
        return
    (batch,), (again,) = whole.load([seeds]), reduced.load([found])
    yield from _other_edges(graph, other, batch, again, local)
    yield from _other_labels(graph, other, batch, again, local)
    yield from _other_features(batch.as_of(graph), again.as_of(other), again, local)
    if graph.context is not None and other.context is not None:
        rows, others = graph.context.rows[seeds.numpy()], other.context.rows[found.numpy()]
        for column in (column.name for column in graph.context.columns if column.role != "label"):
            if not _same_values(rows[column], others[column]):
                yield f"context '{column}'"
    learned: set[str] = {name for module in network.modules() if isinstance(module, NodeInputs) for name in module.ids}
    learned |= {*graph.end_types} if network.transductive else set()
    if any(graph.num_nodes[name] != other.num_nodes[name] for name in learned):
        return  # the network has a vector for each node by its number, which is another now

    before, after = outputs(network, whole, seeds), outputs(network, reduced, found)
    for target, values in before.items():
        if not torch.allclose(values, after[target], **CLOSE, equal_nan=True):
            yield f"predictions of '{target}'"


def _other_edges(
    graph: SocialGraph, other: SocialGraph, batch: Batch, again: Batch, local: Mapping[str, Tensor]
) -> Iterator[str]:
    masks, others = edge_mask(graph, batch.view), edge_mask(other, again.view)
    for kind, edges in graph.edges.items():
        kept, size = masks[kind], graph.num_nodes[kind[2]]
        keys = edges.src * size + edges.dst
        keys = keys if kept is None else keys[kept]
        there = other.edges.get(kind)
        if there is None:
            found = keys[:0]
        else:
            found = local[kind[0]][there.src] * size + local[kind[2]][there.dst]
            mask = others[kind]
            found = found if mask is None else found[mask]
        if not torch.equal(torch.sort(keys).values, torch.sort(found).values):
            yield f"edges '{' '.join(kind)}'"


def _other_labels(
    graph: SocialGraph, other: SocialGraph, batch: Batch, again: Batch, local: Mapping[str, Tensor]
) -> Iterator[str]:
    def shown(part: SocialGraph, view: Tensor, number: Callable[[str, Tensor], Tensor], target: str) -> Tensor:
        rows = torch.nonzero(view & is_known(part.target_labels[target])).squeeze(1)
        ends = [number(name, end[rows]) for name, end in zip(part.end_types, part.ends, strict=True)]
        size = graph.num_nodes[graph.end_types[-1]]
        key = ends[0] if len(ends) == 1 else ends[0] * size + ends[1]
        order = torch.argsort(key)
        values = part.target_labels[target][rows].double()
        return torch.cat([key.double()[None], values[None] if values.ndim == 1 else values.t()])[:, order]

    for target in graph.target_labels:
        one = shown(graph, batch.view.label, lambda name, end: end, target)
        two = shown(other, again.view.label, lambda name, end: local[name][end], target)
        if one.shape != two.shape or not torch.allclose(one, two):
            yield f"labels of '{target}'"


def _other_features(graph: SocialGraph, other: SocialGraph, batch: Batch, local: Mapping[str, Tensor]) -> Iterator[str]:
    """Vectors, and encoded numbers, of the nodes that the batch's edges join, and of its endpoints."""
    reached = {name: torch.zeros(size, dtype=torch.bool) for name, size in other.num_nodes.items()}
    for kind, mask in edge_mask(other, batch.view).items():
        for name, end in ((kind[0], other.edges[kind].src), (kind[2], other.edges[kind].dst)):
            reached[name][end if mask is None else end[mask]] = True
    for name, end in zip(other.end_types, other.ends, strict=True):
        reached[name][end[batch.examples]] = True
    for name, mask in reached.items():
        there = torch.nonzero(mask).squeeze(1)
        here = local[name][there]
        for one, two in zip(graph.node_features.get(name, ()), other.node_features.get(name, ()), strict=True):
            if not _same_vectors(one.take(here), two.take(there)):
                yield f"'{one.name}' of '{name}'"
        if name in graph.tables and not torch.allclose(graph.tables[name][here], other.tables[name][there], **CLOSE):
            yield f"numbers of '{name}'"


def _same_values(one: pl.Series, other: pl.Series) -> bool:
    """Whether two columns are equal, numbers up to rounding: sums over windows run in another order with fewer rows."""
    if not one.dtype.is_float():
        return one.equals(other, check_names=False)
    return np.allclose(one.to_numpy(), other.to_numpy(), rtol=1e-6, atol=1e-6, equal_nan=True)


def _same_vectors(one: Feature, two: Feature) -> bool:
    """Whether two features of as many rows have the same vectors or sequences in each row."""
    (shape, values), (other_shape, others) = _by_row(one), _by_row(two)
    return torch.equal(shape, other_shape) and torch.allclose(values, others, **CLOSE, equal_nan=True)


def _by_row(feature: Feature) -> tuple[Tensor, Tensor]:
    """(N,) the number of vectors of each row, -1 where it has none; and all of them, row after row."""
    index = feature.index[feature.present]
    count = torch.ones_like(index) if feature.offsets is None else feature.offsets.diff()[index]
    first = index if feature.offsets is None else feature.offsets[index]
    within = torch.arange(int(count.sum())) - torch.repeat_interleave(count.cumsum(0) - count, count)
    shape = torch.full_like(feature.index, -1)
    shape[feature.present] = count
    return shape, feature.vectors[torch.repeat_interleave(first, count) + within]
