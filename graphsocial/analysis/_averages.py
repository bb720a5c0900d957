"""Labels or predictions averaged by node: the share of each class, or the mean number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from graphsocial.analysis._measures import Floats
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.types import Column, EdgeType, NodeType


def labels(store: GraphStore, node: NodeType, dataset: str) -> Iterator[tuple[str, pl.DataFrame]]:
    """The name of each label column of the nodes or of their edges, and rows of `entity_id`, `value` and `share`.

    Args:
        store: the store to read.
        node: the node type.
        dataset: name of the dataset.
    """
    for entry in store.schema.types:
        ends = [("idx", node.name)] if entry == node else []
        if isinstance(entry, EdgeType):
            ends = [(key, name) for key, name in (("src", entry.src), ("dst", entry.dst)) if name == node.name][:1]
        for key, _ in ends:
            for column in entry.columns:
                if column.role == "label" and len(store.span(entry, dataset)):
                    rows = store.visible(entry, dataset=dataset)
                    query = (
                        f"select n.id as entity_id, {_class_and_number(column)} from ({rows}) as e "
                        f"join {quote(node.table)} as n on n.idx = e.{key} where e.{quote(column.name)} is not null"
                    )
                    averages = _averages(store, query)
                    if averages.height:
                        yield f"{entry}.{column.name}", averages


def _class_and_number(column: Column) -> str:
    """`class` and `number` of a label column, a row for each class; one of the two is null."""
    name = f"e.{quote(column.name)}"
    if column.kind == "categories":
        return f"unnest({name}) as class, null::double as number"
    if column.kind == "category":
        return f"{name}::varchar as class, null::double as number"
    return f"null::varchar as class, {name}::double as number"


def predictions(store: GraphStore, node: NodeType, run_id: str) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each target of a run, and rows as of `labels` from its predictions for these nodes or for their edges.

    Args:
        store: the store to read.
        node: the node type.
        run_id: id of the run.
    """
    rows = store.sql("select distinct target, entity_type from predictions where run_id = ?", [run_id]).fetchall()
    edges = {str(edge): edge for edge in store.schema.edges}
    for target, entity_type in sorted(rows):
        if entity_type == node.name or (entity_type in edges and edges[entity_type].src == node.name):
            key = "entity_id"
        elif entity_type in edges and edges[entity_type].dst == node.name:
            key = "other_id"
        else:
            continue
        query = (
            f"select {key} as entity_id, label as class, value as number from predictions "
            f"where run_id = {literal(run_id)} and target = {literal(target)}"
        )
        yield target, _averages(store, query)


def _averages(store: GraphStore, query: str) -> pl.DataFrame:
    """Each node's share of each class, or (`value` null) its mean number."""
    averages: pl.DataFrame = store.sql(
        f"""
        with labels as (select * from ({query}) where coalesce(class, '') <> 'unknown')
        select entity_id, class as value, count(*) / sum(count(*)) over (partition by entity_id) as share
        from labels where class is not null group by entity_id, class
        union all
        select entity_id, null, avg(number) from labels where class is null and number is not null group by entity_id
        order by all
        """
    ).pl()
    return averages


def align(nodes: pl.DataFrame, averages: pl.DataFrame) -> tuple[Floats, list[str | None]]:
    """(N, K) shares and the K classes: NaN for nodes without a label, 0 for classes that a node lacks."""
    classes = averages["value"].unique().sort().to_list()
    column_of: dict[str | None, int] = {value: column for column, value in enumerate(classes)}
    row_of = nodes.with_row_index("row").select("row", "entity_id")
    joined = averages.join(row_of, on="entity_id")
    shares = np.full((nodes.height, len(classes)), np.nan)
    rows = joined["row"].to_numpy()
    shares[rows] = 0
    shares[rows, [column_of[value] for value in joined["value"].to_list()]] = joined["share"].to_numpy()
    return shares, classes
