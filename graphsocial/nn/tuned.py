"""A pretrained encoder's last layers inside a network, trained with it at a learning rate of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm

from graphsocial.errors import InputError
from graphsocial.featurizers.base import Tunable
from graphsocial.graph import Feature

BUCKETS = 8  # sequences of about one length are padded together
LENGTH = 2.0  # of the vectors that come out, as of the frozen ones that the models of dialogues read


class TunedEncoder(nn.Module):
    """The layers that an encoder left to the network (`tune`), from the states below them to one vector a sequence.

    Vectors come out standardised, each on its own, and about `LENGTH` long: those of the pretrained encoder are of one
    length too, and a statistic over training rows would be out of date after a step.

    Args:
        encoder: what made the sequences.
        context: a sequence may be read with so many before it, which these layers see and only it is made a vector of;
            a learned vector on each state says how far back it is.
        dropout: on the vectors; the layers have their own besides.
    """

    def __init__(self, encoder: Tunable, *, context: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.upper = encoder.module()
        self.back = nn.Parameter(torch.zeros(context, self.upper.in_features)) if context else None
        self.dropout, self.out_features = dropout, self.upper.out_features

    def by_depth(self) -> list[list[nn.Parameter]]:
        """The parameters layer by layer, from the top down; what pools the states is of the top."""
        layers = [[*layer.parameters()] for layer in reversed(self.upper.layers)]
        layers[0] += self.upper.read_out.parameters()
        return layers

    def forward(self, feature: Feature, rows: Tensor | None = None) -> Tensor:
        """Read sequences of a feature: (R, H).

        Args:
            rows: (R, context + 1) which of its sequences, one after the other, -1 for none; the last is what is read,
                the others are its context. By default each of all, alone.
        """
        if feature.offsets is None:
            raise InputError(f"'{feature.name}' has one vector a row, not the states that a tuned encoder reads.")
        if rows is None:
            rows = torch.arange(len(feature.offsets) - 1)[:, None]
        lengths = torch.cat([feature.offsets.diff(), feature.offsets.new_zeros(1)])[rows]  # (R, context + 1)
        order = torch.argsort(lengths.sum(1))
        if not len(order):
            return feature.vectors.new_zeros(0, self.out_features)
        parts = [self._read(feature, rows[part], lengths[part]) for part in order.chunk(BUCKETS)]
        vectors = torch.cat(parts)[torch.argsort(order)]
        vectors = layer_norm(vectors, vectors.shape[1:]) * (LENGTH * self.out_features**-0.5)
        return dropout(vectors, self.dropout, self.training)

    def _read(self, feature: Feature, rows: Tensor, lengths: Tensor) -> Tensor:
        """The same for rows of about one length."""
        assert feature.offsets is not None
        total = lengths.sum(1)
        mask = torch.arange(int(total.max())) < total[:, None]  # (R, T)
        sequence, long = rows.flatten(), lengths.flatten()
        of = torch.repeat_interleave(torch.arange(len(long)), long)  # state → sequence, row after row
        step = torch.arange(len(of)) - (long.cumsum(0) - long)[of]
        states = feature.vectors[feature.offsets[sequence[of]] + step]
        column = of % rows.shape[1]
        if self.back is not None:
            far = torch.cat([self.back, self.back.new_zeros(1, self.back.shape[1])])[-rows.shape[1] :]
            states = states + far[column]
        x = states.new_zeros(*mask.shape, states.shape[1]).masked_scatter(mask[:, :, None], states)
        own = torch.zeros_like(mask).masked_scatter(mask, column == rows.shape[1] - 1)
        vectors: Tensor = self.upper(x, mask, own)
        return vectors


def tuned_encoders(network: nn.Module) -> list[TunedEncoder]:
    """Those that a network holds."""
    return [module for module in network.modules() if isinstance(module, TunedEncoder)]
