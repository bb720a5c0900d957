"""Temporary tables and views that live as long as a `with` block, under names that nothing else has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import duckdb

_numbers = count(1)


@contextmanager
def temporary_table(connection: duckdb.DuckDBPyConnection, definition: str) -> Iterator[str]:
    """The name of a new temporary table, which is dropped at the end.

    Args:
        connection: the store's.
        definition: what follows `create temp table NAME`: `as select …`, or columns in parentheses.
    """
    name = f"__graphsocial_{next(_numbers)}"
    connection.execute(f"create temp table {name} {definition}")
    try:
        yield name
    finally:
        with suppress(duckdb.Error):  # a transaction that has failed takes it along when it is rolled back
            connection.execute(f"drop table {name}")


@contextmanager
def registered(connection: duckdb.DuckDBPyConnection, rows: Any) -> Iterator[str]:
    """The name under which SQL reads Arrow, polars or pandas data until the end."""
    name = f"__graphsocial_{next(_numbers)}"
    connection.register(name, rows)
    try:
        yield name
    finally:
        with suppress(duckdb.Error):
            connection.unregister(name)
