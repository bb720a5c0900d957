"""From the representations of an edge's two endpoints to its class: weight, combine, classify."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from graphsocial.errors import InputError

Mode = Literal["paper", "gated", "none"]
Mechanism = Literal["concat", "sum", "dot"]


class AdaptiveCombination(nn.Module):
    r"""Adaptive combination of user and image features (eqs. 5-6 of "HMG-Emo").

    .. math:: x_{comb} = c(\beta x_u, (1 - \beta) x_i)

    - `paper`: β = exp(LeakyReLU(w_u·x_u + w_i·x_i)), as printed. β is not bounded by 1, so 1 - β can be negative and
      the image's features change their sign. The exponent is cut where β² times features would leave the number
      range (above 22.2 in float32, β = 4e9); below that nothing is changed.
    - `gated`: β = sigmoid((w_u·x_u + w_i·x_i) / sqrt(2H) + b), in 0..1: our default. Initially β = 1/2.
      Without the division by the root, as in scaled dot-product attention, a few steps of Adam drive β to 0 or 1, and
      one of the two endpoints is lost.
    - `none`: no weights, x_comb = c(x_u, x_i).

    c is `concat` (2H), `sum` (H) or `dot`, the product by element (H).

    Args:
        features: H of both inputs.
        mode: how β is computed.
        mechanism: c.
        negative_slope: slope of the LeakyReLU of `paper`.
    """

    def __init__(
        self,
        features: int,
        *,
        mode: Mode = "gated",
        mechanism: Mechanism = "concat",
        negative_slope: float = 0.2,
    ) -> None:
        super().__init__()
        if mode not in get_args(Mode):
            raise InputError(f"mode = '{mode}' is not known; use one of {', '.join(get_args(Mode))}.")
        if mechanism not in get_args(Mechanism):
            raise InputError(f"mechanism = '{mechanism}' is not known; use one of {', '.join(get_args(Mechanism))}.")
        self.features, self.negative_slope = features, negative_slope
        self.mode: Mode = mode
        self.mechanism: Mechanism = mechanism
        if mode != "none":
            bound = 1 / math.sqrt(2 * features) if mode == "paper" else 0.0  # as nn.Linear over the 2H inputs
            self.user_weight = nn.Parameter(torch.empty(features).uniform_(-bound, bound))
            self.image_weight = nn.Parameter(torch.empty(features).uniform_(-bound, bound))
        if mode == "gated":
            self.bias = nn.Parameter(torch.zeros(()))

    @property
    def out_features(self) -> int:
        """Width of the output of `forward`."""
        return 2 * self.features if self.mechanism == "concat" else self.features

    def forward(self, x_u: Tensor, x_i: Tensor) -> tuple[Tensor, Tensor | None]:
        """Combine x_u (B, H) and x_i (B, H); return (B, out_features) and β (B,), None for `none`."""
        for name, x in (("x_u", x_u), ("x_i", x_i)):
            if x.dim() != 2 or x.shape[1] != self.features or len(x) != len(x_u):
                raise InputError(f"{name} has the shape {tuple(x.shape)}; it takes ({len(x_u)}, {self.features}).")
        beta = None if self.mode == "none" else self.beta(x_u, x_i)  # (B,)
        if beta is not None:
            x_u, x_i = beta[:, None] * x_u, (1 - beta)[:, None] * x_i
        if self.mechanism == "concat":
            return torch.cat([x_u, x_i], dim=1), beta  # (B, 2H)
        return (x_u + x_i if self.mechanism == "sum" else x_u * x_i), beta  # (B, H)

    def beta(self, x_u: Tensor, x_i: Tensor) -> Tensor:
        """The user's weight β (eq. 5); (B,)."""
        score = x_u @ self.user_weight + x_i @ self.image_weight
        if self.mode == "gated":
            return torch.sigmoid(score / math.sqrt(2 * self.features) + self.bias)
        return leaky_relu(score, self.negative_slope).clamp_max(math.log(torch.finfo(score.dtype).max) / 4).exp()


class Classifier(nn.Sequential):
    """The feed-forward classifier of "HMG-Emo": three hidden layers, ReLU and dropout after each but the last.

    D → H → H → H → K. As printed, the third hidden layer goes into the output without a ReLU.

    Args:
        in_features: D.
        hidden_features: H.
        classes: K.
        dropout: dropout rate of the hidden layers.
    """

    def __init__(self, in_features: int, hidden_features: int, classes: int, *, dropout: float = 0.5) -> None:
        super().__init__(
            nn.Linear(in_features, hidden_features),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_features, hidden_features),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_features, hidden_features),
            nn.Linear(hidden_features, classes),
        )

    def hidden(self, x: Tensor) -> Tensor:
        """The last hidden layer, which the output reads: (B, D) to (B, H)."""
        for layer in list(self)[:-1]:
            x = layer(x)
        return x


class Interaction(nn.Module):
    r"""The interaction of the two endpoints, as a bilinear term of low rank (Koren et al. 2009, eq. 4).

    .. math:: y = \Theta_o (\Theta_u x_u \odot \Theta_i x_i)

    Args:
        features: H of both inputs.
        rank: R, number of products.
        classes: K.
    """

    def __init__(self, features: int, rank: int, classes: int) -> None:
        super().__init__()
        self.user = nn.Linear(features, rank, bias=False)
        self.image = nn.Linear(features, rank, bias=False)
        self.out = nn.Linear(rank, classes, bias=False)

    def forward(self, x_u: Tensor, x_i: Tensor) -> Tensor:
        """x_u (B, H) and x_i (B, H) to (B, K)."""
        interaction: Tensor = self.out(self.user(x_u) * self.image(x_i))
        return interaction
