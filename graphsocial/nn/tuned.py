"""A pretrained encoder's last layers inside a network, trained with it at a learning rate of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm

from graphsocial.errors import InputError
from graphsocial.featurizers.base import FineTunable
from graphsocial.graph import Feature

BUCKETS = 8  # batches of rows of similar length, which keeps padding small
LENGTH = 2.0  # norm of the output vectors, as of the frozen ones in models of dialogues


class TunedEncoder(nn.Module):
    r"""An encoder's last layers, trained with the network (`tune`): from the states below to one vector per sequence.

    Sequences are encoded alone or with their neighbors in the dialogue: the words of an utterance then attend to those
    of utterances up to `context` positions away, less with distance, as in ALiBi (Press et al. 2022):

    .. math:: \mathrm{softmax}_j (q_i \cdot k_j / \sqrt{d} - |n_i - n_j|), \quad |n_i - n_j| \le context

    for words i and j of the utterances n_i and n_j; each is stored once, however many words attend to it. Each output
    vector is standardised and scaled to a norm of about `LENGTH`: the pretrained encoder's have one norm too, and
    statistics over training rows would be out of date after each step.

    Args:
        encoder: the encoder of the sequences.
        context: number of neighbors on each side.
        causal: use only the neighbors before.
        dropout: dropout rate of the output vectors; the layers have their own too.
    """

    def __init__(self, encoder: FineTunable, *, context: int = 0, causal: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.upper = encoder.module()
        self.context, self.causal = context, causal
        self.dropout, self.out_features = dropout, self.upper.out_features

    def by_depth(self) -> list[list[nn.Parameter]]:
        """The parameters layer by layer, from the top down; pooling belongs to the top layer."""
        layers = [[*layer.parameters()] for layer in reversed(self.upper.layers)]
        layers[0] += self.upper.read_out.parameters()
        return layers

    def forward(self, feature: Feature) -> Tensor:
        """Encode the sequences of a feature, each alone: (S, H)."""
        if feature.offsets is None:
            raise InputError(f"'{feature.name}' has one vector per row, not the states that a tuned encoder takes.")
        return self.side_by_side(feature, torch.arange(len(feature.offsets) - 1)[:, None])[:, 0]

    def side_by_side(self, feature: Feature, index: Tensor) -> Tensor:
        """Encode sequences of a feature with their neighbors: (R, T, H), zeros where there is none.

        Args:
            feature: a feature of S sequences.
            index: (R, T) int64, the S sequences that are neighbors in each row, in order; -1 for none.
        """
        assert feature.offsets is not None
        shape = index.shape
        if not self.context:
            index = index.reshape(-1, 1)  # without neighbors, rows of one length are encoded together
        lengths = torch.cat([feature.offsets.diff(), feature.offsets.new_zeros(1)])[index]  # (R, T)
        order = torch.argsort(lengths.sum(1))
        order = order[lengths.sum(1)[order] > 0]
        vectors = feature.vectors.new_zeros(*index.shape, self.out_features)
        for part in order.chunk(BUCKETS):
            if len(part):
                vectors = vectors.index_put((part,), self._read(feature, index[part], lengths[part]))
        return dropout(vectors.view(*shape, self.out_features), self.dropout, self.training)

    def _read(self, feature: Feature, index: Tensor, lengths: Tensor) -> Tensor:
        """`side_by_side` for rows of similar length, whose sequences are concatenated: (R, M) states."""
        assert feature.offsets is not None
        total = lengths.sum(1)
        mask = torch.arange(int(total.max())) < total[:, None]  # (R, M)
        sequence, length = index.flatten(), lengths.flatten()
        sequence_of = torch.repeat_interleave(torch.arange(len(length)), length)  # state → sequence, row after row
        step = torch.arange(len(sequence_of)) - (length.cumsum(0) - length)[sequence_of]
        states = feature.vectors[feature.offsets[sequence[sequence_of]] + step]
        x = states.new_zeros(*mask.shape, states.shape[1]).masked_scatter(mask[:, :, None], states)
        position = torch.zeros(mask.shape, dtype=torch.int64).masked_scatter(mask, sequence_of % index.shape[1])
        distance = position[:, :, None] - position[:, None, :]  # (R, M, M), above 0 where the key is before the query
        seen = mask[:, None, :] & (distance.abs() <= self.context)
        if self.causal:
            seen &= distance >= 0
        bias = (-distance.abs()).to(x.dtype).masked_fill(~seen, torch.finfo(x.dtype).min)
        states = self.upper.attend(x, bias[:, None])[mask]
        nonempty = length > 0
        present = torch.arange(int(length.max())) < length[nonempty][:, None]  # (S, L)
        padded = states.new_zeros(*present.shape, states.shape[1]).masked_scatter(present[:, :, None], states)
        vectors: Tensor = self.upper.read_out(padded, present)
        vectors = layer_norm(vectors, vectors.shape[1:]) * (LENGTH * self.out_features**-0.5)
        return (
            vectors.new_zeros(len(length), self.out_features)
            .index_put((nonempty.nonzero()[:, 0],), vectors)
            .view(*index.shape, -1)
        )


def tuned_encoders(network: nn.Module) -> list[TunedEncoder]:
    """The tuned encoders that a network has."""
    return [module for module in network.modules() if isinstance(module, TunedEncoder)]
