"""What the store allows a batch to hold: which edges and labels, by the rule of time and the split, read by SQL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.graph import NEVER, Canonical, SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.features import micros
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.store.time import exists_from
from graphsocial.tasks import read_labels
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData
from graphsocial.types import EdgeType

Keys = NDArray[np.int64]


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
    """(N,) int64, the graph's numbers of these nodes; -1 for those that it lacks.

    Args:
        graph: the graph.
        node: the node type.
        ids: (N,) the source's own ids.
    """
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
    """What the rule of time and the run's visibility allow of each edge type, from the store.

    The examples' times and the split are read at once, edges as they are needed.

    Args:
        store: the store of the run.
        config: the run's configuration.
        data: the run's data, whose node numbers are used.
        temporal: whether batches are kept to what is earlier.
    """

    def __init__(self, store: GraphStore, config: RunConfig, data: RunData, *, temporal: bool) -> None:
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
        if visibility.reciprocal == "hidden" and self.graph.end_types[0] == self.graph.end_types[-1]:
            src, dst = (end[batch.examples] for end in self.graph.ends)
            held_out = np.union1d(held_out, np.setdiff1d(self._keys(dst, src), seeds))
        return np.concatenate([held_out, seeds]) if visibility.predicted == "hidden" else held_out

    def edges(self, edge: EdgeType) -> StoredEdges:
        """The stored edges of one type."""
        if str(edge) not in self._stored:
            self._stored[str(edge)] = StoredEdges.read(self.store, self.config, self.graph, edge)
        return self._stored[str(edge)]

    def of(self, kind: Canonical, edge: EdgeType, batch: Batch) -> Keys:
        """A key for each edge that the batch may have along one edge type.

        Args:
            kind: the edge type of the graph: that of `edge`, or its reverse.
            edge: the edge type of the store.
            batch: the batch.
        """
        stored = self.edges(edge)
        src, dst = (stored.src, stored.dst) if kind == edge.canonical else (stored.dst, stored.src)
        allowed = torch.ones_like(src, dtype=torch.bool)
        before = self.before(batch)
        if before is not None and kind[2] in before:
            allowed &= (dst >= 0) & (stored.since < before[kind[2]][dst.clamp_min(0)])
        if edge == self.entity:
            pairs = self._keys(stored.src, stored.dst)
            allowed &= torch.from_numpy(~np.isin(pairs, self.hidden(batch)))
        return pair_keys(self.graph, kind, src[allowed], dst[allowed])


def pair_keys(graph: SocialGraph, kind: Canonical, src: Tensor, dst: Tensor) -> Keys:
    """(E,) one integer for each pair of nodes of an edge type.

    Args:
        graph: the graph.
        kind: the edge type.
        src: (E,) int64, node numbers of the sources.
        dst: (E,) int64, of the destinations.
    """
    return (src * graph.num_nodes[kind[2]] + dst).numpy()
