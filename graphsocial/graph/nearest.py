"""The k nearest vectors of each by cosine, among all or only among earlier ones; exact, or by a coarse quantiser.

Exact search multiplies blocks of vectors, N² D operations (half of that in time). Beyond `EXACT` vectors they are put
into √N lists, each around a centre of k-means, and only the lists of the nearest centres are searched (an inverted
file: Sivic and Zisserman 2003; Jégou et al. 2011). The number of lists that reaches a recall is measured on a sample,
whose true neighbors come from exact search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphsocial.types import Progress

EXACT = 100_000  # vectors up to which the search is exact by default
ROWS, COLUMNS = 1024, 16_384  # of a block of similarities: 64 MiB
SAMPLE = 1000  # vectors on which the recall is measured
AT_ONCE = 32_768  # vectors per batch of the search in lists
LEARN = 64  # vectors per list that k-means is fitted on


@dataclass(frozen=True)
class NearestPairs:
    """E pairs of a vector and one of its nearest neighbors, sorted by vector, then by descending similarity.

    Attributes:
        of: (E,) int64, the vector.
        neighbor: (E,) int64, one of its k nearest neighbors.
        similarity: (E,) float32, their cosine.
        recall: share of the true nearest neighbors among the pairs: 1 for exact search, else measured on a sample.
        probed: number of lists that were searched per vector, and of all lists; None for exact search.
    """

    of: Tensor
    neighbor: Tensor
    similarity: Tensor
    recall: float = 1.0
    probed: tuple[int, int] | None = None


def nearest(
    vectors: Tensor,
    k: int,
    *,
    times: Tensor | None = None,
    minimum: float = 0.0,
    exact: bool | None = None,
    recall: float = 0.95,
    seed: int = 0,
    progress: Progress | None = None,
) -> NearestPairs:
    """The k nearest neighbors of each vector, itself excluded.

    Args:
        vectors: (N, D) float32 of norm 1.
        k: maximum number of neighbors.
        times: (N,) int64; neighbors are strictly earlier. Without times, all other vectors are candidates.
        minimum: minimum cosine of a neighbor.
        exact: compare all pairs; by default up to `EXACT` vectors.
        recall: share of the true neighbors, measured on a sample, that approximate search has to reach.
        seed: random seed of sample and centres.
        progress: called with a description, vectors done and all vectors.
    """
    order = torch.arange(len(vectors)) if times is None else torch.argsort(times, stable=True)
    vectors = vectors[order]  # by time, so that what is earlier comes first
    before = None
    if times is not None:
        before = torch.searchsorted(times[order], times[order])  # (N,) number of strictly earlier vectors
    measured, probed = 1.0, None
    if len(vectors) <= EXACT if exact is None else exact:
        values, positions = _compare(vectors, torch.arange(len(vectors)), k, before, progress)
    else:
        lists = _Lists.learn(vectors, before, seed)
        sample = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[:SAMPLE].sort().values
        probes, measured = lists.enough(sample, _compare(vectors, sample, k, before), recall)
        probed = probes, len(lists.centres)
        values, positions = lists.search(torch.arange(len(vectors)), k, probes, progress)
    row, column = torch.nonzero(values >= minimum, as_tuple=True)
    of, to, similarity = order[row], order[positions[row, column]], values[row, column]
    back = torch.argsort(of, stable=True)
    return NearestPairs(of[back], to[back], similarity[back].clamp_max(1.0), measured, probed)


def _compare(
    vectors: Tensor, queries: Tensor, k: int, before: Tensor | None, progress: Progress | None = None
) -> tuple[Tensor, Tensor]:
    """The k nearest neighbors of these vectors among all: cosines (n, k), -inf where there are fewer, and positions."""
    best = []
    for rows in torch.split(queries, ROWS):
        end = len(vectors) if before is None else int(before[rows].max())
        tiles = [
            _best(vectors, rows, torch.arange(left, min(left + COLUMNS, end)), k, before)
            for left in range(0, end, COLUMNS)
        ]
        best.append(_merged(tiles, len(rows), k))
        if progress:
            progress("comparing", min(len(best) * ROWS, len(queries)), len(queries))
    return torch.cat([values for values, _ in best]), torch.cat([positions for _, positions in best])


def _best(vectors: Tensor, rows: Tensor, columns: Tensor, k: int, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """The k nearest neighbors of `rows` among `columns`: at most (n, k) cosines and positions in `vectors`."""
    first, last = int(columns[0]), int(columns[-1])
    adjacent = last - first == len(columns) - 1  # then a view of the vectors will do
    near = vectors[rows] @ (vectors[first : last + 1] if adjacent else vectors[columns]).T  # (n, m)
    if before is not None:
        if int(before[rows].min()) <= last:
            near.masked_fill_(columns >= before[rows][:, None], -math.inf)
    elif adjacent:
        own = torch.nonzero((rows >= first) & (rows <= last)).squeeze(1)
        near[own, rows[own] - first] = -math.inf
    else:
        near.masked_fill_(columns == rows[:, None], -math.inf)
    top = near.topk(min(k, len(columns)), dim=1)
    return top.values, columns[top.indices]


def _merged(parts: Sequence[tuple[Tensor, Tensor]], rows: int, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest neighbors over several such searches."""
    values = torch.cat([torch.full((rows, k), -math.inf), *(part for part, _ in parts)], dim=1)
    positions = torch.cat([torch.zeros(rows, k, dtype=torch.int64), *(part for _, part in parts)], dim=1)
    top = values.topk(k, dim=1)
    return top.values, positions.gather(1, top.indices)


@dataclass(frozen=True)
class _Lists:
    """Vectors in lists by their nearest centre.

    Attributes:
        vectors: (N, D), by time where there is time.
        before: (N,) number of earlier vectors; None without times.
        centres: (L, D).
        members: (N,) positions in `vectors`, by list and, within it, by time.
        sizes: number of vectors in each list.
    """

    vectors: Tensor
    before: Tensor | None
    centres: Tensor
    members: Tensor
    sizes: list[int]

    @classmethod
    def learn(cls, vectors: Tensor, before: Tensor | None, seed: int) -> _Lists:
        """√N lists, with centres fitted on a sample.

        Args:
            vectors: (N, D).
            before: (N,) number of earlier vectors, or None.
            seed: random seed.
        """
        from sklearn.cluster import MiniBatchKMeans

        count = max(1, round(math.sqrt(len(vectors))))
        sample = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[: LEARN * count]
        means = MiniBatchKMeans(count, batch_size=4096, n_init=1, max_iter=10, random_state=seed)
        centres = torch.from_numpy(means.fit(vectors[sample].numpy()).cluster_centers_)
        lists = torch.cat([(part @ centres.T).argmax(1) for part in torch.split(vectors, ROWS)])
        sizes = torch.bincount(lists, minlength=count).tolist()
        return cls(vectors, before, centres, torch.argsort(lists, stable=True), sizes)

    def enough(self, sample: Tensor, truth: tuple[Tensor, Tensor], recall: float) -> tuple[int, float]:
        """The number of lists to search for this recall on the sample, and the recall that it reaches.

        Args:
            sample: (n,) positions.
            truth: cosines and positions of their true neighbors.
            recall: the share to reach.
        """
        values, _ = truth
        probes, reached = 4, 0.0
        while reached < recall and probes < len(self.centres):
            probes = min(2 * probes, len(self.centres))
            values_found, _ = self.search(sample, values.shape[1], probes)
            # by cosine, so that one of several equal vectors is as good as another
            hits = ((values_found > -math.inf) & (values_found >= values - 1e-6)).sum()
            reached = float(hits / max(1, int((values > -math.inf).sum())))
        return probes, reached

    def search(self, queries: Tensor, k: int, probes: int, progress: Progress | None = None) -> tuple[Tensor, Tensor]:
        """As `_compare`, in the lists of the nearest `probes` centres.

        Args:
            queries: (n,) positions of vectors.
            k: maximum number of neighbors.
            probes: number of lists to search.
            progress: called with a description, vectors done and all vectors.
        """
        best = []
        for rows in torch.split(queries, AT_ONCE):
            best.append(self._search(rows, k, probes))
            if progress:
                progress("comparing", min(len(best) * AT_ONCE, len(queries)), len(queries))
        return torch.cat([values for values, _ in best]), torch.cat([positions for _, positions in best])

    def _search(self, queries: Tensor, k: int, probes: int) -> tuple[Tensor, Tensor]:
        chosen = torch.cat(
            [(self.vectors[part] @ self.centres.T).topk(probes, dim=1).indices for part in torch.split(queries, ROWS)]
        )  # (n, probes)
        values = torch.full((len(queries) * probes, k), -math.inf)  # for each query, the nearest in each of its lists
        positions = torch.zeros(len(queries) * probes, k, dtype=torch.int64)
        lists, order = torch.sort(chosen.flatten(), stable=True)
        counts = torch.bincount(lists, minlength=len(self.centres)).tolist()
        for members, at in zip(torch.split(self.members, self.sizes), torch.split(order, counts), strict=True):
            for part in torch.split(at, ROWS) if len(at) else ():  # a list that no query searches
                rows = queries[part // probes]
                earlier = members if self.before is None else members[members < self.before[rows].max()]
                if len(earlier):
                    near, neighbors = _best(self.vectors, rows, earlier, k, self.before)
                    values[part, : near.shape[1]], positions[part, : near.shape[1]] = near, neighbors
        top = values.view(len(queries), -1).topk(k, dim=1)
        return top.values, positions.view(len(queries), -1).gather(1, top.indices)
