"""Label messages against plain algebra, forward and gradient; labels that may not be seen are not."""

from __future__ import annotations

import torch
from torch import Tensor

from graphsocial.graph.adjacency import Relation
from graphsocial.nn.labelled import LabelMessages

VIEWS, BACK = ("user", "views", "image"), ("image", "rev_views", "user")
USERS, IMAGES, CLASSES, EDGES = 6, 5, 3, 40


def example() -> tuple[LabelMessages, dict[str, Tensor], dict[tuple[str, str, str], Relation], Tensor, Tensor, Tensor]:
    """Edges with duplicates, some without a label."""
    torch.manual_seed(0)
    src, dst = torch.randint(0, USERS, (EDGES,)), torch.randint(0, IMAGES - 1, (EDGES,))  # the last image has none
    label = torch.randint(-1, CLASSES, (EDGES,))
    relations = {
        VIEWS: Relation.from_edges(src, dst, USERS, IMAGES),
        BACK: Relation.from_edges(dst, src, IMAGES, USERS),
    }
    x = {"user": torch.randn(USERS, 4, requires_grad=True), "image": torch.randn(IMAGES, 4, requires_grad=True)}
    return LabelMessages([VIEWS, BACK], 4, 7, CLASSES), x, relations, src, dst, label


def dense(theta: Tensor, x: Tensor, src: Tensor, dst: Tensor, label: Tensor, count: int) -> Tensor:
    rows = []
    for node in range(count):
        into = [edge for edge in range(EDGES) if dst[edge] == node and label[edge] >= 0]
        messages = [theta[label[edge]] @ x[src[edge]] for edge in into]
        total = torch.stack(messages).sum(0) if messages else torch.zeros(theta.shape[1])
        rows.append(total / (1 + len(into)) ** 0.5)
    return torch.stack(rows)


def test_messages_are_sums_by_label() -> None:
    layer, x, relations, src, dst, label = example()
    found = layer(x, relations, {VIEWS: label, BACK: label})
    wanted = {
        "image": dense(layer.weight["-".join(VIEWS)], x["user"], src, dst, label, IMAGES),
        "user": dense(layer.weight["-".join(BACK)], x["image"], dst, src, label, USERS),
    }
    inputs = [*x.values(), *layer.parameters()]
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value)
        upstream = torch.randn_like(value)
        mine = torch.autograd.grad((found[name] * upstream).sum(), inputs, retain_graph=True, allow_unused=True)
        theirs = torch.autograd.grad((value * upstream).sum(), inputs, retain_graph=True, allow_unused=True)
        for a, b in zip(mine, theirs, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b)


def test_numbers_weigh_messages_of_their_own() -> None:
    _, x, relations, src, dst, label = example()
    layer = LabelMessages([VIEWS, BACK], 4, 7, CLASSES, numbers=2)
    numbers = torch.randn(EDGES, 2) * (label >= 0)[:, None]
    found = layer(x, relations, {VIEWS: label, BACK: label}, {VIEWS: numbers, BACK: numbers})
    for kind, start, end, count in ((VIEWS, src, dst, IMAGES), (BACK, dst, src, USERS)):
        theta, h = layer.weight["-".join(kind)], x[kind[0]]
        matrices = theta[label.clamp_min(0)] * (label >= 0)[:, None, None]
        matrices = matrices + torch.einsum("em,mhd->ehd", numbers, theta[CLASSES:])
        messages = torch.einsum("ehd,ed->eh", matrices, h[start])
        known = torch.zeros(count).index_add_(0, end, (label >= 0).float())
        wanted = torch.zeros(count, 7).index_add_(0, end, messages) / (1 + known).sqrt()[:, None]
        torch.testing.assert_close(found[kind[2]], wanted, rtol=1e-4, atol=1e-5)
        upstream = torch.randn_like(wanted)
        for mine, theirs in zip(
            torch.autograd.grad((found[kind[2]] * upstream).sum(), [theta, h], retain_graph=True),
            torch.autograd.grad((wanted * upstream).sum(), [theta, h], retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_only_visible_labels_send_messages() -> None:
    layer, x, relations, src, dst, label = example()
    hidden = label.clone()
    hidden[0] = -1
    before = layer(x, relations, {VIEWS: hidden, BACK: hidden})["image"][dst[0]]
    moved = {**x, "user": x["user"].detach().clone()}
    alone = (src == src[0]) & (dst == dst[0]) & (hidden >= 0)
    hidden[alone] = -1  # duplicates of the edge too
    without = layer(x, relations, {VIEWS: hidden, BACK: hidden})["image"][dst[0]]
    moved["user"][src[0]] += 1
    torch.testing.assert_close(layer(moved, relations, {VIEWS: hidden, BACK: hidden})["image"][dst[0]], without)
    shown = hidden.clone()
    shown[0] = 1
    assert not torch.allclose(layer(x, relations, {VIEWS: shown, BACK: shown})["image"][dst[0]], before)
