"""Nearest vectors are those of a matrix of all cosines, earlier ones where there are times; lists find most of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from graphsocial.graph import nearest as module
from graphsocial.graph.nearest import nearest


def clustered(count: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return normalize(torch.randn(count, 16) + 3 * torch.randn(12, 16)[torch.randint(12, (count,))], dim=1)


def dense(vectors: Tensor, k: int, times: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The same by one matrix: `of`, `found`, `similarity`."""
    near = vectors @ vectors.T
    near.fill_diagonal_(-9)
    if times is not None:
        near.masked_fill_(~(times < times[:, None]), -9)
    values, places = near.topk(k, dim=1)
    row, column = torch.nonzero(values >= 0, as_tuple=True)
    return row, places[row, column], values[row, column]


@pytest.mark.parametrize("timed", [False, True])
def test_exact_search_is_the_dense_matrix(timed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 64)  # several blocks
    monkeypatch.setattr(module, "COLUMNS", 100)
    vectors = clustered(700)
    times = torch.randint(0, 300, (700,)) if timed else None  # some at one moment
    found = nearest(vectors, 6, times=times)
    of, to, cosine = dense(vectors, 6, times)
    assert torch.equal(found.of, of) and torch.equal(found.neighbor, to)
    assert torch.allclose(found.similarity, cosine, atol=1e-5)
    assert (found.recall, found.probed) == (1.0, None)
    assert times is None or bool((times[found.neighbor] < times[found.of]).all())


@pytest.mark.parametrize("timed", [False, True])
def test_inverted_lists_find_the_nearest_vectors(timed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 20)  # then some lists are not searched
    vectors = clustered(900)
    times = torch.randperm(900) if timed else None
    found = nearest(vectors, 5, times=times, exact=False, recall=0.9)
    of, to, _ = dense(vectors, 5, times)
    true = set(zip(of.tolist(), to.tolist(), strict=True))
    got = set(zip(found.of.tolist(), found.neighbor.tolist(), strict=True))
    assert found.probed is not None and found.probed[0] < found.probed[1] == 30
    assert found.recall >= 0.9 and len(true & got) / len(true) == pytest.approx(found.recall, abs=0.03)
    assert times is None or bool((times[found.neighbor] < times[found.of]).all())
    again = nearest(vectors, 5, times=times, exact=False, recall=0.9)
    assert torch.equal(again.neighbor, found.neighbor)


def test_few_vectors_and_a_least_cosine() -> None:
    vectors = normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]]), dim=1)
    found = nearest(vectors, 10, minimum=0.5)
    assert found.of.tolist() == [0, 1] and found.neighbor.tolist() == [1, 0]
    assert len(nearest(vectors, 10, times=torch.tensor([5, 5, 5]), minimum=-1).of) == 0
    assert nearest(vectors, 1, times=torch.tensor([3, 1, 2]), minimum=-1).neighbor.tolist() == [1, 1]
