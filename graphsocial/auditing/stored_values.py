"""Labels, vectors, numbers and means that batches have, compared with those in the store, which SQL reads by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.auditing.allowance import Allowance
from graphsocial.auditing.base import MAX_NAMED, Check, names, not_applicable
from graphsocial.features import FeatureRef
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.features import Feature
from graphsocial.store.sql import quote
from graphsocial.types import NodeType

SAMPLE = 100  # nodes of each type whose values are compared
SAMPLE_MEANS = 20  # nodes of each type whose means are compared
MAX_NEIGHBORS = 2_000  # means over more neighbors are not recomputed
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def check_labels(allowance: Allowance, batches: list[Batch]) -> Check:
    """Check that the labels that a batch shows are those of training examples, known before it, as the store has them.

    Args:
        allowance: what the store allows.
        batches: the batches, as the run used them.
    """
    name, graph, labels = "labels as stored", allowance.graph, allowance.labels
    leaked = torch.zeros(graph.num_examples, dtype=torch.bool)
    examined = 0
    trained = allowance.members[allowance.role == "train"]
    for batch in batches:
        shown = torch.nonzero(batch.view.label).squeeze(1)
        shown = shown[torch.from_numpy(allowance.examples.rows(allowance.example_keys(shown)) >= 0)]  # no negatives
        keys = allowance.example_keys(shown)
        rows = allowance.examples.rows(keys)
        stored = torch.from_numpy(rows)
        wrong = torch.from_numpy(~np.isin(keys, trained))
        if allowance.temporal and allowance.known_since is not None:
            wrong |= allowance.known_since[stored] >= allowance.example_times(batch).min()
        for target, values in labels.target_labels.items():
            same = np.isclose(values[rows], graph.target_labels[target][shown].numpy(), equal_nan=True)
            wrong |= ~torch.from_numpy(same if same.ndim == 1 else same.all(axis=1))
        leaked[shown[wrong]] = True
        examined += len(shown)
    if not examined:
        return not_applicable(name, "No label is visible to the sampled batches.")
    num_leaks = int(leaked.sum())
    detail = (
        "Labels are visible that by the store are held out, known later, or others."
        if num_leaks
        else f"The labels in {len(batches)} batches are of training examples, known before, as the store has them."
    )
    return Check(name, "leak" if num_leaks else "pass", examined, num_leaks, detail, names(graph, leaked))


def check_values(allowance: Allowance, features: tuple[FeatureRef, ...], *, seed: int) -> Check:
    """Compare vectors, numbers and categories of sampled nodes with those that the store has of the same ids.

    Args:
        allowance: what the store allows.
        features: the feature sets of the run.
        seed: random seed of the sample.
    """
    name, graph, examined, wrong = "values as stored", allowance.graph, 0, list[str]()
    random = np.random.default_rng([seed, 11])
    for node, ids in graph.ids.items():
        sample = np.sort(random.permutation(len(ids))[:SAMPLE])
        entry = allowance.store.schema.node(node)
        for column, held, stored in _values(allowance, entry, features, sample):
            examined += len(sample)
            differs = [number for number in sample.tolist() if not _same(held.get(number), stored.get(ids[number]))]
            wrong += [f"{node}.{column} of {ids[number]}" for number in differs]
    if not examined:
        return not_applicable(name, "No node has values.")
    detail = "Nodes have values that the store does not have of them." if wrong else "Values are those of the ids."
    return Check(name, "leak" if wrong else "pass", examined, len(wrong), detail, tuple(wrong[:MAX_NAMED]))


def _values(
    allowance: Allowance, entry: NodeType, features: tuple[FeatureRef, ...], sample: NDArray[np.int64]
) -> Iterator[tuple[str, Mapping[int, object], Mapping[str, object]]]:
    """Each column with the values of the sampled nodes in the graph, by number, and in the store, by id."""
    graph, store, dataset = allowance.graph, allowance.store, allowance.config.dataset
    ids = pa.array(graph.ids[entry.name][sample], pa.string())
    rows = f"(select * from ({store.visible(entry, dataset=dataset)}) where id in (select unnest(?)))"
    if entry.name in graph.plain:
        frame = graph.plain[entry.name][1][sample]
        stored = store.sql(f"select * from {rows}", [ids.to_pylist()]).pl()
        for name in (column.name for column in graph.plain[entry.name][0].columns):
            if name in frame.columns:
                yield name, dict(zip(sample.tolist(), frame[name].to_list(), strict=True)), _by_id(stored, name)
    uses = [use for use in features if use.entry == entry]
    vectors = {f"{entry.name}.{column.name}": column.name for column in entry.columns if column.kind == "vector"}
    for feature in graph.node_features.get(entry.name, ()):
        made = [use for use in uses if str(use) == feature.name]
        if len(made) == 1:  # several encoders of one column have one name
            (use,) = made
            found = store.sql(
                f"select r.id, v.{use.value} as vector from {rows} as r join feature_rows as f on f.idx = r.idx "
                f"join {use.table} as v on v.set_id = f.set_id and v.content = f.content "
                "where f.set_id = ? and f.dataset = ? and f.table_name = ? and f.column_name = ?",
                [ids.to_pylist(), use.set_id, dataset, entry.table, use.column],
            ).pl()
        elif feature.name in vectors:
            found = store.sql(
                f"select id, {quote(vectors[feature.name])} as vector from {rows}", [ids.to_pylist()]
            ).pl()
        else:
            continue
        held = {number: _vector(feature, number) for number in sample.tolist()}
        yield feature.name.removeprefix(f"{entry.name}."), held, _by_id(found, "vector")


def _by_id(rows: pl.DataFrame, column: str) -> dict[str, object]:
    return dict(zip(rows["id"].to_list(), rows[column].to_list(), strict=True))


def _vector(feature: Feature, number: int) -> NDArray[np.float32] | None:
    """The vector of a node, or its sequence of vectors one after the other; None where it has none."""
    index = int(feature.index[number])
    if index < 0:
        return None
    if feature.offsets is None:
        return np.asarray(feature.vectors[index].numpy())
    first, last = int(feature.offsets[index]), int(feature.offsets[index + 1])
    return np.asarray(feature.vectors[first:last].reshape(-1).numpy())


def _same(held: object, stored: object) -> bool:
    """Whether two values are equal, up to the rounding of numbers."""
    if held is None or stored is None:
        return held is None and stored is None
    if isinstance(held, np.ndarray):
        flat = np.asarray(stored, dtype=np.float64).reshape(-1)
        return held.shape == flat.shape and np.allclose(held, flat, **CLOSE, equal_nan=True)
    if isinstance(held, float):
        return bool(np.isclose(held, float(stored), equal_nan=True))  # type: ignore[arg-type]  # a number then
    return held == stored


def check_averages(allowance: Allowance, batches: list[Batch], *, seed: int) -> Check:
    """Recompute means over neighbors for sampled nodes, over the stored edges that exist before the batch.

    Args:
        allowance: what the store allows.
        batches: the batches, as the run used them.
        seed: random seed of the sample.
    """
    name, examined, wrong = "averages as stored", 0, list[str]()
    random = np.random.default_rng([seed, 13])
    for batch in batches:
        before = allowance.before(batch)
        held = batch.as_of(allowance.graph)
        for node, features in held.node_features.items():
            means = [feature for feature in features if feature.name.startswith("mean of ")]
            for feature in means:
                sample = np.sort(random.permutation(len(feature.index))[:SAMPLE_MEANS])
                counted, differs = _compare_means(allowance, held, node, feature, sample, before)
                examined += counted
                wrong += [f"{feature.name} of {node} {held.ids[node][number]}" for number in differs]
    if not examined:
        return not_applicable(name, "No node has the mean of neighbors' vectors.")
    detail = (
        "Means over neighbors are not those over the edges that exist before the batch, by the store."
        if wrong
        else f"In {len(batches)} batches means are over the stored edges that exist before."
    )
    return Check(name, "leak" if wrong else "pass", examined, len(wrong), detail, tuple(wrong[:MAX_NAMED]))


def _compare_means(
    allowance: Allowance,
    graph: SocialGraph,
    node: str,
    feature: Feature,
    sample: NDArray[np.int64],
    before: Mapping[str, Tensor] | None,
) -> tuple[int, list[int]]:
    """How many means of sampled nodes were recomputed, and the nodes whose mean differs.

    Several edge types may join the two node types, with one mean each; the sampled means are those of one of them.
    """
    column = feature.name.removeprefix("mean of ")
    neighbor = column.partition(".")[0]
    best: tuple[int, list[int]] = (0, [])
    vectors = next((part for part in graph.node_features.get(neighbor, ()) if part.name == column), None)
    for edge in allowance.store.schema.edges if vectors is not None else ():
        if edge == allowance.entity or {edge.src, edge.dst} != {node, neighbor}:
            continue
        stored = allowance.edges(edge)
        for ends, (nodes, neighbors) in (
            ((edge.src, edge.dst), (stored.src, stored.dst)),
            ((edge.dst, edge.src), (stored.dst, stored.src)),
        ):
            if ends != (node, neighbor):
                continue
            counted, differs = 0, []
            for number in sample.tolist():
                visible = (nodes == number) & (neighbors >= 0)
                if before is not None:
                    visible &= stored.since < before[node][number]
                rows = vectors.index[neighbors[visible]]  # type: ignore[union-attr]  # the loop is empty then
                rows = rows[rows >= 0]
                if len(rows) > MAX_NEIGHBORS:
                    continue
                mean = vectors.vectors[rows].double().mean(0).numpy() if len(rows) else None  # type: ignore[union-attr]
                counted += 1
                if not _same(_vector(feature, number), mean):
                    differs.append(number)
            if not best[0] or len(differs) < len(best[1]):
                best = counted, differs
    return best
