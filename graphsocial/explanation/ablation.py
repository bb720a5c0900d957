"""What an answer can be asked to do without: a column, what edges say, labels, an edge type, single neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl
import torch
from torch import Tensor

from graphsocial.graph import CONTEXT, Canonical, Feature, SocialGraph
from graphsocial.graph.adjacency import Relation
from graphsocial.graph.batching import Batch, Layer


@dataclass(frozen=True)
class Modality:
    """One kind of information that a graph offers.

    Attributes:
        name: `image.file`, `user.age`, `user views image.comment`, `user connects user`, `labels`, `context.page`.
        kind: `vectors` of nodes, a `column` of numbers or categories, `words` on edges, known `labels`, `edges`, a part
            of the examples' `context`.
        of: the node type, or the edge types (a relation and its reverse), that it belongs to.
        column: of a `column` or a part of the `context`, its name.
    """

    name: str
    kind: Literal["vectors", "column", "words", "labels", "edges", "context"]
    of: str | tuple[Canonical, ...] = ()
    column: str = ""


def modalities(graph: SocialGraph, batch: Batch) -> tuple[Modality, ...]:
    """All that the graph offers to this batch's network: edge types only where messages are passed."""
    found = [
        Modality(column, "vectors", name)
        for name, features in graph.node_features.items()
        for column in dict.fromkeys(feature.name for feature in features)  # once, however many encoders it has
    ]
    found += [
        Modality(f"{name}.{part.column}", "column", name, part.column)
        for name, fitted in graph.tabular.items()
        if name != CONTEXT
        for part in fitted.parts
    ]
    if graph.context is not None:
        answers = {column.name for column in graph.context.columns if column.role == "label"}
        grouped = {name for names in graph.context.parts.values() for name in names}
        single = {column.name: (column.name,) for column in graph.context.columns if column.name not in grouped}
        found += [
            Modality(f"context.{part}", "context", CONTEXT, part)
            for part, names in {**graph.context.parts, **single}.items()
            if set(names) - answers
        ]
    if batch.layers:
        both = {
            kind: (kind, *(back for back, edges in graph.edges.items() if edges.reverse_of == kind))
            for kind, edges in graph.edges.items()
            if edges.reverse_of is None
        }
        found += [
            Modality(column, "words", kinds)
            for kind, kinds in both.items()
            for column in dict.fromkeys(feature.name for feature in graph.edge_features.get(kind, ()))
        ]
        found += [Modality(" ".join(kind), "edges", kinds) for kind, kinds in both.items()]
    if bool(batch.view.label.any()):
        found.append(Modality("labels", "labels"))
    return tuple(found)


def without(graph: SocialGraph, batch: Batch, parts: Sequence[Modality]) -> tuple[SocialGraph, Batch]:
    """The same graph and batch as if nobody had ever had these: values are missing, edges are not there."""
    changed = graph
    for part in parts:
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
            blank = {kind: _blanked(changed.edge_features[kind], part.name) for kind in _kinds(part.of)}
            changed = replace(changed, edge_features={**changed.edge_features, **blank})
        else:
            entry, frame = changed.plain[str(part.of)]
            frame = frame.with_columns(pl.lit(None, dtype=frame.schema[part.column]).alias(part.column))
            changed = replace(changed, plain={**changed.plain, str(part.of): (entry, frame)})
    if changed is not graph and batch.rows is not None:
        batch = replace(batch, rows={name: changed.rows(name, rows.nodes) for name, rows in batch.rows.items()})
    return changed, batch


def without_nodes(graph: SocialGraph, batch: Batch, name: str, nodes: Tensor) -> tuple[SocialGraph, Batch]:
    """The same graph and batch as if nothing were known of these nodes of one type; their edges stay."""
    gone = torch.zeros(graph.num_nodes[name], dtype=torch.bool)
    gone[nodes] = True
    features = tuple(
        replace(feature, index=torch.where(gone, -1, feature.index)) for feature in graph.node_features.get(name, ())
    )
    changed = replace(graph, node_features={**graph.node_features, name: features})
    if name in graph.tables:
        entry, frame = graph.plain[name]
        kept = pl.Series((~gone).numpy())
        known = [column for column in frame.columns if column in {part.column for part in graph.tabular[name].parts}]
        blank = frame.with_columns(pl.when(kept).then(pl.col(column)).alias(column) for column in known)
        changed = replace(changed, plain={**graph.plain, name: (entry, blank)})
    if batch.rows is not None:
        batch = replace(batch, rows={kind: changed.rows(kind, rows.nodes) for kind, rows in batch.rows.items()})
    return changed, batch


def _kinds(of: str | tuple[Canonical, ...]) -> tuple[Canonical, ...]:
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
        gone = {kind: torch.zeros(layer.relations[kind].num_edges, dtype=torch.bool) for kind in _kinds(of)}
        changed[id(layer)] = replace(layer, mask={**layer.mask, **gone})
    return replace(batch, layers=tuple(changed[id(layer)] for layer in batch.layers))


@dataclass(frozen=True)
class Copies:
    """Ends of examples, each copied, so that every copy can lose neighbours of its own and nobody else notices.

    A copy hears what its original hears, in all layers, and nobody hears a copy. So one pass over the graph answers
    for any number of copies, each as if it alone had been changed.

    Attributes:
        examples: (C,) the example that each copy is of.
        gone: for each end, edge type → (C, …) lists of edges, by their position in the graph, that each copy loses.
    """

    examples: Tensor
    gone: tuple[Sequence[Mapping[Canonical, Tensor]], ...]


def with_copies(graph: SocialGraph, batch: Batch, copies: Copies) -> Batch:
    """A batch over the whole graph with copies of ends, as one that asks about the copies.

    Args:
        batch: one whose layers are the whole graph.
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
    for kind, relation in whole.relations.items():
        edges = graph.edges[kind]
        ids, src, dst, kept = [torch.arange(len(edges))], [edges.src], [edges.dst], [_all(whole.mask[kind], len(edges))]
        for end, name in enumerate(graph.end_types):
            if name == kind[2]:
                into, owner = edges_into(relation, ends[end])
                lost = _lost(into, owner, [gone.get(kind) for gone in copies.gone[end]])
                ids.append(into)
                src.append(edges.src[into])
                dst.append(rows[end][owner])
                kept.append(kept[0][into] & ~lost)
        relations[kind] = Relation.from_edges(
            torch.cat(src), torch.cat(dst), len(take[kind[0]]), len(take[kind[2]]), kernel=relation.kernel
        )
        mask[kind], edge_ids[kind] = torch.cat(kept), torch.cat(ids)
    layer = Layer(relations, mask, edge_ids)
    layers = (replace(layer, take=take), *([layer] * (len(batch.layers) - 1)))
    return replace(batch, examples=copies.examples, ends=tuple(rows), layers=layers)


def edges_into(relation: Relation, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """The edges into these nodes, by the caller's numbers, and which of `nodes` each leads to; (E',) each."""
    starts, ends = relation.indptr[nodes].long(), relation.indptr[nodes + 1].long()
    counts = ends - starts
    owner = torch.repeat_interleave(torch.arange(len(nodes)), counts)
    first = torch.repeat_interleave(starts - (counts.cumsum(0) - counts), counts)
    position = first + torch.arange(len(owner))
    return (position if relation.order is None else relation.order[position].long()), owner


def _all(mask: Tensor | None, count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool) if mask is None else mask


def _lost(into: Tensor, owner: Tensor, gone: Sequence[Tensor | None]) -> Tensor:
    """(E',) bool: which of the copies' edges are taken from them."""
    lists = [torch.empty(0, dtype=torch.int64) if edges is None else edges for edges in gone]
    owners = torch.repeat_interleave(torch.arange(len(lists)), torch.tensor([len(edges) for edges in lists]))
    if not len(owners):
        return torch.zeros_like(into, dtype=torch.bool)
    width = int(torch.cat([into, *lists]).max()) + 1
    return torch.isin(owner * width + into, owners * width + torch.cat(lists))
