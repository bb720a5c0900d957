"""When a row is visible: from its own time on, and an edge from the latest of its own time and its endpoints' times.

`as_of` a moment, a row is visible where its time is at or before that moment, in UTC. A type without a time column is
timeless: its rows are visible always. Where a type has a time column, a row without a value in it is not known to exist
yet, so it is visible `as_of` no moment, and neither is an edge that ends in it.

The functions give SQL conditions, so that whoever selects rows can apply the rule inside the query.
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


def _started(entry: NodeType | EdgeType, moment: str) -> list[str]:
    """The condition that a row's own time has come, where the type has a time."""
    return [] if entry.time is None else [f"{quote(entry.time)} <= {moment}"]
