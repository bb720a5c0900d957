"""Reads the files of one raw table into one temporary table of typed, checked rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path

import duckdb

from graphsocial.errors import InputError
from graphsocial.ingestion import casts
from graphsocial.ingestion.readers import ERRORS, MALFORMED, Opened, file_format, forget_errors, open_file, unreadable
from graphsocial.sources.base import RawColumn, RawTable
from graphsocial.store.sql import literal, quote
from graphsocial.types import SQL_TYPES

PLACE = "__place"  # the row's number in the table, from 0 in the order of the files
FEW = 3
"""More files alike than these are gathered before they are checked: DuckDB takes longer to plan the checks than to read
a small file."""
WORDS = {  # how DuckDB calls what is wrong with a record of a CSV file, and how we do
    "UNQUOTED VALUE": "a quote is not closed, or text follows a closing quote",
    "LINE SIZE OVER MAXIMUM": "the row is too long: over 8 MB",
    "INVALID ENCODING": "the row is not UTF-8; set `encoding` for this file, latin-1 for example",
    "INVALID STATE": "the row is not CSV",
}


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
    """A raw table as the temporary table `name`: `place`, columns `c0`, `c1`, … and `reason`, null in good rows.

    Attributes:
        table: the table.
        name: the temporary table.
        parts: the files.
        good, bad: rows without and with a fault; blank JSON lines are neither.
        ignored: columns of the files that are not used.
    """

    table: RawTable
    name: str
    parts: tuple[Part, ...]
    good: int
    bad: int
    ignored: tuple[str, ...]

    @property
    def read(self) -> int:
        """How many rows the files have."""
        return self.good + self.bad + sum(len(part.unparsed) for part in self.parts)

    @property
    def relation(self) -> str:
        """An SQL select of the good rows: the columns by name, and the row's number from 0 as `__row`."""
        columns = "".join(f", c{number} as {quote(column.name)}" for number, column in enumerate(self.table.columns))
        return f"select place as __row{columns} from {quote(self.name)} where reason is null"


def staged_name(table: RawTable) -> str:
    """The temporary table of a raw table."""
    return f"raw_{table.name}"


def stage(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    opened: Mapping[str, tuple[Opened, ...]],
    *,
    scratch: Path,
) -> Staged:
    """Read, check and cast the files of one table in one pass each, outside of a transaction.

    Args:
        connection: the store's.
        table: the table.
        opened: the files of all tables, by table; the `sql` of a column may look into the others.
        scratch: a folder of our own for copies.

    Raises:
        InputError: a file cannot be read, a required column is not there, or a required table has no rows.
    """
    files = opened[table.name]
    _require_columns(table, files)
    name = staged_name(table)
    types = "".join(f"c{number} {SQL_TYPES[column.kind]}, " for number, column in enumerate(table.columns))
    connection.execute(f"create or replace temp table {quote(name)} (place bigint, {types}reason varchar)")
    others = _reachable(table, opened)
    parts: list[Part] = []
    for _, group in groupby(files, key=lambda file: (file.checks_itself, tuple(file.types.items()))):
        alike, gathered = list(group), f"{name}_text"
        many = len(alike) > FEW
        if many:
            fields = "".join(f"{quote(column)} {kind}, " for column, kind in _shape(alike[0]).items())
            connection.execute(f"create or replace temp table {quote(gathered)} ({fields}{PLACE} bigint)")
        for file in alike:
            first = sum(part.count for part in parts)
            parts.append(_insert(connection, table, file, first, others, scratch, gathered if many else None))
        if many:
            rows = f"select * from {quote(gathered)}"
            try:
                connection.execute(
                    f"insert into {quote(name)} {_checked(connection, table, alike[0], rows, others)}"
                ).fetchall()
            except duckdb.Error as error:
                raise _sql_error(table, alike[0], error) from error
            connection.execute(f"drop table {quote(gathered)}")
    _check_lengths(connection, table, name)
    _check_unique(connection, table, name)
    counted = connection.execute(
        f"select count(*) filter (reason is null), count(*) filter (reason <> '') from {quote(name)}"
    ).fetchone()
    good, bad = counted or (0, 0)
    staged = Staged(table, name, tuple(parts), good, bad, _ignored(table, files))
    if table.required and not staged.read:
        raise InputError(
            f"'{table.files[0]}' has no rows; table '{table.name}' needs some; where none are meant, leave it out."
        )
    return staged


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    file: Opened,
    first: int,
    others: str,
    scratch: Path,
    gathered: str | None,
) -> Part:
    """Read one file into the staged table, or as it is into the temporary table `gathered`."""

    def insert(file: Opened) -> Part:
        forget_errors(connection)
        rows = f"select *, {first} - 1 + row_number() over () as {PLACE} from ({file.relation})"
        select = rows if gathered else _checked(connection, table, file, rows, others)
        into = f"{quote(gathered)} by name" if gathered else quote(staged_name(table))
        row = connection.execute(f"insert into {into} {select}").fetchone()
        return Part(file, first, int(row[0]) if row else 0, _unparsed(connection))

    try:
        return insert(file)
    except duckdb.InvalidInputException as error:
        if "invalid state" not in str(error) or file_format(file.file) != "csv":
            raise _sql_error(table, file, error) from error
        return insert(open_file(connection, table, file.file, scratch=scratch, mixed=True))
    except duckdb.Error as error:
        raise _sql_error(table, file, error) from error


def _shape(file: Opened) -> dict[str, str]:
    """The columns of a file's relation with their types."""
    return {**({MALFORMED: "varchar"} if file.checks_itself else {}), **file.types}


def _ignored(table: RawTable, files: tuple[Opened, ...]) -> tuple[str, ...]:
    if any(column.sql for column in table.columns):  # who knows which columns it looks at
        return ()
    used = {column.source_name for column in table.columns}
    return tuple(dict.fromkeys(name for file in files for name in file.types if name not in used))


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


def _reachable(table: RawTable, opened: Mapping[str, tuple[Opened, ...]]) -> str:
    """The other tables' files that an `sql` of this table names, as a `with` clause."""
    words = {word for column in table.columns if column.sql for word in re.findall(r"\w+", column.sql)}
    named = [name for name in opened if name in words and name != table.name and opened[name]]
    ctes = [
        f"{quote(name)} as materialized ({' union all by name '.join(file.lookup for file in opened[name])})"
        for name in named
    ]
    return f"with {', '.join(ctes)} " if ctes else ""


def _checked(connection: duckdb.DuckDBPyConnection, table: RawTable, file: Opened, rows: str, others: str) -> str:
    """The select of typed values and a reason: raw values, then their text, then values, then what is wrong.

    Rows are numbered where they leave the file. Later is too late: DuckDB makes a join of `in (…)` with many values,
    and joins move rows.

    Args:
        file: the file, or one like it.
        rows: SQL of the file's columns and each row's number, `PLACE`.
    """
    columns = list(enumerate(table.columns))
    raw = [_raw(column, file) for column in table.columns]
    types = ["VARCHAR"] * len(raw)
    malformed = MALFORMED if file.checks_itself else "null"
    picked = ", ".join(f"{sql} as r{n}" for n, sql in enumerate(raw))
    picked = f"select {PLACE} as place, {malformed} as malformed, {picked} from ({rows})"
    if any(column.sql for column in table.columns) or set(file.types.values()) - {"VARCHAR"}:
        types = [kind for _, kind, *_ in connection.execute(f"describe {others}{picked}").fetchall()[2:]]
    texts = ", ".join(f"{casts.raw_text(column, f'r{n}', types[n])} as t{n}" for n, column in columns)
    kept = "".join(f", r{n}" for n, column in columns if types[n] != "VARCHAR")
    values = ", ".join(f"{casts.value(column, f't{n}', f'r{n}', types[n])} as v{n}" for n, column in columns)
    faults = [fault for n, column in columns for fault in casts.reasons(column, f"t{n}", f"v{n}")]
    whens = " ".join(f"when {condition} then {words}" for condition, words in faults)
    stored = ", ".join(f"v{n}" for n, _ in columns)
    return f"""
        {others}
        select place, {stored}, case when malformed is not null then malformed {whens} end as reason
        from (
            select *, {values}
            from (select place, malformed, {texts}{kept} from ({picked}))
        )
    """


def _raw(column: RawColumn, file: Opened) -> str:
    if column.sql is not None:
        return f"({column.sql})"
    return quote(column.source_name) if column.source_name in file.types else "null::varchar"


def _sql_error(table: RawTable, file: Opened, error: duckdb.Error) -> InputError:
    expressions = [column for column in table.columns if column.sql]
    if not expressions:
        return unreadable(file.file, error)
    told = str(error).strip().splitlines()[0]
    for column in expressions:
        if f"({column.sql})" in str(error):
            return InputError(f"The SQL of '{column.name}' does not run on '{file.file}': {column.sql}: {told}")
    return InputError(f"The SQL of table '{table.name}' does not run on '{file.file}': {told}")


def _unparsed(connection: duckdb.DuckDBPyConnection) -> dict[int, str]:
    """The records that DuckDB left out of the last scan, with the first thing that is wrong with each."""
    known = connection.execute("select 1 from duckdb_tables() where table_name = ?", [ERRORS]).fetchone()
    if known is None:
        return {}
    found = connection.execute(
        f"select line, error_type::varchar, error_message from {ERRORS} order by line, byte_position"
    ).fetchall()
    forget_errors(connection)
    told: dict[int, str] = {}
    for line, kind, message in found:
        fields = re.search(r"Columns: (\d+) Found: (\d+)", message or "")
        words = f"the row has {fields[2]} fields, not {fields[1]}" if fields else WORDS.get(kind, str(message))
        told.setdefault(int(line), words)
    return told


def _check_lengths(connection: duckdb.DuckDBPyConnection, table: RawTable, name: str) -> None:
    """Vectors of one column are all of one length: the most frequent one."""
    for number, column in enumerate(table.columns):
        if column.kind == "vector":
            connection.execute(
                f"update {quote(name)} set reason = {literal(column.source_name + ' has another length: ')} "
                f"|| len(c{number}) where reason is null and len(c{number}) <> "
                f"(select mode(len(c{number})) from {quote(name)} where reason is null)"
            )


def _check_unique(connection: duckdb.DuckDBPyConnection, table: RawTable, name: str) -> None:
    names = [column.name for column in table.columns]
    keys = ", ".join(f"c{names.index(key)}" for key in table.unique)
    if keys:
        connection.execute(
            f"update {quote(name)} set reason = {literal('duplicate ' + ' '.join(table.unique) + ': ')} "
            f"|| concat_ws(' ', {keys}) where place in (select place from {quote(name)} where reason is null "
            f"qualify row_number() over (partition by {keys} order by place) > 1)"
        )
