"""One edge type as a sparse matrix: edges sorted by destination, with the transpose for the gradient.

What a layer does with edges is then a pass over a sparse matrix, which adds in a fixed order: the same numbers give
the same bits on every run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from graphsocial.errors import InputError

CanonicalEtype: TypeAlias = tuple[str, str, str]
PARTS = 16  # ranges of rows that threads share: enough for an even load, few enough to have no overhead


class Transpose(NamedTuple):
    """The same edges sorted by source.

    Attributes:
        indptr: first edge of each source; (num_src + 1,).
        dst: destination of each edge; (E,).
        order: position of each edge among the edges sorted by destination; (E,).
    """

    indptr: Tensor
    dst: Tensor
    order: Tensor


@dataclass(frozen=True, eq=False)
class Relation:
    """The edges of one type, as message passing needs them. Build it once a graph, with `from_edges`.

    Per-edge values outside are in the caller's order; inside, edges are sorted by destination. `sort` and `unsort`
    convert from the caller's order and back. Indices are int32 where they fit.

    Attributes:
        num_src: number of source nodes.
        num_dst: number of destination nodes.
        indptr: first sorted edge of each destination; (num_dst + 1,).
        src: source of each sorted edge; (E,).
        order: position of each sorted edge in the caller's order; (E,). None where the two orders are the same.
        kernel: implementation of the edge-wise operations: one of `kernels.NAMES`.
        back: the transpose, where it is known already.
    """

    num_src: int
    num_dst: int
    indptr: Tensor
    src: Tensor
    order: Tensor | None = None
    kernel: str = "auto"
    back: Transpose | None = None

    @classmethod
    def from_edges(cls, src: Tensor, dst: Tensor, num_src: int, num_dst: int, *, kernel: str = "auto") -> Relation:
        """Sort the edges `src[e] → dst[e]` by destination, then source. Duplicates stay, each an edge of its own.

        Args:
            src: int64 (E,), values in 0 .. num_src - 1.
            dst: int64 (E,), values in 0 .. num_dst - 1.
            num_src: number of source nodes: from the node table, never from the largest edge end.
            num_dst: number of destination nodes.
            kernel: one of `kernels.NAMES`.

        Raises:
            InputError: lengths differ, or an endpoint is not a node.
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
        index = torch.int32 if max(num_src, num_dst, len(src)) < 2**31 else torch.int64
        indptr = _starts(dst, num_dst)
        return cls(num_src, num_dst, indptr.to(index), src[order].to(index), order.to(index), kernel)

    @property
    def num_edges(self) -> int:
        """E, duplicates counted."""
        return len(self.src)

    @cached_property
    def dst(self) -> Tensor:
        """Destination of each sorted edge; (E,)."""
        rows = torch.arange(self.num_dst, dtype=self.src.dtype, device=self.src.device)
        return torch.repeat_interleave(rows, self.indptr.diff(), output_size=self.num_edges)

    @cached_property
    def transpose(self) -> Transpose:
        """The edges sorted by source, in the order of their destinations."""
        if self.back is not None:
            return self.back
        order = torch.argsort(self.src, stable=True)
        index = self.src.dtype
        return Transpose(_starts(self.src, self.num_src).to(index), self.dst[order], order.to(index))

    def reversed(self) -> Relation:
        """The same edges from destination to source, in the same caller's order; nothing is sorted again."""
        back = self.transpose
        position = torch.empty_like(back.order)
        position[back.order.long()] = torch.arange(self.num_edges, dtype=position.dtype, device=position.device)
        return replace(
            self,
            num_src=self.num_dst,
            num_dst=self.num_src,
            indptr=back.indptr,
            src=back.dst,
            order=back.order if self.order is None else self.order.index_select(0, back.order),
            back=Transpose(self.indptr, self.src, position),
        )

    @cached_property
    def parts(self) -> list[tuple[int, int]]:
        """Ranges of destinations with about equally many edges."""
        return _parts(self.indptr)

    @cached_property
    def t_parts(self) -> list[tuple[int, int]]:
        """Ranges of sources with about equally many edges."""
        return _parts(self.transpose.indptr)

    @cached_property
    def _inverse(self) -> Tensor:
        assert self.order is not None
        inverse = torch.empty_like(self.order)
        inverse[self.order.long()] = torch.arange(self.num_edges, dtype=inverse.dtype, device=inverse.device)
        return inverse

    def sort(self, values: Tensor) -> Tensor:
        """Bring values (E, …) on edges from the caller's order into the sorted one."""
        return values if self.order is None else values.index_select(0, self.order)

    def unsort(self, values: Tensor) -> Tensor:
        """Bring values (E, …) on edges from the sorted order into the caller's."""
        return values if self.order is None else values.index_select(0, self._inverse)

    def to(self, device: torch.device | str) -> Relation:
        """The same relation on another device."""
        order = None if self.order is None else self.order.to(device)
        back = None if self.back is None else Transpose(*(part.to(device) for part in self.back))
        return replace(self, indptr=self.indptr.to(device), src=self.src.to(device), order=order, back=back)

    @cached_property
    def edges_as_sources(self) -> Relation:
        """The relation from each of the caller's edges to that edge's destination: for messages that edges carry."""
        src = torch.arange(self.num_edges, dtype=self.src.dtype, device=self.src.device)
        return replace(self, num_src=self.num_edges, src=src if self.order is None else self.order, back=None)


def _starts(ends: Tensor, count: int) -> Tensor:
    starts = torch.zeros(count + 1, dtype=torch.int64, device=ends.device)
    starts[1:] = torch.bincount(ends, minlength=count).cumsum(0)
    return starts


def _parts(indptr: Tensor) -> list[tuple[int, int]]:
    """Cut the rows so that each part has about as many edges and rows as any other."""
    rows = len(indptr) - 1
    work = indptr.long().cpu() + torch.arange(rows + 1)
    cuts = torch.searchsorted(work, torch.linspace(0, int(work[-1]), PARTS + 1).long())
    cuts = torch.unique(torch.cat([torch.tensor([0]), cuts[1:-1], torch.tensor([rows])])).tolist()
    return list(pairwise(cuts)) or [(0, rows)]


def first_rows(x: Tensor, count: int) -> Tensor:
    """The first `count` rows, which are a block's destinations; `x` itself where all are, to spare autograd a copy."""
    return x if len(x) == count else x[:count]


def check_graph(
    x: Mapping[str, Tensor],
    relations: Mapping[CanonicalEtype, Relation],
    node_types: Sequence[str],
    edge_types: Sequence[CanonicalEtype],
    in_features: int,
    num_dst: Mapping[str, int] | None,
) -> dict[str, int]:
    """Check that inputs fit a layer; return the number of destination nodes of each type.

    Args:
        x: {node_type: (N, D)}.
        relations: one for each edge type.
        node_types: the node types that the layer was built for.
        edge_types: the edge types that the layer was built for.
        in_features: D.
        num_dst: {node_type: count} of destinations; all nodes of types that it does not name.

    Raises:
        InputError: types, widths or counts that do not fit.
    """
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
    """Check values on edges; return them as a dict.

    Args:
        name: the argument's name, for errors.
        given: {edge_type: (E, …)}.
        relations: one for each edge type.
        allowed: {edge_type: shape after E} of the types that may have values.

    Raises:
        InputError: a type without values, or a shape that does not fit.
    """
    for etype, value in (given or {}).items():
        if etype not in allowed:
            raise InputError(f"{name} has the edge type {etype}, which is not used; known: {sorted(allowed)}.")
        wanted = (relations[etype].num_edges, *allowed[etype])
        if value.shape != wanted:
            raise InputError(f"{name}[{etype}] has the shape {tuple(value.shape)}; the relation's edges take {wanted}.")
    return dict(given or {})
