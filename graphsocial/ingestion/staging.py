"""Reads the files of one raw table into one temporary table of typed, checked rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from graphsocial.errors import InputError
from graphsocial.ingestion import classes
from graphsocial.ingestion.filling import Filling, Part, other_tables
from graphsocial.ingestion.opened import Opened
from graphsocial.sources.base import RawTable
from graphsocial.store.sql import ROW_NUMBER, literal, quote
from graphsocial.store.temporary import temporary_table
from graphsocial.types import SQL_TYPES

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Staged:
    """A raw table whose rows are read, checked and cast.

    Attributes:
        table: the table.
        relation: an SQL select of the good rows: the columns by name, and the row's number from 0 as `ROW_NUMBER`.
        parts: the files.
        good: how many rows have no fault; blank JSON lines are neither good nor bad.
        faults: rows with a fault, as an Arrow table of `row_number` and `reason`.
        ignored: columns of the files that are not used.
        notes: sentences about what was found by looking.
    """

    table: RawTable
    relation: str
    parts: tuple[Part, ...]
    good: int
    faults: pa.Table
    ignored: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def read(self) -> int:
        """How many rows the files have."""
        return self.good + int(self.faults.num_rows) + sum(len(part.unparsed) for part in self.parts)


@contextmanager
def stage(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    opened: Mapping[str, tuple[Opened, ...]],
    *,
    scratch: Path,
) -> Iterator[Staged]:
    """Read, check and cast the files of one table in one pass each, outside of a transaction.

    Args:
        connection: the store's.
        table: the table.
        opened: the files of all tables, by table; the `sql` of a column may read the others.
        scratch: a folder of our own for copies.

    Raises:
        InputError: a file cannot be read, a required column is missing, or a required table has no rows.
    """
    files = opened[table.name]
    _require_columns(table, files)
    columns = "".join(f"c{number} {SQL_TYPES[column.kind]}, " for number, column in enumerate(table.columns))
    with temporary_table(connection, f"(row_number bigint, {columns}reason varchar)") as name:
        parts = Filling(connection, table, name, other_tables(table, opened), scratch).fill(files)
        _check_lengths(connection, table, name)
        _check_unique(connection, table, name)
        staged = _staged(connection, table, name, parts)
        if table.required and not staged.read:
            raise InputError(
                f"'{table.files[0]}' has no rows; table '{table.name}' needs some; where none are meant, leave it out."
            )
        yield staged


def _staged(connection: duckdb.DuckDBPyConnection, table: RawTable, name: str, parts: tuple[Part, ...]) -> Staged:
    """The filled temporary table `name`: `row_number`, columns `c0`, `c1`, … and `reason`, null in good rows."""
    columns = "".join(
        f", {classes.without_no_answers(column, f'c{number}')} as {quote(column.name)}"
        for number, column in enumerate(table.columns)
    )
    ((good,),) = connection.execute(f"select count(*) from {name} where reason is null").fetchall()
    faults = connection.sql(f"select row_number, reason from {name} where reason <> '' order by row_number")
    return Staged(
        table=table,
        relation=f"select row_number as {ROW_NUMBER}{columns} from {name} where reason is null",
        parts=parts,
        good=good,
        faults=faults.to_arrow_table(),
        ignored=_ignored(table, parts),
        notes=(*(note for part in parts for note in part.opened.notes), *classes.notes(connection, table, name)),
    )


def _ignored(table: RawTable, parts: tuple[Part, ...]) -> tuple[str, ...]:
    if any(column.sql for column in table.columns):  # an expression may read any column
        return ()
    used = {column.source_name for column in table.columns}
    return tuple(dict.fromkeys(name for part in parts for name in part.opened.types if name not in used))


def _require_columns(table: RawTable, files: tuple[Opened, ...]) -> None:
    for file in files:
        if not file.types and not table.required:
            continue
        for column in table.columns:
            if column.sql is None and (column.required or column.must_exist) and column.source_name not in file.types:
                if not file.types:
                    raise InputError(f"'{file.file}' is empty; table '{table.name}' needs some rows.")
                lower = {key.lower(): key for key in file.types}
                close = get_close_matches(column.source_name.lower(), lower, n=1)
                hint = f" Did you mean '{lower[close[0]]}'?" if close else ""
                raise InputError(
                    f"'{file.file}' has no column '{column.source_name}', which table '{table.name}' needs."
                    f"{hint} There: {', '.join(file.types)}."
                )


def _check_lengths(connection: duckdb.DuckDBPyConnection, table: RawTable, name: str) -> None:
    """Vectors of one column are all of one length: the most frequent one."""
    names = [column.name for column in table.columns]
    for number, column in enumerate(table.columns):
        if column.kind == "vector":
            own = f"reason is null and c{names.index(column.when)}" if column.when else "reason is null"
            connection.execute(
                f"update {name} set reason = {literal(column.source_name + ' has another length: ')} "
                f"|| len(c{number}) where {own} and len(c{number}) <> "
                f"(select mode(len(c{number})) from {name} where {own})"
            )


def _check_unique(connection: duckdb.DuckDBPyConnection, table: RawTable, name: str) -> None:
    names = [column.name for column in table.columns]
    keys = ", ".join(f"c{names.index(key)}" for key in table.unique)
    if keys:
        connection.execute(
            f"update {name} set reason = {literal('duplicate ' + ' '.join(table.unique) + ': ')} "
            f"|| concat_ws(' ', {keys}) where row_number in (select row_number from {name} where reason is null "
            f"qualify row_number() over (partition by {keys} order by row_number) > 1)"
        )
