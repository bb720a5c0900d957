"""Tree convolution against dense matrices, and against DGL on the batched trees."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import relu

from graphsocial.errors import InputError
from graphsocial.nn.tree import TreeConv, trees

HEAD = torch.tensor([1, 1, 1, 2, 4, 4])  # "It rains heavily here" and "Really ?"
TEXT = torch.tensor([0, 0, 0, 0, 1, 1])


def dense() -> torch.Tensor:
    adjacent = torch.eye(6)
    for word, head in enumerate(HEAD.tolist()):
        adjacent[word, head] = adjacent[head, word] = 1
    return adjacent / adjacent.sum(1, keepdim=True)


def test_layers_and_attention_are_dense_algebra_forward_and_back():
    torch.manual_seed(0)
    layer = TreeConv(4)
    x = torch.randn(6, 4, requires_grad=True)
    got, alpha = layer(x, HEAD, TEXT, 2)
    h = x
    for part in layer.layers:
        h = relu(part(dense() @ h))
    want = []
    for text in (0, 1):
        here = text == TEXT
        own, mean = h[here], x[here].mean(0)
        weight = torch.softmax(own @ layer.asked(mean) / 2, 0)
        torch.testing.assert_close(alpha[here], weight)
        want.append(x[here] + len(own) * weight[:, None] * own)
    torch.testing.assert_close(got, torch.cat(want))
    (back,) = torch.autograd.grad(got.square().sum(), x, retain_graph=True)
    (expected,) = torch.autograd.grad(torch.cat(want).square().sum(), x)
    torch.testing.assert_close(back, expected)


def test_the_trees_are_one_graph_for_dgl_too():
    dgl = pytest.importorskip("dgl")
    relation = trees(HEAD)
    graph = dgl.graph((relation.src.long(), relation.dst.long()), num_nodes=6)
    x = torch.randn(6, 4)
    graph.ndata["x"] = x
    graph.update_all(dgl.function.copy_u("x", "m"), dgl.function.mean("m", "y"))
    torch.testing.assert_close(graph.ndata["y"], dense() @ x)


def test_texts_do_not_mix_and_may_be_empty():
    layer = TreeConv(4)
    x = torch.randn(6, 4)
    both, _ = layer(x, HEAD, TEXT, 3)  # the third has no words
    alone, _ = layer(x[4:], HEAD[4:] - 4, TEXT[4:] - 1, 1)
    torch.testing.assert_close(both[4:], alone)


def test_wrong_shapes_and_settings_are_errors():
    with pytest.raises(InputError, match="0 layers"):
        TreeConv(4, layers=0)
    with pytest.raises(InputError, match="one entry per word"):
        TreeConv(4)(torch.zeros(6, 4), HEAD[:5], TEXT, 2)
    with pytest.raises(InputError, match="node numbers from 0 to 7"):
        TreeConv(4)(torch.zeros(2, 4), torch.tensor([0, 7]), torch.tensor([0, 0]), 1)
