"""Change what must not matter and see whether the network's words change: a test of behaviour, not of bookkeeping."""

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
"""(graph, roles, asked) → the graph with something else in it."""
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # sums may be taken in another order


@torch.no_grad()
def check_perturbation(config: RunConfig, loader: Loader, roles: Tensor, network: Network) -> list[Check]:
    """Ask a training batch and the validation and test parts again, each time with something else changed.

    Args:
        network: the trained one.
    """
    network.eval()
    parts = list(_parts(config, loader, roles, network))
    what = "answers that are asked for or held out"
    found = [_check("changed answers", _answers, what, loader, roles, network, parts)]
    visibility = config.visibility
    if loader.graph.entity not in loader.graph.edge_features:
        found.append(not_applicable("changed edge features", "No supervised edge has features."))
    elif set(vars(visibility).values()) == {"full"}:
        why = "The run shows the features of all supervised edges."
        found.append(Check("changed edge features", "declared", 0, 0, why))
    else:
        what, change = "features of edges whose features are hidden", partial(_edge_features, visibility)
        found.append(_check("changed edge features", change, what, loader, roles, network, parts))
    if config.split.policy == "time":
        what = "edges and answers that are later"
        found.append(_check("changed future", _future, what, loader.exact, roles, network, parts))
    else:
        why = f"The split '{config.split}' makes no promise about time."
        found.append(not_applicable("changed future", why))
    return found


def _parts(config: RunConfig, loader: Loader, roles: Tensor, network: Network) -> Iterator[Tensor]:
    """Examples that are asked about in one batch: the first batch of training, all of validation and test."""
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
    parts: list[Tensor],
) -> Check:
    graph = loader.graph
    differs = torch.zeros(len(roles), dtype=torch.bool)
    for asked in parts:
        before, after = (
            _outputs(network, _over(loader, version), asked) for version in (graph, change(graph, roles, asked))
        )
        for target, said in before.items():
            same = torch.isclose(said, after[target], **CLOSE, equal_nan=True)
            differs[asked] |= ~same.view(len(asked), -1).all(1)
    found = int(differs.sum())
    detail = f"Other {what} {'change what the model says' if found else 'leave what the model says as it is'}."
    examined = sum(map(len, parts))
    return Check(name, "leak" if found else "pass", examined, found, detail, names(graph, differs))


def _outputs(network: Network, loader: Loader, asked: Tensor) -> dict[str, Tensor]:
    """What the network says of these examples in one batch, in their order; samples are the same each time."""
    order = torch.Generator()
    order.manual_seed(0)
    place = torch.empty(loader.graph.num_examples, dtype=torch.int64)
    place[asked] = torch.arange(len(asked))
    found: dict[str, Tensor] = {}
    for batch in loader.batches(asked, max(1, len(asked)), order if isinstance(loader, NeighborLoader) else None):
        for target, said in network(loader.graph, batch).items():
            table = found.setdefault(target, said.new_zeros(len(asked), *said.shape[1:]))
            table[place[batch.examples]] = said
    return found


def _over(loader: Loader, graph: SocialGraph) -> Loader:
    """The same loader over another graph."""
    if graph is loader.graph:
        return loader
    if isinstance(loader, NeighborLoader):
        return replace(loader, whole=replace(loader.whole, graph=graph))
    return replace(loader, graph=graph)


def _hidden(roles: Tensor, asked: Tensor) -> Tensor:
    """(P,) the examples that are asked about or held out."""
    hidden = roles > 0
    hidden[asked] = True
    return hidden


def _answers(graph: SocialGraph, roles: Tensor, asked: Tensor) -> SocialGraph:
    return _other_answers(graph, _hidden(roles, asked))


def _other_answers(graph: SocialGraph, which: Tensor) -> SocialGraph:
    """Each of these answers is another class, or another number; what is unknown stays so."""
    changed = {}
    for target in graph.targets:
        answers = graph.answers[target.name]
        classes = len(target.classes)
        other = (answers + 1) % classes if classes else answers + 1 + answers.abs()
        changed[target.name] = torch.where(which & is_known(answers), other, answers)
    return replace(graph, answers=changed)


def _edge_features(visibility: Visibility, graph: SocialGraph, roles: Tensor, asked: Tensor) -> SocialGraph:
    """Edges whose features are hidden have each other's vectors, or have some where they had none."""
    size = graph.num_nodes[graph.end_types[1]]
    hidden = (roles == 1) & (visibility.validation != "full") | (roles == 2) & (visibility.test != "full")
    hidden[asked] = visibility.asked != "full"
    keys = torch.unique(graph.ends[0][hidden] * size + graph.ends[1][hidden])
    features: dict[Canonical, tuple[Feature, ...]] = {}
    for kind, parts in graph.edge_features.items():
        edges = graph.edges[kind]
        features[kind] = parts
        if graph.entity in (kind, edges.reverse_of):
            src, dst = (edges.src, edges.dst) if kind == graph.entity else (edges.dst, edges.src)
            which = torch.isin(src * size + dst, keys)
            features[kind] = tuple(_exchanged(part, which) for part in parts)
    return replace(graph, edge_features=features)


def _exchanged(feature: Feature, which: Tensor) -> Feature:
    """These rows have another vector, or sequence, or one where they had none."""
    count = len(feature.vectors) if feature.offsets is None else len(feature.offsets) - 1
    return replace(feature, index=torch.where(which, (feature.index + 2) % (count + 1) - 1, feature.index))


def _future(graph: SocialGraph, roles: Tensor, asked: Tensor) -> SocialGraph:
    """Later edges start elsewhere, and later answers are others."""
    assert graph.example_time is not None
    earliest = int(graph.example_time[asked].min())
    latest = int(graph.example_time[asked].max()) if isinstance(graph.entity, str) else earliest - 1
    known = graph.example_time if graph.label_time is None else graph.label_time
    edges = {}
    for kind, part in graph.edges.items():
        edges[kind] = part
        if part.time is not None:
            later = torch.nonzero(part.time > latest).squeeze(1)
            src = part.src.clone()
            src[later] = src[later.roll(1)]
            edges[kind] = replace(part, src=src)
    return replace(_other_answers(graph, known >= earliest), edges=edges)
