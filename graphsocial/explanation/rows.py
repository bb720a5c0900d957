"""The rows of `explanations`: one for each example, target and modality, gate, neighbor or node of its sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.explanation.attribution import ExplainedBatch, gates, modality_effects
from graphsocial.explanation.neighbourhoods import neighbours
from graphsocial.explanation.sequences import sequence_context

SCHEMA = {
    "target": pl.String,
    "entity_id": pl.String,
    "other_id": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "end_id": pl.String,
    "neighbour_type": pl.String,
    "neighbour_id": pl.String,
    "distance": pl.Int32,
    "value": pl.Float64,
    "rank": pl.Int32,
    "fidelity": pl.Float64,
}


def explanation_rows(explained: ExplainedBatch, *, top: int, seed: int) -> pl.DataFrame:
    """All rows about a batch of explained examples, in the columns of `SCHEMA`.

    Args:
        explained: the examples, their network and their view of the graph.
        top: number of neighbors for each endpoint and edge type, and of nodes of a sequence that `fidelity` removes.
        seed: random seed of the random removals.
    """
    rows = [*_modality_rows(explained, seed), *_gate_rows(explained), *_neighbour_rows(explained, top, seed)]
    frame = pl.concat([pl.DataFrame(rows, schema=SCHEMA, orient="row"), *_sequence_rows(explained, top)])
    return frame.with_columns(pl.col("fidelity").fill_nan(None))


def _entity_ids(explained: ExplainedBatch) -> list[tuple[Any, Any]]:
    """(entity_id, other_id) of each example; `other_id` is None for a node."""
    ids = explained.graph.example_ids(explained.examples.numpy())
    return list(zip(*ids, strict=True)) if len(ids) == 2 else [(entity_id, None) for entity_id in ids[0]]


def _modality_rows(explained: ExplainedBatch, seed: int) -> Iterator[tuple[Any, ...]]:
    for target, effects in modality_effects(explained, seed=seed).items():
        for row, ids in enumerate(_entity_ids(explained)):
            for rank, modality in enumerate(np.argsort(-effects.values[row], kind="stable")):
                name, value, fidelity = effects.names[modality], effects.values[row, modality], effects.fidelity[row]
                yield target, *ids, "modality", name, None, None, None, None, value, rank + 1, fidelity


def _gate_rows(explained: ExplainedBatch) -> Iterator[tuple[Any, ...]]:
    for name, values in gates(explained).items():
        for target in explained.full_scores:
            for ids, value in zip(_entity_ids(explained), values, strict=True):
                yield target, *ids, "gate", name, None, None, None, None, value, None, None


def _neighbour_rows(explained: ExplainedBatch, top: int, seed: int) -> Iterator[tuple[Any, ...]]:
    entity_ids, graph = _entity_ids(explained), explained.graph
    attended, fidelity = neighbours(explained, top, seed=seed)
    for target, values in fidelity.items():
        for neighbour in attended:
            ids, node_type = entity_ids[neighbour.example], neighbour.edge_type[0]
            relation = " ".join(neighbour.edge_type)
            nodes = (ids[neighbour.endpoint], node_type, graph.ids[node_type][neighbour.node])
            weight, rank = neighbour.weight, neighbour.rank
            yield target, *ids, "neighbour", relation, *nodes, None, weight, rank, values[neighbour.example]


def _sequence_rows(explained: ExplainedBatch, top: int) -> Iterator[pl.DataFrame]:
    """A row for each example and node of its sequence: the drop of the score without it, and each attention to it."""
    context = sequence_context(explained)
    if context is None:
        return
    example, position = np.nonzero(context.nodes >= 0)
    distance = position - context.position[example]
    node_type = explained.graph.end_types[0]
    entity_ids = np.asarray([str(entity_id) for entity_id, _ in _entity_ids(explained)], dtype=object)
    frame = pl.DataFrame(
        {
            "entity_id": entity_ids[example],
            "end_id": entity_ids[example],
            "neighbour_type": _repeated(node_type, len(example)),
            "neighbour_id": explained.graph.ids[node_type][context.nodes[example, position]].astype(object),
            "distance": distance,
        }
    )
    side = np.asarray(["before", "itself", "after"], dtype=object)[np.sign(distance) + 1]
    no_fidelity = np.full(len(context.position), np.nan)
    for target, effects in context.effects.items():
        kinds = [("sequence", side, effects, no_fidelity)]
        kinds += [
            ("attention", _repeated(name, len(example)), weights, context.fidelity(name, target, top))
            for name, weights in context.attention.items()
        ]
        for kind, names, values, fidelity in kinds:
            rows = frame.with_columns(
                *(pl.lit(value).alias(column) for column, value in (("target", target), ("kind", kind))),
                pl.lit(None, dtype=pl.String).alias("other_id"),
                name=pl.Series(names),
                value=pl.Series(values[example, position]),
                fidelity=pl.Series(fidelity[example]),
            )
            order = pl.col("value").rank("ordinal", descending=True).over("entity_id")
            yield rows.with_columns(rank=order).select(pl.col(column).cast(dtype) for column, dtype in SCHEMA.items())


def _repeated(value: str, count: int) -> NDArray[Any]:
    return np.full(count, value, dtype=object)
