"""The split of a run: a role for each of its examples, and pairs without an edge as further examples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from graphsocial.errors import InputError
from graphsocial.evaluation import splits, stored_splits
from graphsocial.evaluation.requests import split_column
from graphsocial.features import FeatureRef
from graphsocial.graph import SocialGraph
from graphsocial.models.base import only_target
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.tasks import Labels
from graphsocial.training.config import RunConfig
from graphsocial.types import LINK, EdgeType, NodeType

NO_EDGE = "no-edge"
log = logging.getLogger(__name__)
_remarked: set[str] = set()


def split(
    store: GraphStore, config: RunConfig, entity: NodeType | EdgeType, labels: Labels, graph: SocialGraph
) -> tuple[str, NDArray[np.int64]]:
    """Assign the graph's examples to train, validation and test, and store the split.

    Args:
        store: the store, open for writing.
        config: the run's configuration.
        entity: the node or edge type of the examples.
        labels: the labels of the examples.
        graph: the graph with the examples.

    Returns:
        The split's id and (N,) indices into `splits.ROLES`, -1 for none.

    Raises:
        InputError, UnknownNameError: the policy names a column that does not exist.
        DataError: a part is empty.
    """
    ids = graph.example_ids()
    column = _column(store, config, entity, labels)
    codes = _strata(graph)
    ends = (entity.src, entity.dst) if isinstance(entity, EdgeType) else (entity.name,)
    roles = splits.assign(config.split, ids=ids, codes=codes, times=labels.times, column=column, ends=ends)
    about = {"task": config.task.name, "dataset": config.dataset, "entity": str(entity)}
    split_id = stored_splits.save(store, config.split, roles, ids=ids, **about)
    if split_id not in _remarked:  # once for a model and its baselines
        _remarked.add(split_id)
        sources = None if labels.dst is None else labels.src
        times = None if graph.classes == LINK else labels.times  # drawn pairs have the times of links
        for line in splits.remarks(roles, codes=codes, sources=sources, times=times, policy=config.split):
            log.warning("%s", line)
    return split_id, roles


def check_fitted(store: GraphStore, features: Sequence[FeatureRef], split_id: str) -> None:
    """Check that no vectors were fitted on the training rows of another split.

    Args:
        store: the store with the feature sets.
        features: the features of the run.
        split_id: id of the run's split.

    Raises:
        InputError: some vectors were fitted on another split.
    """
    fitted = store.sql(
        "select encoder, split_id from feature_sets where split_id is not null and list_contains(?, set_id)",
        [[feature.set_id for feature in features]],
    ).fetchall()
    for encoder, other in fitted:
        if other != split_id:
            raise InputError(
                f"'{encoder}' learnt from the training rows of the split '{other}', among which may be rows that are "
                f"tested here ('{split_id}'). Use the same split for both."
            )


def add_negatives(
    graph: SocialGraph, roles: NDArray[np.int64], config: RunConfig
) -> tuple[SocialGraph, NDArray[np.int64]]:
    """Add pairs without an edge as examples of a last class `no-edge`, in every role in proportion.

    Args:
        graph: the graph of an edge task with one target.
        roles: (N,) roles of its examples.
        config: the run's configuration; `negatives` pairs are drawn per example with a role.

    Returns:
        The graph with M more examples, and the (N + M,) roles.

    Raises:
        InputError: there are too few pairs without an edge.
    """
    target = only_target(graph, "negatives")
    generator = np.random.default_rng([config.split.seed, 9])
    count = round(int((roles >= 0).sum()) * config.fitting.negatives)
    sources, destinations = (graph.num_nodes[name] for name in graph.end_types)
    taken = set((graph.ends[0].numpy() * destinations + graph.ends[1].numpy()).tolist())
    if count > (sources * destinations - len(taken)) // 2:
        raise InputError(f"There are too few pairs without an edge for {count:,} negatives; lower negatives.")
    drawn: list[int] = []
    while len(drawn) < count:
        for key in generator.integers(0, sources * destinations, size=count - len(drawn)).tolist():
            if key not in taken:
                taken.add(key)
                drawn.append(key)
    keys = torch.tensor(drawn, dtype=torch.int64)
    graph = replace(
        graph.with_pairs(keys // destinations, keys % destinations, len(target.classes)),
        targets=(replace(target, classes=(*target.classes, NO_EDGE)),),
    )
    shares = [config.split.validation, config.split.test]
    bounds = np.cumsum([1 - sum(shares), shares[0]])
    negative_roles = np.searchsorted(bounds, generator.permutation(count) / count, side="right")
    return graph, np.concatenate([roles, negative_roles])


def _strata(graph: SocialGraph) -> NDArray[np.int64]:
    """(N,) strata of stratified splits: the class codes of the first multiclass target; -1 for unlabelled examples."""
    codes = graph.codes.numpy().clip(0)  # all 0 where examples have no single class
    return np.where(graph.labelled.numpy(), codes, -1)


def _column(
    store: GraphStore, config: RunConfig, entity: NodeType | EdgeType, labels: Labels
) -> NDArray[np.object_] | None:
    """(N,) the values of the column by which the policy splits; None for other policies.

    Raises:
        InputError: the edges of a pair have several values.
    """
    if config.split.column is None:
        return None
    owner, key, name = split_column(config.split.column, entity, store)
    rows = store.read(owner, dataset=config.dataset)
    if isinstance(owner, EdgeType):
        values = rows.aggregate(
            f"src, dst, min({quote(name)}::varchar) as part, count(distinct {quote(name)}) as values", "src, dst"
        ).pl()
        if (several := values.filter(pl.col("values") > 1).height) and config.split.kind == "column":
            raise InputError(
                f"The edges of {several:,} pairs have several values of '{name}'; a pair is one example, of one role."
            )
        examples, keys = pl.DataFrame({"src": labels.src, "dst": labels.dst}), ["src", "dst"]
    else:
        values = rows.select(f"idx, {quote(name)}::varchar as part").pl()
        examples, keys = pl.DataFrame({"idx": labels.dst if key == "dst" else labels.src}), ["idx"]
    parts: NDArray[np.object_] = examples.join(values, on=keys, how="left", maintain_order="left")["part"].to_numpy()
    return parts
