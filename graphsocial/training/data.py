"""The data of a run: encoded, labelled, split and read as a graph, with the loader of its batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.evaluation import splits
from graphsocial.evaluation.splits import ROLES
from graphsocial.features import DEFAULT_ENCODERS, FeatureRef, FeatureReport, encoder_for, featurize
from graphsocial.features.vectors import WHOLE_ROW, of_rows
from graphsocial.featurizers._tabular import KINDS
from graphsocial.featurizers.base import Featurizer, FineTunable, FittedFeaturizer
from graphsocial.graph import SocialGraph, building
from graphsocial.graph.loaders import FullGraphLoader, Loader, NeighborLoader
from graphsocial.models.base import only_target
from graphsocial.runs.provenance import digest as hash_json
from graphsocial.runs.provenance import versions
from graphsocial.specs import Spec
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.tasks import read_labels
from graphsocial.tasks.base import Labels
from graphsocial.training.config import RunConfig
from graphsocial.types import EdgeType, NodeType, Progress, modality

NO_EDGE = "no-edge"


@dataclass(frozen=True)
class RunData:
    """The data of a run: the graph with its labels and split, and the hashes that name it."""

    graph: SocialGraph
    entity: NodeType | EdgeType
    roles: Tensor
    split_id: str
    data_hash: str
    features: tuple[FeatureRef, ...]
    notes: tuple[str, ...]
    digest: str

    def examples(self, role: str) -> Tensor:
        """The positions of a part's examples."""
        return torch.nonzero(self.roles == ROLES.index(role)).squeeze(1)


def prepare(
    store: GraphStore,
    config: RunConfig,
    *,
    tabular: Mapping[str, Any] | None = None,
    split_id: str | None = None,
    features: Sequence[FeatureRef] | None = None,
    progress: Progress | None = None,
) -> RunData:
    """Featurize, label, split and build; the same for training and for predicting again.

    Args:
        features: the vectors to use, which are there; when not given, all that the model reads, which are encoded where
            they are not.
        tabular: the fitted encodings of a run (`SocialGraph.tabular_state`); fitted on the training examples when not
            given.
        split_id: a split that was made before; made now by the configuration's policy when not given.
    """
    entity, labels = read_labels(config.task, store, config.dataset, as_of=config.as_of)
    uses = tuple(features) if features is not None else _encode_all(store, config, entity, progress)
    graph = building.build(
        store,
        config.dataset,
        entity,
        labels,
        features=uses,
        edge_types=config.edge_types,
        both_ways=config.both_ways,
        as_of=config.as_of,
        leave_out={name for name, spec in config.features.items() if spec is None} | _unread(store, config, entity),
    )
    split_id, roles = _split(store, config, entity, labels, graph, split_id)
    _check_learnt(store, uses, split_id)
    if config.fitting.negatives:
        graph, roles = _add_negatives(graph, roles, config)
    train = np.flatnonzero(roles == ROLES.index("train"))
    graph = graph.fit_tabular(train) if tabular is None else graph.with_tabular_state(tabular)
    data_hash = store.data_hash(config.dataset)
    named = [config.identity(), config.seed, data_hash, split_id, sorted(use.set_id for use in uses)]
    notes = [f"visibility {part}={state}" for part, state in asdict(config.visibility).items() if state != "hidden"]
    digest = hash_json([*named, versions()["graphsocial"]])
    return RunData(graph, entity, torch.from_numpy(roles), split_id, data_hash, uses, tuple(notes), digest)


def _split(
    store: GraphStore,
    config: RunConfig,
    entity: NodeType | EdgeType,
    labels: Labels,
    graph: SocialGraph,
    split_id: str | None,
) -> tuple[str, np.ndarray]:
    """The split's id and (P,) its roles: one that was made before, or made now and kept."""
    ids = graph.example_ids()
    if split_id is not None:
        return split_id, splits.restore(store, split_id, ids=ids)
    column = _split_column(store, config, entity, labels)
    roles = splits.assign(config.split, ids=ids, codes=_strata(graph), times=labels.times, column=column)
    about = {"task": config.task.name, "dataset": config.dataset, "entity": str(entity)}
    return splits.save(store, config.split, roles, ids=ids, **about), roles


def _check_learnt(store: GraphStore, uses: Sequence[FeatureRef], split_id: str) -> None:
    """Raise `InputError` if vectors were learnt from the training rows of another split than this."""
    learnt = store.sql(
        "select encoder, split_id from feature_sets where split_id is not null and list_contains(?, set_id)",
        [[use.set_id for use in uses]],
    ).fetchall()
    for encoder, split in learnt:
        if split != split_id:
            raise InputError(
                f"'{encoder}' learnt from the training rows of the split '{split}', among which may be rows that are "
                f"tested here ('{split_id}'). Use the same split for both."
            )


def _strata(graph: SocialGraph) -> np.ndarray:
    """(P,) what stratified splits keep in proportion: the first classes asked about; -1 where no answer is known."""
    for target in graph.targets:
        if target.classes:
            codes = graph.answers[target.name].numpy()
            return np.where(graph.answered.numpy(), codes.clip(0), -1)
    return np.where(graph.answered.numpy(), 0, -1)


def _split_column(
    store: GraphStore, config: RunConfig, entity: NodeType | EdgeType, labels: Labels
) -> np.ndarray | None:
    """(P,) the values of the node column that decides the split, if one does."""
    name = config.split.column
    if name is None:
        return None
    if isinstance(entity, EdgeType):
        raise InputError(f"The split '{config.split}' is for nodes; split edges by source or destination.")
    if name not in {column.name for column in entity.columns}:
        raise UnknownNameError.of(
            f"column of '{entity}'", name, [column.name for column in entity.columns], listing="graphsocial info"
        )
    rows = store.read(entity, dataset=config.dataset).select(f"idx, {quote(name)}::varchar as told").pl()
    found: np.ndarray = (
        pl.DataFrame({"idx": labels.src}).join(rows, on="idx", how="left", maintain_order="left")["told"].to_numpy()
    )
    return found


def _encode_all(
    store: GraphStore, config: RunConfig, entity: NodeType | EdgeType, progress: Progress | None
) -> tuple[FeatureRef, ...]:
    reports: list[FeatureReport] = []
    for name, encoder in columns_for(store, config, entity):
        reports += featurize(store, name, encoder, dataset=config.dataset, progress=progress)
    return (*(report.use for report in reports), *rows_for(store, config))


def rows_for(store: GraphStore, config: RunConfig) -> list[FeatureRef]:
    """The vectors of whole rows that were asked for by a node type's name; they are in the store already."""
    asked = {name: spec for name, spec in config.features.items() if name in _node_types(store) and spec}
    return [
        of_rows(store, store.schema.node(name), config.dataset, encoder)
        for name, spec in asked.items()
        for encoder in map(str, Spec.parse_all(spec))
    ]


def _node_types(store: GraphStore) -> set[str]:
    return {node.name for node in store.schema.nodes}


def columns_for(store: GraphStore, config: RunConfig, entity: NodeType | EdgeType) -> list[tuple[str, Featurizer]]:
    """Every feature column of text, images or sound that the model reads and that holds something, with its encoder."""
    schema = store.schema
    wanted = [schema.edge(name) for name in config.edge_types] or list(schema.edges)
    names = {end for edge in wanted if len(store.span(edge, config.dataset)) for end in (edge.src, edge.dst)}
    entries: list[NodeType | EdgeType] = [node for node in schema.nodes if node.name in names or node == entity]
    entries += [entity] if isinstance(entity, EdgeType) else []
    columns = {f"{e}.{c.name}": (e, c) for e in entries for c in e.columns if c.kind in DEFAULT_ENCODERS}
    ready: dict[str, str] = {f"{e}.{c.name}": c.kind for e in entries for c in e.columns if c.kind == "vector"}
    nodes = [node for node in entries if isinstance(node, NodeType)]
    ready |= {f"{e}.{c.name}": c.kind for e in nodes for c in e.columns if c.kind in KINDS and c.role == "feature"}
    for name, spec in config.features.items():
        if name not in {*columns, *ready, *_node_types(store)}:
            known = ", ".join(sorted({*columns, *ready}))
            raise InputError(f"There is no column to use or leave out, and no node type, '{name}'; columns: {known}.")
        if name in _node_types(store) and spec is None:
            raise InputError(f"'{name}' is a node type; leave out its columns one by one, such as '{name}.COLUMN'.")
        if name in ready and spec is not None:
            raise InputError(f"'{name}' is a {ready[name]}; it takes no encoder, but none, which leaves it out.")
    found: list[tuple[str, Featurizer]] = []
    read = config.model.reads
    unread = _unread(store, config, entity)
    for name, (entry, column) in columns.items():
        if ("nodes" if isinstance(entry, NodeType) else "edges") not in read or name in unread:
            continue
        asked = name in config.features
        if (asked and config.features[name] is None) or (not asked and column.role != "feature"):
            continue
        if not _filled(store, config.dataset, entry, column.name):
            continue
        for part in Spec.parse_all(config.features.get(name) or DEFAULT_ENCODERS[column.kind]):
            encoder = encoder_for(str(part), column.kind)
            why = _unreadable(config, encoder, own=name.startswith(f"{entity}."))
            if isinstance(encoder, FittedFeaturizer) or why:
                raise InputError(
                    f"{type(encoder).__name__} {why}; '{config.model_name}' takes one vector for each row "
                    f"of '{name}'. Choose another encoder or other settings of it."
                )
            found.append((name, encoder))
    return found


def _unread(store: GraphStore, config: RunConfig, entity: NodeType | EdgeType) -> set[str]:
    """The columns of the nodes that are asked about that are of other modalities than the model reads.

    Raises:
        UnknownNameError: there is nothing of a modality that it is to read.
    """
    wanted = config.model.modalities
    if not wanted or isinstance(entity, EdgeType):
        return set()
    names = [column.name for column in entity.columns if column.kind in (*DEFAULT_ENCODERS, "vector")]
    known = {modality(name) for name in names if _filled(store, config.dataset, entity, name)}
    for name in wanted:
        if name not in known and not (name == WHOLE_ROW and entity.name in config.features):
            raise UnknownNameError.of("modality", name, known)
    return {f"{entity}.{name}" for name in names if modality(name) not in wanted}


def _unreadable(config: RunConfig, encoder: Featurizer | FittedFeaturizer, *, own: bool) -> str:
    """Why the model cannot read what an encoder makes of a column, which may be the `own` of what is asked about."""
    if isinstance(encoder, FittedFeaturizer):
        return "learns from a split first"
    if isinstance(encoder, FineTunable) and encoder.tune:
        return "" if own and config.model.tunes else "leaves layers to be trained"
    return "gives sequences" if encoder.sequences and not (own and config.model.sequences) else ""


def _filled(store: GraphStore, dataset: str, entry: NodeType | EdgeType, column: str) -> bool:
    span = store.span(entry, dataset)
    row = store.first(
        f"select 1 from {quote(entry.table)} where idx >= ? and idx < ? and {quote(column)} is not null limit 1",
        [span.first, span.last],
    )
    return row is not None


def _add_negatives(graph: SocialGraph, roles: np.ndarray, config: RunConfig) -> tuple[SocialGraph, np.ndarray]:
    """Pairs without an edge, in every role in proportion, as the last class (which renumbers none)."""
    target = only_target(graph, "negatives")
    generator = np.random.default_rng([config.split.seed, 9])
    count = round(int((roles >= 0).sum()) * config.fitting.negatives)
    users, images = (graph.num_nodes[name] for name in graph.end_types)
    known = set((graph.ends[0].numpy() * images + graph.ends[1].numpy()).tolist())
    if count > (users * images - len(known)) // 2:
        raise InputError(f"There are too few pairs without an edge for {count:,} negatives; lower negatives.")
    drawn: list[int] = []
    while len(drawn) < count:
        for key in generator.integers(0, users * images, size=count - len(drawn)).tolist():
            if key not in known:
                known.add(key)
                drawn.append(key)
    keys = torch.tensor(drawn, dtype=torch.int64)
    graph = replace(
        graph.with_pairs(keys // images, keys % images, len(target.classes)),
        targets=(replace(target, classes=(*target.classes, NO_EDGE)),),
    )
    shares = [config.split.validation, config.split.test]
    dealt = np.searchsorted(np.cumsum([1 - sum(shares), shares[0]]), generator.permutation(count) / count, side="right")
    return graph, np.concatenate([roles, dealt])


def make_loader(config: RunConfig, data: RunData) -> Loader:
    """Full-graph or sampled batches, temporal where the split is by time or the task says when answers became known."""
    depth = config.model.layers
    temporal = config.split.policy == "time" or (data.graph.label_time is not None and depth > 0)
    whole = FullGraphLoader(data.graph, data.roles, config.visibility, depth, temporal, config.fitting.kernel)
    if config.fitting.loader == "full" or not depth:
        return whole
    given = config.fitting.fanouts
    return NeighborLoader(whole, (given + given[-1:] * depth)[:depth])
