"""What is known or predicted of each node, as one number a node: shares of words, or mean numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from graphsocial.analysis._measures import Floats
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.types import Column, EdgeType, NodeType


def labels(store: GraphStore, node: NodeType, dataset: str) -> Iterator[tuple[str, pl.DataFrame]]:
    """For each label column of the nodes or of their edges: its name, and `entity_id`, `value`, `share` rows."""
    for entry in store.schema.types:
        ends = [("idx", node.name)] if entry == node else []
        if isinstance(entry, EdgeType):
            ends = [(key, name) for key, name in (("src", entry.src), ("dst", entry.dst)) if name == node.name][:1]
        for key, _ in ends:
            for column in entry.columns:
                if column.role == "label" and len(store.span(entry, dataset)):
                    rows = store.visible(entry, dataset=dataset)
                    query = (
                        f"select n.id as entity_id, {_words(column)} from ({rows}) as e "
                        f"join {quote(node.table)} as n on n.idx = e.{key} where e.{quote(column.name)} is not null"
                    )
                    found = _averages(store, query)
                    if found.height:
                        yield f"{entry}.{column.name}", found


def _words(column: Column) -> str:
    """`word` and `number` of a label column, a row for each word."""
    name = f"e.{quote(column.name)}"
    if column.kind == "categories":
        return f"unnest({name}) as word, null::double as number"
    if column.kind == "category":
        return f"{name}::varchar as word, null::double as number"
    return f"null::varchar as word, {name}::double as number"


def predictions(store: GraphStore, node: NodeType, run_id: str) -> Iterator[tuple[str, pl.DataFrame]]:
    """For each target of the run, the same of what it predicts for these nodes or for their edges."""
    kinds = store.sql("select distinct target, entity_type from predictions where run_id = ?", [run_id]).fetchall()
    edges = {str(edge): edge for edge in store.schema.edges}
    for target, kind in sorted(kinds):
        if kind == node.name or (kind in edges and edges[kind].src == node.name):
            key = "entity_id"
        elif kind in edges and edges[kind].dst == node.name:
            key = "other_id"
        else:
            continue
        query = (
            f"select {key} as entity_id, label as word, value as number from predictions "
            f"where run_id = {literal(run_id)} and target = {literal(target)}"
        )
        yield target, _averages(store, query)


def _averages(store: GraphStore, query: str) -> pl.DataFrame:
    """Each node's share of each word, or (`value` null) its mean number."""
    found: pl.DataFrame = store.sql(
        f"""
        with told as (select * from ({query}) where coalesce(word, '') <> 'unknown')
        select entity_id, word as value, count(*) / sum(count(*)) over (partition by entity_id) as share
        from told where word is not null group by entity_id, word
        union all
        select entity_id, null, avg(number) from told where word is null and number is not null group by entity_id
        order by all
        """
    ).pl()
    return found


def align(names: pl.DataFrame, found: pl.DataFrame) -> tuple[Floats, list[str | None]]:
    """(N, V) values, a column for each word: NaN for nodes of which nothing is known, 0 for words they lack."""
    values = found["value"].unique().sort().to_list()
    place: dict[str | None, int] = {value: number for number, value in enumerate(values)}
    row = names.with_row_index("row").select("row", "entity_id")
    joined = found.join(row, on="entity_id")
    wide = np.full((names.height, len(values)), np.nan)
    rows = joined["row"].to_numpy()
    wide[rows] = 0
    wide[rows, [place[value] for value in joined["value"].to_list()]] = joined["share"].to_numpy()
    return wide, values
