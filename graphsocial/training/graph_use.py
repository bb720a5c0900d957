"""The graph that a training uses: the edges of each type, those that batches may use, and the types left out."""

from __future__ import annotations

import torch
from torch import Tensor

from graphsocial.graph.loaders import Loader
from graphsocial.graph.visibility import edge_mask
from graphsocial.runs.records import EdgeUse
from graphsocial.store import GraphStore
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData


def edge_use(store: GraphStore, config: RunConfig, data: RunData, loader: Loader) -> list[EdgeUse]:
    """What the run uses of each edge type that its dataset has.

    Args:
        store: the store with the data.
        config: the run's configuration.
        data: the run's data.
        loader: the loader of its batches.
    """
    first, last = (_visible_edges(loader, part) for part in _first_and_last(config, data, loader))
    uses = []
    for edge in store.schema.edges:
        rows, used = len(store.span(edge, config.dataset)), data.graph.edges.get(edge.canonical)
        if not rows:
            continue
        if not config.model.layers:
            uses.append(EdgeUse(str(edge), rows, left_out=f"{config.model_name} passes no messages"))
        elif used is None:
            uses.append(EdgeUse(str(edge), rows, left_out="not among the run's edge types"))
        else:
            uses.append(EdgeUse(str(edge), len(used), first[str(edge)], last[str(edge)]))
    return uses


def _first_and_last(config: RunConfig, data: RunData, loader: Loader) -> tuple[Tensor, Tensor]:
    """The examples of the first and of the last batch, by time where the examples have times."""
    examples, times = torch.nonzero(data.roles >= 0).squeeze(1), data.graph.example_time
    if times is not None:
        examples = examples[torch.argsort(times[examples], stable=True)]
    parts = torch.split(examples, config.fitting.step_size(len(data.examples("train"))))
    return parts[0], parts[-1]


def _visible_edges(loader: Loader, examples: Tensor) -> dict[str, int]:
    """Edge type → the number of edges that a batch of these examples may use."""
    masks = edge_mask(loader.graph, loader.exact.view(examples))
    return {
        " ".join(kind): len(loader.graph.edges[kind]) if mask is None else int(mask.sum())
        for kind, mask in masks.items()
    }
