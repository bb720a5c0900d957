"""What a trained network makes of test examples: their ends before and after message passing, and its gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from graphsocial.comparison.outcomes import Array
from graphsocial.experiment import make_loader
from graphsocial.models.base import Network
from graphsocial.nn.fusion import AdaptiveCombination
from graphsocial.nn.inputs import NodeInputs
from graphsocial.prediction import Restored, rebuild
from graphsocial.runs import Run
from graphsocial.sampling import Batch
from graphsocial.splits import ROLES
from graphsocial.store import GraphStore

SAMPLE = 1200  # examples that are looked at
COMPONENTS = 30  # that t-SNE starts from
NEIGHBOURS = 10


@dataclass(frozen=True)
class Insight:
    """What was seen of B test examples.

    Attributes:
        ids: per end, (B,) the source's ids.
        before, after: (B, D) each example's ends side by side, as they go into the first layer and as they come out of
            the last one; None where the network does not show them.
        gates: (B,) the first end's weight in the adaptive combination; None where there is none.
    """

    ids: tuple[pl.Series, ...]
    before: Array | None
    after: Array | None
    gates: Array | None


@dataclass
class _Seen:
    """What hooks have noted down of one batch."""

    inputs: Mapping[str, Tensor] | None = None
    ends: tuple[Tensor, ...] | None = None
    gates: Tensor | None = None
    handles: list[Any] = field(default_factory=list)


def look(store: GraphStore, run: Run) -> Insight:
    """Let a run answer a sample of its test examples, and watch.

    Any network that begins with `NodeInputs` shows what goes into its first layer; any whose ends meet in an
    `AdaptiveCombination` shows what comes out of the last one, and the gates.

    Raises:
        InputError: the run cannot speak about the data as it is now.
    """
    restored = rebuild(store, run)
    graph = restored.prepared.graph
    tested = torch.nonzero((restored.prepared.roles == ROLES.index("test")) & graph.answered).squeeze(1)
    chosen = tested[torch.randperm(len(tested), generator=torch.Generator().manual_seed(0))[:SAMPLE]].sort().values
    order, seen = _watch(restored, chosen)
    found = {
        name: np.concatenate([part[name].numpy() for part in seen]).astype(np.float64)
        for name in ("before", "after", "gates")
        if all(name in part for part in seen)
    }
    ids = graph.example_ids(order.numpy())
    named = tuple(pl.Series(name, list(part)) for name, part in zip(("entity_id", "other_id"), ids, strict=False))
    return Insight(named, found.get("before"), found.get("after"), found.get("gates"))


def _watch(restored: Restored, examples: Tensor) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """The examples in the order in which they were answered, and what was seen of each batch."""
    network, graph = restored.network.eval(), restored.prepared.graph
    loader = make_loader(restored.experiment, restored.prepared)
    order, found = [], []
    with torch.no_grad():
        for batch in loader.exact.batches(examples, max(1, len(examples))):
            seen = _hooked(network)
            try:
                network(graph, batch)
            finally:
                for handle in seen.handles:
                    handle.remove()
            part = {}
            if seen.inputs is not None:
                part["before"] = _ends(seen.inputs, batch, graph.ends, graph.end_types)
            if seen.ends is not None:
                part["after"] = torch.cat(seen.ends, dim=1)
            if seen.gates is not None:
                part["gates"] = seen.gates
            order.append(batch.examples)
            found.append(part)
    return torch.cat(order), found


def _hooked(network: Network) -> _Seen:
    """Have the network's first `NodeInputs` and `AdaptiveCombination` note down what passes through."""
    seen = _Seen()

    def inputs(_: Any, __: Any, out: Mapping[str, Tensor]) -> None:
        seen.inputs = out

    def combination(_: Any, given: tuple[Tensor, ...], out: tuple[Tensor, Tensor | None]) -> None:
        seen.ends, seen.gates = given, out[1]

    for kind, hook in ((NodeInputs, inputs), (AdaptiveCombination, combination)):
        module = next((module for module in network.modules() if isinstance(module, kind)), None)
        if module is not None:
            seen.handles.append(module.register_forward_hook(hook))
    return seen


def _ends(inputs: Mapping[str, Tensor], batch: Batch, ends: tuple[Tensor, ...], types: tuple[str, ...]) -> Tensor:
    """(B, …) the inputs of each example's ends, side by side."""
    parts = []
    for name, end in zip(types, ends, strict=True):
        nodes = end[batch.examples]
        if batch.rows is not None:  # the inputs of some nodes only
            order = torch.argsort(batch.rows[name].nodes)
            nodes = order[torch.searchsorted(batch.rows[name].nodes[order], nodes)]
        parts.append(inputs[name][nodes])
    return torch.cat(parts, dim=1)


def picture(vectors: Array) -> Array:
    """(B, 2): t-SNE of the first principal components (van der Maaten & Hinton 2008); near points were near."""
    scaled = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-9)
    reduced = PCA(min(COMPONENTS, *scaled.shape), random_state=0).fit_transform(scaled)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    found: Array = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced)
    return found


def agreement(vectors: Array, values: pl.Series) -> float:
    """How far each example's nearest neighbours have its class; for numbers, how far their mean is correlated."""
    scaled = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-9)
    count = min(NEIGHBOURS, len(vectors) - 1)
    near = NearestNeighbors(n_neighbors=count + 1).fit(scaled).kneighbors(scaled, return_distance=False)[:, 1:]
    if values.dtype.is_numeric():
        numbers = values.to_numpy()
        return float(np.corrcoef(numbers, numbers[near].mean(1))[0, 1])
    names = values.to_numpy()
    return float((names[near] == names[:, None]).mean())
