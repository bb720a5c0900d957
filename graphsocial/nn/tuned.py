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
        dropout: on the vectors; the layers have their own besides.
    """

    def __init__(self, encoder: Tunable, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.upper = encoder.module()
        self.dropout, self.out_features = dropout, self.upper.out_features

    def by_depth(self) -> list[list[nn.Parameter]]:
        """The parameters layer by layer, from the top down; what pools the states is of the top."""
        layers = [[*layer.parameters()] for layer in reversed(self.upper.layers)]
        layers[0] += self.upper.read_out.parameters()
        return layers

    def forward(self, feature: Feature) -> Tensor:
        """Read the sequences of a feature: (S, H)."""
        if feature.offsets is None:
            raise InputError(f"'{feature.name}' has one vector a row, not the states that a tuned encoder reads.")
        order = torch.argsort(feature.offsets.diff())
        if not len(order):
            return feature.vectors.new_zeros(0, self.out_features)
        parts = [self.upper(*feature.padded(part)) for part in order.chunk(BUCKETS)]
        vectors = torch.cat(parts)[torch.argsort(order)]
        vectors = layer_norm(vectors, vectors.shape[1:]) * (LENGTH * self.out_features**-0.5)
        return dropout(vectors, self.dropout, self.training)


def tuned_encoders(network: nn.Module) -> list[TunedEncoder]:
    """Those that a network holds."""
    return [module for module in network.modules() if isinstance(module, TunedEncoder)]
