"""Estimates of a training's time and memory, from a short probe."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from time import perf_counter
from typing import Any

import torch

from graphsocial.evaluation.splits import ROLES
from graphsocial.features.timing import estimate_encoding
from graphsocial.graph import SocialGraph
from graphsocial.graph.features import Feature
from graphsocial.models.base import build_network
from graphsocial.nn.losses import objectives
from graphsocial.runs.provenance import peak_memory_mib
from graphsocial.store import GraphStore
from graphsocial.training.config import RunConfig
from graphsocial.training.data import make_loader, prepare
from graphsocial.training.encoding import columns_for, rows_for
from graphsocial.training.loop import begin, one_epoch, score

WORDS = 16  # length of the random sequences that replace those not encoded yet


@dataclass(frozen=True)
class Estimate:
    """The size of a training, and its estimated time and memory on this machine.

    Attributes:
        nodes: node type → number of nodes.
        edges: message edge type → number of edges; reverse edges count too.
        examples: role → number of labelled examples.
        contents: column → number of distinct contents that are not encoded yet.
        encoding_minutes: minutes to encode them.
        parameters: number of the network's parameters.
        steps: number of steps per epoch.
        step_seconds: median seconds of the probe's steps.
        validation_seconds: seconds to predict the validation examples once.
        epochs: maximum number of epochs; early stopping may end sooner.
        training_minutes: minutes of that many epochs.
        peak_memory_mib: peak memory of the probe, MiB, which holds the same data as the training.
    """

    nodes: dict[str, int]
    edges: dict[str, int]
    examples: dict[str, int]
    contents: dict[str, int]
    encoding_minutes: float
    parameters: int
    steps: int
    step_seconds: float
    validation_seconds: float
    epochs: int
    training_minutes: float
    peak_memory_mib: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary for JSON."""
        return asdict(self)


def estimate(store: GraphStore, config: RunConfig, *, steps: int = 3) -> Estimate:
    """Probe a configuration: encode a few contents, train a few steps, predict the validation examples once.

    Only the split is kept, which the training will use too. Contents that are not encoded yet are replaced by as many
    random vectors of the same width.

    Args:
        store: the store, open for writing.
        config: the run's configuration; see `config.design`.
        steps: number of training steps that are timed, after an untimed one.
    """
    entity = config.task.entity(store.schema_of(config.dataset))
    encodings = [
        estimate_encoding(store, name, encoder, dataset=config.dataset)
        for name, encoder in columns_for(store, config, entity)
    ]
    contents = {str(part.use): part.contents for part in encodings if part.contents}
    data = prepare(store, config, features=[*(part.use for part in encodings), *rows_for(store, config, entity)])
    graph = _with_random_vectors(data.graph, contents)
    data = replace(data, graph=graph)
    rows = {role: data.examples(role) for role in ROLES}
    torch.manual_seed(config.seed)
    network = build_network(config.model, graph, rows["train"], seed=config.seed)
    loader, size = make_loader(config, data), config.fitting.step_size(len(rows["train"]))
    count = -(-len(rows["train"]) // size)
    parts = objectives(graph, rows["train"])
    trained, step = any(True for _ in network.parameters()), 0.0
    if trained:
        state = begin(network, config.fitting, len(rows["train"]))
        losses = one_epoch(state, loader, rows["train"], parts, config.fitting)
        step = statistics.median(_seconds(losses, steps))
    started = perf_counter()
    score(network, loader.exact, rows["validation"], parts)
    validation = perf_counter() - started
    epochs = config.fitting.epochs if trained else 0
    return Estimate(
        nodes=graph.num_nodes,
        edges={" ".join(kind): len(edges) for kind, edges in graph.edges.items()},
        examples={role: len(part) for role, part in rows.items()},
        contents=contents,
        encoding_minutes=sum(part.seconds for part in encodings) / 60,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        steps=count,
        step_seconds=step,
        validation_seconds=validation,
        epochs=epochs,
        training_minutes=epochs * (count * step + validation) / 60,
        peak_memory_mib=peak_memory_mib(),
    )


def _seconds(losses: Iterator[float], steps: int) -> list[float]:
    """Seconds of each training step; the first is left out if there are several."""
    times = [perf_counter(), *(perf_counter() for _ in islice(losses, steps + 1))]
    taken = [after - before for before, after in pairwise(times)]
    return taken[1:] or taken


def _with_random_vectors(graph: SocialGraph, contents: dict[str, int]) -> SocialGraph:
    """The graph with random vectors for the features that are not encoded yet, as many as there are contents."""

    def filled(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
        return tuple(
            _random_feature(f, contents.get(f.name, len(f.index))) if not len(f.vectors) else f for f in features
        )

    nodes = {name: filled(features) for name, features in graph.node_features.items()}
    edges = {kind: filled(features) for kind, features in graph.edge_features.items()}
    return replace(graph, node_features=nodes, edge_features=edges)


def _random_feature(feature: Feature, contents: int) -> Feature:
    index = torch.randint(max(1, contents), feature.index.shape)
    if feature.offsets is None:
        return Feature(feature.name, torch.randn(contents, feature.vectors.shape[1]), index)
    vectors = torch.randn(contents * WORDS, feature.vectors.shape[1])
    return Feature(feature.name, vectors, index, torch.arange(contents + 1) * WORDS, feature.tuned)
