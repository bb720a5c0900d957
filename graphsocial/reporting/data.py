"""The page about a dataset: its tables and columns, and the results of its analyses."""

from __future__ import annotations

from typing import Any

from graphsocial.errors import DataError
from graphsocial.reporting import analyses
from graphsocial.reporting.page import Page, Section, Table, format_value
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.types import EdgeType, NodeType


def page(store: GraphStore, dataset: str) -> Page:
    """The page about a dataset.

    Raises:
        DataError: the dataset has no rows.
    """
    entries = [entry for entry in store.schema.types if len(store.span(entry, dataset))]
    if not entries:
        raise DataError(f"'{dataset}' has no rows to report on.")
    nodes = sum(len(store.span(entry, dataset)) for entry in entries if isinstance(entry, NodeType))
    edges = sum(len(store.span(entry, dataset)) for entry in entries if isinstance(entry, EdgeType))
    record = store.first("select source, ingested_at from datasets where name = ?", [dataset])
    (rejected,) = store.first("select count(*) from rejects where dataset = ?", [dataset]) or (0,)
    source = f"source {record[0]}, ingested {record[1]:%-d %B %Y}" if record else ""
    counts = {"nodes": nodes, "edges": edges, "rejected rows": rejected}
    figures = [(name, format_value(count), "") for name, count in counts.items()]
    rows = [[str(entry), len(store.span(entry, dataset))] for entry in entries]
    columns = [line for entry in entries for line in _columns(store, entry, dataset)]
    sections = [
        Section(
            "Data",
            "Node and edge types of the dataset, and their columns.",
            [
                Table("Types", ["type", "rows"], rows),
                Table("Columns", ["type", "column", "kind", "role", "not null", "distinct values"], columns),
            ],
        ),
        *analyses.sections(store, dataset),
    ]
    return Page(dataset, source, figures, [], sections)


def _columns(store: GraphStore, entry: NodeType | EdgeType, dataset: str) -> list[list[Any]]:
    """A row for each column, with its share of non-null values and its number of distinct values."""
    if not entry.columns:
        return []
    span = store.span(entry, dataset)
    counts = ", ".join(
        f"count({quote(column.name)}), "
        + ("null" if column.kind == "vector" else f"count(distinct {quote(column.name)})")
        for column in entry.columns
    )
    values = store.first(f"select {counts} from {quote(entry.table)} where {span}")
    assert values is not None  # an aggregate returns one row
    return [
        [str(entry), column.name, column.kind, column.role, f"{not_null / len(span):.1%}", distinct]
        for column, not_null, distinct in zip(entry.columns, values[::2], values[1::2], strict=True)
    ]
