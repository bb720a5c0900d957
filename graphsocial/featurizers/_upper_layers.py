"""The last layers of a pretrained transformer, taken out of it so that a network can hold and train them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from graphsocial.errors import FeatureError, InputError

_SURE = 1e-4  # how far the layers taken out may be from the model that they come from, in units of its vectors


class UpperLayers(nn.Module):
    """Token or patch states in, one vector an item out.

    Args:
        layers: the transformer's last ones, the lowest first; each takes states and an additive mask.
        read_out: what makes one vector of the last states (S, T, D) and their mask (S, T): (S, H).
        in_features: D.
        out_features: H.
        causal: each state attends to those up to it only, as in CLIP's text tower.
    """

    def __init__(
        self, layers: nn.ModuleList, read_out: nn.Module, in_features: int, out_features: int, *, causal: bool = False
    ) -> None:
        super().__init__()
        self.layers, self.read_out, self.causal = layers, read_out, causal
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Read the states x (S, T, D) that go into the first layer, where mask (S, T) is True: (S, H)."""
        unseen = torch.zeros(mask.shape, dtype=x.dtype).masked_fill(~mask, torch.finfo(x.dtype).min)
        vectors: Tensor = self.read_out(self.attend(x, unseen[:, None, None, :]), mask)
        return vectors

    def attend(self, x: Tensor, bias: Tensor) -> Tensor:
        """The states after the last layer: (S, T, D).

        Args:
            bias: (S, 1, T, T) or such that it expands to it, added to each state's attention to each other.
        """
        if self.causal:
            before = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
            bias = torch.where(before, bias, torch.finfo(x.dtype).min)
        for layer in self.layers:
            output = layer(x, bias)
            x = output[0] if isinstance(output, tuple) else output
        return x


class Pooled(nn.Module):
    """What sentence-transformers does with a transformer's last states: pooling, and what its model has after that.

    Args:
        modules: its modules but the first.
    """

    def __init__(self, modules: list[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.Sequential(*(deepcopy(module).requires_grad_(True) for module in modules))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(S, H) of the states x (S, T, D) where mask (S, T) is True."""
        vectors: Tensor = self.steps({"token_embeddings": x, "attention_mask": mask.long()})["sentence_embedding"]
        return vectors


class Projected(nn.Module):
    """What CLIP does with a tower's last states: one of them, perhaps normed, projected into the space of both towers.

    Args:
        norm, projection: the tower's own.
        last: the state of the last token (the end of a text) rather than of the first (the class of an image).
    """

    def __init__(self, norm: nn.Module, projection: nn.Module, *, last: bool) -> None:
        super().__init__()
        self.norm, self.projection, self.last = deepcopy(norm), deepcopy(projection), last
        self.requires_grad_(True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(S, H) of the states x (S, T, D) where mask (S, T) is True."""
        positions = mask * torch.arange(1, mask.shape[1] + 1)  # from 1, 0 where there is nothing
        position = positions.argmax(1) if self.last else torch.where(mask, positions, mask.shape[1] + 1).argmin(1)
        vectors: Tensor = self.projection(self.norm(x[torch.arange(len(x)), position]))
        return vectors


def check_depth(tune: int, count: int, what: str) -> None:
    """Raise `InputError` where more layers are to be trained than there are.

    Args:
        tune: number of layers to train.
        count: number of layers of the model.
        what: the model's name in the error.
    """
    if tune > count:
        raise InputError(f"tune = {tune}, but {what} has {count} layers; use 1 to {count}.")


def states_under(hidden_states: Sequence[Tensor], tune: int, what: str) -> Tensor:
    """The input of a transformer's last `tune` layers.

    Args:
        hidden_states: (S, T, D) each: the output of the embedding and of each layer.
        tune: number of layers.
        what: the model's name in the error.

    Raises:
        InputError: the model has fewer layers.
    """
    check_depth(tune, len(hidden_states) - 1, what)
    return hidden_states[len(hidden_states) - 1 - tune]


def layers_of(model: Any, tune: int) -> nn.ModuleList:
    """Copies of the last `tune` layers of a transformers model, ready to be trained.

    Raises:
        InputError: the model has fewer layers.
        FeatureError: it has no plain stack of them.
    """
    count = model.config.num_hidden_layers
    check_depth(tune, count, type(model).__name__)
    stack = next((m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count), None)
    if stack is None:
        raise FeatureError(_cannot(type(model).__name__))
    return nn.ModuleList([deepcopy(layer).train().requires_grad_(True) for layer in stack[count - tune :]])


@torch.no_grad()
def check_same(upper: UpperLayers, states: Tensor, mask: Tensor, expected: Tensor, what: str) -> None:
    """Make sure that the layers do by themselves what the whole model does.

    Args:
        upper: the layers.
        states: (S, T, D) their input for some items.
        mask: (S, T) bool, which states are there.
        expected: (S, H) the whole model's vectors of these items.
        what: the model's name in the error.

    Raises:
        FeatureError: they do not.
    """
    upper.eval()
    try:
        vectors = upper(states, mask)
    except (TypeError, RuntimeError, AttributeError, ValueError) as error:  # a layer that takes something else
        raise FeatureError(_cannot(what)) from error
    finally:
        upper.train()
    if vectors.shape != expected.shape or not torch.allclose(
        vectors, expected, atol=_SURE * float(expected.abs().max())
    ):
        raise FeatureError(_cannot(what))


def _cannot(what: str) -> str:
    return (
        f"The layers of {what} cannot be trained on their own: they take more than states and a mask. Those of BERT, "
        "RoBERTa, XLM-RoBERTa, DistilBERT and CLIP's can; or leave out tune and use its vectors as they are."
    )
