"""The k nearest vectors of each by cosine, among all or only among earlier ones; exact, or by a coarse quantiser.

Exact search multiplies blocks of vectors, N² D operations (half of that in time). Beyond `EXACT` vectors they are put
into √N lists, each around a centre of k-means, and a vector looks only into the lists of the nearest centres (an
inverted file: Sivic and Zisserman 2003; Jégou et al. 2011). How many lists are enough is measured on a sample of the
vectors, whose true neighbours are found by exact search.
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
SAMPLE = 1000  # vectors whose true neighbours say what the lists find
AT_ONCE = 32_768  # vectors that look into their lists together
LEARN = 64  # vectors a list that its centre is learnt from


@dataclass(frozen=True)
class NearestPairs:
    """Pairs of vectors that are near each other.

    Attributes:
        of, found: (E,) int64; `found` is among the k nearest of `of`; sorted by `of`, then the nearest first.
        similarity: (E,) float32, their cosine.
        recall: the share of the true neighbours that were found, 1 where the search is exact; else measured.
        probed: the lists that each vector looked into, and how many there are; None where the search is exact.
    """

    of: Tensor
    found: Tensor
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
    """The k vectors nearest to each, itself left out.

    Args:
        vectors: (N, D) float32 of length 1.
        k: at most so many for each.
        times: (N,) int64; a vector's neighbours are then strictly earlier. Any may be near any by default.
        minimum: cosines below this are no neighbours.
        exact: whether all are compared; by default up to `EXACT` vectors.
        recall: how many of the true neighbours the lists have to find in a sample.
        seed: of sample and centres.
        progress: called with a word, vectors done and vectors to do.
    """
    order = torch.arange(len(vectors)) if times is None else torch.argsort(times, stable=True)
    vectors = vectors[order]  # by time, so that what is earlier comes first
    before = None
    if times is not None:
        before = torch.searchsorted(times[order], times[order])  # (N,) how many are strictly earlier
    found, probed = 1.0, None
    if len(vectors) <= EXACT if exact is None else exact:
        values, places = _compare(vectors, torch.arange(len(vectors)), k, before, progress)
    else:
        lists = _Lists.learn(vectors, before, seed)
        sample = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[:SAMPLE].sort().values
        probes, found = lists.enough(sample, _compare(vectors, sample, k, before), recall)
        probed = probes, len(lists.centres)
        values, places = lists.search(torch.arange(len(vectors)), k, probes, progress)
    row, column = torch.nonzero(values >= minimum, as_tuple=True)
    of, to, similarity = order[row], order[places[row, column]], values[row, column]
    back = torch.argsort(of, stable=True)
    return NearestPairs(of[back], to[back], similarity[back].clamp_max(1.0), found, probed)


def _compare(
    vectors: Tensor, asked: Tensor, k: int, before: Tensor | None, progress: Progress | None = None
) -> tuple[Tensor, Tensor]:
    """The k nearest of these vectors among all: cosines (n, k), -inf where there are fewer, and places (n, k)."""
    best = []
    for rows in torch.split(asked, ROWS):
        end = len(vectors) if before is None else int(before[rows].max())
        tiles = [
            _best(vectors, rows, torch.arange(left, min(left + COLUMNS, end)), k, before)
            for left in range(0, end, COLUMNS)
        ]
        best.append(_merged(tiles, len(rows), k))
        if progress:
            progress("comparing", min(len(best) * ROWS, len(asked)), len(asked))
    return torch.cat([values for values, _ in best]), torch.cat([places for _, places in best])


def _best(vectors: Tensor, rows: Tensor, columns: Tensor, k: int, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """The k nearest to each of `rows` among `columns`, both places in `vectors`: at most (n, k) cosines and places."""
    near = vectors[rows] @ vectors[columns].T  # (n, m)
    allowed = columns != rows[:, None] if before is None else columns < before[rows][:, None]
    top = near.masked_fill_(~allowed, -math.inf).topk(min(k, len(columns)), dim=1)
    return top.values, columns[top.indices]


def _merged(parts: Sequence[tuple[Tensor, Tensor]], rows: int, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of several such searches."""
    values = torch.cat([torch.full((rows, k), -math.inf), *(part for part, _ in parts)], dim=1)
    places = torch.cat([torch.zeros(rows, k, dtype=torch.int64), *(part for _, part in parts)], dim=1)
    top = values.topk(k, dim=1)
    return top.values, places.gather(1, top.indices)


@dataclass(frozen=True)
class _Lists:
    """Vectors by the centre that each is nearest to.

    Attributes:
        vectors: (N, D), by time where there is time.
        before: (N,) how many are earlier, or None.
        centres: (L, D).
        members: (N,) places in `vectors`, by list and, in it, by time.
        sizes: how many are in each list.
    """

    vectors: Tensor
    before: Tensor | None
    centres: Tensor
    members: Tensor
    sizes: list[int]

    @classmethod
    def learn(cls, vectors: Tensor, before: Tensor | None, seed: int) -> _Lists:
        """√N lists, learnt from a sample."""
        from sklearn.cluster import MiniBatchKMeans

        count = max(1, round(math.sqrt(len(vectors))))
        sample = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[: LEARN * count]
        means = MiniBatchKMeans(count, batch_size=4096, n_init=1, max_iter=10, random_state=seed)
        centres = torch.from_numpy(means.fit(vectors[sample].numpy()).cluster_centers_)
        lists = torch.cat([(part @ centres.T).argmax(1) for part in torch.split(vectors, ROWS)])
        sizes = torch.bincount(lists, minlength=count).tolist()
        return cls(vectors, before, centres, torch.argsort(lists, stable=True), sizes)

    def enough(self, sample: Tensor, truth: tuple[Tensor, Tensor], recall: float) -> tuple[int, float]:
        """How many lists find this share of the sample's true neighbours, and the share that they do find."""
        values, _ = truth
        probes, found = 4, 0.0
        while found < recall and probes < len(self.centres):
            probes = min(2 * probes, len(self.centres))
            got, _ = self.search(sample, values.shape[1], probes)
            # by how near they are, so that one of several equal vectors is as good as another
            hits = ((got > -math.inf) & (got >= values - 1e-6)).sum()
            found = float(hits / max(1, int((values > -math.inf).sum())))
        return probes, found

    def search(self, asked: Tensor, k: int, probes: int, progress: Progress | None = None) -> tuple[Tensor, Tensor]:
        """As `_compare`, in the lists of the nearest `probes` centres."""
        best = []
        for rows in torch.split(asked, AT_ONCE):
            best.append(self._search(rows, k, probes))
            if progress:
                progress("comparing", min(len(best) * AT_ONCE, len(asked)), len(asked))
        return torch.cat([values for values, _ in best]), torch.cat([places for _, places in best])

    def _search(self, asked: Tensor, k: int, probes: int) -> tuple[Tensor, Tensor]:
        chosen = torch.cat(
            [(self.vectors[part] @ self.centres.T).topk(probes, dim=1).indices for part in torch.split(asked, ROWS)]
        )  # (n, probes)
        values = torch.full((len(asked) * probes, k), -math.inf)  # of each row, the nearest in each of its lists
        places = torch.zeros(len(asked) * probes, k, dtype=torch.int64)
        lists, order = torch.sort(chosen.flatten(), stable=True)
        counts = torch.bincount(lists, minlength=len(self.centres)).tolist()
        for members, at in zip(torch.split(self.members, self.sizes), torch.split(order, counts), strict=True):
            for part in torch.split(at, ROWS) if len(at) else ():  # a list that nobody looks into
                rows = asked[part // probes]
                earlier = members if self.before is None else members[members < self.before[rows].max()]
                if len(earlier):
                    near, found = _best(self.vectors, rows, earlier, k, self.before)
                    values[part, : near.shape[1]], places[part, : near.shape[1]] = near, found
        top = values.view(len(asked), -1).topk(k, dim=1)
        return top.values, places.view(len(asked), -1).gather(1, top.indices)
