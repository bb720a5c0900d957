"""Encodes sequences of words or frames as one vector each: convolution, recurrent unit, tree convolution, attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm

from graphsocial.errors import InputError
from graphsocial.graph import Feature
from graphsocial.nn.temporal import AttentivePooling, MaskedConv1d, RecurrentContext
from graphsocial.nn.tree import TreeConv

TREE = 4  # leading columns of a dependency tree's words; the first is the index of the word's head
BUCKETS = 4  # batches of sequences of similar length, which keeps padding small


class WordEncoder(nn.Module):
    """TMSAM's encoder of words: Conv1d (eq. 2), BiGRU (eqs. 3-5), a tree convolution with `trees`, attentive pooling.

    Each vector is standardised first. The convolution has no padding, as in the paper, except with trees, which need
    the output of every word.

    Args:
        in_features: D of the words, including the tree's leading columns with `trees`.
        out_features: H, even.
        window: kernel size of the convolution.
        recurrent: whether there is a recurrent unit; contextual vectors need none.
        trees: words are rows of the featurizer `dependencies`.
        dropout: dropout rate of inputs and hidden states.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        window: int = 3,
        recurrent: bool = True,
        trees: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if out_features % 2:
            raise InputError(f"{out_features} cannot be shared by two directions; use an even width.")
        self.trees, self.dropout, self.out_features = trees, dropout, out_features
        if trees and in_features <= TREE:
            raise InputError("Words of dependency trees have no vectors here; name some with `vectors`.")
        size = in_features - TREE * trees
        self.convolution = MaskedConv1d(size, out_features, window, padding="same" if trees else "valid")
        self.context = RecurrentContext(out_features, out_features // 2) if recurrent else None
        self.tree = TreeConv(out_features) if trees else None
        self.pooling = AttentivePooling(out_features)

    def forward(self, feature: Feature) -> Tensor:
        """Encode the sequences of a feature: (S, H); zeros for an empty one."""
        if feature.offsets is None:
            raise InputError(f"'{feature.name}' has one vector per row, not sequences of vectors.")
        order = torch.argsort(feature.offsets.diff())
        parts = [self._read(feature, part) for part in order.chunk(BUCKETS)]
        return torch.cat(parts)[torch.argsort(order)] if parts else feature.vectors.new_zeros(0, self.out_features)

    def _read(self, feature: Feature, sequences: Tensor) -> Tensor:
        x, mask = feature.padded(sequences)
        head = x[:, :, 0].long()
        x = x[:, :, TREE:] if self.trees else x
        x = self._drop(layer_norm(x, x.shape[2:]))
        x, mask = self.convolution(x, mask)
        x = self._drop(torch.relu(x))
        if self.context is not None:
            x = self._drop(self.context(x, mask))
        if self.tree is not None:
            x = self._through_tree(self.tree, x, mask, head)
        pooled: Tensor = self.pooling(x, mask)[0]
        return pooled

    def _through_tree(self, tree: TreeConv, x: Tensor, mask: Tensor, head: Tensor) -> Tensor:
        """Apply the tree convolution to padded words, with all trees as one graph: (B, T, D) to (B, T, D)."""
        lengths = mask.sum(1)
        first = lengths.cumsum(0) - lengths
        text = torch.repeat_interleave(torch.arange(len(x)), lengths)
        y, _ = tree(x[mask], (head + first[:, None])[mask], text, len(x))
        return torch.zeros_like(x).masked_scatter(mask[:, :, None], y)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)
