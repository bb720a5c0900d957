"""The edges of batches compared with those that the store allows them: none more, and none fewer in the graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from graphsocial.auditing.allowance import Allowance, Keys, pair_keys
from graphsocial.auditing.base import MAX_NAMED, Check, not_applicable
from graphsocial.auditing.messages import messages
from graphsocial.graph import Canonical, SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.loaders import Loader
from graphsocial.graph.visibility import edge_mask
from graphsocial.types import EdgeType

NAME = "edges as stored"


def check_edges(allowance: Allowance, loader: Loader, batches: list[Batch]) -> Check:
    """Compare the edges of some batches with those that the store allows.

    An edge that the store does not allow is a leak; one that it allows and that the run's graph lacks is missing.

    Args:
        allowance: what the store allows.
        loader: the run's loader.
        batches: the batches, as the run used them.
    """
    config, graph = allowance.config, allowance.graph
    if not config.model.layers:
        return not_applicable(NAME, "The model passes no messages.")
    examined, extra, missing, named = 0, 0, 0, list[str]()
    for edge in _edge_types(allowance):
        kinds = [kind for kind, edges in graph.edges.items() if edge.canonical in (kind, edges.reverse_of)]
        if edge.canonical not in kinds:
            missing += len(allowance.edges(edge).src)
            examined += len(allowance.edges(edge).src)
            named.append(f"all of '{edge}'")
            continue
        for kind in kinds:
            for batch in batches:
                allowed = allowance.of(kind, edge, batch)
                too_many = _surplus(_received(graph, batch, kind), allowed)
                too_few = _surplus(allowed, _visible(graph, loader, batch, kind))
                examined, extra, missing = examined + len(allowed), extra + len(too_many), missing + len(too_few)
                named += [
                    _name(graph, kind, key) for key in (*too_many[:MAX_NAMED].tolist(), *too_few[:MAX_NAMED].tolist())
                ]
    examples = tuple(dict.fromkeys(named))[:MAX_NAMED]
    if extra:
        detail = f"{len(batches)} batches have edges that are hidden or later than their examples, by the store."
        return Check(NAME, "leak", examined, extra, detail, examples)
    if missing:
        return Check(NAME, "missing", examined, missing, "Edges of the store are not in the run's graph.", examples)
    if not examined:
        return not_applicable(NAME, "The store allows the sampled batches no edge.")
    return Check(NAME, "pass", examined, 0, f"{len(batches)} batches have the edges that the store allows, no others.")


def _edge_types(allowance: Allowance) -> Iterator[EdgeType]:
    """The edge types with edges that the run passes messages along, by its configuration."""
    names = allowance.config.edge_types
    for edge in allowance.store.schema.edges:
        used = not names or str(edge) in names or edge == allowance.entity
        if used and len(allowance.store.span(edge, allowance.config.dataset)):
            yield edge


def _received(graph: SocialGraph, batch: Batch, kind: Canonical) -> Keys:
    """A key for each edge of one type along which some layer of the batch sends a message."""
    rows = [ids for edge_type, _, _, ids in messages(graph, batch) if edge_type == kind]
    ids = torch.unique(torch.cat(rows)) if rows else torch.empty(0, dtype=torch.int64)
    edges = graph.edges[kind]
    return pair_keys(graph, kind, edges.src[ids], edges.dst[ids])


def _visible(graph: SocialGraph, loader: Loader, batch: Batch, kind: Canonical) -> Keys:
    """A key for each edge of one type that the batch may use, by the run's graph."""
    edges, mask = graph.edges[kind], edge_mask(graph, loader.exact.view(batch.examples))[kind]
    kept = slice(None) if mask is None else mask
    return pair_keys(graph, kind, edges.src[kept], edges.dst[kept])


def _surplus(keys: Keys, of: Keys) -> Keys:
    """The keys that occur more often than in `of`."""
    values, counts = np.unique(keys, return_counts=True)
    known, others = np.unique(of, return_counts=True)
    position = np.searchsorted(known, values).clip(max=max(0, len(known) - 1))
    if not len(known):
        return np.repeat(values, counts)
    left = counts - np.where(known[position] == values, others[position], 0)
    return np.repeat(values, left.clip(min=0))


def _name(graph: SocialGraph, kind: Canonical, key: int) -> str:
    """The ids of an edge's endpoints around its relation."""
    src, dst = divmod(key, graph.num_nodes[kind[2]])
    return f"{graph.ids[kind[0]][src]} {kind[1]} {graph.ids[kind[2]][dst]}"
