"""What a featurizer returns: a vector per item, or a sequence of vectors per item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sequences:
    """A variable number of vectors per item (tokens, frames, regions): item n has `values[offsets[n]:offsets[n + 1]]`.

    Attributes:
        values: (ΣT, D) float32, item after item.
        offsets: (N + 1,) int64, ascending from 0 to ΣT.

    >>> two = Sequences(np.ones((3, 1), np.float32), np.array([0, 1, 3]))
    >>> two.padded(np.array([1, 0, -1]))[1].tolist()
    [[True, True], [True, False], [False, False]]
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) T of each item; 0 is a sequence too (no face in the picture)."""
        return np.diff(self.offsets)

    def padded(self, rows: NDArray[np.int64] | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """These items (all by default) as one array: (n, T, D) float32, zeros behind each end, and (n, T) the mask.

        Args:
            rows: (n,) int64; -1 stands for an item without a sequence, and is all padding.
        """
        rows = np.arange(len(self)) if rows is None else rows
        lengths = np.append(self.lengths, 0)[rows]
        steps = np.arange(lengths.max(initial=0))
        mask = steps < lengths[:, None]  # (n, T)
        padded = np.zeros((*mask.shape, self.values.shape[1]), np.float32)
        padded[mask] = self.values[(self.offsets[rows][:, None] + steps)[mask]]
        return padded, mask

    def take(self, rows: NDArray[np.int64]) -> Sequences:
        """These items alone, in this order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Sequences(self.values[positions], offsets)


@dataclass(frozen=True)
class Encoded:
    """What `encode` returns.

    Attributes:
        vectors: (N, D) float32, one row per item in the order given; of sequences (ΣT, D), item after item. The rows
            of rejected items are zeros, or not there.
        rejects: index of the item → why it has no vector. The caller keeps these rows out of the store.
        offsets: of sequences, (N + 1,) int64: item n has the rows `offsets[n]:offsets[n + 1]`.
        captions: what was written about each item on the way, one text per item; the store keeps them beside the
            vectors, in the table `captions`.
    """

    vectors: NDArray[np.float32]
    rejects: dict[int, str] = field(default_factory=dict)
    offsets: NDArray[np.int64] | None = None
    captions: Sequence[str] | None = None

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.float32],
        rejects: dict[int, str] | None = None,
        offsets: NDArray[np.int64] | None = None,
    ) -> Encoded:
        """Reject, besides the given items, each item with a number that is not finite.

        Args:
            vectors: (N, D) float32; of sequences (ΣT, D), item after item. Set to 0 where they are not finite.
            rejects: index of the item → why it has no vector.
            offsets: of sequences, (N + 1,) int64.
        """
        rejects = dict(rejects or {})
        rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        items = rows if offsets is None else np.searchsorted(offsets, rows, side="right") - 1
        for item in items:
            rejects.setdefault(int(item), "the encoder gave numbers that are not finite")
        vectors[rows] = 0
        return cls(vectors, rejects, offsets)

    @classmethod
    def of_sequences(
        cls, parts: Sequence[NDArray[np.float32]], dimension: int, rejects: dict[int, str] | None = None
    ) -> Encoded:
        """Join sequences, and reject items as `of` does.

        Args:
            parts: (T, D) float32 for each item; empty for a rejected one.
            dimension: D.
            rejects: index of the item → why it has no vector.
        """
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls.of(np.concatenate([np.zeros((0, dimension), np.float32), *parts]), rejects, offsets)

    def __len__(self) -> int:
        return len(self.vectors if self.offsets is None else self.offsets[1:])

    @property
    def sequences(self) -> Sequences:
        """The same, item by item; one vector is a sequence of length 1."""
        return Sequences(self.vectors, np.arange(len(self) + 1) if self.offsets is None else self.offsets)
