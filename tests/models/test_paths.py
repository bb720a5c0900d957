"""Scores of pairs by their paths: exact on a small graph, and of each pair whatever else is in its batch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from graphsocial.models._paths import PathModel
from graphsocial.models.adamic_adar import AdamicAdar
from graphsocial.models.common_neighbors import CommonNeighbors
from graphsocial.models.personalized_pagerank import PersonalizedPagerank

EDGES = np.asarray([(0, 1), (1, 2), (0, 3), (3, 2), (3, 4), (4, 5)])  # 0 and 2 share 1 and 3; 0 and 5 share none


def links() -> sparse.csr_array:
    ends = np.concatenate([EDGES, EDGES[:, ::-1]])
    return sparse.csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(6, 6))


def test_common_neighbors_and_their_weights() -> None:
    src, dst = np.asarray([0, 0]), np.asarray([2, 5])
    assert CommonNeighbors().score(links(), src, dst, two_types=False).tolist() == [2, 0]
    weighted = AdamicAdar().score(links(), src, dst, two_types=False)
    np.testing.assert_allclose(weighted, [1 / np.log(2) + 1 / np.log(3), 0])
    assert CommonNeighbors().score(links(), src, dst, two_types=True).tolist() == [0, 1]  # 0-3-4-5


@pytest.mark.parametrize("model", [CommonNeighbors(), AdamicAdar(), PersonalizedPagerank()])
def test_a_score_does_not_depend_on_the_rest_of_the_batch(model: PathModel) -> None:
    src, dst = np.asarray([0, 0, 1, 4]), np.asarray([2, 5, 3, 2])
    together = model.score(links(), src, dst, two_types=False)
    alone = [model.score(links(), src[[n]], dst[[n]], two_types=False)[0] for n in range(4)]
    np.testing.assert_allclose(together, alone)
