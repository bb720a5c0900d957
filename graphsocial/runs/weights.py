"""The weights of a run, stored as safetensors bytes whose hash is checked whenever they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from graphsocial._compat.hashing import hash_tensors
from graphsocial.errors import TrainingError
from graphsocial.store import GraphStore


@dataclass(frozen=True)
class Weights:
    """The state of a trained run that predicting needs.

    Attributes:
        network: name of a parameter or buffer → its values.
        objectives: target → scale of its outputs, decision rule, margin of its prediction interval.
        classes: target → class names in the order of the logits.
        tabular: the fitted encodings of numbers and categories as JSON; see `SocialGraph.tabular_state`.
    """

    network: Mapping[str, Tensor]
    objectives: Mapping[str, tuple[Tensor, Tensor, float | None]]
    classes: Mapping[str, list[str]]
    tabular: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """The weights as a safetensors file."""
        tensors = {f"network/{name}": tensor for name, tensor in self.network.items()}
        for name, (scale, naming, _) in self.objectives.items():
            tensors |= {f"scale/{name}": scale, f"naming/{name}": naming}
        texts = {
            "classes": self.classes,
            "tabular": self.tabular,
            "margins": {name: margin for name, (*_, margin) in self.objectives.items()},
        }
        return pack(tensors, {name: json.dumps(value) for name, value in texts.items()})

    @classmethod
    def from_bytes(cls, content: bytes) -> Weights:
        """The weights from a safetensors file.

        Raises:
            KeyError, ValueError: a part is missing or cannot be read.
        """
        tensors, texts = unpack(content)
        classes, tabular, margins = (json.loads(texts[name]) for name in ("classes", "tabular", "margins"))
        naming = below(tensors, "naming/")
        objectives = {name: (scale, naming[name], margins[name]) for name, scale in below(tensors, "scale/").items()}
        return cls(below(tensors, "network/"), objectives, classes, tabular)


def save(store: GraphStore, run_id: str, weights: Weights) -> str:
    """Write a run's weights, replacing older ones; returns their hash, the run's `checkpoint_hash`.

    Args:
        store: the store, open for writing.
        run_id: id of a run in the store.
        weights: the weights.
    """
    content = weights.to_bytes()
    store.connection.execute("insert or replace into weights values (?, ?)", [run_id, content])
    return hash_tensors(content)


def load(store: GraphStore, run_id: str) -> Weights:
    """Read a run's weights.

    Raises:
        TrainingError: the weights are missing, broken, or written by another version.
    """
    row = store.first(
        "select content, checkpoint_hash from runs left join weights using (run_id) where run_id = ?", [run_id]
    )
    content, expected = row or (None, None)
    again = "train the run again, with --again."
    if content is None:
        before = "open the store once for writing, which takes in weights beside it, or " if store.read_only else ""
        raise TrainingError(f"The store has no weights of the run '{run_id}': {before}{again}")
    try:
        intact = hash_tensors(content) == expected
    except ValueError:
        intact = False
    if not intact:
        raise TrainingError(
            f"The weights of the run '{run_id}' are broken: their hash is not the run's checkpoint_hash; {again}"
        )
    try:
        return Weights.from_bytes(content)
    except KeyError as error:
        raise TrainingError(
            f"The weights of the run '{run_id}' were written by another version of graphsocial: they have no "
            f"{error}; {again}"
        ) from error


def pack(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file with these tensors, and texts as its metadata."""
    copies = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    return safetensors.torch.save(copies, metadata=dict(texts))


def unpack(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and texts of a safetensors file.

    Raises:
        ValueError: the bytes are not a safetensors file.
    """
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"not a safetensors file: {error}") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return tensors, header.get("__metadata__", {})


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, under their names without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
