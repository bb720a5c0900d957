"""The SQL conditions under which rows and edges are visible as of a moment."""

from __future__ import annotations

import pytest

from graphsocial.errors import InputError
from graphsocial.store.time import visible_as_of
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

TIME = (Column("at", "timestamp"),)
USER, POST = NodeType("user"), NodeType("post", TIME, time="at")
WRITES = EdgeType("user", "writes", "post", TIME, time="at")
FOLLOWS, REPLIES = EdgeType("user", "follows", "user"), EdgeType("post", "replies", "post")
SCHEMA = GraphSchema((USER, POST), (WRITES, FOLLOWS, REPLIES))
MOMENT = "timestamptz '2016-01-01T22:30:00+00:00'"
POSTED = f'select idx from "node_post" where "at" <= {MOMENT}'


@pytest.mark.parametrize(
    ("entry", "conditions"),
    [
        (USER, []),
        (FOLLOWS, []),
        (POST, [f'"at" <= {MOMENT}']),
        (WRITES, [f'"at" <= {MOMENT}', f"dst in ({POSTED})"]),
        (REPLIES, [f"src in ({POSTED})", f"dst in ({POSTED})"]),
    ],
    ids=str,
)
def test_a_rows_own_time_and_those_of_its_endpoints_count(entry: NodeType | EdgeType, conditions: list[str]) -> None:
    assert visible_as_of(entry, SCHEMA, "2016-01-02T00:30+02:00") == conditions


def test_a_moment_that_is_no_time_is_an_error() -> None:
    with pytest.raises(InputError, match="'soon' is not a time"):
        visible_as_of(USER, SCHEMA, "soon")
