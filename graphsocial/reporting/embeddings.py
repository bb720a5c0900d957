"""Forward traces of a trained network on test examples, and the t-SNE layout of their vectors."""

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

MAX_TRACED = 1200  # examples, or sequences of them
COMPONENTS = 30  # principal components that t-SNE starts from
NEIGHBORS = 10


@dataclass(frozen=True)
class ExampleTraces:
    """The forward traces of B test examples, of all batches together; see `models.base.ForwardTrace`.

    Attributes:
        ids: for each endpoint, (B,) ids as in the source.
        before: (B, D) inputs of each example; None where the network does not give them.
        after: (B, H) representation of each example that the classifiers read; None likewise.
        gates: name → (B,) weights.
        attention: name → (P,) distances and (P,) weights of all attended positions of all sequences. The distance is
            that from the example to the attended position, 0 for itself; the weights of one example add up to 1, or
            to 0 where there was nothing to attend to.
    """

    ids: tuple[pl.Series, ...]
    before: Array | None
    after: Array | None
    gates: Mapping[str, Array]
    attention: Mapping[str, tuple[NDArray[np.int64], Array]]


def trace_test_examples(store: GraphStore, run: Run) -> ExampleTraces:
    """Rebuild a run's network and trace its forward pass over a random sample of its test examples.

    Raises:
        InputError: the run cannot be rebuilt from the data as it is now.
    """
    restored = rebuild(store, run)
    graph, network = restored.data.graph, restored.network.eval()
    test = torch.nonzero((restored.data.roles == ROLES.index("test")) & graph.labelled).squeeze(1)
    sequences = network.together(graph)
    sampled = _sample(test if sequences is None else torch.unique(sequences[test]))
    examples = sampled if sequences is None else test[torch.isin(sequences[test], sampled)]
    batches, traces = [], []
    with torch.no_grad():
        for batch in make_loader(restored.config, restored.data).exact.batches(
            examples, max(1, len(examples)), together=sequences
        ):
            batches.append(batch.examples)
            traces.append(network.trace(batch.as_of(graph), batch))
    traced = torch.cat(batches)
    named_ids = zip(("entity_id", "other_id"), graph.example_ids(traced.numpy()), strict=False)
    return ExampleTraces(
        tuple(pl.Series(name, list(ids)) for name, ids in named_ids),
        _concatenate([trace.before for trace in traces]),
        _concatenate([trace.after for trace in traces]),
        {name: np.concatenate([_array(trace.gates[name]) for trace in traces]) for name in traces[0].gates},
        _attention(traces, [graph.ends[0][batch] for batch in batches]),
    )


def _sample(numbers: Tensor) -> Tensor:
    """At most `MAX_TRACED` of the numbers, in ascending order."""
    order = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0))
    return numbers[order[:MAX_TRACED]].sort().values


def _array(values: Tensor) -> Array:
    return values.double().numpy()


def _concatenate(parts: Sequence[Tensor | None]) -> Array | None:
    """The rows of all batches; None where a batch has None."""
    arrays = [_array(part) for part in parts if part is not None]
    return np.concatenate(arrays) if len(arrays) == len(parts) else None


def _attention(
    traces: Sequence[ForwardTrace], example_nodes: Sequence[Tensor]
) -> dict[str, tuple[NDArray[np.int64], Array]]:
    """Name → distances and weights, concatenated over the batches."""
    parts: dict[str, list[tuple[NDArray[np.int64], Array]]] = {}
    for trace, nodes in zip(traces, example_nodes, strict=True):
        if trace.sequence is not None:
            valid = trace.sequence >= 0
            positions = (trace.sequence == nodes[:, None]).long().argmax(1)
            distances = (torch.arange(valid.shape[1]) - positions[:, None])[valid].numpy()
            for name, weights in trace.sequence_attention.items():
                parts.setdefault(name, []).append((distances, _array(weights[valid])))
    return {
        name: (np.concatenate([distances for distances, _ in pairs]), np.concatenate([weights for _, weights in pairs]))
        for name, pairs in parts.items()
    }


def tsne(vectors: Array) -> Array:
    """(B, 2) t-SNE (van der Maaten & Hinton 2008) of the first principal components of standardised vectors (B, D)."""
    scaled = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-9)
    reduced = PCA(min(COMPONENTS, *scaled.shape), random_state=0).fit_transform(scaled)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    layout: Array = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced)
    return layout


def neighbor_agreement(vectors: Array, values: pl.Series) -> float:
    """How well the nearest neighbors in the space of standardised vectors (B, D) predict each example's value.

    Returns:
        For classes, the mean share of the neighbors that have the example's class. For numbers, the correlation
        between the example's value and the mean of its neighbors.
    """
    scaled = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-9)
    count = min(NEIGHBORS, len(vectors) - 1)
    nearest = NearestNeighbors(n_neighbors=count + 1).fit(scaled).kneighbors(scaled, return_distance=False)[:, 1:]
    if values.dtype.is_numeric():
        numbers = values.to_numpy()
        return float(np.corrcoef(numbers, numbers[nearest].mean(1))[0, 1])
    names = values.to_numpy()
    return float((names[nearest] == names[:, None]).mean())
