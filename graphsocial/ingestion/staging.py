"""Reads the files of one raw table into one temporary table of typed, checked rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from graphsocial.errors import InputError
from graphsocial.ingestion import casts, parse_errors
from graphsocial.ingestion.readers import MALFORMED, Opened, file_format, open_file, unreadable
from graphsocial.sources.base import RawColumn, RawTable
from graphsocial.store.sql import ROW_NUMBER, literal, quote
from graphsocial.store.temporary import temporary_table
from graphsocial.types import SQL_TYPES

if TYPE_CHECKING:
    import pyarrow as pa

FEW = 3
"""More files alike than these are gathered before they are checked: DuckDB takes longer to plan the checks than to read
a small file."""


@dataclass(frozen=True)
class Part:
    """One file's share of a staged table: rows `first` to `first + count - 1`.

    Attributes:
        opened: the file.
        first, count: its rows in the staged table.
        unparsed: what DuckDB could not parse: record number in the file → reason.
    """

    opened: Opened
    first: int
    count: int
    unparsed: dict[int, str]


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
    """

    table: RawTable
    relation: str
    parts: tuple[Part, ...]
    good: int
    faults: pa.Table
    ignored: tuple[str, ...]

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
        InputError: a file cannot be read, a required column is not there, or a required table has no rows.
    """
    files = opened[table.name]
    _require_columns(table, files)
    columns = "".join(f"c{number} {SQL_TYPES[column.kind]}, " for number, column in enumerate(table.columns))
    with temporary_table(connection, f"(row_number bigint, {columns}reason varchar)") as name:
        parts = _Filling(connection, table, name, _other_tables(table, opened), scratch).fill(files)
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
    columns = "".join(f", c{number} as {quote(column.name)}" for number, column in enumerate(table.columns))
    ((good,),) = connection.execute(f"select count(*) from {name} where reason is null").fetchall()
    faults = connection.sql(f"select row_number, reason from {name} where reason <> '' order by row_number")
    return Staged(
        table=table,
        relation=f"select row_number as {ROW_NUMBER}{columns} from {name} where reason is null",
        parts=parts,
        good=good,
        faults=faults.to_arrow_table(),
        ignored=_ignored(table, parts),
    )


@dataclass(frozen=True)
class _Filling:
    """Fills a temporary table with the rows of a raw table's files.

    Attributes:
        connection: the store's.
        table: the raw table.
        name: the temporary table.
        others: the other raw tables that the SQL of this one names, as a `with` clause.
        scratch: a folder of our own for copies.
    """

    connection: duckdb.DuckDBPyConnection
    table: RawTable
    name: str
    others: str
    scratch: Path

    def fill(self, files: tuple[Opened, ...]) -> tuple[Part, ...]:
        """Read the files in their order."""
        parts: list[Part] = []
        for _, group in groupby(files, key=lambda file: (file.checks_itself, tuple(file.types.items()))):
            alike, first = list(group), sum(part.count for part in parts)
            parts += self._gather(alike, first) if len(alike) > FEW else self._read(alike, first)
        return tuple(parts)

    def _read(self, files: list[Opened], first: int, gathered: str | None = None) -> list[Part]:
        parts = []
        for file in files:
            parts.append(self._insert(file, first, gathered))
            first += parts[-1].count
        return parts

    def _gather(self, files: list[Opened], first: int) -> list[Part]:
        """Read files with the same columns as they are, then check all of their rows at once."""
        columns = {**({MALFORMED: "varchar"} if files[0].checks_itself else {}), **files[0].types, ROW_NUMBER: "bigint"}
        definition = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
        with temporary_table(self.connection, f"({definition})") as gathered:
            parts = self._read(files, first, gathered)
            try:
                checked = self._checked(files[0], f"select * from {gathered}")
                self.connection.execute(f"insert into {self.name} {checked}").fetchall()
            except duckdb.Error as error:
                raise _sql_error(self.table, files[0], error) from error
        return parts

    def _insert(self, file: Opened, first: int, gathered: str | None) -> Part:
        """Read one file into the table, or as it is into the temporary table `gathered`."""
        try:
            return self._insert_once(file, first, gathered)
        except duckdb.InvalidInputException as error:
            if "invalid state" not in str(error) or file_format(file.file) != "csv":
                raise _sql_error(self.table, file, error) from error
        except duckdb.Error as error:
            raise _sql_error(self.table, file, error) from error
        reopened = open_file(self.connection, self.table, file.file, scratch=self.scratch, mixed_line_ends=True)
        return self._insert_once(reopened, first, gathered)

    def _insert_once(self, file: Opened, first: int, gathered: str | None) -> Part:
        rows = f"select *, {first} - 1 + row_number() over () as {ROW_NUMBER} from ({file.relation})"
        into = f"{gathered} by name {rows}" if gathered else f"{self.name} {self._checked(file, rows)}"
        return Part(file, first, *parse_errors.insert(self.connection, f"insert into {into}"))

    def _checked(self, file: Opened, rows: str) -> str:
        """The select of typed values and a reason: raw values, then their text, then values, then what is wrong.

        Rows are numbered where they leave the file. Later is too late: DuckDB makes a join of `in (…)` with many
        values, and joins move rows.

        Args:
            file: the file, or one like it.
            rows: SQL of the file's columns and each row's `ROW_NUMBER`.
        """
        columns = list(enumerate(self.table.columns))
        malformed = MALFORMED if file.checks_itself else "null"
        raw = "".join(f", {_raw(column, file)} as r{n}" for n, column in columns)
        raw = f"select {ROW_NUMBER} as row_number, {malformed} as malformed{raw} from ({rows})"
        types = self._types(file, raw)
        texts = "".join(f", {casts.raw_text(column, f'r{n}', types[n])} as t{n}" for n, column in columns)
        kept = "".join(f", r{n}" for n, _ in columns if types[n] != "VARCHAR")
        values = "".join(f", {casts.value(column, f't{n}', f'r{n}', types[n])} as v{n}" for n, column in columns)
        faults = [fault for n, column in columns for fault in casts.reasons(column, f"t{n}", f"v{n}")]
        whens = " ".join(f"when {condition} then {reason}" for condition, reason in faults)
        stored = "".join(f", v{n}" for n, _ in columns)
        return f"""
            {self.others}
            select row_number{stored}, case when malformed is not null then malformed {whens} end as reason
            from (
                select *{values}
                from (select row_number, malformed{texts}{kept} from ({raw}))
            )
        """

    def _types(self, file: Opened, raw: str) -> list[str]:
        """The DuckDB type of each column's raw values."""
        if any(column.sql for column in self.table.columns) or set(file.types.values()) - {"VARCHAR"}:
            return [kind for _, kind, *_ in self.connection.execute(f"describe {self.others}{raw}").fetchall()[2:]]
        return ["VARCHAR"] * len(self.table.columns)


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


def _other_tables(table: RawTable, opened: Mapping[str, tuple[Opened, ...]]) -> str:
    """The other tables' files that an `sql` of this table names, as a `with` clause."""
    words = {word for column in table.columns if column.sql for word in re.findall(r"\w+", column.sql)}
    named = [name for name in opened if name in words and name != table.name and opened[name]]
    ctes = [
        f"{quote(name)} as materialized ({' union all by name '.join(file.lookup for file in opened[name])})"
        for name in named
    ]
    return f"with {', '.join(ctes)} " if ctes else ""


def _raw(column: RawColumn, file: Opened) -> str:
    if column.sql is not None:
        return f"({column.sql})"
    return quote(column.source_name) if column.source_name in file.types else "null::varchar"


def _sql_error(table: RawTable, file: Opened, error: duckdb.Error) -> InputError:
    expressions = [column for column in table.columns if column.sql]
    if not expressions:
        return unreadable(file.file, error)
    message = str(error).strip().splitlines()[0]
    for column in expressions:
        if f"({column.sql})" in str(error):
            return InputError(f"The SQL of '{column.name}' does not run on '{file.file}': {column.sql}: {message}")
    return InputError(f"The SQL of table '{table.name}' does not run on '{file.file}': {message}")


def _check_lengths(connection: duckdb.DuckDBPyConnection, table: RawTable, name: str) -> None:
    """Vectors of one column are all of one length: the most frequent one."""
    for number, column in enumerate(table.columns):
        if column.kind == "vector":
            connection.execute(
                f"update {name} set reason = {literal(column.source_name + ' has another length: ')} "
                f"|| len(c{number}) where reason is null and len(c{number}) <> "
                f"(select mode(len(c{number})) from {name} where reason is null)"
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
