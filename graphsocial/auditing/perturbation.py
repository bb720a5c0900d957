"""Perturb inputs that must not matter and compare the network's outputs: a test of behaviour, not of bookkeeping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from graphsocial.auditing.base import Check, names, not_applicable
from graphsocial.auditing.messages import used_batches
from graphsocial.graph import Canonical, SocialGraph, is_known
from graphsocial.graph.features import Feature
from graphsocial.graph.loaders import Loader, NeighborLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.models.base import Network
from graphsocial.training.config import RunConfig

Change = Callable[[SocialGraph, Tensor, Tensor], SocialGraph]
"""(graph, roles, seed examples) → the perturbed graph."""
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # sums may run in another order


@torch.no_grad()
def check_perturbation(config: RunConfig, loader: Loader, roles: Tensor, network: Network) -> list[Check]:
    """Predict a training batch and the validation and test sets again, each time with one perturbation.

    Args:
        config: the run's configuration.
        loader: the run's loader.
        roles: (P,) split role of each example.
        network: the trained network.
    """
    network.eval()
    batches = list(_seed_batches(config, loader, roles, network))
    what = "labels of seed and held-out examples"
    checks = [_check("changed labels", _labels, what, loader, roles, network, batches)]
    visibility = config.visibility
    if loader.graph.entity not in loader.graph.edge_features:
        checks.append(not_applicable("changed edge features", "No supervised edge has features."))
    elif {visibility.predicted, visibility.validation, visibility.test} == {"full"}:
        why = "The run shows the features of all supervised edges."
        checks.append(Check("changed edge features", "declared", 0, 0, why))
    else:
        what, change = "features of edges whose features are hidden", partial(_edge_features, visibility)
        checks.append(_check("changed edge features", change, what, loader, roles, network, batches))
    return checks


def _seed_batches(config: RunConfig, loader: Loader, roles: Tensor, network: Network) -> Iterator[Tensor]:
    """The seed examples of the first training batch and of all validation and test batches."""
    yield next(used_batches(config, loader, roles, network, parts=("train",))).examples
    for batch in used_batches(config, loader, roles, network, parts=("validation", "test")):
        yield batch.examples


def _check(
    name: str,
    change: Change,
    what: str,
    loader: Loader,
    roles: Tensor,
    network: Network,
    batches: list[Tensor],
) -> Check:
    graph = loader.graph
    differs = torch.zeros(len(roles), dtype=torch.bool)
    for seeds in batches:
        before, after = (
            outputs(network, _with_graph(loader, version), seeds) for version in (graph, change(graph, roles, seeds))
        )
        for target, values in before.items():
            same = torch.isclose(values, after[target], **CLOSE, equal_nan=True)
            differs[seeds] |= ~same.view(len(seeds), -1).all(1)
    num_leaks = int(differs.sum())
    detail = f"Other {what} {'change' if num_leaks else 'do not change'} the model's outputs."
    examined = sum(map(len, batches))
    return Check(name, "leak" if num_leaks else "pass", examined, num_leaks, detail, names(graph, differs))


def outputs(network: Network, loader: Loader, seeds: Tensor) -> dict[str, Tensor]:
    """Target → (B, …) outputs of the seed examples, in their order; sampled neighbors are the same each time.

    Args:
        network: the network, set to evaluation.
        loader: the loader of the batch.
        seeds: (B,) positions of the examples.
    """
    order = torch.Generator()
    order.manual_seed(0)
    output_row = torch.empty(loader.graph.num_examples, dtype=torch.int64)
    output_row[seeds] = torch.arange(len(seeds))
    by_target: dict[str, Tensor] = {}
    for batch in loader.batches(seeds, max(1, len(seeds)), order if isinstance(loader, NeighborLoader) else None):
        for target, of_batch in network(batch.as_of(loader.graph), batch).items():
            table = by_target.setdefault(target, of_batch.new_zeros(len(seeds), *of_batch.shape[1:]))
            table[output_row[batch.examples]] = of_batch
    return by_target


def _with_graph(loader: Loader, graph: SocialGraph) -> Loader:
    """The same loader over another graph."""
    if graph is loader.graph:
        return loader
    if isinstance(loader, NeighborLoader):
        return replace(loader, whole=replace(loader.whole, graph=graph))
    return replace(loader, graph=graph)


def _labels(graph: SocialGraph, roles: Tensor, seeds: Tensor) -> SocialGraph:
    """Other labels of seed and held-out examples."""
    mask = roles > 0
    mask[seeds] = True
    return _other_labels(graph, mask)


def _other_labels(graph: SocialGraph, mask: Tensor) -> SocialGraph:
    """Each label of the mask (P,) is another class, or another number; missing labels stay missing."""
    changed = {}
    for target in graph.targets:
        labels = graph.target_labels[target.name]
        classes = 2 if target.kind == "multilabel" else len(target.classes)
        other = (labels + 1) % classes if classes else labels + 1 + labels.abs()
        rows = mask & is_known(labels)
        changed[target.name] = torch.where(rows if labels.ndim == 1 else rows[:, None], other, labels)
    return replace(graph, target_labels=changed)


def _edge_features(visibility: Visibility, graph: SocialGraph, roles: Tensor, seeds: Tensor) -> SocialGraph:
    """Edges whose features are hidden have each other's vectors, or one where they had none."""
    size = graph.num_nodes[graph.end_types[1]]
    hidden = (roles == 1) & (visibility.validation != "full") | (roles == 2) & (visibility.test != "full")
    hidden[seeds] = visibility.predicted != "full"
    keys = torch.unique(graph.ends[0][hidden] * size + graph.ends[1][hidden])
    changed: dict[Canonical, tuple[Feature, ...]] = {}
    for edge_type, features in graph.edge_features.items():
        edges = graph.edges[edge_type]
        changed[edge_type] = features
        if graph.entity in (edge_type, edges.reverse_of):
            src, dst = (edges.src, edges.dst) if edge_type == graph.entity else (edges.dst, edges.src)
            mask = torch.isin(src * size + dst, keys)
            changed[edge_type] = tuple(_exchanged(feature, mask) for feature in features)
    return replace(graph, edge_features=changed)


def _exchanged(feature: Feature, mask: Tensor) -> Feature:
    """Another vector or sequence for each row of the mask, or one where it had none."""
    count = len(feature.vectors) if feature.offsets is None else len(feature.offsets) - 1
    return replace(feature, index=torch.where(mask, (feature.index + 2) % (count + 1) - 1, feature.index))
