"""Edges that put nodes one after the other, such as `segment next segment`, as sequences in time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphsocial.errors import DataError


@dataclass(frozen=True)
class Chains:
    """N nodes as sequences, one after the other; a node without such an edge is a sequence of its own.

    Attributes:
        order: (N,) int64, all nodes, by sequence and then by position in it.
        starts: (C + 1,) int64, where each sequence begins in `order`.
        chain: (N,) int64, the sequence of each node.
        position: (N,) int64, the position of each node in its sequence, from 0.
    """

    order: Tensor
    starts: Tensor
    chain: Tensor
    position: Tensor

    @classmethod
    def of(cls, src: Tensor, dst: Tensor, count: int, *, what: str = "edges") -> Chains:
        """Follow the edges `src[e] → dst[e]` between `count` nodes; sequences are numbered by their first nodes.

        Args:
            src: (E,) int64, the node that comes before.
            dst: (E,) int64, the node that comes next.
            count: N, the number of nodes.
            what: the name of the edges in errors.

        Raises:
            DataError: a node has two edges out or two in, or the edges run in a circle.
        """
        for ends, side in ((src, "from"), (dst, "to")):
            twice = torch.bincount(ends, minlength=count) > 1
            if twice.any():
                raise DataError(
                    f"'{what}' is no order: {int(twice.sum()):,} nodes have several such edges {side} them."
                )
        before = torch.arange(count)
        before[dst] = src  # a first node precedes itself
        position = (before != torch.arange(count)).long()
        first = before
        for _ in range(max(1, count).bit_length()):  # pointer jumping: each round doubles the distance to `first`
            position, first = position + position[first], first[first]
        if (before[first] != first).any():
            raise DataError(f"'{what}' is no order: some of its edges run in a circle.")
        heads, chain = torch.unique(first, return_inverse=True)
        order = torch.argsort(chain * max(1, count) + position)
        starts = torch.zeros(len(heads) + 1, dtype=torch.int64)
        starts[1:] = torch.bincount(chain, minlength=len(heads)).cumsum(0)
        return cls(order, starts, chain, position)

    @property
    def lengths(self) -> Tensor:
        """(C,) how many nodes each sequence has."""
        return self.starts.diff()

    def table(self, chains: Tensor) -> tuple[Tensor, Tensor]:
        """These C' sequences side by side: the nodes (C', T), 0 beyond the end of each, and the mask (C', T)."""
        lengths = self.lengths[chains]
        positions = torch.arange(int(lengths.max()) if len(lengths) else 0)
        mask = positions < lengths[:, None]
        at = torch.where(mask, self.starts[chains][:, None] + positions, 0)
        return torch.where(mask, self.order[at], 0), mask
