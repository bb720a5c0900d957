"""The data of a run: labelled, encoded, built into a graph and split, with the loader of its batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphsocial.evaluation import stored_splits
from graphsocial.evaluation.splits import ROLES
from graphsocial.features import FeatureRef
from graphsocial.graph import SocialGraph, building
from graphsocial.graph.loaders import FullGraphLoader, Loader, NeighborLoader
from graphsocial.runs.provenance import digest, versions
from graphsocial.store import GraphStore
from graphsocial.tasks import Labels, read_labels
from graphsocial.training.averages import implied
from graphsocial.training.class_codes import with_classes
from graphsocial.training.config import RunConfig
from graphsocial.training.encoding import encode, unread_columns
from graphsocial.training.splitting import add_negatives, check_fitted, split
from graphsocial.types import EdgeType, NodeType, Progress


@dataclass(frozen=True)
class RunData:
    """The data of a run: the graph with its labels and split, and the hashes that name it.

    Attributes:
        graph: the graph with the examples, their labels and features.
        entity: the node or edge type of the examples.
        roles: (N,) indices into `splits.ROLES`, -1 for examples without a role.
        split_id: id of the split.
        data_hash: hash of the dataset's rows.
        features: the feature sets in the graph.
        notes: qualifications of the scores for the leaderboard.
        digest: hash of configuration, seed, data, split and features, from which the run's id is made.
    """

    graph: SocialGraph
    entity: NodeType | EdgeType
    roles: Tensor
    split_id: str
    data_hash: str
    features: tuple[FeatureRef, ...]
    notes: tuple[str, ...]
    digest: str

    def examples(self, role: str) -> Tensor:
        """(N,) indices of the examples of a role: `train`, `validation` or `test`."""
        return torch.nonzero(self.roles == ROLES.index(role)).squeeze(1)


def prepare(
    store: GraphStore,
    config: RunConfig,
    *,
    tabular: Mapping[str, Any] | None = None,
    split_id: str | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    features: Sequence[FeatureRef] | None = None,
    progress: Progress | None = None,
) -> RunData:
    """Label, encode, build and split the data of a run, for training or for later predictions.

    Args:
        store: the store, open for writing unless everything is encoded and split already.
        config: the run's configuration.
        tabular: the fitted encodings of a run (`SocialGraph.tabular_state`); by default fitted on the training
            examples.
        split_id: id of a stored split; by default a split is made by the configuration's policy.
        classes: target → the classes of a run; labels of other classes count as unknown. By default those of the data.
        features: the stored vectors to use; by default those of all columns that the model reads, encoded if needed.
        progress: called while contents are encoded.
    """
    entity, labels = read_labels(config.task, store, config.dataset, as_of=config.as_of)
    if classes is not None:
        named = config.fitting.negatives > 0  # their class is added below
        labels = with_classes(labels, {target: [*names][: -1 if named else None] for target, names in classes.items()})
    used = encode(store, config, entity, progress) if features is None else tuple(features)
    graph = build(store, config, entity, labels, used)
    if split_id is None:
        split_id, roles = split(store, config, entity, labels, graph)
    else:
        roles = stored_splits.restore(store, split_id, ids=graph.example_ids())
    check_fitted(store, used, split_id)
    if config.fitting.negatives:
        graph, roles = add_negatives(graph, roles, config)
    train = np.flatnonzero(roles == ROLES.index("train"))
    graph = graph.fit_tabular(train) if tabular is None else graph.with_tabular_state(tabular)
    data_hash = store.data_hash(config.dataset)
    set_ids = sorted(feature.set_id for feature in used)
    states = {part: state for part, state in asdict(config.visibility).items() if part != "reciprocal"}
    notes = [f"visibility {part}={state}" for part, state in states.items() if state != "hidden"]
    notes += ["reciprocal=hidden"] if config.visibility.reciprocal == "hidden" else []
    return RunData(
        graph=graph,
        entity=entity,
        roles=torch.from_numpy(roles),
        split_id=split_id,
        data_hash=data_hash,
        features=used,
        notes=tuple(notes),
        digest=digest([config.identity(), config.seed, data_hash, split_id, set_ids, versions()["graphsocial"]]),
    )


def build(
    store: GraphStore,
    config: RunConfig,
    entity: NodeType | EdgeType,
    labels: Labels,
    features: Sequence[FeatureRef],
) -> SocialGraph:
    """The graph of a run: its examples, their labels, features and message edges.

    Args:
        store: the store with the data.
        config: the run's configuration.
        entity: the node or edge type of the examples.
        labels: the labels of the examples.
        features: the feature sets in the graph.
    """
    left_out = {name for name, spec in config.features.items() if spec is None}
    averages, silent = config.averages, set[str]()
    if averages is None:  # a run from before averages were asked for
        ends = (entity.src, entity.dst) if isinstance(entity, EdgeType) else (entity.name,)
        averages = implied(features, ends, [store.schema.edge(name) for name in config.edge_types])
        silent = {name.partition(".")[0] for name in averages}
    return building.build(
        store,
        config.dataset,
        entity,
        labels,
        features=features,
        edge_types=config.edge_types,
        both_ways=config.both_ways,
        as_of=config.as_of,
        leave_out=left_out | unread_columns(store, config, entity) | config.task.hidden_columns(entity),
        averages=averages,
        silent=silent,
    )


def make_loader(config: RunConfig, data: RunData) -> Loader:
    """The loader of full-graph or sampled batches; temporal if the split is by time or labels have times."""
    depth = config.model.layers
    temporal = config.split.policy == "time" or (data.graph.label_time is not None and depth > 0)
    whole = FullGraphLoader(data.graph, data.roles, config.visibility, depth, temporal, config.fitting.kernel)
    if config.fitting.loader == "full" or not depth:
        return whole
    fanouts = config.fitting.fanouts
    return NeighborLoader(whole, (fanouts + fanouts[-1:] * depth)[:depth])
