"""Labels on edges as deviations from the mean label of their other end, which all its raters have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from graphsocial.analysis._measures import Floats, Ints


@dataclass(frozen=True)
class Exposure:
    """R labels of pairs of a node and another end, such as a user and an image, that two nodes or more have labelled.

    Linked nodes that label the same things have like labels for that reason alone. A label's deviation from the mean
    label of its other end does not depend on what was labelled, and permuting the labels of each other end among those
    who labelled it gives the values under the hypothesis that only the other end matters.

    Attributes:
        nodes: (R,) node of each label, 0 to N - 1.
        others: (R,) other end of each label, numbered from 0.
        deviations: (R, K) each label minus the mean label of its other end.
        count: N.
    """

    nodes: Ints
    others: Ints
    deviations: Floats
    count: int

    @classmethod
    def of(cls, nodes: Ints, others: Ints, labels: Floats, count: int) -> Exposure:
        """Leave out other ends with one label, and subtract the means.

        Args:
            nodes: (L,) node of each label.
            others: (L,) other end of each label, numbered from 0.
            labels: (L, K) share of each class, or one number.
            count: number of nodes.
        """
        raters = np.bincount(others)
        sums = np.stack([np.bincount(others, column) for column in labels.T], axis=1)
        deviations = labels - (sums / np.maximum(raters, 1)[:, None])[others]
        used = raters[others] > 1
        return cls(nodes[used], others[used], deviations[used], count)

    @cached_property
    def known(self) -> Ints:
        """Row numbers of the nodes that have a label."""
        return np.unique(self.nodes)

    @cached_property
    def _average(self) -> Any:
        """(N, R) the matrix that averages labels by node."""
        weights = 1 / np.bincount(self.nodes, minlength=self.count)[self.nodes]
        shape = (self.count, len(self.nodes))
        return csr_array((weights, (self.nodes, np.arange(len(self.nodes)))), shape=shape)[self.known]

    @cached_property
    def _by_other(self) -> Ints:
        return np.argsort(self.others, kind="stable")

    @property
    def work(self) -> float:
        """Cost of a permutation in multiplications: sorting costs about 50 for each label."""
        return float(len(self.nodes) * (50 + 2 * self.deviations.shape[1]))

    def values(self) -> Floats:
        """(known, K) mean deviation of each node that has a label."""
        return np.asarray(self._average @ self.deviations)

    def permuted(self, random: np.random.Generator) -> Floats:
        """(known, K) the values with the labels of each other end permuted among its nodes."""
        order = np.empty_like(self._by_other)
        order[np.argsort(self.others + random.random(len(self.others)))] = self._by_other
        return np.asarray(self._average @ self.deviations[order])
