"""The page about a dataset: what is in it, and what analyses found."""

from __future__ import annotations

from typing import Any

from graphsocial.errors import DataError
from graphsocial.reporting import analyses
from graphsocial.reporting.page import Page, Section, Table, written
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.types import EdgeType, NodeType


def page(store: GraphStore, dataset: str) -> Page:
    """The dataset's tables and columns, and its analyses.

    Raises:
        DataError: it has no rows.
    """
    entries = [entry for entry in store.schema.types if len(store.span(entry, dataset))]
    if not entries:
        raise DataError(f"'{dataset}' has no rows to report on.")
    nodes = sum(len(store.span(entry, dataset)) for entry in entries if isinstance(entry, NodeType))
    edges = sum(len(store.span(entry, dataset)) for entry in entries if isinstance(entry, EdgeType))
    told = store.first("select source, ingested_at from datasets where name = ?", [dataset])
    (rejected,) = store.first("select count(*) from rejects where dataset = ?", [dataset]) or (0,)
    source = f"source {told[0]}, ingested {told[1]:%-d %B %Y}" if told else ""
    numbers = [("nodes", written(nodes), ""), ("edges", written(edges), ""), ("rows left out", written(rejected), "")]
    rows = [[str(entry), len(store.span(entry, dataset))] for entry in entries]
    columns = [line for entry in entries for line in _columns(store, entry, dataset)]
    sections = [
        Section(
            "Data",
            "What the store holds of it.",
            [
                Table("Types", ["type", "rows"], rows),
                Table("Columns", ["type", "column", "kind", "role", "filled", "different"], columns),
            ],
        ),
        *analyses.sections(store, dataset),
    ]
    return Page(dataset, source, numbers, [], sections)


def _columns(store: GraphStore, entry: NodeType | EdgeType, dataset: str) -> list[list[Any]]:
    """A row a column: how much of it is filled, and with how many different values."""
    if not entry.columns:
        return []
    span = store.span(entry, dataset)
    counts = ", ".join(
        f"count({quote(c.name)}), " + ("null" if c.kind == "vector" else f"count(distinct {quote(c.name)})")
        for c in entry.columns
    )
    found = store.first(f"select {counts} from {quote(entry.table)} where {span}")
    assert found is not None  # an aggregate has a row
    return [
        [str(entry), column.name, column.kind, column.role, f"{found[2 * place] / len(span):.1%}", found[2 * place + 1]]
        for place, column in enumerate(entry.columns)
    ]
