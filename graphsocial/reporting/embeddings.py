"""What a trained network makes of test examples: as they go in and come out, its gates and its attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from graphsocial.comparison.outcomes import Array
from graphsocial.evaluation.splits import ROLES
from graphsocial.models.base import ForwardTrace
from graphsocial.prediction import rebuild
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.training.data import make_loader

SAMPLE = 1200  # examples that are looked at, or sequences of them
COMPONENTS = 30  # that t-SNE starts from
NEIGHBOURS = 10


@dataclass(frozen=True)
class Seen:
    """What was seen of B test examples; see `models.base.ForwardTrace`.

    Attributes:
        ids: per end, (B,) the source's ids.
        before, after: (B, D) each example as it goes in and as it comes out; None where the network does not show them.
        gates: name → (B,).
        attention: name → the places that got attention from the examples: (P,) distances from the example, 0 for its
            own place, and (P,) weights. Those of one example add up to 1, or to 0 where there was nothing to attend to.
    """

    ids: tuple[pl.Series, ...]
    before: Array | None
    after: Array | None
    gates: Mapping[str, Array]
    attention: Mapping[str, tuple[NDArray[np.int64], Array]]


def look(store: GraphStore, run: Run) -> Seen:
    """Let a run answer a sample of its test examples, and ask the network what it looked at.

    Raises:
        InputError: the run cannot speak about the data as it is now.
    """
    restored = rebuild(store, run)
    graph, network = restored.data.graph, restored.network.eval()
    tested = torch.nonzero((restored.data.roles == ROLES.index("test")) & graph.answered).squeeze(1)
    together = network.together(graph)
    chosen = _sample(tested if together is None else torch.unique(together[tested]))
    examples = chosen if together is None else tested[torch.isin(together[tested], chosen)]
    order, found = [], []
    with torch.no_grad():
        for batch in make_loader(restored.config, restored.data).exact.batches(
            examples, max(1, len(examples)), together=together
        ):
            order.append(batch.examples)
            found.append(network.trace(graph, batch))
    shown = torch.cat(order)
    named = zip(("entity_id", "other_id"), graph.example_ids(shown.numpy()), strict=False)
    return Seen(
        tuple(pl.Series(name, list(part)) for name, part in named),
        _joined([insight.before for insight in found]),
        _joined([insight.after for insight in found]),
        {name: np.concatenate([_array(insight.gates[name]) for insight in found]) for name in found[0].gates},
        _places(found, [graph.ends[0][part] for part in order]),
    )


def _sample(numbers: Tensor) -> Tensor:
    """At most `SAMPLE` of them, in order."""
    return numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0))[:SAMPLE]].sort().values


def _array(values: Tensor) -> Array:
    return values.double().numpy()


def _joined(parts: Sequence[Tensor | None]) -> Array | None:
    """The rows of all batches; None where one has none."""
    known = [_array(part) for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def _places(found: Sequence[ForwardTrace], nodes: Sequence[Tensor]) -> dict[str, tuple[NDArray[np.int64], Array]]:
    """Name → distances and weights, of the batches one after the other."""
    told: dict[str, list[tuple[NDArray[np.int64], Array]]] = {}
    for insight, own in zip(found, nodes, strict=True):
        if insight.beside is not None:
            there = insight.beside >= 0
            at = (insight.beside == own[:, None]).long().argmax(1)
            distance = (torch.arange(there.shape[1]) - at[:, None])[there].numpy()
            for name, weights in insight.places.items():
                told.setdefault(name, []).append((distance, _array(weights[there])))
    return {
        name: (np.concatenate([one for one, _ in parts]), np.concatenate([weights for _, weights in parts]))
        for name, parts in told.items()
    }


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
