"""Delete from the store what an example must not see, build its batch again, and compare: all paths at once.

What is later than the example is deleted, and labels that are not known at its time are replaced by others, in a
transaction that is rolled back. Whatever reads the store then, the task's SQL, encodings, means, links, has no access
to them; so a difference in what the batch holds, or in the network's outputs, is a leak, by whatever path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.auditing.base import MAX_NAMED, Check, names, not_applicable
from graphsocial.auditing.perturbation import outputs
from graphsocial.auditing.stored_edges import numbers
from graphsocial.errors import DataError
from graphsocial.evaluation import stored_splits
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph import NEVER, SocialGraph, is_known
from graphsocial.graph.batching import Batch
from graphsocial.graph.features import Feature, micros
from graphsocial.graph.loaders import FullGraphLoader, Loader
from graphsocial.graph.visibility import edge_mask
from graphsocial.models.base import Network
from graphsocial.nn.inputs import NodeInputs
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.store.temporary import registered
from graphsocial.store.time import exists_from
from graphsocial.tasks import Labels, read_labels
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData, build, make_loader
from graphsocial.types import EdgeType, NodeType

NAME = "deleted future"
LABELS = "replaced labels"
SAMPLE, QUICK_SAMPLE = 3, 1  # examples of each role, for each of which the graph is built anew
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # sums may run in another order


@torch.no_grad()
def check_deletion(
    store: GraphStore, config: RunConfig, data: RunData, loader: Loader, network: Network, *, quick: bool
) -> list[Check]:
    """Build the batches of sampled examples again, without what they must not see, and compare.

    Args:
        store: the store of the run, open for writing; it is left as it is.
        config: the run's configuration.
        data: the run's data.
        loader: the run's loader.
        network: the trained network.
        quick: sample one example of each role instead of three.
    """
    whole, differences = loader.exact, dict[str, list[str]]()
    examined = 0
    leaked = torch.zeros(data.graph.num_examples, dtype=torch.bool)
    for example in _sample(config, data, QUICK_SAMPLE if quick else SAMPLE):
        seeds = torch.tensor([example])
        moment = int(data.graph.example_time[example]) if whole.temporal else None  # type: ignore[index]
        try:
            with store.undone():
                _remove(store, config, data, example, moment)
                reduced = _rebuilt(store, config, data)
        except DataError:  # so early that nothing can be learnt from what is left
            continue
        parts = list(_compare(whole, make_loader(config, reduced).exact, seeds, network))
        examined += 1
        leaked[seeds] = bool(parts)
        for part in parts:
            differences.setdefault(part, []).append(str(example))
    name, what = (NAME, "what is later") if whole.temporal else (LABELS, "held-out labels")
    other = LABELS if whole.temporal else NAME
    why = (
        f"'{NAME}' replaces labels too."
        if whole.temporal
        else f"Neither the split '{config.split}' nor the task orders examples by time."
    )
    if not examined:
        return [not_applicable(name, "Too little is earlier than the sampled examples."), not_applicable(other, why)]
    found = int(leaked.sum())
    detail = (
        f"Without {what} batches have other {', '.join(sorted(differences))}."
        if found
        else f"Without {what} in the store {examined} examples have the same batches and predictions."
    )
    check = Check(name, "leak" if found else "pass", examined, found, detail, names(data.graph, leaked)[:MAX_NAMED])
    return [check, not_applicable(other, why)]


def _sample(config: RunConfig, data: RunData, count: int) -> Iterator[int]:
    """Examples of each role at random; those with a known time where there are times."""
    random = np.random.default_rng([config.seed, 17])
    times = data.graph.example_time
    for role in ROLES:
        rows = data.examples(role)
        if times is not None:
            rows = rows[times[rows] < NEVER]
        yield from random.permutation(rows.numpy())[:count].tolist()


def _remove(store: GraphStore, config: RunConfig, data: RunData, example: int, moment: int | None) -> None:
    """Delete what exists only after a moment, but for the example itself, and replace labels that are not known then.

    Args:
        store: the store, in a transaction.
        config: the run's configuration.
        data: the run's data.
        example: the example, whose own row and endpoints stay.
        moment: its time in microseconds since 1970 UTC; None where time does not matter: nothing is deleted.
    """
    entity, labels = read_labels(config.task, store, config.dataset, as_of=config.as_of)
    ends = dict[str, list[int]]()
    for name, (own,) in zip(data.graph.end_types, data.graph.example_ids(np.asarray([example])), strict=True):
        row = store.first(
            f"select idx from ({store.visible(store.schema.node(name), dataset=config.dataset)}) where id = ?", [own]
        )
        ends.setdefault(name, []).append(int(row[0]) if row else -1)
    _replace_labels(store, entity, labels, _unknown(data, labels, moment, ends))
    if moment is None:
        return
    last = f"make_timestamptz({moment})"
    for entry in (*store.schema.edges, *store.schema.nodes):
        since = exists_from(entry, store.schema, quote(entry.table))
        if since is None:
            continue
        kept = "false"
        if isinstance(entry, NodeType) and entry.name in ends:
            kept = f"idx in ({', '.join(map(str, ends[entry.name]))})"
        elif entry == entity:
            kept = f"(src, dst) = ({', '.join(str(end) for part in ends.values() for end in part)})"
        span = store.span(entry, config.dataset)
        store.connection.execute(f"delete from {quote(entry.table)} where {span} and {since} > {last} and not {kept}")


def _unknown(data: RunData, labels: Labels, moment: int | None, ends: Mapping[str, list[int]]) -> NDArray[np.bool_]:
    """(P,) the task's examples whose labels must not matter: the example's own, and those that are not known yet.

    Without times these are the held-out ones, unless the task has a context, in which earlier examples may count.
    """
    own = labels.src == ends[data.graph.end_types[0]][0]
    if labels.dst is not None:
        own &= labels.dst == ends[data.graph.end_types[1]][-1]
    known = labels.times if labels.label_time is None else labels.label_time
    if moment is not None and known is not None:
        return np.asarray(own | (micros(pa.array(known)) > moment).numpy())
    if labels.context is None:
        held_out = data.roles[: len(labels)] > 0  # the graph's examples are the task's, in order
        return np.asarray(own | held_out.numpy())
    return np.asarray(own)


def _replace_labels(store: GraphStore, entity: NodeType | EdgeType, labels: Labels, rows: NDArray[np.bool_]) -> None:
    """Give these examples (P,) other values of the label columns: those half of the distinct values away."""
    keys = {"src": labels.src[rows]} if labels.dst is None else {"src": labels.src[rows], "dst": labels.dst[rows]}
    match = "t.idx = k.src" if labels.dst is None else "t.src = k.src and t.dst = k.dst"
    with registered(store.connection, pa.table({name: pa.array(part) for name, part in keys.items()})) as chosen:
        for column in entity.columns:
            if column.role != "label":
                continue
            name, table = quote(column.name), quote(entity.table)
            values = f"select distinct {name} as v from {table} where {name} is not null"
            store.connection.execute(
                f"with ordered as (select v, row_number() over (order by v) - 1 as r, count(*) over () as n "
                f"from ({values})), other as (select a.v, b.v as w from ordered as a join ordered as b "
                f"on b.r = (a.r + (a.n + 1) // 2) % a.n) update {table} as t set {name} = other.w "
                f"from other, {chosen} as k where t.{name} = other.v and {match}"
            )


def _rebuilt(store: GraphStore, config: RunConfig, data: RunData) -> RunData:
    """The run's data from the store as it is now, with the encodings and targets of the run."""
    entity, labels = read_labels(config.task, store, config.dataset, as_of=config.as_of)
    graph = build(store, config, entity, labels, data.features)
    roles = torch.from_numpy(stored_splits.restore(store, data.split_id, ids=graph.example_ids()))
    graph = _with_targets(graph, data.graph).with_tabular_state(data.graph.tabular_state())
    return replace(data, graph=graph, roles=roles)


def _with_targets(graph: SocialGraph, before: SocialGraph) -> SocialGraph:
    """The graph with the classes of another, in its order: deleted rows may have been all of a class."""
    changed = {}
    for target, former in zip(graph.targets, before.targets, strict=True):
        values = graph.target_labels[target.name]
        if former.classes:
            code = [former.classes.index(name) if name in former.classes else -1 for name in target.classes]
            values = torch.tensor([*code, -1])[values]  # the last is that of unknown labels
        changed[target.name] = values
    return replace(graph, targets=before.targets, target_labels=changed)


def _compare(whole: FullGraphLoader, reduced: FullGraphLoader, seeds: Tensor, network: Network) -> Iterator[str]:
    """The parts of a batch that differ between two graphs of the same nodes, or of fewer in the second."""
    graph, other = whole.graph, reduced.graph
    local = {name: numbers(graph, name, pa.array(ids, pa.string())) for name, ids in other.ids.items()}
    ends = [end[seeds] for end in graph.ends]
    same = torch.ones(other.num_examples, dtype=torch.bool)
    for name, there, here in zip(other.end_types, other.ends, ends, strict=True):
        same &= local[name][there] == here
    found = torch.nonzero(same).squeeze(1)
    if len(found) != len(seeds):
        yield "examples"
        return
    (batch,), (again,) = whole.load([seeds]), reduced.load([found])
    yield from _other_edges(graph, other, batch, again, local)
    yield from _other_labels(graph, other, batch, again, local)
    yield from _other_features(batch.as_of(graph), again.as_of(other), again, local)
    if graph.context is not None and other.context is not None:
        rows, others = graph.context.rows[seeds.numpy()], other.context.rows[found.numpy()]
        for column in rows.columns:
            if not rows[column].equals(others[column], check_names=False):
                yield f"context '{column}'"
    learned = {name for module in network.modules() if isinstance(module, NodeInputs) for name in module.ids}
    learned |= {*graph.end_types} if network.transductive else set()
    if any(graph.num_nodes[name] != other.num_nodes[name] for name in learned):
        return  # the network has a vector for each node by its number, which is another now
    network.eval()
    before, after = outputs(network, whole, seeds), outputs(network, reduced, found)
    for target, values in before.items():
        if not torch.allclose(values, after[target], **CLOSE, equal_nan=True):
            yield f"predictions of '{target}'"


def _other_edges(
    graph: SocialGraph, other: SocialGraph, batch: Batch, again: Batch, local: dict[str, Tensor]
) -> Iterator[str]:
    masks, others = edge_mask(graph, batch.view), edge_mask(other, again.view)
    for kind, edges in graph.edges.items():
        kept, size = masks[kind], graph.num_nodes[kind[2]]
        keys = edges.src * size + edges.dst
        keys = keys if kept is None else keys[kept]
        there = other.edges.get(kind)
        if there is None:
            found = keys[:0]
        else:
            found = local[kind[0]][there.src] * size + local[kind[2]][there.dst]
            mask = others[kind]
            found = found if mask is None else found[mask]
        if not torch.equal(torch.sort(keys).values, torch.sort(found).values):
            yield f"edges '{' '.join(kind)}'"


def _other_labels(
    graph: SocialGraph, other: SocialGraph, batch: Batch, again: Batch, local: dict[str, Tensor]
) -> Iterator[str]:
    def shown(part: SocialGraph, view: Tensor, number: Callable[[str, Tensor], Tensor], target: str) -> Tensor:
        rows = torch.nonzero(view & is_known(part.target_labels[target])).squeeze(1)
        ends = [number(name, end[rows]) for name, end in zip(part.end_types, part.ends, strict=True)]
        size = graph.num_nodes[graph.end_types[-1]]
        key = ends[0] if len(ends) == 1 else ends[0] * size + ends[1]
        order = torch.argsort(key)
        return torch.stack([key.double(), part.target_labels[target][rows].double()])[:, order]

    for target in graph.target_labels:
        one = shown(graph, batch.view.label, lambda name, end: end, target)
        two = shown(other, again.view.label, lambda name, end: local[name][end], target)
        if one.shape != two.shape or not torch.allclose(one, two):
            yield f"labels of '{target}'"


def _other_features(graph: SocialGraph, other: SocialGraph, batch: Batch, local: dict[str, Tensor]) -> Iterator[str]:
    """Vectors, and encoded numbers, of the nodes that the batch's edges join, and of its endpoints."""
    reached = {name: torch.zeros(size, dtype=torch.bool) for name, size in other.num_nodes.items()}
    for kind, mask in edge_mask(other, batch.view).items():
        for name, end in ((kind[0], other.edges[kind].src), (kind[2], other.edges[kind].dst)):
            reached[name][end if mask is None else end[mask]] = True
    for name, end in zip(other.end_types, other.ends, strict=True):
        reached[name][end[batch.examples]] = True
    for name, mask in reached.items():
        there = torch.nonzero(mask).squeeze(1)
        here = local[name][there]
        for one, two in zip(graph.node_features.get(name, ()), other.node_features.get(name, ()), strict=True):
            if not _same_vectors(one.take(here), two.take(there)):
                yield f"'{one.name}' of '{name}'"
        if name in graph.tables and not torch.allclose(graph.tables[name][here], other.tables[name][there], **CLOSE):
            yield f"numbers of '{name}'"


def _same_vectors(one: Feature, two: Feature) -> bool:
    """Whether two features of as many rows have the same vectors or sequences in each row."""
    (shape, values), (other_shape, others) = _by_row(one), _by_row(two)
    return torch.equal(shape, other_shape) and torch.allclose(values, others, **CLOSE, equal_nan=True)


def _by_row(feature: Feature) -> tuple[Tensor, Tensor]:
    """(N,) the number of vectors of each row, -1 where it has none; and all of them, row after row."""
    index = feature.index[feature.present]
    count = torch.ones_like(index) if feature.offsets is None else feature.offsets.diff()[index]
    first = index if feature.offsets is None else feature.offsets[index]
    within = torch.arange(int(count.sum())) - torch.repeat_interleave(count.cumsum(0) - count, count)
    shape = torch.full_like(feature.index, -1)
    shape[feature.present] = count
    return shape, feature.vectors[torch.repeat_interleave(first, count) + within]
