"""Temporary tables and registered data have names of their own and are gone at the end."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import polars as pl
import pytest

from graphsocial.store.temporary import registered, temporary_table


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def test_tables_and_data_can_be_read_by_name_until_the_end(connection: duckdb.DuckDBPyConnection) -> None:
    with (
        temporary_table(connection, "as select 1 as x") as first,
        temporary_table(connection, "(x bigint)") as second,
        registered(connection, pl.DataFrame({"x": [3]})) as third,
    ):
        connection.execute(f"insert into {second} values (2)")
        rows = connection.execute(" union all ".join(f"select x from {name}" for name in (first, second, third)))
        assert sorted(rows.fetchall()) == [(1,), (2,), (3,)]
    for name in (first, second, third):
        with pytest.raises(duckdb.CatalogException):
            connection.execute(f"select * from {name}")


def test_an_error_inside_a_transaction_leaves_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("begin")
    with (
        pytest.raises(duckdb.ConversionException, match="abc"),
        temporary_table(connection, "as select 'abc' as x") as table,
        registered(connection, pl.DataFrame({"x": ["1"]})),
    ):
        connection.execute(f"select x::int from {table}").fetchall()
    connection.execute("rollback")
    names = "select table_name from duckdb_tables() union select view_name from duckdb_views() where not internal"
    assert connection.execute(names).fetchall() == []
