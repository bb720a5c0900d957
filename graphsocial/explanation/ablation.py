"""Remove a column, edge features, labels, an edge type or single neighbors from a graph and a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl
import torch
from torch import Tensor

from graphsocial.graph import Canonical, Feature, SocialGraph
from graphsocial.graph.adjacency import Relation
from graphsocial.graph.batching import Batch, Layer


@dataclass(frozen=True)
class Modality:
    """One kind of input of a network.

    Attributes:
        name: `image.file`, `user.age`, `user views image.comment`, `user connects user`, `labels`, `context.page`.
        kind: `vectors` of nodes, a `column` of numbers or categories, `words` on edges, visible `labels`, `edges`, a
            part of the examples' `context`.
        of: the node type, or the edge types (one and its reverse), that it belongs to.
        column: the name of a `column` or of a part of the `context`.
    """

    name: str
    kind: Literal["vectors", "column", "words", "labels", "edges", "context"]
    of: str | tuple[Canonical, ...] = ()
    column: str = ""


def modalities(graph: SocialGraph, batch: Batch) -> tuple[Modality, ...]:
    """All modalities of a graph that a batch uses: edge types and edge features only where messages are passed."""
    parts = [
        Modality(column, "vectors", name)
        for name, features in graph.node_features.items()
        for column in dict.fromkeys(feature.name for feature in features)  # once, however many encoders it has
    ]
    parts += [
        Modality(f"{name}.{part.column}", "column", name, part.column)
        for name, fitted in graph.tabular.items()
        for part in fitted.parts
    ]
    if graph.context is not None:
        label_columns = {column.name for column in graph.context.columns if column.role == "label"}
        grouped = {name for names in graph.context.parts.values() for name in names}
        single = {column.name: (column.name,) for column in graph.context.columns if column.name not in grouped}
        parts += [
            Modality(f"context.{part}", "context", column=part)
            for part, names in {**graph.context.parts, **single}.items()
            if set(names) - label_columns
        ]
    if batch.layers:
        with_reverse = {
            edge_type: (edge_type, *(back for back, edges in graph.edges.items() if edges.reverse_of == edge_type))
            for edge_type, edges in graph.edges.items()
            if edges.reverse_of is None
        }
        parts += [
            Modality(column, "words", edge_types)
            for edge_type, edge_types in with_reverse.items()
            for column in dict.fromkeys(feature.name for feature in graph.edge_features.get(edge_type, ()))
        ]
        parts += [Modality(" ".join(edge_type), "edges", edge_types) for edge_type, edge_types in with_reverse.items()]
    if bool(batch.view.label.any()):
        parts.append(Modality("labels", "labels"))
    return tuple(parts)


def without(graph: SocialGraph, batch: Batch, removed: Sequence[Modality]) -> tuple[SocialGraph, Batch]:
    """The same graph and batch with these modalities removed: values are missing, edges and labels are masked.

    Args:
        graph: the graph.
        batch: a batch of it.
        removed: the modalities to remove.
    """
    changed = graph
    for part in removed:
        if part.kind == "labels":
            batch = replace(batch, view=replace(batch.view, label=torch.zeros_like(batch.view.label)))
        elif part.kind == "edges":
            batch = _without_edges(batch, part.of)
        elif part.kind == "vectors":
            features = _blanked(changed.node_features[str(part.of)], part.name)
            changed = replace(changed, node_features={**changed.node_features, str(part.of): features})
        elif part.kind == "context":
            assert changed.context is not None
            names = changed.context.parts.get(part.column, (part.column,))
            changed = replace(changed, context=changed.context.without(names))
        elif part.kind == "words":
            blank = {
                edge_type: _blanked(changed.edge_features[edge_type], part.name) for edge_type in _edge_types(part.of)
            }
            changed = replace(changed, edge_features={**changed.edge_features, **blank})
        else:
            entry, frame = changed.plain[str(part.of)]
            frame = frame.with_columns(pl.lit(None, dtype=frame.schema[part.column]).alias(part.column))
            changed = replace(changed, plain={**changed.plain, str(part.of): (entry, frame)})
    if changed is not graph and batch.rows is not None:
        seen = batch.as_of(changed)
        batch = replace(batch, rows={name: seen.rows(name, rows.nodes) for name, rows in batch.rows.items()})
    return changed, batch


def without_nodes(graph: SocialGraph, batch: Batch, name: str, nodes: Tensor) -> tuple[SocialGraph, Batch]:
    """The same graph and batch with all values of some nodes missing; their edges stay.

    Args:
        graph: the graph.
        batch: a batch of it.
        name: node type.
        nodes: (M,) row numbers in that node type.
    """
    blanked = torch.zeros(graph.num_nodes[name], dtype=torch.bool)
    blanked[nodes] = True
    features = tuple(
        replace(feature, index=torch.where(blanked, -1, feature.index)) for feature in graph.node_features.get(name, ())
    )
    changed = replace(graph, node_features={**graph.node_features, name: features})
    if name in graph.tables:
        entry, frame = graph.plain[name]
        kept = pl.Series((~blanked).numpy())
        encoded = {part.column for part in graph.tabular[name].parts}
        columns = [column for column in frame.columns if column in encoded]
        frame = frame.with_columns(pl.when(kept).then(pl.col(column)).alias(column) for column in columns)
        changed = replace(changed, plain={**graph.plain, name: (entry, frame)})
    if batch.rows is not None:
        seen = batch.as_of(changed)
        batch = replace(batch, rows={other: seen.rows(other, rows.nodes) for other, rows in batch.rows.items()})
    return changed, batch


def _edge_types(of: str | tuple[Canonical, ...]) -> tuple[Canonical, ...]:
    assert not isinstance(of, str)
    return of


def _blanked(features: tuple[Feature, ...], name: str) -> tuple[Feature, ...]:
    return tuple(
        replace(feature, index=torch.full_like(feature.index, -1)) if feature.name == name else feature
        for feature in features
    )


def _without_edges(batch: Batch, of: str | tuple[Canonical, ...]) -> Batch:
    changed: dict[int, Layer] = {}
    for layer in batch.layers:
        no_edges = {
            edge_type: torch.zeros(layer.relations[edge_type].num_edges, dtype=torch.bool)
            for edge_type in _edge_types(of)
        }
        changed[id(layer)] = replace(layer, mask={**layer.mask, **no_edges})
    return replace(batch, layers=tuple(changed[id(layer)] for layer in batch.layers))


@dataclass(frozen=True)
class Copies:
    """Copies of examples' endpoints; each copy loses some of its neighbors, without any effect on other nodes.

    A copy receives the messages that its original receives, in all layers, and sends none. So one forward pass predicts
    any number of copies, each as if it were the only change to the graph.

    Attributes:
        examples: (C,) the example of each copy.
        removed: for each endpoint, edge type → (C, …) lists of edges, by their row in the graph, that each copy loses.
    """

    examples: Tensor
    removed: tuple[Sequence[Mapping[Canonical, Tensor]], ...]


def with_copies(graph: SocialGraph, batch: Batch, copies: Copies) -> Batch:
    """A batch of the copies, over the whole graph with the copies added.

    Args:
        graph: the graph without the copies.
        batch: a batch whose layers are the whole graph.
        copies: endpoints to copy, with the edges that each copy loses.
    """
    sizes = graph.num_nodes
    ends = [end[copies.examples] for end in graph.ends]
    added: dict[str, Tensor] = {name: torch.empty(0, dtype=torch.int64) for name in sizes}
    rows = []
    for name, nodes in zip(graph.end_types, ends, strict=True):
        rows.append(sizes[name] + len(added[name]) + torch.arange(len(nodes)))
        added[name] = torch.cat([added[name], nodes])
    take = {name: torch.cat([torch.arange(size), added[name]]) for name, size in sizes.items()}
    if not batch.layers:
        return replace(batch, examples=copies.examples, ends=tuple(ends))
    whole = batch.layers[0]
    relations, mask, edge_ids = {}, {}, {}
    for edge_type, relation in whole.relations.items():
        edges = graph.edges[edge_type]
        ids, src, dst = [torch.arange(len(edges))], [edges.src], [edges.dst]
        kept = [_full_mask(whole.mask[edge_type], len(edges))]
        for end, name in enumerate(graph.end_types):
            if name == edge_type[2]:
                into, owner = edges_into(relation, ends[end])
                removed = _removed(into, owner, [lists.get(edge_type) for lists in copies.removed[end]])
                ids.append(into)
                src.append(edges.src[into])
                dst.append(rows[end][owner])
                kept.append(kept[0][into] & ~removed)
        relations[edge_type] = Relation.from_edges(
            torch.cat(src), torch.cat(dst), len(take[edge_type[0]]), len(take[edge_type[2]]), kernel=relation.kernel
        )
        mask[edge_type], edge_ids[edge_type] = torch.cat(kept), torch.cat(ids)
    layer = Layer(relations, mask, edge_ids)
    layers = (replace(layer, take=take), *([layer] * (len(batch.layers) - 1)))
    return replace(batch, examples=copies.examples, ends=tuple(rows), layers=layers)


def edges_into(relation: Relation, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the edges into these nodes, and the position in `nodes` of each edge's destination; (E',) each."""
    starts, ends = relation.indptr[nodes].long(), relation.indptr[nodes + 1].long()
    counts = ends - starts
    owner = torch.repeat_interleave(torch.arange(len(nodes)), counts)
    first = torch.repeat_interleave(starts - (counts.cumsum(0) - counts), counts)
    position = first + torch.arange(len(owner))
    return (position if relation.order is None else relation.order[position].long()), owner


def _full_mask(mask: Tensor | None, count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool) if mask is None else mask


def _removed(into: Tensor, owner: Tensor, removed: Sequence[Tensor | None]) -> Tensor:
    """(E',) bool: which of the copies' edges are removed."""
    lists = [torch.empty(0, dtype=torch.int64) if edges is None else edges for edges in removed]
    owners = torch.repeat_interleave(torch.arange(len(lists)), torch.tensor([len(edges) for edges in lists]))
    if not len(owners):
        return torch.zeros_like(into, dtype=torch.bool)
    width = int(torch.cat([into, *lists]).max()) + 1
    return torch.isin(owner * width + into, owners * width + torch.cat(lists))
