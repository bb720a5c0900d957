"""The rule of time: a row exists from its own time on, an edge from the latest of its own and its endpoints' times.

A type without a time column is timeless: its rows exist always. Where a type has a time column, a row without a value
in it is not known to exist at any moment, and neither is an edge that ends in it. `as_of` a moment, what exists from
that moment or an earlier one is visible, in UTC.

The functions give SQL, so that whoever selects rows can apply the rule inside the query.
"""

from __future__ import annotations

from datetime import datetime

from graphsocial.store.sql import literal, quote, utc
from graphsocial.types import EdgeType, GraphSchema, NodeType


def visible_as_of(entry: NodeType | EdgeType, schema: GraphSchema, as_of: datetime | str) -> list[str]:
    """SQL conditions on the rows of one type's table that all hold for those visible `as_of` a moment.

    Args:
        entry: the type whose rows are selected.
        schema: has the node types in which edges end.
        as_of: the moment, itself included; text is ISO 8601, and what has no zone is UTC.

    Returns:
        One condition for each time that counts; none for a timeless type.

    Raises:
        InputError: `as_of` is not a time.
    """
    moment = f"timestamptz {literal(utc(as_of).isoformat())}"
    conditions = _started(entry, moment)
    if isinstance(entry, EdgeType):
        for key, endpoint in (("src", entry.src), ("dst", entry.dst)):
            node = schema.node(endpoint)
            conditions += [
                f"{key} in (select idx from {quote(node.table)} where {started})" for started in _started(node, moment)
            ]
    return conditions


def exists_from(entry: NodeType | EdgeType, schema: GraphSchema, row: str) -> str | None:
    """An SQL expression of the time from which a row exists: `infinity` where it is not known, None if it is timeless.

    Args:
        entry: the type whose rows are selected.
        schema: has the node types in which edges end.
        row: name of the table or subquery of the rows, whose columns the expression reads.
    """
    times = [] if entry.time is None else [f"{row}.{quote(entry.time)}"]
    if isinstance(entry, EdgeType):
        for key, endpoint in (("src", entry.src), ("dst", entry.dst)):
            node = schema.node(endpoint)
            if node.time is not None:
                times.append(f"(select {quote(node.time)} from {quote(node.table)} as e where e.idx = {row}.{key})")
    known = ", ".join(f"coalesce({time}, 'infinity')" for time in times)
    return f"greatest({known})" if times else None


def _started(entry: NodeType | EdgeType, moment: str) -> list[str]:
    """The condition that a row's own time has come, where the type has a time."""
    return [] if entry.time is None else [f"{quote(entry.time)} <= {moment}"]
