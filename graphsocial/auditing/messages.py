"""Checks of the edges and labels that reach the network, by the endpoints of the batches' message edges.

The batches are those of training (one epoch), validation and test, rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from graphsocial.auditing.base import Check, Verdict, names, not_applicable
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph import Canonical, SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.loaders import Loader
from graphsocial.graph.visibility import Visibility
from graphsocial.models.base import Network
from graphsocial.training.config import RunConfig
from graphsocial.training.loop import AT_ONCE, training_batches

EDGES = ("forward edges", "reversed edges", "duplicate edges")


def check_messages(config: RunConfig, loader: Loader, roles: Tensor, network: Network) -> list[Check]:
    """Check the visible edges and labels of every batch that the run used.

    Args:
        config: the run's configuration.
        loader: the run's loader.
        roles: (P,) split role of each example.
        network: the trained network, which groups examples into batches.
    """
    counts = _LeakCounts(loader.graph, roles, config.visibility)
    for batch in used_batches(config, loader, roles, network):
        counts.add_edges(batch)
        counts.add_labels(batch)
    return [*counts.edge_checks(), counts.label_check()]


def used_batches(
    config: RunConfig, loader: Loader, roles: Tensor, network: Network, *, parts: Sequence[str] = ROLES
) -> Iterator[Batch]:
    """The batches of the first epoch, of validation and of test, as `training.loop` makes them.

    Args:
        config: the run's configuration.
        loader: the run's loader.
        roles: (P,) split role of each example.
        network: the trained network, which groups examples into batches.
        parts: split roles whose batches are made.
    """
    together = network.together(loader.graph)
    for role in parts:
        rows = torch.nonzero(roles == ROLES.index(role)).squeeze(1)
        if role == "train":
            order = torch.Generator()
            order.manual_seed(config.seed)
            yield from training_batches(network, loader, rows, config.fitting, order)
        else:
            size = max(1, len(rows)) if together is None else AT_ONCE
            yield from loader.exact.batches(rows, size, together=together)


def messages(graph: SocialGraph, batch: Batch) -> Iterator[tuple[Canonical, Tensor, Tensor, Tensor]]:
    """The messages of each layer and edge type: the edge type, source nodes, destination nodes and rows of the edges.

    The nodes are determined by following the batch's rows through the layers, as the network does.
    """
    nodes = {
        name: torch.arange(size) if batch.rows is None else batch.rows[name].nodes
        for name, size in graph.num_nodes.items()
    }
    for depth, layer in enumerate(batch.layers):
        if layer.take is not None:
            nodes = {name: part[layer.take[name]] for name, part in nodes.items()}
        if depth == 0 or layer is not batch.layers[depth - 1]:  # whole layers are one object
            for edge_type, relation in layer.relations.items():
                ids = torch.arange(relation.num_edges) if relation.order is None else relation.order.long()
                ids = ids if layer.edge_ids is None else layer.edge_ids[edge_type][ids]
                src, dst = nodes[edge_type[0]][relation.src.long()], nodes[edge_type[2]][relation.dst.long()]
                mask = layer.mask.get(edge_type)
                if mask is not None:
                    kept = relation.sort(mask)
                    src, dst, ids = src[kept], dst[kept], ids[kept]
                yield edge_type, src, dst, ids
        if layer.num_dst is not None:
            nodes = {name: part[: layer.num_dst[name]] for name, part in nodes.items()}


class _LeakCounts:
    """Masks of all that was visible in the batches so far, by example (P,) or by edge (E,)."""

    def __init__(self, graph: SocialGraph, roles: Tensor, visibility: Visibility) -> None:
        self.graph, self.roles, self.visibility = graph, roles, visibility
        self.leaked = {name: torch.zeros(len(roles), dtype=torch.bool) for name in EDGES}
        self.declared = {name: torch.zeros(len(roles), dtype=torch.bool) for name in EDGES}
        self.visible_labels = torch.zeros(len(roles), dtype=torch.bool)
        self.num_batches = 0
        self.num_layers = 0
        self.supervised: dict[Canonical, tuple[bool, Tensor]] = {}
        if not isinstance(graph.entity, str):
            self.keys, self.order = torch.sort(self._key(*graph.ends))
            for edge_type, edges in graph.edges.items():
                if graph.entity in (edge_type, edges.reverse_of):
                    is_reverse = edge_type != graph.entity
                    keys = self._key(edges.dst, edges.src) if is_reverse else self._key(edges.src, edges.dst)
                    self.supervised[edge_type] = is_reverse, _first(keys)

    def _key(self, src: Tensor, dst: Tensor) -> Tensor:
        return src * self.graph.num_nodes[self.graph.end_types[1]] + dst

    def _examples(self, src: Tensor, dst: Tensor) -> Tensor:
        """The example whose endpoints each edge joins; -1 if there is none."""
        keys = self._key(src, dst)
        position = torch.searchsorted(self.keys, keys).clamp_max(max(0, len(self.keys) - 1))
        return torch.where(self.keys[position] == keys, self.order[position], -1)

    def add_edges(self, batch: Batch) -> None:
        """Mark the visible edges of the batch's seed examples and of held-out examples."""
        self.num_batches += 1
        self.num_layers += len(batch.layers)
        seeds = torch.zeros(len(self.roles), dtype=torch.bool)
        seeds[batch.examples] = True
        supervised, hidden = seeds.clone(), seeds & (self.visibility.predicted == "hidden")
        for code, state in ((1, self.visibility.validation), (2, self.visibility.test)):
            held_out = (self.roles == code) & ~seeds
            supervised |= held_out
            hidden |= held_out & (state == "hidden")
        if not self.supervised:
            return
        for edge_type, src, dst, ids in messages(self.graph, batch):
            if edge_type not in self.supervised:
                continue
            is_reverse, first = self.supervised[edge_type]
            examples = self._examples(dst, src) if is_reverse else self._examples(src, dst)
            is_first = first[ids]
            for name, selected in ((EDGES[is_reverse], is_first), (EDGES[2], ~is_first)):
                visible = torch.zeros(len(self.roles), dtype=torch.bool)
                visible[examples[selected & (examples >= 0)]] = True
                self.leaked[name] |= visible & hidden
                self.declared[name] |= visible & supervised & ~hidden

    def add_labels(self, batch: Batch) -> None:
        """Mark the visible labels of the batch's seed examples and of held-out examples; there should be none."""
        visible = batch.view.label & (self.roles > 0)
        visible[batch.examples] = batch.view.label[batch.examples]
        self.visible_labels |= visible

    def edge_checks(self) -> list[Check]:
        """One check each for an example's own edge, its reverse, and duplicates of both."""
        if isinstance(self.graph.entity, str):
            return [not_applicable(name, "The examples are nodes, which have no edge to hide.") for name in EDGES]
        if not self.num_layers:
            return [not_applicable(name, "The model passes no messages.") for name in EDGES]
        examined = int((self.roles >= 0).sum())
        paths = {
            EDGES[0]: "by their own edge",
            EDGES[1]: "by the reverse of their edge",
            EDGES[2]: "by a further edge between the same endpoints",
        }
        checks = []
        for name, path in paths.items():
            leaked, declared = self.leaked[name], self.declared[name]
            verdict: Verdict = "leak" if leaked.any() else "declared" if declared.any() else "pass"
            visible = leaked if verdict != "declared" else declared
            shown = {part: state for part, state in vars(self.visibility).items() if state in ("structure", "full")}
            states = ", ".join(f"{part}={state}" for part, state in shown.items())
            detail = {
                "leak": f"Examples that should be hidden reach the model {path}.",
                "declared": f"Examples reach the model {path}, as the run declares: {states}.",
            }.get(verdict, f"In {self.num_batches:,} batches no seed or held-out example reaches the model {path}.")
            checks.append(Check(name, verdict, examined, int(visible.sum()), detail, names(self.graph, visible)))
        return checks

    def label_check(self) -> Check:
        """The check that no label of a seed or held-out example is visible."""
        num_leaks = int(self.visible_labels.sum())
        detail = (
            "Labels of seed or held-out examples are visible to the model."
            if num_leaks
            else f"In {self.num_batches:,} batches no label of a seed or held-out example is visible to the model."
        )
        examined = int((self.roles >= 0).sum())
        return Check(
            "visible labels", _verdict(num_leaks), examined, num_leaks, detail, names(self.graph, self.visible_labels)
        )


def _first(keys: Tensor) -> Tensor:
    """(E,) bool: the first edge of each pair of endpoints."""
    order = torch.argsort(keys, stable=True)
    ordered = keys[order]
    first = torch.ones(len(keys), dtype=torch.bool)
    first[order[1:]] = ordered[1:] != ordered[:-1]
    return first


def _verdict(num_leaks: int) -> Verdict:
    return "leak" if num_leaks else "pass"
