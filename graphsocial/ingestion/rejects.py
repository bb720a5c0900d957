"""Collects the rows that an ingest refuses, finds each in its file again, and writes them down with their reason."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import duckdb
import pyarrow as pa

from graphsocial.errors import InputError
from graphsocial.ingestion.readers import file_format, open_text, plain
from graphsocial.ingestion.staging import Part, Staged
from graphsocial.sources.base import RawTable
from graphsocial.store.sql import literal, quote

EXAMPLES = 3  # rejects that an error shows
SHOWN = 200  # characters of a record


@dataclass(frozen=True)
class Record:
    """Where a rejected row stands in its file; a Parquet file has row numbers instead of lines."""

    line: int | None
    text: str


@dataclass
class Rejects:
    """The rejects of one ingest.

    Attributes:
        connection: the store's.
        staged: the raw tables, whose own faulty rows are rejects from the start.
        limit: the share of one file's rows that may be rejected.
        found: raw table → (row number, reason), in order.
    """

    connection: duckdb.DuckDBPyConnection
    staged: Mapping[str, Staged]
    limit: float
    found: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, entry in self.staged.items():
            if entry.bad:
                faulty = f"select place, reason from {quote(entry.name)} where reason <> ''"
                self._take(name, faulty)

    def take_refused(self, table: str) -> int:
        """Add the rows that `GraphStore.write` has just refused, and say how many there were."""
        return self._take(table, "select row, reason from refused")

    def _take(self, table: str, query: str) -> int:
        rows = self.connection.execute(query).fetchall()
        self.found[table] = sorted([*self.found.get(table, ()), *rows])
        return len(rows)

    def _of(self, table: str, part: Part) -> dict[int, list[str]]:
        """Row number → reasons of one file's rows."""
        found = self.found.get(table, [])
        start, end = (bisect_left(found, row, key=itemgetter(0)) for row in (part.first, part.first + part.count))
        reasons: dict[int, list[str]] = {}
        for row, reason in found[start:end]:
            reasons.setdefault(row, []).append(reason)
        return reasons

    def check(self) -> None:
        """Raise `InputError` when a file has too many rejects: then it is not what the source takes it for."""
        for name, entry in self.staged.items():
            for part in entry.parts:
                reasons = self._of(name, part)
                bad = len(reasons) + len(part.unparsed)
                if bad > self.limit * (part.count + len(part.unparsed)):
                    told = [*part.unparsed.values(), *(reason for several in reasons.values() for reason in several)]
                    kinds = Counter(reason.partition(": ")[0] for reason in told).most_common(EXAMPLES)
                    most = ", ".join(f"{kind} ({count:,})" for kind, count in kinds)
                    lines = [
                        f"line {record.line}: {reason}" for record, reason in self._located(entry, part, only=EXAMPLES)
                    ]
                    raise InputError(
                        f"{bad:,} of {part.count + len(part.unparsed):,} rows of '{part.opened.file}' cannot be used, "
                        f"so it is probably not what table '{name}' expects: {most}. {'; '.join(lines)}."
                        f"{self._elsewhere(name)} Correct the file or its mapping, or allow more with --reject-limit "
                        f"(reject_limit in Python; now {self.limit:g})."
                    )

    def _elsewhere(self, table: str) -> str:
        """Rejects of other tables, for what lacks an id here may have been rejected there."""
        rows = {name: len({row for row, _ in found}) for name, found in self.found.items() if name != table}
        told = ", ".join(f"{count:,} of '{name}'" for name, count in rows.items() if count)
        return f" Rejected as well: {told}." if told else ""

    def _located(self, entry: Staged, part: Part, *, only: int | None = None) -> list[tuple[Record, str]]:
        reasons = self._of(entry.table.name, part)
        rows, unparsed = locate(self.connection, entry.table, part, set(sorted(reasons)[:only]))
        nowhere = Record(None, "")
        told = [(unparsed.get(number, nowhere), words) for number, words in part.unparsed.items()]
        told += [(rows[row], words) for row, several in reasons.items() if row in rows for words in several]
        return sorted(told, key=lambda pair: pair[0].line or 0)[:only]

    def write(self, dataset: str, root: Path) -> None:
        """Write all of them into the store's table `rejects`."""
        columns: dict[str, list[object]] = {name: [] for name in ("table_name", "file", "line", "reason", "record")}
        for name, entry in self.staged.items():
            for part in entry.parts:
                file = part.opened.file
                shown = str(file.relative_to(root) if file.is_relative_to(root) else file)
                for record, reason in self._located(entry, part):
                    for column, value in zip(columns, (name, shown, record.line, reason, record.text), strict=True):
                        columns[column].append(value)
        if not columns["reason"]:
            return
        types = {"line": pa.int64()}
        table = pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()})
        self.connection.register("rejected", table)
        try:
            self.connection.execute(
                "insert into rejects (dataset, table_name, file, line, reason, record) select ?, * from rejected",
                [dataset],
            )
        finally:
            self.connection.unregister("rejected")


def locate(
    connection: duckdb.DuckDBPyConnection, table: RawTable, part: Part, rows: set[int]
) -> tuple[dict[int, Record], dict[int, Record]]:
    """Go through one file once.

    Args:
        connection: for Parquet.
        table: how the file is read.
        part: the file and its place in the staged table.
        rows: the numbers of the staged rows to find, from 0; other parts' are ignored.

    Returns:
        The records of `rows`, and those of `part.unparsed` by record number.
    """
    wanted = {row - part.first for row in rows if part.first <= row < part.first + part.count}
    if not wanted and not part.unparsed:
        return {}, {}
    kind = file_format(part.opened.file)
    if kind == "parquet":
        return {part.first + row: record for row, record in _in_parquet(connection, part, wanted).items()}, {}
    records = _json_lines(table, part) if kind == "jsonl" else _csv_records(table, part)
    found: dict[int, Record] = {}
    unparsed: dict[int, Record] = {}
    row = 0
    for number, line, text, is_row in records:
        if number in part.unparsed:
            unparsed[number] = Record(line, text[:SHOWN])
        elif is_row:
            if row in wanted:
                found[part.first + row] = Record(line, text[:SHOWN])
            row += 1
    if row != part.count:  # Python and DuckDB read this file differently: better no line than a wrong one
        found = {part.first + row: Record(None, "") for row in wanted}
    return found, unparsed


def _csv_records(table: RawTable, part: Part) -> Iterator[tuple[int, int, str, bool]]:
    """(record number, first line, text, whether DuckDB makes it a row) of each record; the header is record 1."""
    one_field = len(part.opened.types) == 1
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with open_text(part.opened.file, table.encoding, errors="replace") as text:
            lines: list[str] = []
            reader = csv.reader(_remembered(text, lines), delimiter=part.opened.delimiter)
            before = 0
            for number, fields in enumerate(reader, start=1):
                is_row = (bool(fields) or one_field) and not (table.has_header and number == 1)
                yield number, before + 1, "".join(lines).rstrip("\r\n"), is_row
                before = reader.line_num
                lines.clear()
    finally:
        csv.field_size_limit(limit)


def _remembered(lines: Iterator[str], kept: list[str]) -> Iterator[str]:
    for line in lines:
        kept.append(line)
        yield line


def _json_lines(table: RawTable, part: Part) -> Iterator[tuple[int, int, str, bool]]:
    with open_text(part.opened.file, table.encoding, errors="replace") as text:
        for number, line in enumerate(text, start=1):
            yield number, number, line.rstrip("\r\n"), True


def _in_parquet(connection: duckdb.DuckDBPyConnection, part: Part, wanted: set[int]) -> dict[int, Record]:
    numbers = ", ".join(str(row) for row in sorted(wanted))
    found = connection.execute(
        f"select row.file_row_number, left(row::varchar, {SHOWN}) "
        f"from read_parquet({literal(plain(part.opened.file))}, file_row_number = true) as row "
        f"where row.file_row_number in ({numbers})"
    ).fetchall()
    return {int(row): Record(int(row) + 1, text) for row, text in found}
