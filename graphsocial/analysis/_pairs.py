"""Emotions of pairs of segments, compared with those that the second segment's speaker has in the dialogue anyhow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from graphsocial.analysis._measures import Floats, Ints

LEVEL = 0.95
MIN_DIALOGUES = 10  # for a deviation between dialogues that is worth dividing by


@dataclass(frozen=True)
class Likeness:
    """How often the replies to segments with an emotion have it too; the names are columns of `emotion_likeness`.

    Attributes:
        replies: number of replies to segments with the emotion.
        dialogues: number of dialogues with such replies.
        shared: share of these replies that have the emotion too.
        by_chance: mean share of the emotion among the segments that the same speakers have in the same dialogue.
        excess: shared - by_chance.
        low, high: 95 % confidence interval of the excess, clustered by dialogue; None with one dialogue.
        p: two-sided p value of the permutation test.
    """

    replies: int
    dialogues: int
    shared: float
    by_chance: float
    excess: float
    low: float | None
    high: float | None
    p: float


@dataclass(frozen=True)
class Transition:
    """How often one emotion follows another; the names are columns of `emotion_transitions`.

    Attributes:
        segments: number of pairs.
        share: share of the second emotion among the pairs with the first one.
        expected: number of pairs expected by what the second segment's speaker feels in the dialogue.
        lift: segments / expected.
        low, high: 95 % confidence interval of the lift, clustered by dialogue; None with one dialogue.
    """

    segments: int
    share: float
    expected: float
    lift: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SpokenSegments:
    """N labelled segments whose speakers are known; a block is a speaker's segments in a dialogue.

    What people feel differs between dialogues and between speakers. So chance keeps each block's emotions and only
    exchanges them among its segments: the second segment of a pair has an emotion with the share that it has in its
    block, without the first segment where that is of the same block.

    Attributes:
        codes: (N,) emotion of each segment, 0 to K - 1.
        blocks: (N,) block of each segment, numbered from 0.
        dialogues: (N,) dialogue of each segment, numbered from 0.
        emotions: K.
    """

    codes: Ints
    blocks: Ints
    dialogues: Ints
    emotions: int

    @cached_property
    def counts(self) -> Ints:
        """(B, K) number of segments of each block with each emotion."""
        blocks = int(self.blocks.max()) + 1
        keys = self.blocks * self.emotions + self.codes
        return np.bincount(keys, minlength=blocks * self.emotions).reshape(blocks, self.emotions)

    @cached_property
    def by_block(self) -> Ints:
        """(N,) segments in the order of their blocks."""
        return np.argsort(self.blocks, kind="stable")

    def permuted(self, random: np.random.Generator) -> Ints:
        """(N,) the emotions, permuted within the blocks."""
        codes = np.empty_like(self.codes)
        codes[np.argsort(self.blocks + random.random(len(codes)))] = self.codes[self.by_block]
        return codes

    def chance(self, codes: Ints, first: Ints, second: Ints, emotion: Ints) -> Floats:
        """(P,) the probability by chance that the second segment of a pair has an emotion.

        Args:
            codes: (N,) emotions.
            first: (P,) first segments, none of which is its own second.
            second: (P,) second segments.
            emotion: (P,) the emotions.
        """
        block = self.blocks[second]
        in_block = self.blocks[first] == block
        left = self.counts[block, emotion] - (in_block & (codes[first] == emotion))
        probability: Floats = left / (self.counts.sum(1)[block] - in_block)
        return probability

    def likeness(
        self, first: Ints, second: Ints, *, permutations: int, random: np.random.Generator
    ) -> dict[int, Likeness]:
        """Emotion → the likeness of replies to it, with a permutation test.

        The test statistic is the sum of the excess over the pairs, divided by its deviation between the dialogues: the
        test is exact where a speaker's emotions in a dialogue are exchangeable, and with many dialogues it holds where
        they last for several segments too (Janssen 1997, https://doi.org/10.1016/S0167-7152(97)00043-6). With fewer
        than 10 dialogues the sum is not divided.

        Args:
            first: (P,) segments that are replied to.
            second: (P,) their replies.
            permutations: number of permutations within the blocks.
            random: generator of the permutations.
        """
        dialogues, dialogue = np.unique(self.dialogues[second], return_inverse=True)

        def statistics(codes: Ints) -> tuple[Floats, Floats, Floats]:
            emotion = codes[first]
            keys = dialogue * self.emotions + emotion
            excess = (codes[second] == emotion) - self.chance(codes, first, second, emotion)
            shape = (len(dialogues), self.emotions)
            sums: Floats = np.bincount(keys, excess, shape[0] * shape[1]).reshape(shape).astype(np.float64)
            counts = np.bincount(keys, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
            total, deviation = sums.sum(0), np.sqrt((sums**2).sum(0))
            if len(dialogues) < MIN_DIALOGUES:
                return sums, counts, total
            return sums, counts, np.divide(total, deviation, out=np.zeros_like(total), where=deviation > 1e-9)

        sums, counts, observed = statistics(self.codes)
        extreme = np.zeros(self.emotions)
        for _ in range(permutations):
            extreme += np.abs(statistics(self.permuted(random))[2]) >= np.abs(observed) - 1e-9
        same = np.bincount(self.codes[first][self.codes[first] == self.codes[second]], minlength=self.emotions)
        result = {}
        for emotion in np.flatnonzero(counts.sum(0)):
            replies = counts[:, emotion].sum()
            excess, shared = sums[:, emotion].sum() / replies, same[emotion] / replies
            half = half_width(sums[:, emotion], counts[:, emotion])
            result[int(emotion)] = Likeness(
                int(replies),
                int((counts[:, emotion] > 0).sum()),
                float(shared),
                float(shared - excess),
                float(excess),
                None if half is None else float(excess - half),
                None if half is None else float(excess + half),
                float((1 + extreme[emotion]) / (1 + permutations)),
            )
        return result

    def transitions(self, first: Ints, second: Ints) -> Iterator[tuple[int, int, Transition]]:
        """First and second emotion of each kind of pair that there is, and its frequency.

        Args:
            first: (P,) first segments.
            second: (P,) second segments.
        """
        for before in np.unique(self.codes[first]):
            pairs = self.codes[first] == before
            one, two = first[pairs], second[pairs]
            dialogue = np.unique(self.dialogues[two], return_inverse=True)[1]
            for after in np.unique(self.codes[two]):
                chance = self.chance(self.codes, one, two, np.full(len(two), after))
                found, expected = (
                    np.bincount(dialogue, weights).astype(np.float64) for weights in (self.codes[two] == after, chance)
                )
                lift = found.sum() / expected.sum()
                half = half_width(found, expected)
                factor = None if half is None else float(np.exp(half / lift))  # the interval of log(lift)
                yield (
                    int(before),
                    int(after),
                    Transition(
                        int(found.sum()),
                        float(found.sum() / len(two)),
                        float(expected.sum()),
                        float(lift),
                        None if factor is None else float(lift / factor),
                        None if factor is None else float(lift * factor),
                    ),
                )


def half_width(numerator: Floats, denominator: Floats) -> float | None:
    """Half the width of the 95 % interval of a ratio of sums over independent dialogues; None with one dialogue.

    The ratio r = Σn / Σd has the variance D / (D - 1) Σ(n - r d)² / (Σd)² (Cochran 1977, Sampling Techniques, eq.
    6.13), and t has D - 1 degrees of freedom.

    Args:
        numerator: (D,) of each dialogue.
        denominator: (D,) of each dialogue; dialogues where it is 0 do not count.
    """
    used = denominator > 0
    count = int(used.sum())
    if count < 2:
        return None
    n, d = numerator[used], denominator[used]
    residuals = n - n.sum() / d.sum() * d
    error = np.sqrt(count / (count - 1) * (residuals**2).sum()) / d.sum()
    return float(stats.t.ppf((1 + LEVEL) / 2, count - 1) * error)
