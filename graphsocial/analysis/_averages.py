"""Labels or predictions of nodes, or of their edges averaged by node: the share of each class, or the mean number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.analysis._exposure import Exposure
from graphsocial.analysis._measures import Floats
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.types import Column, EdgeType, NodeType


@dataclass(frozen=True)
class NodeValues:
    """Values of N nodes: K shares of classes, or one mean number.

    Attributes:
        name: name of the label column or of the predicted target.
        classes: (K,) the classes; None for a number.
        values: (N, K), NaN for nodes without a label, 0 for classes that a node lacks.
        within: node type of the other end of the labelled edges; None for labels of the nodes themselves.
        exposure: the labels by node and other end; None for labels of the nodes themselves.
    """

    name: str
    classes: list[str | None]
    values: Floats
    within: str | None
    exposure: Exposure | None


def labels(store: GraphStore, node: NodeType, dataset: str, ids: pl.Series) -> Iterator[NodeValues]:
    """The values of each label column of the nodes or of their edges.

    Args:
        store: the store to read.
        node: the node type.
        dataset: name of the dataset.
        ids: (N,) ids of the nodes.
    """
    for entry in store.schema.types:
        ends: list[tuple[str, str, str | None]] = [("idx", "null", None)] if entry == node else []
        if isinstance(entry, EdgeType):
            ways = (("src", entry.src, "dst", entry.dst), ("dst", entry.dst, "src", entry.src))
            ends += [(key, f"e.{other}", other_type) for key, name, other, other_type in ways if name == node.name][:1]
        for key, other, within in ends:
            for column in entry.columns:
                if column.role == "label" and len(store.span(entry, dataset)):
                    rows = store.visible(entry, dataset=dataset)
                    query = (
                        f"select n.id as entity_id, {other} as other, {_class_and_number(column)} from ({rows}) as e "
                        f"join {quote(node.table)} as n on n.idx = e.{key} where e.{quote(column.name)} is not null"
                    )
                    if (values := _values(store, query, f"{entry}.{column.name}", within, ids)) is not None:
                        yield values


def _class_and_number(column: Column) -> str:
    """`class` and `number` of a label column, a row for each class; one of the two is null."""
    name = f"e.{quote(column.name)}"
    if column.kind == "categories":
        return f"unnest({name}) as class, null::double as number"
    if column.kind == "category":
        return f"{name}::varchar as class, null::double as number"
    return f"null::varchar as class, {name}::double as number"


def predictions(store: GraphStore, node: NodeType, run_id: str, ids: pl.Series) -> Iterator[NodeValues]:
    """The values of each target of a run, from its predictions for these nodes or for their edges.

    Args:
        store: the store to read.
        node: the node type.
        run_id: id of the run.
        ids: (N,) ids of the nodes.
    """
    rows = store.sql("select distinct target, entity_type from predictions where run_id = ?", [run_id]).fetchall()
    edges = {str(edge): edge for edge in store.schema.edges}
    for target, entity_type in sorted(rows):
        if entity_type == node.name:
            key, other, within = "entity_id", "null", None
        elif entity_type in edges and edges[entity_type].src == node.name:
            key, other, within = "entity_id", "other_id", edges[entity_type].dst
        elif entity_type in edges and edges[entity_type].dst == node.name:
            key, other, within = "other_id", "entity_id", edges[entity_type].src
        else:
            continue
        query = (
            f"select {key} as entity_id, {other} as other, label as class, value as number from predictions "
            f"where run_id = {literal(run_id)} and target = {literal(target)}"
        )
        if (values := _values(store, query, target, within, ids)) is not None:
            yield values


def _values(store: GraphStore, query: str, name: str, within: str | None, ids: pl.Series) -> NodeValues | None:
    """The values of a query's rows of `entity_id`, `other`, `class` and `number`; None without a row."""
    row_of = pl.DataFrame({"entity_id": ids, "row": np.arange(len(ids))})
    averages = _averages(store, query, "entity_id").join(row_of, on="entity_id")
    if not averages.height:
        return None
    classes = averages["value"].unique().sort().to_list()
    shares = _dense(averages, classes, averages["row"].to_numpy(), len(ids), np.nan)
    if within is None:
        return NodeValues(name, classes, shares, None, None)
    answers = _averages(store, query, "entity_id, other").join(row_of, on="entity_id")
    pairs = answers.select(pl.struct("row", "other").rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
    first = np.unique(pairs, return_index=True)[1]
    nodes, others = (
        answers["row"].to_numpy()[first],
        np.unique(answers["other"].to_numpy()[first], return_inverse=True)[1],
    )
    exposure = Exposure.of(nodes, others, _dense(answers, classes, pairs, len(first), 0.0), len(ids))
    return NodeValues(name, classes, shares, within, exposure)


def _averages(store: GraphStore, query: str, key: str) -> pl.DataFrame:
    """The share of each class among the rows of a key, or (`value` null) their mean number."""
    averages: pl.DataFrame = store.sql(
        f"""
        with labels as (select * from ({query}) where coalesce(class, '') <> 'unknown')
        select {key}, class as value, count(*) / sum(count(*)) over (partition by {key}) as share
        from labels where class is not null group by {key}, class
        union all
        select {key}, null, avg(number) from labels where class is null and number is not null group by {key}
        order by all
        """
    ).pl()
    return averages


def _dense(
    frame: pl.DataFrame, classes: list[str | None], rows: NDArray[np.int64], count: int, missing: float
) -> Floats:
    """(count, K) the column `share` by row and class: 0 for classes that a row lacks, `missing` for no class at all."""
    column_of: dict[str | None, int] = {value: column for column, value in enumerate(classes)}
    dense = np.full((count, len(classes)), missing)
    dense[rows] = 0
    dense[rows, [column_of[value] for value in frame["value"].to_list()]] = frame["share"].to_numpy()
    return dense
