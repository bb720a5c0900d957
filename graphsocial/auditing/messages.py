"""Which edges and answers reach the network, counted from the nodes that batches join, not from edge numbers.

The batches are those that training (one epoch), validation and test used, rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from graphsocial.auditing.base import Check, Verdict, names, not_applicable
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph import NEVER, Canonical, SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.loaders import Loader
from graphsocial.graph.visibility import Visibility
from graphsocial.models.base import Network
from graphsocial.training.config import RunConfig
from graphsocial.training.loop import AT_ONCE, training_batches

EDGES = ("forward edges", "reversed edges", "duplicate edges")


def check_messages(config: RunConfig, loader: Loader, roles: Tensor, network: Network) -> list[Check]:
    """Look at every batch that the run used.

    Args:
        loader: the run's own.
        roles: (P,) of the run's split.
        network: says which examples are answered together.
    """
    watch = _Watch(loader.graph, roles, config.visibility)
    temporal = loader.exact.temporal
    for batch in used_batches(config, loader, roles, network):
        watch.edges(batch)
        watch.answers(batch)
        if temporal:
            watch.time(batch)
    found = [*watch.edge_checks(), watch.answer_check()]
    if temporal:
        return [*found, *watch.time_checks()]
    why = f"Neither the split '{config.split}' nor the task makes a promise about time."
    return [*found, not_applicable("later edges", why), not_applicable("later answers", why)]


def used_batches(
    config: RunConfig, loader: Loader, roles: Tensor, network: Network, *, parts: Sequence[str] = ROLES
) -> Iterator[Batch]:
    """The batches of the first epoch, of validation and of test, as `fitting` asks for them."""
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
    """Each relation of each layer: its type, the nodes at both ends of every message, and the edges' numbers.

    The nodes are found by following the batch's rows through the layers, as the network does.
    """
    nodes = {
        name: torch.arange(size) if batch.rows is None else batch.rows[name].nodes
        for name, size in graph.num_nodes.items()
    }
    for place, layer in enumerate(batch.layers):
        if layer.take is not None:
            nodes = {name: part[layer.take[name]] for name, part in nodes.items()}
        if place == 0 or layer is not batch.layers[place - 1]:  # whole layers are one object
            for kind, relation in layer.relations.items():
                ids = torch.arange(relation.num_edges) if relation.order is None else relation.order.long()
                ids = ids if layer.edge_ids is None else layer.edge_ids[kind][ids]
                src, dst = nodes[kind[0]][relation.src.long()], nodes[kind[2]][relation.dst.long()]
                mask = layer.mask.get(kind)
                if mask is not None:
                    kept = relation.sort(mask)
                    src, dst, ids = src[kept], dst[kept], ids[kept]
                yield kind, src, dst, ids
        if layer.num_dst is not None:
            nodes = {name: part[: layer.num_dst[name]] for name, part in nodes.items()}


class _Watch:
    """What was shown in all batches so far, by example (P,) or by edge (E,)."""

    def __init__(self, graph: SocialGraph, roles: Tensor, visibility: Visibility) -> None:
        self.graph, self.roles, self.visibility = graph, roles, visibility
        self.leaked = {name: torch.zeros(len(roles), dtype=torch.bool) for name in EDGES}
        self.declared = {name: torch.zeros(len(roles), dtype=torch.bool) for name in EDGES}
        self.shown_answers = torch.zeros(len(roles), dtype=torch.bool)
        self.later_answers = self.shown_answers.clone()
        self.later_edges = {
            kind: torch.zeros(len(edges), dtype=torch.bool)
            for kind, edges in graph.edges.items()
            if edges.time is not None
        }
        self.count = 0
        self.layers = 0
        self.supervised: dict[Canonical, tuple[bool, Tensor]] = {}
        if not isinstance(graph.entity, str):
            self.keys, self.order = torch.sort(self._key(*graph.ends))
            for kind, edges in graph.edges.items():
                if graph.entity in (kind, edges.reverse_of):
                    back = kind != graph.entity
                    keys = self._key(edges.dst, edges.src) if back else self._key(edges.src, edges.dst)
                    self.supervised[kind] = back, _first(keys)

    def _key(self, src: Tensor, dst: Tensor) -> Tensor:
        return src * self.graph.num_nodes[self.graph.end_types[1]] + dst

    def _examples(self, src: Tensor, dst: Tensor) -> Tensor:
        """The example that each edge joins the ends of; -1 where none does."""
        keys = self._key(src, dst)
        at = torch.searchsorted(self.keys, keys).clamp_max(max(0, len(self.keys) - 1))
        return torch.where(self.keys[at] == keys, self.order[at], -1)

    def edges(self, batch: Batch) -> None:
        """Edges of examples that are asked about or held out."""
        self.count += 1
        self.layers += len(batch.layers)
        asked = torch.zeros(len(self.roles), dtype=torch.bool)
        asked[batch.examples] = True
        watched, hidden = asked.clone(), asked & (self.visibility.asked == "hidden")
        for code, state in ((1, self.visibility.validation), (2, self.visibility.test)):
            other = (self.roles == code) & ~asked
            watched |= other
            hidden |= other & (state == "hidden")
        if not self.supervised:
            return
        for kind, src, dst, ids in messages(self.graph, batch):
            if kind not in self.supervised:
                continue
            back, first = self.supervised[kind]
            examples = self._examples(dst, src) if back else self._examples(src, dst)
            is_first = first[ids]
            for name, chosen in ((EDGES[back], is_first), (EDGES[2], ~is_first)):
                shown = torch.zeros(len(self.roles), dtype=torch.bool)
                shown[examples[chosen & (examples >= 0)]] = True
                self.leaked[name] |= shown & hidden
                self.declared[name] |= shown & watched & ~hidden

    def answers(self, batch: Batch) -> None:
        """Answers of examples that are asked about or held out: never to be shown."""
        shown = batch.view.label & (self.roles > 0)
        shown[batch.examples] = batch.view.label[batch.examples]
        self.shown_answers |= shown

    def time(self, batch: Batch) -> None:
        """Edges and answers that are not earlier than the batch's earliest example."""
        times = self.graph.example_time
        assert times is not None
        known = times if self.graph.label_time is None else self.graph.label_time
        earliest = int(times[batch.examples].min())
        limit = {name: torch.full((size,), earliest) for name, size in self.graph.num_nodes.items()}
        if isinstance(self.graph.entity, str):  # what came together with the node that is asked about may be seen
            own = times[batch.examples]
            limit[self.graph.entity][self.graph.ends[0][batch.examples]] = torch.where(own < NEVER, own + 1, earliest)
        for kind, _, dst, ids in messages(self.graph, batch):
            edge_time = self.graph.edges[kind].time
            if edge_time is not None:
                self.later_edges[kind][ids[edge_time[ids] >= limit[kind[2]][dst]]] = True
        self.later_answers |= batch.view.label & (known >= earliest)

    def edge_checks(self) -> list[Check]:
        """One check for each way in which an edge can come in."""
        if isinstance(self.graph.entity, str):
            return [not_applicable(name, "The examples are nodes, which have no edge to hide.") for name in EDGES]
        if not self.layers:
            return [not_applicable(name, "The model passes no messages.") for name in EDGES]
        asked = int((self.roles >= 0).sum())
        told = {
            EDGES[0]: "by their own edge",
            EDGES[1]: "by the reverse of their edge",
            EDGES[2]: "by a further edge between the same ends",
        }
        found = []
        for name, way in told.items():
            leaked, declared = self.leaked[name], self.declared[name]
            verdict: Verdict = "leak" if leaked.any() else "declared" if declared.any() else "pass"
            shown = leaked if verdict != "declared" else declared
            states = ", ".join(f"{part}={state}" for part, state in vars(self.visibility).items() if state != "hidden")
            detail = {
                "leak": f"Examples that should be hidden reach the model {way}.",
                "declared": f"Examples reach the model {way}, as the run says: {states}.",
            }.get(verdict, f"In {self.count:,} batches no example that is asked about or held out is seen {way}.")
            found.append(Check(name, verdict, asked, int(shown.sum()), detail, names(self.graph, shown)))
        return found

    def answer_check(self) -> Check:
        """Whether the view hands an answer over."""
        found = int(self.shown_answers.sum())
        detail = (
            "Answers that are asked for or held out are handed to the model."
            if found
            else f"In {self.count:,} batches no answer that is asked for or held out is handed to the model."
        )
        asked = int((self.roles >= 0).sum())
        return Check("answers shown", _verdict(found), asked, found, detail, names(self.graph, self.shown_answers))

    def time_checks(self) -> list[Check]:
        """What came in from the future."""
        examined = sum(len(later) for later in self.later_edges.values())
        late = {kind: torch.nonzero(later).squeeze(1) for kind, later in self.later_edges.items()}
        found = sum(map(len, late.values()))
        shown = [
            f"{self.graph.ids[kind[0]][int(self.graph.edges[kind].src[edge])]} "
            f"{self.graph.ids[kind[2]][int(self.graph.edges[kind].dst[edge])]}"
            for kind, edges in late.items()
            for edge in edges[:5].tolist()
        ]
        told = "are seen that are not earlier than the examples asked about" if found else "is seen that is later"
        edges = Check(
            "later edges",
            _verdict(found),
            examined,
            found,
            f"In {self.count:,} batches {'edges' if found else 'no edge'} {told}.",
            tuple(shown[:5]),
        )
        found = int(self.later_answers.sum())
        detail = (
            "Answers are shown that became known only after the examples asked about."
            if found
            else f"In {self.count:,} batches no answer is shown that became known later."
        )
        examined = int((self.roles == 0).sum())
        answers = Check(
            "later answers", _verdict(found), examined, found, detail, names(self.graph, self.later_answers)
        )
        return [edges, answers]


def _first(keys: Tensor) -> Tensor:
    """(E,) bool: the first edge of each pair of ends."""
    order = torch.argsort(keys, stable=True)
    ordered = keys[order]
    first = torch.ones(len(keys), dtype=torch.bool)
    first[order[1:]] = ordered[1:] != ordered[:-1]
    return first


def _verdict(found: int) -> Verdict:
    return "leak" if found else "pass"
