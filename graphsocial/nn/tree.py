"""Graph convolution over the dependency trees of sentences: each word aggregates its head and its dependents."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.aggregation import aggregate


def trees(head: Tensor) -> Relation:
    """Many dependency trees as one relation: word ↔ head in both directions, and each word with itself.

    Args:
        head: (N,) int64, index of each word's head among all N words; the root of a tree has itself as head.

    Raises:
        InputError: a head is not a word.
    """
    words = torch.arange(len(head), device=head.device)
    below = words != head  # every word, roots included, gets one self loop
    src = torch.cat([head[below], words[below], words])
    dst = torch.cat([words[below], head[below], words])
    return Relation.from_edges(src, dst, len(head), len(head))


class TreeConv(nn.Module):
    r"""Graph convolution over dependency trees (Fig. 3 and Table III of TMSAM: two layers), then attention over words.

    .. math::
        h_i^{l+1} = \operatorname{ReLU}\left(W^l \frac{1}{|N(i)|} \sum_{j \in N(i)} h_j^l + b^l\right), \qquad
        \alpha_i \propto \exp(h_i \cdot W_a \bar x), \qquad y_i = x_i + \alpha_i n\, h_i

    N(i) is a word, its head and its dependents (Zhang, Li and Song 2019, "Aspect-based Sentiment Classification with
    Aspect-specific Graph Convolutional Networks", eq. 1, whose form the paper's figure follows). The attention weighs
    each of a sentence's n words anew, against the mean x̄ of the inputs; the input is added (residual).

    Args:
        features: D of the words, in and out.
        layers: number of layers of the convolution.
    """

    def __init__(self, features: int, layers: int = 2) -> None:
        super().__init__()
        if layers < 1:
            raise InputError(f"{layers} layers convolve nothing; use 1 or more.")
        self.layers = nn.ModuleList([nn.Linear(features, features) for _ in range(layers)])
        self.asked = nn.Linear(features, features, bias=False)

    def forward(self, x: Tensor, head: Tensor, text: Tensor, texts: int) -> tuple[Tensor, Tensor]:
        """Convolve the words x (N, D) of many texts; return (N, D) and α (N,), which is 1 in sum over each text.

        Args:
            x: (N, D) the words of all texts.
            head: (N,) int64; see `trees`.
            text: (N,) int64, index of each word's text.
            texts: number of texts.
        """
        if head.shape != x.shape[:1] or text.shape != x.shape[:1]:
            raise InputError(f"head {tuple(head.shape)} and text {tuple(text.shape)} must have one entry per word.")
        relation = trees(head)
        h = x
        for layer in self.layers:
            h = relu(layer(aggregate(relation, h, reduce="mean")))
        words = Relation.from_edges(torch.arange(len(x), device=x.device), text, len(x), texts)
        mean = aggregate(words, x, reduce="mean")  # (texts, D)
        score = (h * self.asked(mean)[text]).sum(1) / x.shape[1] ** 0.5
        top = torch.full((texts,), -torch.inf, device=x.device).scatter_reduce(0, text, score.detach(), "amax")
        weight = torch.exp(score - top[text])
        total = aggregate(words, weight[:, None], reduce="sum")[:, 0]
        alpha = weight / total[text]
        count = torch.bincount(text, minlength=texts)[text]
        return x + (alpha * count)[:, None] * h, alpha
