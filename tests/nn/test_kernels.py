"""The three edge kernels do the same, forward and backward, with one head and with several."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.aggregation import take_rows, weighted_sum, weighted_sums
from graphsocial.nn.edge_softmax import joint_softmax
from graphsocial.nn.graph_attention import GraphAttention
from graphsocial.nn.kernels import NAMES, kernel_of

USERS, IMAGES, H = 300, 200, 12
CONNECTS = ("user", "connects", "user")
VIEWS = ("user", "views", "image")
BACK = ("image", "rev_views", "user")


def relations(kernel: str) -> list[Relation]:
    """Into users: contacts (with a hub) and views; nodes without neighbours are among them."""
    generator = torch.Generator().manual_seed(0)
    src, dst = torch.randint(USERS - 20, (2, 5000), generator=generator)
    dst[:2000] = 7
    image, user = (
        torch.randint(IMAGES, (900,), generator=generator),
        torch.randint(USERS - 9, (900,), generator=generator),
    )
    return [
        Relation.from_edges(src, dst, USERS, USERS, kernel=kernel),
        Relation.from_edges(image, user, IMAGES, USERS, kernel=kernel),
    ]


def attend_all(kernel: str, heads: int, width: int, dtype: torch.dtype, apart: bool) -> list[Tensor]:
    torch.manual_seed(1)
    shape = (heads,) if heads > 1 else ()

    def leaf(*size: int) -> Tensor:
        return torch.randn(*size, dtype=dtype, requires_grad=True)

    values = [leaf(USERS, width), leaf(IMAGES, width)]
    sources, destinations = [leaf(USERS, *shape), leaf(IMAGES, *shape)], [leaf(USERS, *shape), leaf(USERS, *shape)]
    edge, own, own_value = leaf(900, *shape), leaf(USERS, *shape), leaf(USERS, width)
    mask = torch.rand(900) > 0.3
    given = relations(kernel)
    weights, own_weight = joint_softmax(
        given,
        sources,
        destinations,
        edge_scores=[None, edge],
        edge_mask=[None, mask],
        self_score=None if apart else own,
    )
    extra = {} if apart else {"self_weight": own_weight, "self_value": own_value}
    y = weighted_sums(given, weights, values) if apart else weighted_sum(given, weights, values, **extra)
    leaves = [*values, *sources, *destinations, edge, *(() if apart else (own, own_value))]
    return [y, *torch.autograd.grad(y, leaves, torch.randn_like(y))]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
@pytest.mark.parametrize(("heads", "width"), [(1, H), (3, H), (1, 64), (1, 128), (2, 128)])  # 64: a block of columns
@pytest.mark.parametrize("kernel", ["csr", "dgl"])
def test_kernels_agree(kernel: str, heads: int, width: int, apart: bool, dtype: torch.dtype, tolerance: float) -> None:
    got, want = (attend_all(name, heads, width, dtype, apart) for name in ("fused", kernel))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(b.detach().abs().max())))


def test_heads_are_layers_side_by_side() -> None:
    """Each head of a layer is a layer of its own on its share of the weights."""
    torch.manual_seed(2)
    views, types, etypes = relations("auto")[1], ("user", "image"), (BACK,)
    layer = GraphAttention(types, etypes, 5, H, edge_features={BACK: 4}, share="relation", heads=3).double()
    x = {"user": torch.randn(USERS, 5).double(), "image": torch.randn(IMAGES, 5).double()}
    features = {BACK: torch.randn(900, 4).double()}
    whole = layer(x, {BACK: views}, edge_features=features)["user"]
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        single = GraphAttention(types, etypes, 5, 4, edge_features={BACK: 4}, share="relation").double()
        state = {name: value[part] for name, value in layer.state_dict().items()}
        single.load_state_dict(state)
        torch.testing.assert_close(whole[:, part], single(x, {BACK: views}, edge_features=features)["user"])


@pytest.mark.parametrize("share", ["all", "relation"])
def test_transforming_before_or_after_the_sum_is_the_same(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    connects, back = relations("auto")
    layer = GraphAttention(("user", "image"), (CONNECTS, BACK), 7, 6, share=share).double()  # type: ignore[arg-type]
    x = {
        "user": torch.randn(USERS, 7, dtype=torch.float64, requires_grad=True),
        "image": torch.randn(IMAGES, 7, dtype=torch.float64, requires_grad=True),
    }
    found = []
    for first in (True, False):
        monkeypatch.setattr(GraphAttention, "_transforms_first", lambda *_, first=first: first)
        y = layer(x, {CONNECTS: connects, BACK: back})["user"]
        found.append([y, *torch.autograd.grad(y.square().sum(), [*x.values(), *layer.parameters()], allow_unused=True)])
    for a, b in zip(*found, strict=True):
        if b is not None:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_rows_that_repeat_add_up() -> None:
    x = torch.randn(40, 6, dtype=torch.float64, requires_grad=True)
    rows = torch.randint(40, (500,))
    torch.testing.assert_close(take_rows(x, rows), x[rows])
    upstream = torch.randn(500, 6, dtype=torch.float64)
    got, want = (torch.autograd.grad(y, x, upstream)[0] for y in (take_rows(x, rows), x[rows]))
    torch.testing.assert_close(got, want)
    assert take_rows(x, rows[:0]).shape == (0, 6)


def test_same_bits_whatever_the_threads() -> None:
    torch.manual_seed(4)
    relation = Relation.from_edges(torch.randint(3000, (200_000,)), torch.randint(3000, (200_000,)), 3000, 3000)
    x, scores = torch.randn(3000, 16, requires_grad=True), torch.randn(3000, requires_grad=True)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            weights, _ = joint_softmax([relation], [scores], [scores])
            y = weighted_sum([relation], weights, [x])
            found.append([y, *torch.autograd.grad(y.square().sum(), [x, scores])])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_unknown_kernels_and_wrong_devices_are_errors() -> None:
    relation = relations("auto")[0]
    with pytest.raises(InputError, match="float16"):
        take_rows(torch.randn(3, 2).half(), torch.tensor([0]))
    with pytest.raises(InputError, match="no kernel"):
        kernel_of(Relation.from_edges(torch.tensor([0]), torch.tensor([0]), 1, 1, kernel="cuda"), torch.zeros(1))
    with pytest.raises(InputError, match="on 'meta' use"):
        kernel_of(relation, torch.zeros(1, device="meta"))
    assert set(NAMES) == {"auto", "fused", "csr", "dgl"}


@pytest.mark.parametrize("count", [0, 900])
def test_a_relation_turned_round_is_that_of_its_edges_turned_round(count: int) -> None:
    src, dst = torch.randint(IMAGES, (count,)), torch.randint(30, (count,))  # some edges twice
    turned = Relation.from_edges(src, dst, IMAGES, USERS, kernel="csr").reversed()
    want = Relation.from_edges(dst, src, USERS, IMAGES, kernel="csr")
    assert (turned.num_src, turned.num_dst, turned.kernel) == (want.num_src, want.num_dst, want.kernel)
    for a, b in zip(
        (turned.indptr, turned.src, turned.order, *turned.transpose),
        (want.indptr, want.src, want.order, *want.transpose),
        strict=True,
    ):
        assert torch.equal(a, b)
