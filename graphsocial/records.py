"""Finds rejected rows again in their file: the line where each begins, and its text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from graphsocial.reading import file_format, open_text, plain
from graphsocial.sources.base import RawTable
from graphsocial.sql import literal
from graphsocial.staging import Part

SHOWN = 200  # characters of a record


@dataclass(frozen=True)
class Record:
    """Where a rejected row stands in its file; a Parquet file has row numbers instead of lines."""

    line: int | None
    text: str


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
