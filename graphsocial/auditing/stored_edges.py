"""The edges that the store allows a batch, read by SQL, compared with those that it has: none more, none fewer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.auditing.base import MAX_NAMED, Check, not_applicable
from graphsocial.auditing.messages import messages
from graphsocial.graph import NEVER, Canonical, SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.features import micros
from graphsocial.graph.loaders import Loader
from graphsocial.graph.visibility import edge_mask
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.store.time import exists_from
from graphsocial.tasks import read_labels
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData
from graphsocial.types import EdgeType

Keys = NDArray[np.int64]
NAME = "edges as stored"


@dataclass(frozen=True)
class StoredEdges:
    """The edges of one type as the store has them, with the graph's node numbers.

    Attributes:
        src: (E,) int64, node numbers of the sources; -1 for nodes that the graph lacks.
        dst: (E,) int64, of the destinations.
        since: (E,) int64 microseconds since 1970 UTC, from when each edge exists; `NEVER` where that is not known.
    """

    src: Tensor
    dst: Tensor
    since: Tensor

    @classmethod
    def read(cls, store: GraphStore, config: RunConfig, graph: SocialGraph, edge: EdgeType) -> StoredEdges:
        """Read the edges of one type, of the run's dataset and as of its time.

        Args:
            store: the store of the run.
            config: the run's configuration.
            graph: the graph whose node numbers are used; nodes are found by their ids.
            edge: the edge type.
        """
        since = exists_from(edge, store.schema, "e")
        rows = store.sql(
            f"select s.id as src, d.id as dst{f', {since} as since' if since else ''} "
            f"from ({store.visible(edge, dataset=config.dataset, as_of=config.as_of)}) as e "
            f"join {quote(store.schema.node(edge.src).table)} as s on s.idx = e.src "
            f"join {quote(store.schema.node(edge.dst).table)} as d on d.idx = e.dst"
        ).to_arrow_table()
        src, dst = (numbers(graph, name, rows[key]) for key, name in (("src", edge.src), ("dst", edge.dst)))
        known = micros(rows["since"]) if since else torch.full((len(src),), -NEVER)
        return cls(src, dst, known)


def numbers(graph: SocialGraph, node: str, ids: pa.ChunkedArray | pa.Array) -> Tensor:
    """(N,) int64, the graph's numbers of these nodes; -1 for those that it lacks."""
    known = graph.ids.get(node, np.empty(0, dtype=object))
    positions = pc.fill_null(pc.index_in(ids, value_set=pa.array(known, ids.type)), -1)
    return torch.tensor(positions.to_numpy(zero_copy_only=False).astype(np.int64))


class _Lookup:
    """The row of each key."""

    def __init__(self, keys: Keys) -> None:
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]

    def rows(self, keys: Keys) -> NDArray[np.int64]:
        """(n,) the row of each of these keys; -1 for those that there are not."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        position = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[position] == keys, self.order[position], -1)


class Allowance:
    """What the rule of time and the run's visibility allow of each edge type, from the store."""

    def __init__(self, store: GraphStore, config: RunConfig, data: RunData, *, temporal: bool) -> None:
        """Read the examples' times and the split; edges are read as they are needed.

        Args:
            store: the store of the run.
            config: the run's configuration.
            data: the run's data, whose node numbers are used.
            temporal: whether batches are kept to what is earlier.
        """
        self.store, self.config, self.graph, self.temporal = store, config, data.graph, temporal
        self.entity = data.entity
        self._stored: dict[str, StoredEdges] = {}
        _, self.labels = read_labels(config.task, store, config.dataset, as_of=config.as_of)
        ends = [end for end in (self.labels.src, self.labels.dst) if end is not None]
        nodes = [self._by_idx(*end) for end in zip(self.graph.end_types, ends, strict=True)]
        self.examples = _Lookup(self._keys(*(number for number, _ in nodes)))
        self.times = None if self.labels.times is None else micros(pa.array(self.labels.times))
        late = self.labels.times if self.labels.label_time is None else self.labels.label_time
        since = [time for _, time in nodes if time is not None] + ([] if late is None else [micros(pa.array(late))])
        self.known_since = torch.stack(since).amax(0) if since else None
        rows = store.sql(
            "select entity_id, other_id, role from split_members where split_id = ?", [data.split_id]
        ).to_arrow_table()
        columns = ("entity_id", "other_id")[: len(ends)]
        members = [numbers(self.graph, n, rows[c]) for n, c in zip(self.graph.end_types, columns, strict=True)]
        self.members, self.role = self._keys(*members), rows["role"].to_numpy()

    def _by_idx(self, node: str, idx: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """The graph's numbers of the nodes with these `idx` in the store, and from when they exist."""
        entry = self.store.schema.node(node)
        since = exists_from(entry, self.store.schema, "n")
        chosen = f"n.idx, n.id{f', {since} as since' if since else ''}"
        table = self.store.sql(f"select {chosen} from {quote(entry.table)} as n order by n.idx").to_arrow_table()
        table = table.take(pa.array(np.searchsorted(table["idx"].to_numpy(), idx)))
        return numbers(self.graph, node, table["id"]), micros(table["since"]) if since else None

    def _keys(self, *ends: Tensor) -> Keys:
        """One integer for each example, from the node numbers of its endpoints."""
        size = self.graph.num_nodes[self.graph.end_types[-1]]
        key = ends[0] if len(ends) == 1 else ends[0] * size + ends[1]
        return key.numpy()

    def example_times(self, batch: Batch) -> Tensor:
        """(B,) int64, the times of the batch's examples; `NEVER` where they are not known."""
        assert self.times is not None
        rows = torch.from_numpy(self.examples.rows(self.example_keys(batch.examples)))
        return torch.where(rows >= 0, self.times[rows], NEVER)

    def example_keys(self, examples: Tensor) -> Keys:
        """(n,) a key for each of these examples of the graph, from the numbers of its endpoints."""
        return self._keys(*(end[examples] for end in self.graph.ends))

    def before(self, batch: Batch) -> dict[str, Tensor] | None:
        """Node type → (N,) the time before which an edge into each node must exist; None where time does not matter."""
        if not self.temporal or self.times is None:
            return None
        times = self.example_times(batch)
        before = {name: torch.full((size,), int(times.min())) for name, size in self.graph.num_nodes.items()}
        if isinstance(self.graph.entity, str):
            own = torch.where(times < NEVER, times + 1, times.min())
            before[self.graph.entity][self.graph.ends[0][batch.examples]] = own
        return before

    def hidden(self, batch: Batch) -> Keys:
        """The pairs whose edges the batch must not have."""
        visibility = self.config.visibility
        seeds = self.example_keys(batch.examples)
        parts = [
            self.members[self.role == role]
            for role, state in (("validation", visibility.validation), ("test", visibility.test))
            if state == "hidden"
        ]
        held_out = np.setdiff1d(np.concatenate([*parts, seeds[:0]]), seeds)
        return np.concatenate([held_out, seeds]) if visibility.predicted == "hidden" else held_out

    def edges(self, edge: EdgeType) -> StoredEdges:
        """The stored edges of one type."""
        if str(edge) not in self._stored:
            self._stored[str(edge)] = StoredEdges.read(self.store, self.config, self.graph, edge)
        return self._stored[str(edge)]

    def of(self, kind: Canonical, edge: EdgeType, batch: Batch) -> Keys:
        """A key for each edge that the batch may have along one edge type, the reverse of `edge` or `edge` itself."""
        stored = self.edges(edge)
        src, dst = (stored.src, stored.dst) if kind == edge.canonical else (stored.dst, stored.src)
        allowed = torch.ones_like(src, dtype=torch.bool)
        before = self.before(batch)
        if before is not None and kind[2] in before:
            allowed &= (dst >= 0) & (stored.since < before[kind[2]][dst.clamp_min(0)])
        if edge == self.entity:
            pairs = self._keys(stored.src, stored.dst)
            allowed &= torch.from_numpy(~np.isin(pairs, self.hidden(batch)))
        return _pair_keys(self.graph, kind, src[allowed], dst[allowed])


def check_edges(allowance: Allowance, loader: Loader, batches: list[Batch]) -> Check:
    """Compare the edges of some batches with those that the store allows.

    An edge that the store does not allow is a leak; one that it allows and that the run's graph lacks is missing.

    Args:
        allowance: what the store allows.
        loader: the run's loader.
        batches: the batches, as the run used them.
    """
    config, graph = allowance.config, allowance.graph
    if not config.model.layers:
        return not_applicable(NAME, "The model passes no messages.")
    examined, extra, missing, named = 0, 0, 0, list[str]()
    for edge in _edge_types(allowance):
        kinds = [kind for kind, edges in graph.edges.items() if edge.canonical in (kind, edges.reverse_of)]
        if edge.canonical not in kinds:
            missing += len(allowance.edges(edge).src)
            examined += len(allowance.edges(edge).src)
            named.append(f"all of '{edge}'")
            continue
        for kind in kinds:
            for batch in batches:
                allowed = allowance.of(kind, edge, batch)
                too_many = _surplus(_received(graph, batch, kind), allowed)
                too_few = _surplus(allowed, _visible(graph, loader, batch, kind))
                examined, extra, missing = examined + len(allowed), extra + len(too_many), missing + len(too_few)
                named += [
                    _name(graph, kind, key) for key in (*too_many[:MAX_NAMED].tolist(), *too_few[:MAX_NAMED].tolist())
                ]
    examples = tuple(dict.fromkeys(named))[:MAX_NAMED]
    if extra:
        detail = f"{len(batches)} batches have edges that are hidden or later than their examples, by the store."
        return Check(NAME, "leak", examined, extra, detail, examples)
    if missing:
        return Check(NAME, "missing", examined, missing, "Edges of the store are not in the run's graph.", examples)
    if not examined:
        return not_applicable(NAME, "The store allows the sampled batches no edge.")
    return Check(NAME, "pass", examined, 0, f"{len(batches)} batches have the edges that the store allows, no others.")


def _edge_types(allowance: Allowance) -> Iterator[EdgeType]:
    """The edge types with edges that the run passes messages along, by its configuration."""
    names = allowance.config.edge_types
    for edge in allowance.store.schema.edges:
        used = not names or str(edge) in names or edge == allowance.entity
        if used and len(allowance.store.span(edge, allowance.config.dataset)):
            yield edge


def _pair_keys(graph: SocialGraph, kind: Canonical, src: Tensor, dst: Tensor) -> Keys:
    return (src * graph.num_nodes[kind[2]] + dst).numpy()


def _received(graph: SocialGraph, batch: Batch, kind: Canonical) -> Keys:
    """A key for each edge of one type along which some layer of the batch sends a message."""
    rows = [ids for edge_type, _, _, ids in messages(graph, batch) if edge_type == kind]
    ids = torch.unique(torch.cat(rows)) if rows else torch.empty(0, dtype=torch.int64)
    edges = graph.edges[kind]
    return _pair_keys(graph, kind, edges.src[ids], edges.dst[ids])


def _visible(graph: SocialGraph, loader: Loader, batch: Batch, kind: Canonical) -> Keys:
    """A key for each edge of one type that the batch may use, by the run's graph."""
    edges, mask = graph.edges[kind], edge_mask(graph, loader.exact.view(batch.examples))[kind]
    kept = slice(None) if mask is None else mask
    return _pair_keys(graph, kind, edges.src[kept], edges.dst[kept])


def _surplus(keys: Keys, of: Keys) -> Keys:
    """The keys that occur more often than in `of`."""
    values, counts = np.unique(keys, return_counts=True)
    known, others = np.unique(of, return_counts=True)
    position = np.searchsorted(known, values).clip(max=max(0, len(known) - 1))
    if not len(known):
        return np.repeat(values, counts)
    left = counts - np.where(known[position] == values, others[position], 0)
    return np.repeat(values, left.clip(min=0))


def _name(graph: SocialGraph, kind: Canonical, key: int) -> str:
    """The ids of an edge's endpoints around its relation."""
    src, dst = divmod(key, graph.num_nodes[kind[2]])
    return f"{graph.ids[kind[0]][src]} {kind[1]} {graph.ids[kind[2]][dst]}"
