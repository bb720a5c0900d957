"""Fills a temporary table with the typed rows of a raw table's files, in one pass over each file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import duckdb

from graphsocial.errors import InputError
from graphsocial.ingestion import casts, completeness, parse_errors
from graphsocial.ingestion.encodings import suggested
from graphsocial.ingestion.opened import MALFORMED, Opened, unreadable
from graphsocial.ingestion.parse_errors import NOT_UTF8
from graphsocial.ingestion.readers import open_file
from graphsocial.sources.base import RawColumn, RawTable
from graphsocial.store.sql import ROW_NUMBER, quote
from graphsocial.store.temporary import temporary_table

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
class Filling:
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
        for _, group in groupby(files, key=_layout):
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
        described = self.connection.execute(f"describe {files[0].relation}").fetchall()
        columns = {**{name: kind for name, kind, *_ in described}, ROW_NUMBER: "bigint"}
        definition = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
        with temporary_table(self.connection, f"({definition})") as gathered:
            parts = self._read(files, first, gathered)
            try:
                checked = self._checked(files[0], f"select * from {gathered}")
                self.connection.execute(f"insert into {self.name} {checked}").fetchall()
                self._check_count(files[0], first, sum(part.count for part in parts))
            except duckdb.Error as error:
                raise _sql_error(self.table, files[0], error) from error
        return parts

    def _insert(self, file: Opened, first: int, gathered: str | None) -> Part:
        """Read one file into the table, or as it is into the temporary table `gathered`."""
        try:
            return self._insert_whole(file, first, gathered)
        except duckdb.InvalidInputException as error:
            if "invalid state" not in str(error) or file.format != "csv":
                raise _sql_error(self.table, file, error) from error
        except duckdb.Error as error:
            raise _sql_error(self.table, file, error) from error
        reopened = open_file(self.connection, self.table, file.file, scratch=self.scratch, mixed_line_ends=True)
        return self._insert_whole(reopened, first, gathered)

    def _insert_whole(self, file: Opened, first: int, gathered: str | None) -> Part:
        """Read one file, and again without faulty records where not all of its records were read."""
        part = self._insert_once(file, first, gathered)
        whole = completeness.check(self.connection, file, part.count, part.unparsed)
        if whole.faults:
            into, number = (gathered, ROW_NUMBER) if gathered else (self.name, "row_number")
            self.connection.execute(f"delete from {into} where {number} >= {first}")
            repaired = completeness.without_faults(file, whole.faults, self.scratch)
            part = self._insert_once(repaired, first, gathered)
            unparsed = completeness.renumbered(part.unparsed, whole.faults) | whole.faults
            part = Part(file, first, part.count, dict(sorted(unparsed.items())))
        expected = whole.rows - len(part.unparsed)
        if part.count != expected and not self._has_sql:
            raise InputError(
                f"'{file.file}' has {expected:,} rows that can be parsed, but only {part.count:,} were read. "
                "Is it text of one kind? Write it again as CSV with quoted fields, or as Parquet."
            )
        if self._has_sql and not gathered:
            self._check_count(file, first, expected)
        if NOT_UTF8 in part.unparsed.values():
            hint = f"{NOT_UTF8}, {suggested(file.readable)} for example"
            part.unparsed.update({n: hint for n, reason in part.unparsed.items() if reason == NOT_UTF8})
        return part

    @property
    def _has_sql(self) -> bool:
        return any(column.sql for column in self.table.columns)

    def _check_count(self, file: Opened, first: int, expected: int) -> None:
        """Raise `InputError` unless the SQL of the table's columns has made one row of each row."""
        counts = f"select count(*), count(distinct row_number) from {self.name} where row_number >= {first}"
        ((rows, distinct),) = self.connection.execute(counts).fetchall()
        if (rows, distinct) != (expected, expected):
            raise InputError(
                f"The SQL of table '{self.table.name}' makes {rows:,} rows of {expected:,} rows of '{file.file}', and "
                f"nothing of {expected - distinct:,}; an `sql` gives one value a row, so leave out unnest. The entries "
                "of a list become edges by `each: COLUMN`."
            )

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
        columns = [
            (n, replace(column, decimal=file.decimal, thousands=file.thousands))
            for n, column in enumerate(self.table.columns)
        ]
        malformed = MALFORMED if file.checks_itself else "null"
        raw = "".join(f", {_raw(column, file)} as r{n}" for n, column in columns)
        raw = f"select {ROW_NUMBER} as row_number, {malformed} as malformed{raw} from ({rows})"
        types = self._types(file, raw)
        texts = "".join(f", {casts.raw_text(column, f'r{n}', types[n])} as t{n}" for n, column in columns)
        kept = "".join(f", r{n}" for n, _ in columns if types[n] != "VARCHAR")
        values = "".join(f", {casts.value(column, f't{n}', f'r{n}', types[n])} as v{n}" for n, column in columns)
        names = [column.name for column in self.table.columns]
        when = {n: f"v{names.index(column.when)}" for n, column in columns if column.when in names}
        faults = [fault for n, column in columns for fault in casts.reasons(column, f"t{n}", f"v{n}", when=when.get(n))]
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


def _layout(file: Opened) -> tuple[object, ...]:
    """What files have in common that can be checked at once."""
    return file.format, file.decimal, file.thousands, tuple(file.renamed.items()), tuple(file.types.items())


def other_tables(table: RawTable, opened: Mapping[str, tuple[Opened, ...]]) -> str:
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
        return f"({column.sql}\n)"  # it may end with a comment
    return file.column(column.source_name) if column.source_name in file.types else "null::varchar"


def _sql_error(table: RawTable, file: Opened, error: duckdb.Error) -> InputError:
    if "format specifier" in str(error):
        formats = ", ".join(repr(column.format) for column in table.columns if column.format)
        return InputError(f"A format of table '{table.name}' ({formats}) is not one, such as '%d/%m/%y': {error}")
    expressions = [column for column in table.columns if column.sql]
    if not expressions:
        return unreadable(file.file, error)
    message = str(error).strip().splitlines()[0]
    for column in expressions:
        if f"({column.sql}" in str(error):
            return InputError(f"The SQL of '{column.name}' does not run on '{file.file}': {column.sql}: {message}")
    return InputError(f"The SQL of table '{table.name}' does not run on '{file.file}': {message}")
