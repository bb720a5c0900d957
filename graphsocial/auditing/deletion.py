"""Delete from the store what an example must not see, build its batch again, and compare: all paths at once.

What is later than the example is deleted, and labels that are not known at its time are replaced by others, in a
transaction that is rolled back. Whatever reads the store then, the task's SQL, encodings, means, links, has no access
to them; so a difference in what the batch holds, or in the network's outputs, is a leak, by whatever path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from graphsocial.auditing.base import MAX_NAMED, Check, names, not_applicable
from graphsocial.auditing.differences import differences
from graphsocial.errors import DataError
from graphsocial.evaluation import stored_splits
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph import NEVER, SocialGraph
from graphsocial.graph.features import micros
from graphsocial.graph.loaders import Loader
from graphsocial.models.base import Network
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.store.temporary import registered
from graphsocial.store.time import exists_from
from graphsocial.tasks import Labels, read_labels
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData, build, make_loader
from graphsocial.training.splitting import add_negatives
from graphsocial.types import LINK, EdgeType, NodeType

NAME = "deleted future"
LABELS = "replaced labels"
SAMPLE, QUICK_SAMPLE = 3, 1  # examples of each role, for each of which the graph is built anew


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
    if data.graph.classes == LINK:
        why = "Pairs without a link are drawn from all nodes and links, so without some of these they are others."
        return [not_applicable(NAME, why), not_applicable(LABELS, why)]
    network.eval()
    whole, parts_found, examined = loader.exact, set[str](), 0
    leaked = torch.zeros(data.graph.num_examples, dtype=torch.bool)
    for example in _sample(config, data, QUICK_SAMPLE if quick else SAMPLE):
        seeds = torch.tensor([example])
        moment = int(data.graph.example_time[example]) if whole.temporal else None  # type: ignore[index]
        try:
            with store.undone():
                _remove(store, config, data, example, moment)
                reduced = _rebuilt(store, config, data, temporal=whole.temporal)
        except DataError:  # so early that nothing can be learnt from what is left
            continue
        parts = set(differences(whole, make_loader(config, reduced).exact, seeds, network))
        examined += 1
        leaked[seeds] = bool(parts)
        parts_found |= parts
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
        f"Without {what} batches have other {', '.join(sorted(parts_found))}."
        if found
        else f"Without {what} in the store {examined} examples have the same batches and predictions."
    )
    check = Check(name, "leak" if found else "pass", examined, found, detail, names(data.graph, leaked)[:MAX_NAMED])
    return [check, not_applicable(other, why)]


def _sample(config: RunConfig, data: RunData, count: int) -> Iterator[int]:
    """Examples of each role at random; those with a known time where there are times."""
    random = np.random.default_rng([config.seed, 17])
    times, entity = data.graph.example_time, data.graph.entity
    eligible = torch.ones_like(data.roles, dtype=torch.bool) if times is None else times < NEVER
    if not isinstance(entity, str):  # pairs without an edge are negative samples, which no store has
        stored = torch.zeros_like(eligible)
        stored[data.graph.edges[entity].example] = True
        eligible &= stored
    for code in range(len(ROLES)):
        rows = torch.nonzero((data.roles == code) & eligible).squeeze(1)
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
    types: list[NodeType | EdgeType] = [*store.schema.edges, *store.schema.nodes]
    for entry in types:
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
    """Give these examples (P,) other values of the label and target columns, half of the distinct values away."""
    keys = {"src": labels.src[rows]} if labels.dst is None else {"src": labels.src[rows], "dst": labels.dst[rows]}
    targets = {target.name for target in labels.targets}  # of a general task: columns of any role
    match = "t.idx = k.src" if labels.dst is None else "t.src = k.src and t.dst = k.dst"
    with registered(store.connection, pa.table({name: pa.array(part) for name, part in keys.items()})) as chosen:
        for column in entity.columns:
            if not (column.role == "label" or column.name in targets) or column.name in _declared(labels):
                continue
            name, table = quote(column.name), quote(entity.table)
            values = f"select distinct {name} as v from {table} where {name} is not null"
            store.connection.execute(
                f"with ordered as (select v, row_number() over (order by v) - 1 as r, count(*) over () as n "
                f"from ({values})), other as (select a.v, b.v as w from ordered as a join ordered as b "
                f"on b.r = (a.r + (a.n + 1) // 2) % a.n) update {table} as t set {name} = other.w "
                f"from other, {chosen} as k where t.{name} = other.v and {match}"
            )


def _declared(labels: Labels) -> set[str]:
    """The label columns that the task declares as known, beside its targets: likes, where they predict shares."""
    columns = () if labels.context is None else labels.context.columns
    return {column.name for column in columns if column.role != "label"} - {t.name for t in labels.targets}


def _rebuilt(store: GraphStore, config: RunConfig, data: RunData, *, temporal: bool) -> RunData:
    """The run's data from the store as it is now, with the encodings and targets of the run.

    Args:
        store: the store, changed.
        config: the run's configuration.
        data: the run's data.
        temporal: whether batches are kept to what is earlier.
    """
    entity, labels = read_labels(config.task, store, config.dataset, as_of=config.as_of)
    graph = build(store, config, entity, labels, data.features)
    roles = stored_splits.restore(store, data.split_id, ids=graph.example_ids())
    if config.fitting.negatives and not temporal:  # the same ones, as no row was deleted; later they are not known
        graph, roles = add_negatives(graph, roles, config)
    graph = _with_targets(graph, data.graph).with_tabular_state(data.graph.tabular_state())
    return replace(data, graph=graph, roles=torch.from_numpy(roles))


def _with_targets(graph: SocialGraph, before: SocialGraph) -> SocialGraph:
    """The graph with the classes of another, in its order: deleted rows may have been all of a class."""
    changed = {}
    for target, former in zip(graph.targets, before.targets, strict=True):
        values = graph.target_labels[target.name]
        if former.kind == "multilabel":
            columns = [target.classes.index(name) if name in target.classes else -1 for name in former.classes]
            known = (values >= 0).all(1, keepdim=True)
            padded = torch.cat([values, torch.where(known, 0, -1)], dim=1)  # a class that no row has now
            values = padded[:, columns]
        elif former.classes:
            code = [former.classes.index(name) if name in former.classes else -1 for name in target.classes]
            values = torch.tensor([*code, -1])[values]  # the last is that of unknown labels
        changed[target.name] = values
    return replace(graph, targets=before.targets, target_labels=changed)
