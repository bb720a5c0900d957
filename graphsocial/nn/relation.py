"""One edge type as a sparse matrix: edges sorted by destination, kept with their transpose for the way back.

What a layer does with edges is then a product of a sparse matrix, which adds in a fixed order: the same numbers give
the same bits on every run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphsocial.errors import InputError

CanonicalEtype: TypeAlias = tuple[str, str, str]

with warnings.catch_warnings():  # torch says once a process that CSR is in beta: let it say so here, unheard
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
    torch.sparse_csr_tensor(
        torch.tensor([0, 0]), torch.tensor([]).long(), torch.tensor([]), (1, 1), check_invariants=False
    )


@dataclass(frozen=True, eq=False)
class Relation:
    """The edges of one type, as message passing needs them. Build it once a graph, with `from_edges`.

    Callers number edges as they gave them. Inside, edges are sorted by destination, then source; `order` leads from
    a sorted edge to the caller's and `inverse` back. Indices are int32 where they fit, which MKL wants.

    Attributes:
        num_src: number of source nodes.
        num_dst: number of destination nodes.
        indptr: first sorted edge of each destination; (num_dst + 1).
        src: source of each sorted edge; (E,).
        dst: destination of each sorted edge; (E,).
        order: the caller's number of each sorted edge; (E,).
        inverse: the sorted position of each of the caller's edges; (E,).
        t_indptr: first transposed edge of each source; (num_src + 1).
        t_dst: destination of each transposed edge; (E,).
        t_order: the sorted position of each transposed edge; (E,).
    """

    num_src: int
    num_dst: int
    indptr: Tensor
    src: Tensor
    dst: Tensor
    order: Tensor
    inverse: Tensor
    t_indptr: Tensor
    t_dst: Tensor
    t_order: Tensor

    @classmethod
    def from_edges(cls, src: Tensor, dst: Tensor, num_src: int, num_dst: int) -> Relation:
        """Sort the edges `src[e] → dst[e]` both ways. Duplicates stay, each an edge of its own.

        Args:
            src: int64 (E,), values in 0 .. num_src - 1.
            dst: int64 (E,), values in 0 .. num_dst - 1.
            num_src: number of source nodes: from the node table, never from the largest edge end.
            num_dst: number of destination nodes.

        Raises:
            InputError: lengths differ, or an end is not a node.
        """
        if src.dim() != 1 or src.shape != dst.shape:
            raise InputError(f"src {tuple(src.shape)} and dst {tuple(dst.shape)} must both have the shape (E,).")
        for name, ends, count in (("src", src, num_src), ("dst", dst, num_dst)):
            if ends.is_floating_point() or ends.dtype == torch.bool:
                raise InputError(f"{name} holds {ends.dtype}; node numbers are int64.")
            low, high = (int(ends.min()), int(ends.max())) if ends.numel() else (0, -1)
            if low < 0 or high >= count:
                raise InputError(
                    f"{name} has node numbers from {low} to {high}; num_{name} = {count} allows 0 to {count - 1}."
                )
        src, dst = src.long(), dst.long()
        order = torch.argsort(dst * num_src + src, stable=True)
        src, dst = src[order], dst[order]
        t_order = torch.argsort(src, stable=True)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        index = torch.int32 if max(num_src, num_dst, len(src)) < 2**31 else torch.int64
        parts = {
            "indptr": _starts(dst, num_dst),
            "src": src,
            "dst": dst,
            "order": order,
            "inverse": inverse,
            "t_indptr": _starts(src, num_src),
            "t_dst": dst[t_order],
            "t_order": t_order,
        }
        return cls(num_src, num_dst, **{name: part.to(index) for name, part in parts.items()})

    @property
    def num_edges(self) -> int:
        """E, duplicates counted."""
        return len(self.src)

    def to(self, device: torch.device | str) -> Relation:
        """The same relation on another device."""
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)[2:]}
        return replace(self, **{name: part.to(device) for name, part in parts.items()})

    @cached_property
    def edges_as_sources(self) -> Relation:
        """The relation from each of the caller's edges to that edge's destination: for messages that edges carry."""
        starts = torch.arange(self.num_edges + 1, dtype=self.indptr.dtype, device=self.indptr.device)
        ends = self.dst.index_select(0, self.inverse)
        return replace(self, num_src=self.num_edges, src=self.order, t_indptr=starts, t_dst=ends, t_order=self.inverse)

    def matrix(self, weights: Tensor) -> Tensor:
        """The (num_dst, num_src) CSR matrix with `weights` (E,), sorted, as its entries."""
        return _csr(self.indptr, self.src, weights, (self.num_dst, self.num_src))

    def transposed(self, weights: Tensor) -> Tensor:
        """The (num_src, num_dst) CSR matrix with `weights` (E,), sorted, as its entries."""
        entries = weights.index_select(0, self.t_order)
        return _csr(self.t_indptr, self.t_dst, entries, (self.num_src, self.num_dst))

    def sum_by_dst(self, weights: Tensor) -> Tensor:
        """Sum `weights` (E,), sorted, over the edges into each destination; (num_dst,)."""
        return self.matrix(weights) @ weights.new_ones(self.num_src)

    def sum_by_src(self, weights: Tensor) -> Tensor:
        """Sum `weights` (E,), sorted, over the edges out of each source; (num_src,)."""
        return self.transposed(weights) @ weights.new_ones(self.num_dst)

    def max_by_dst(self, weights: Tensor) -> Tensor:
        """The largest of `weights` (E,), sorted, over the edges into each destination, else -inf; (num_dst,)."""
        return torch.segment_reduce(weights, "max", offsets=self.indptr.long(), initial=float("-inf"))


def _starts(ends: Tensor, count: int) -> Tensor:
    starts = ends.new_zeros(count + 1)
    starts[1:] = torch.bincount(ends, minlength=count).cumsum(0)
    return starts


def _csr(indptr: Tensor, columns: Tensor, entries: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(indptr, columns, entries, shape, check_invariants=False)


def first_rows(x: Tensor, count: int) -> Tensor:
    """The destinations among the nodes of a block; `x` itself where all are, which spares autograd a copy."""
    return x if len(x) == count else x[:count]


def check_graph(
    x: Mapping[str, Tensor],
    relations: Mapping[CanonicalEtype, Relation],
    node_types: Sequence[str],
    edge_types: Sequence[CanonicalEtype],
    in_features: int,
    num_dst: Mapping[str, int] | None,
) -> dict[str, int]:
    """Check that inputs fit a layer, by name; return the number of destination nodes of each type."""
    if set(x) != set(node_types):
        raise InputError(f"x has the node types {sorted(x)}; this layer was built for {sorted(node_types)}.")
    if set(relations) != set(edge_types):
        raise InputError(
            f"relations has {sorted(relations)}; this layer was built for {sorted(edge_types)}. "
            "A type without edges takes a Relation with none."
        )
    for name, value in x.items():
        if value.dim() != 2 or value.shape[1] != in_features:
            raise InputError(f"x['{name}'] has the shape {tuple(value.shape)}; this layer takes (N, {in_features}).")
    counts = {name: len(value) for name, value in x.items()} | dict(num_dst or {})
    for name, count in counts.items():
        if name not in x or not 0 <= count <= len(x[name]):
            have = len(x[name]) if name in x else "no"
            raise InputError(f"num_dst['{name}'] = {count}, but there are {have} nodes of that type in x.")
    for etype, relation in relations.items():
        given, wanted = (relation.num_src, relation.num_dst), (len(x[etype[0]]), counts[etype[2]])
        if given != wanted:
            raise InputError(
                f"The relation {etype} joins {given} source and destination nodes; x and num_dst say {wanted}."
            )
    return counts


def check_edges(
    name: str,
    given: Mapping[CanonicalEtype, Tensor] | None,
    relations: Mapping[CanonicalEtype, Relation],
    allowed: Mapping[CanonicalEtype, tuple[int, ...]],
) -> dict[CanonicalEtype, Tensor]:
    """Check values on edges, each (E, *allowed[etype]), by name; return them as a dict."""
    for etype, value in (given or {}).items():
        if etype not in allowed:
            raise InputError(f"{name} has the edge type {etype}, which would go unused; known: {sorted(allowed)}.")
        wanted = (relations[etype].num_edges, *allowed[etype])
        if value.shape != wanted:
            raise InputError(f"{name}[{etype}] has the shape {tuple(value.shape)}; the relation's edges take {wanted}.")
    return dict(given or {})
