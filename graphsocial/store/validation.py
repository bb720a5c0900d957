"""Rows on their way into one table of the store: numbered, checked, and what is refused with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import duckdb

from graphsocial.errors import InputError
from graphsocial.store.sql import quote
from graphsocial.types import EdgeType, NodeType


@dataclass(frozen=True)
class Incoming:
    """Rows of one type, as the temporary view `incoming`.

    Attributes:
        connection: where the view is.
        entry: the rows' type.
        columns: which of the type's columns they have.
        known: SQL of the dataset's nodes that are there before: by `id`, those of the same type; by `src`
            and `dst`, those that can be an end.
    """

    connection: duckdb.DuckDBPyConnection
    entry: NodeType | EdgeType
    columns: tuple[str, ...]
    known: Mapping[str, str]

    def check(self) -> tuple[str, int]:
        """Find the rows to refuse; they are left in the temporary table `refused (row, reason)`.

        Only the keys are kept in between: the other columns, which may be wide, are read again for the insert, unless
        rows have to be left out.

        Returns:
            SQL of the rows to write, with `place`, their number from 0 in the order of `row`; how many were refused.
        """
        self._resolve("")
        (rejected,) = self.connection.execute("select count(*) from refused").fetchall()[0]
        columns = "".join(f", {quote(name)}" for name in self.columns)
        if rejected and columns:
            self._resolve(columns)
        source = f"({self._again(columns)})" if columns and not rejected else "checked"
        ascending = "select row, coalesce(row > lag(row) over (), true) as after from checked"  # so none is there twice
        dense = self.connection.execute(
            f"select min(row) from ({ascending}) having bool_and(after) and count(*) = max(row) - min(row) + 1"
        ).fetchall()
        place = f"row - {dense[0][0]}" if dense and not rejected else "row_number() over (order by row) - 1"
        return f"select *, {place} as place from {source} where reason is null", int(rejected)

    def _resolve(self, columns: str) -> None:
        """Make the temporary tables `checked`, with the ends' idx, and `refused`, both in the order of `row`."""
        checks = self._nodes(columns) if isinstance(self.entry, NodeType) else self._edges(self.entry, columns)
        self.connection.execute(f"create or replace temp table checked as {checks} order by row")
        self.connection.execute(
            "create or replace temp table refused as select row, reason from checked where reason is not null"
        )

    def _again(self, columns: str) -> str:
        """SQL of rows that were all found good, with their other columns; edges look up their ends anew."""
        if isinstance(self.entry, NodeType):
            return f"select row, trim(id::varchar) as id{columns}, null as reason from incoming"
        return self._edges(self.entry, columns)

    def _nodes(self, columns: str) -> str:
        return f"""
            select row, id{columns},
                case
                    when id is null or id = '' then 'the id is missing'
                    when row_number() over (partition by id order by row) > 1 then 'duplicate id: ' || id
                    when id in (select id from ({self.known["id"]})) then 'duplicate id: ' || id
                end as reason
            from (select * replace (trim(id::varchar) as id) from incoming)
        """

    def _edges(self, entry: EdgeType, columns: str) -> str:
        return f"""
            select given.row, s.idx as src, d.idx as dst{columns},
                case
                    when given.src is null or given.src = '' then 'the {entry.src} is missing'
                    when given.dst is null or given.dst = '' then 'the {entry.dst} is missing'
                    when s.idx is null then 'no {entry.src} has the id: ' || given.src
                    when d.idx is null then 'no {entry.dst} has the id: ' || given.dst
                end as reason
            from (select * replace (trim(src::varchar) as src, trim(dst::varchar) as dst) from incoming) as given
            left join (select idx, id from ({self.known["src"]})) as s on s.id = given.src
            left join (select idx, id from ({self.known["dst"]})) as d on d.id = given.dst
        """


@contextmanager
def incoming(
    connection: duckdb.DuckDBPyConnection, entry: NodeType | EdgeType, rows: Any, known: Mapping[str, str]
) -> Iterator[Incoming]:
    """Show `rows` as the view `incoming`, numbered from 1 where they bring no column `row`.

    Args:
        rows: Arrow, polars or pandas data, or the text of an SQL select.
        known: see `Incoming`; its keys are the columns that rows must have.

    Raises:
        InputError: a column that is not the type's, a key that is missing, or rows that cannot be read.
    """
    registered = not isinstance(rows, str)
    if registered:
        connection.register("given", rows)
    source = "given" if registered else f"({rows})"
    try:
        given = [name for name, *_ in connection.execute(f"describe select * from {source}").fetchall()]
        columns = {column.name for column in entry.columns}
        unknown = sorted(set(given) - columns - {*known, "row"})
        if unknown:
            raise InputError(f"'{entry}' has no column '{unknown[0]}'; it has {sorted({*known} | columns)}.")
        missing = [key for key in known if key not in given]
        if missing:
            raise InputError(f"Rows of '{entry}' need a column '{missing[0]}'; given: {given}.")
        numbered = "*" if "row" in given else "*, row_number() over () as row"
        connection.execute(f"create or replace temp view incoming as select {numbered} from {source}")
        yield Incoming(connection, entry, tuple(name for name in given if name in columns), known)
    except (duckdb.ProgrammingError, duckdb.DataError) as error:  # SQL that does not run, values that do not fit
        raise InputError(f"The rows of '{entry}' cannot be read: {error}") from error
    finally:
        with suppress(duckdb.Error):  # after an error the transaction is void, and the view with it
            connection.execute("drop view if exists incoming")
            if registered:
                connection.unregister("given")
