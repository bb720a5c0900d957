"""Opens one raw file, whatever its format, as an SQL relation whose columns have the file's own names."""

from __future__ import annotations

import zlib
from pathlib import Path

import duckdb

from graphsocial.errors import InputError
from graphsocial.ingestion.containers import PARQUET, unpacked
from graphsocial.ingestion.csv_files import open_csv
from graphsocial.ingestion.encodings import is_utf8, utf8_copy
from graphsocial.ingestion.json_documents import as_lines, is_json, is_lines
from graphsocial.ingestion.json_lines import open_json_lines
from graphsocial.ingestion.opened import MALFORMED, Opened, plain, unreadable, without_nulls
from graphsocial.sources.base import RawTable
from graphsocial.store.sql import ROW_NUMBER, literal, quote

TEXT_OPTIONS = ("delimiter", "quote", "comment", "skip", "decimal", "thousands", "names", "has_header")
"""The fields of `RawTable` that only CSV files have."""


def open_file(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    file: Path,
    *,
    scratch: Path,
    mixed_line_ends: bool = False,
) -> Opened:
    """Read the head of a file and say how to read the rest.

    Args:
        connection: where JSON lines are parsed.
        table: how the file is to be read.
        file: the file.
        scratch: a folder of our own for copies.
        mixed_line_ends: the text file has different line ends, which DuckDB does not read; read a copy with equal ones.

    Raises:
        InputError: the file cannot be read, its header cannot be used, or the table has an option that does nothing.
    """
    content = unpacked(file, scratch)
    try:
        opened = _open(connection, table, file, content, scratch, mixed_line_ends=mixed_line_ends)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{file}' cannot be read: {error}") from error
    for name in opened.types:
        if name.lower() in (ROW_NUMBER, MALFORMED):
            raise InputError(f"'{file}' has a column '{name}', which is a name of graphsocial's own; rename it.")
    return opened


def _open(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    file: Path,
    content: Path,
    scratch: Path,
    *,
    mixed_line_ends: bool,
) -> Opened:
    if table.decimal and table.decimal == (table.thousands or ""):
        raise InputError(f"decimal and thousands of table '{table.name}' are both {table.decimal!r}; give two.")
    with content.open("rb") as raw:
        magic = raw.read(4)
    if magic == PARQUET or file.suffix.lower() == ".parquet":
        _check_options(table, file, "a Parquet file", (*TEXT_OPTIONS, "encoding", "records"))
        return _open_parquet(connection, table, file, content)
    if magic[:2] in (b"\xff\xfe", b"\xfe\xff") and is_utf8(table):
        raise InputError(f"'{file}' is not UTF-8 but UTF-16; set `encoding: utf-16` for it.")
    if not is_utf8(table):
        content = utf8_copy(content, table.encoding, scratch, mixed_line_ends=mixed_line_ends, file=file)
    elif mixed_line_ends:
        content = utf8_copy(content, table.encoding, scratch, mixed_line_ends=True, file=file)
    if table.records or is_json(content, "utf-8", file.name, by_content=table.delimiter is None):
        _check_options(table, file, "a JSON file", TEXT_OPTIONS)
        if table.records or not is_lines(content, "utf-8"):
            copy = scratch / f"{len(list(scratch.iterdir()))}-records.jsonl"
            lines = as_lines(file, content, "utf-8", table.records, copy)
            return open_json_lines(connection, table, file, copy, lines)
        return open_json_lines(connection, table, file, content)
    _check_options(table, file, "a CSV file", ("records",))
    return open_csv(table, file, content, scratch)


def _check_options(table: RawTable, file: Path, what: str, options: tuple[str, ...]) -> None:
    """Raise `InputError` where an option is set that does nothing for the file's format."""
    plain = RawTable("", (), ())
    for name in options:
        if getattr(table, name) != getattr(plain, name):
            word = "header" if name == "has_header" else name
            raise InputError(
                f"'{file}' is {what}, for which `{word}` does nothing; leave it out of table '{table.name}'."
            )


def _open_parquet(connection: duckdb.DuckDBPyConnection, table: RawTable, file: Path, content: Path) -> Opened:
    rows = f"select * from read_parquet({literal(plain(content))})"
    try:
        described = connection.execute(f"describe {rows}").fetchall()
    except duckdb.Error as error:
        raise unreadable(file, error) from error
    types = {name: kind for name, kind, *_ in described}
    texts = [name for name, kind in types.items() if kind == "VARCHAR"] if table.nulls else []
    if texts:
        replaced = ", ".join(f"{without_nulls(quote(name), table)} as {quote(name)}" for name in texts)
        rows = f"select * replace ({replaced}) from read_parquet({literal(plain(content))})"
    return Opened(file, rows, rows, types, "parquet", content)
