"""Collects the rows that an ingest refuses, locates each in its file, and stores them with their reason."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import duckdb
import pyarrow as pa

from graphsocial.errors import InputError
from graphsocial.ingestion import completeness
from graphsocial.ingestion.filling import Part
from graphsocial.ingestion.opened import plain
from graphsocial.ingestion.staging import Staged
from graphsocial.store.sql import literal
from graphsocial.store.temporary import registered

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
        rows: raw table → (row number, reason) of each reject, in order.
    """

    connection: duckdb.DuckDBPyConnection
    staged: Mapping[str, Staged]
    limit: float
    rows: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, entry in self.staged.items():
            self.add(name, entry.faults)

    def add(self, table: str, rejects: pa.Table) -> None:
        """Add rows of a raw table, given as an Arrow table of `row_number` and `reason`."""
        if rejects.num_rows:
            pairs = zip(*(rejects[name].to_pylist() for name in ("row_number", "reason")), strict=True)
            self.rows[table] = sorted([*self.rows.get(table, ()), *pairs])

    def _of(self, table: str, part: Part) -> dict[int, list[str]]:
        """Row number → reasons of one file's rows."""
        rows = self.rows.get(table, [])
        start, end = (bisect_left(rows, number, key=itemgetter(0)) for number in (part.first, part.first + part.count))
        reasons: dict[int, list[str]] = {}
        for row_number, reason in rows[start:end]:
            reasons.setdefault(row_number, []).append(reason)
        return reasons

    def check(self) -> None:
        """Raise `InputError` when a file has too many rejects: then it is not what the source takes it for."""
        for entry in self.staged.values():
            for part in entry.parts:
                rejected = len(self._of(entry.table.name, part)) + len(part.unparsed)
                if rejected > self.limit * (part.count + len(part.unparsed)):
                    raise self._too_many(entry, part, rejected)

    def _too_many(self, entry: Staged, part: Part, rejected: int) -> InputError:
        table, file = entry.table.name, part.opened.file
        reasons = [*part.unparsed.values(), *(reason for row in self._of(table, part).values() for reason in row)]
        kinds = Counter(reason.partition(": ")[0] for reason in reasons).most_common(EXAMPLES)
        most = ", ".join(f"{kind} ({count:,})" for kind, count in kinds)
        examples = [f"line {record.line}: {reason}" for record, reason in self._located(entry, part, only=EXAMPLES)]
        return InputError(
            f"{rejected:,} of {part.count + len(part.unparsed):,} rows of '{file}' cannot be used, "
            f"so it is probably not what table '{table}' expects: {most}. {'; '.join(examples)}."
            f"{self._elsewhere(table)} Correct the file or its mapping, or allow more with --reject-limit "
            f"(reject_limit in Python; now {self.limit:g})."
        )

    def _elsewhere(self, table: str) -> str:
        """Rejects of other tables: an id that is missing in `table` may have been rejected there."""
        counts = {name: len({number for number, _ in rows}) for name, rows in self.rows.items() if name != table}
        others = ", ".join(f"{count:,} of '{name}'" for name, count in counts.items() if count)
        return f" Rejected as well: {others}." if others else ""

    def _located(self, entry: Staged, part: Part, *, only: int | None = None) -> list[tuple[Record, str]]:
        """The rejects of one file with their reason, by line; `only` the first ones."""
        reasons = self._of(entry.table.name, part)
        records, unparsed = locate(self.connection, part, set(sorted(reasons)[:only]))
        nowhere = Record(None, "")
        rejects = [(unparsed.get(number, nowhere), reason) for number, reason in part.unparsed.items()]
        rejects += [(records[number], reason) for number, row in reasons.items() if number in records for reason in row]
        return sorted(rejects, key=lambda pair: pair[0].line or 0)[:only]

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
        with registered(self.connection, table) as rejects:
            self.connection.execute(
                f"insert into rejects (dataset, {', '.join(columns)}) select ?, * from {rejects}", [dataset]
            )


def locate(
    connection: duckdb.DuckDBPyConnection, part: Part, rows: set[int]
) -> tuple[dict[int, Record], dict[int, Record]]:
    """Go through one file once.

    Args:
        connection: for Parquet.
        part: the file and its rows in the staged table.
        rows: the numbers of the staged rows to locate, from 0; those of other files are ignored.

    Returns:
        The records of `rows` by row number, and those of `part.unparsed` by record number.
    """
    offsets = {row - part.first for row in rows if part.first <= row < part.first + part.count}
    if not offsets and not part.unparsed:
        return {}, {}
    if part.opened.format == "parquet":
        return {part.first + row: record for row, record in _in_parquet(connection, part, offsets).items()}, {}
    located: dict[int, Record] = {}
    unparsed: dict[int, Record] = {}
    offset = 0
    for number, line, text, is_row in _records(part):
        if number in part.unparsed:
            unparsed[number] = Record(line, text[:SHOWN])
        elif is_row:
            if offset in offsets:
                located[part.first + offset] = Record(line, text[:SHOWN])
            offset += 1
    if offset != part.count:  # Python and DuckDB read this file differently: better no line than a wrong one
        located = {part.first + offset: Record(None, "") for offset in offsets}
    return located, unparsed


def _records(part: Part) -> Iterator[tuple[int, int, str, bool]]:
    """(record number, line, text, whether it becomes a row) of each record of a text file; the header is record 1."""
    opened = part.opened
    for number, record in enumerate(completeness.records(opened), start=1):
        is_row = number > opened.header and not (record.blank and opened.skips_blank)
        yield number, opened.line(record.line), record.text.rstrip("\r\n"), is_row


def _in_parquet(connection: duckdb.DuckDBPyConnection, part: Part, offsets: set[int]) -> dict[int, Record]:
    numbers = ", ".join(str(row) for row in sorted(offsets))
    rows = connection.execute(
        f"select __record.file_row_number, left(__record::varchar, {SHOWN}) "
        f"from read_parquet({literal(plain(part.opened.readable))}, file_row_number = true) as __record "
        f"where __record.file_row_number in ({numbers})"
    ).fetchall()
    return {int(row): Record(int(row) + 1, text) for row, text in rows}
