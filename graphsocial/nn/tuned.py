"""A pretrained encoder's last layers inside a network, trained with it at a learning rate of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm

from graphsocial.errors import InputError
from graphsocial.featurizers.base import FineTunable
from graphsocial.graph import Feature

BUCKETS = 8  # rows of about one length are padded together
LENGTH = 2.0  # of the vectors that come out, as of the frozen ones that the models of dialogues read


class TunedEncoder(nn.Module):
    r"""The layers that an encoder left to the network (`tune`), from the states below them to one vector a sequence.

    A sequence is read alone, or with its neighbours: the words of an utterance then attend to those of the utterances
    up to `context` places away, the less the farther, as to distant words in ALiBi (Press et al. 2022):

    .. math:: \mathrm{softmax}_j (q_i \cdot k_j / \sqrt{d} - |n_i - n_j|), \quad |n_i - n_j| \le context

    for words i and j of the utterances n_i and n_j; each is in memory once, however many attend to it. Vectors come out
    standardised, each on its own, and about `LENGTH` long: those of the pretrained encoder are of one length too, and a
    statistic over training rows would be out of date after a step.

    Args:
        encoder: what made the sequences.
        context: how many neighbours on each side.
        causal: only those before.
        dropout: on the vectors; the layers have their own besides.
    """

    def __init__(self, encoder: FineTunable, *, context: int = 0, causal: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.upper = encoder.module()
        self.context, self.causal = context, causal
        self.dropout, self.out_features = dropout, self.upper.out_features

    def by_depth(self) -> list[list[nn.Parameter]]:
        """The parameters layer by layer, from the top down; what pools the states is of the top."""
        layers = [[*layer.parameters()] for layer in reversed(self.upper.layers)]
        layers[0] += self.upper.read_out.parameters()
        return layers

    def forward(self, feature: Feature) -> Tensor:
        """Read the sequences of a feature, each alone: (S, H)."""
        if feature.offsets is None:
            raise InputError(f"'{feature.name}' has one vector a row, not the states that a tuned encoder reads.")
        return self.side_by_side(feature, torch.arange(len(feature.offsets) - 1)[:, None])[:, 0]

    def side_by_side(self, feature: Feature, index: Tensor) -> Tensor:
        """Read sequences of a feature with their neighbours: (R, T, H), zeros where there is none.

        Args:
            index: (R, T) which of its sequences stand side by side, -1 for none.
        """
        assert feature.offsets is not None
        shape = index.shape
        if not self.context:
            index = index.reshape(-1, 1)  # neighbours do not matter, and rows of one length are read together
        lengths = torch.cat([feature.offsets.diff(), feature.offsets.new_zeros(1)])[index]  # (R, T)
        order = torch.argsort(lengths.sum(1))
        order = order[lengths.sum(1)[order] > 0]
        vectors = feature.vectors.new_zeros(*index.shape, self.out_features)
        for part in order.chunk(BUCKETS):
            if len(part):
                vectors = vectors.index_put((part,), self._read(feature, index[part], lengths[part]))
        return dropout(vectors.view(*shape, self.out_features), self.dropout, self.training)

    def _read(self, feature: Feature, index: Tensor, lengths: Tensor) -> Tensor:
        """The same for rows of about one length: their sequences one after the other, (R, M) states."""
        assert feature.offsets is not None
        total = lengths.sum(1)
        mask = torch.arange(int(total.max())) < total[:, None]  # (R, M)
        sequence, long = index.flatten(), lengths.flatten()
        of = torch.repeat_interleave(torch.arange(len(long)), long)  # state → sequence, row after row
        step = torch.arange(len(of)) - (long.cumsum(0) - long)[of]
        states = feature.vectors[feature.offsets[sequence[of]] + step]
        x = states.new_zeros(*mask.shape, states.shape[1]).masked_scatter(mask[:, :, None], states)
        place = torch.zeros(mask.shape, dtype=torch.int64).masked_scatter(mask, of % index.shape[1])
        away = place[:, :, None] - place[:, None, :]  # (R, M, M), above 0 where the other is before
        seen = mask[:, None, :] & (away.abs() <= self.context)
        if self.causal:
            seen &= away >= 0
        bias = (-away.abs()).to(x.dtype).masked_fill(~seen, torch.finfo(x.dtype).min)
        states = self.upper.attend(x, bias[:, None])[mask]
        some = long > 0
        there = torch.arange(int(long.max())) < long[some][:, None]  # (S, L)
        own = states.new_zeros(*there.shape, states.shape[1]).masked_scatter(there[:, :, None], states)
        vectors: Tensor = self.upper.read_out(own, there)
        vectors = layer_norm(vectors, vectors.shape[1:]) * (LENGTH * self.out_features**-0.5)
        return (
            vectors.new_zeros(len(long), self.out_features)
            .index_put((some.nonzero()[:, 0],), vectors)
            .view(*index.shape, -1)
        )


def tuned_encoders(network: nn.Module) -> list[TunedEncoder]:
    """Those that a network holds."""
    return [module for module in network.modules() if isinstance(module, TunedEncoder)]
