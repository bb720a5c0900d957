import pytest
import torch

from graphsocial.errors import DataError
from graphsocial.features.sequences import Chains


def test_edges_become_sequences() -> None:
    edges = [(3, 0), (0, 4), (6, 2)]  # 3 → 0 → 4, 6 → 2, and 1 and 5 alone
    chains = Chains.of(*torch.tensor(edges).T, 7, what="segment next segment")
    assert chains.chain.tolist() == [1, 0, 3, 1, 1, 2, 3] and chains.position.tolist() == [1, 0, 1, 0, 2, 0, 0]
    assert chains.lengths.tolist() == [1, 3, 1, 2]
    nodes, mask = chains.table(torch.tensor([3, 1]))
    assert nodes.tolist() == [[6, 2, 0], [3, 0, 4]] and mask.tolist() == [[True, True, False], [True] * 3]
    assert chains.table(torch.empty(0, dtype=torch.int64))[0].shape == (0, 0)


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 1000])
def test_long_sequences_keep_their_order(length: int) -> None:
    nodes = torch.randperm(length, generator=torch.Generator().manual_seed(0))
    chains = Chains.of(nodes[:-1], nodes[1:], length)
    assert torch.equal(chains.table(torch.tensor([0]))[0][0], nodes)
    assert torch.equal(chains.position[nodes], torch.arange(length))


@pytest.mark.parametrize(
    ("src", "dst", "reason"),
    [
        ([0, 0], [1, 2], "'next' is no order: 1 nodes have several such edges from them"),
        ([1, 2], [0, 0], "1 nodes have several such edges to them"),
        ([0, 1, 2], [1, 2, 0], "run in a circle"),
    ],
)
def test_edges_that_are_no_order_are_an_error(src: list[int], dst: list[int], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Chains.of(torch.tensor(src), torch.tensor(dst), 3, what="next")
