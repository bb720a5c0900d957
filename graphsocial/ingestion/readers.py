"""Opens one raw file, whatever its format, as an SQL relation whose columns have the file's own names."""

from __future__ import annotations

import csv
import gzip
import zlib
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO

import duckdb

from graphsocial.errors import InputError
from graphsocial.sources.base import RawTable
from graphsocial.store.sql import literal, quote

DELIMITERS = (",", "\t", ";")  # not |, which separates the entries of a list
MALFORMED = "__malformed"  # a column with the reason why DuckDB's row is not a row; '' for a blank line
ERRORS, SCANS = (
    "unparsed_records",
    "unparsed_scans",
)  # where DuckDB notes the records of a CSV file that it cannot parse
LONGEST_LINE = 8_000_000  # bytes
NOTED = f"store_rejects = true, rejects_table = '{ERRORS}', rejects_scan = '{SCANS}'"


@dataclass(frozen=True)
class Opened:
    """One file, ready to be selected from.

    Attributes:
        file: the file.
        relation: an SQL select; records of a text file that DuckDB cannot parse are left out and noted in `ERRORS`.
        lookup: the same without the notes, for other tables' SQL.
        types: the DuckDB type of each column; all `VARCHAR` in text files.
        checks_itself: the relation has the column `MALFORMED` too.
        delimiter: for CSV, the one that was given or found out.
    """

    file: Path
    relation: str
    lookup: str
    types: dict[str, str]
    checks_itself: bool = False
    delimiter: str = ","


def file_format(file: Path) -> str:
    """`csv`, `jsonl` or `parquet`, by the file's name; what is neither is read as CSV."""
    name = file.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        return "parquet"
    return "jsonl" if name.endswith((".jsonl", ".ndjson")) else "csv"


def open_file(
    connection: duckdb.DuckDBPyConnection, table: RawTable, file: Path, *, scratch: Path, mixed: bool = False
) -> Opened:
    """Look at the head of a file and say how to read it.

    Args:
        connection: where JSON lines are parsed.
        table: how the file is to be read.
        file: the file.
        scratch: a folder of our own for the UTF-8 copy of a file in another encoding.
        mixed: the text file has different line ends, which DuckDB does not read; read a copy with equal ones.

    Raises:
        InputError: the file cannot be read or its header cannot be used.
    """
    if file_format(file) == "parquet":
        return _open_parquet(connection, file)
    readable = file if _is_utf8(table) and not mixed else _copy(file, table.encoding, scratch, mixed=mixed)
    if file_format(file) == "jsonl":
        return _open_json_lines(connection, file, readable)
    return _open_csv(table, file, readable)


def open_text(file: Path, encoding: str, *, errors: str = "strict", newline: str | None = "") -> IO[str]:
    """A text file, gzipped or not, without a byte order mark; its line ends stay as they are by default."""
    if _lower(encoding) in ("utf8", "utf_8"):
        encoding = "utf-8-sig"
    if file.suffix.lower() == ".gz":
        return TextIOWrapper(gzip.open(file), encoding=encoding, errors=errors, newline=newline)
    return file.open(encoding=encoding, errors=errors, newline=newline)


def _lower(encoding: str) -> str:
    return encoding.lower().replace("-", "_")


def _is_utf8(table: RawTable) -> bool:
    try:
        "".encode(table.encoding)
    except LookupError as error:
        raise InputError(
            f"'{table.encoding}' is no encoding that Python knows; for table '{table.name}' give one such as "
            "utf-8, latin-1, utf-16 or gb18030."
        ) from error
    return _lower(table.encoding) in ("utf8", "utf_8", "utf_8_sig", "ascii")


def _copy(file: Path, encoding: str, scratch: Path, *, mixed: bool) -> Path:
    """A UTF-8 copy; bytes that are not UTF-8 in a file that should be stay as they are, to be rejected row by row."""
    errors = "surrogateescape" if _lower(encoding) in ("utf8", "utf_8") else "strict"
    copy = scratch / f"{len(list(scratch.iterdir()))}-{file.name.removesuffix('.gz')}"
    try:
        with (
            open_text(file, encoding, errors=errors, newline=None if mixed else "") as source,
            copy.open("w", encoding="utf-8", errors=errors, newline="") as target,
        ):
            while block := source.read(1 << 20):
                target.write(block)
    except UnicodeError as error:
        raise InputError(f"'{file}' is not {encoding} throughout ({error}); give its real encoding.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{file}' cannot be read: {error}") from error
    return copy


def _open_csv(table: RawTable, file: Path, readable: Path) -> Opened:
    delimiter, header = _header(table, file, readable)
    if table.has_header:
        names = _usable(header, file)
    else:
        names = list(table.names) or [column.source_name for column in table.columns if column.sql is None]
        if header and len(header) < len(names):
            raise InputError(f"'{file}' has {len(header)} fields a row, but {len(names)} names are given: {names}.")
        names += [f"column_{number}" for number in range(len(names) + 1, len(header) + 1)]
    types = dict.fromkeys(names, "VARCHAR")
    if not header:
        nothing = f"select {', '.join(f'null::varchar as {quote(name)}' for name in names) or 1} where false"
        return Opened(file, nothing, nothing, types)
    fields = ", ".join(f"c{number}: 'varchar'" for number in range(len(names)))
    nulls = ", ".join(literal(null) for null in ("", *table.nulls))

    def relation(errors: str) -> str:
        return (
            f"select {', '.join(f'c{number} as {quote(name)}' for number, name in enumerate(names))} "
            f"from read_csv({literal(plain(readable))}, auto_detect = false, columns = {{{fields}}}, "
            f"header = {str(table.has_header).lower()}, delim = {literal(delimiter)}, quote = '\"', escape = '\"', "
            f"nullstr = [{nulls}], max_line_size = {LONGEST_LINE}, {errors})"
        )

    return Opened(file, relation(NOTED), relation("ignore_errors = true"), types, delimiter=delimiter)


def _header(table: RawTable, file: Path, readable: Path) -> tuple[str, list[str]]:
    """The delimiter and the fields of the first record; none in an empty file."""
    with readable.open("rb") as raw:
        if raw.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"'{file}' is not UTF-8 but UTF-16; set `encoding: utf-16` for it.")
    given = table.delimiter or ("\t" if ".tsv" in file.suffixes else None)
    if given is not None and len(given) != 1:
        raise InputError(f"The delimiter of table '{table.name}' must be one character, not {given!r}.")
    found: list[tuple[str, list[str]]] = []
    try:
        for delimiter in (given,) if given else DELIMITERS:
            with open_text(readable, "utf-8", errors="replace") as text:
                found.append((delimiter, next(csv.reader(text, delimiter=delimiter), [])))
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise InputError(f"'{file}' cannot be read: {error}") from error
    return max(found, key=lambda pair: len(pair[1]))


def _usable(header: list[str], file: Path) -> list[str]:
    names: list[str] = []
    for number, name in enumerate((name.strip() for name in header), start=1):
        if "\ufffd" in name:
            raise InputError(f"The header of '{file}' is not UTF-8; set `encoding` for it, latin-1 for example.")
        if any(name.lower() == other.lower() for other in names):
            raise InputError(f"'{file}' has two columns called '{name}'; rename one.")
        names.append(name or f"column_{number}")
    return names


def _open_json_lines(connection: duckdb.DuckDBPyConnection, file: Path, readable: Path) -> Opened:
    """JSON lines as text: a line that is no object stays a row, with a reason."""

    def lines(errors: str) -> str:
        return (
            f"read_csv({literal(plain(readable))}, auto_detect = false, columns = {{line: 'varchar'}}, header = false, "
            f"delim = '\x01', quote = '', escape = '', max_line_size = {LONGEST_LINE}, {errors})"
        )

    is_object = "json_valid(line) and json_type(line) = 'OBJECT'"
    keys_of = f"select distinct unnest(json_keys(line)) as key from {lines('ignore_errors = true')} where {is_object}"
    try:
        keys = [key for (key,) in connection.execute(f"{keys_of} order by key").fetchall()]
    except duckdb.Error as error:
        raise unreadable(file, error) from error
    pointers = ", ".join(literal("/" + key.replace("~", "~0").replace("/", "~1")) for key in keys)
    fields = "".join(f", fields[{number}] as {quote(key)}" for number, key in enumerate(keys, start=1))

    def relation(errors: str) -> str:
        return f"""
            select
                case
                    when line is null then ''
                    when fields is null then 'the line is not a JSON object'
                end as {MALFORMED}{fields}
            from (
                select line, case when {is_object} then json_extract_string(line, [{pointers}]::varchar[]) end as fields
                from {lines(errors)}
            )
        """

    lookup = f"select * exclude ({MALFORMED}) from ({relation('ignore_errors = true')}) where {MALFORMED} is null"
    return Opened(file, relation(NOTED), lookup, dict.fromkeys(keys, "VARCHAR"), checks_itself=True)


def _open_parquet(connection: duckdb.DuckDBPyConnection, file: Path) -> Opened:
    relation = f"select * from read_parquet({literal(plain(file))})"
    try:
        types = {name: kind for name, kind, *_ in connection.execute(f"describe {relation}").fetchall()}
    except duckdb.Error as error:
        raise unreadable(file, error) from error
    return Opened(file, relation, relation, types)


def forget_errors(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the tables in which DuckDB notes unreadable records."""
    connection.execute(f"drop table if exists {ERRORS}")
    connection.execute(f"drop table if exists {SCANS}")


def unreadable(file: Path, error: Exception) -> InputError:
    """DuckDB's complaint about a file, in one line."""
    return InputError(f"'{file}' cannot be read: {str(error).strip().splitlines()[0]}")


def plain(file: Path) -> str:
    """The path for DuckDB, in which * ? [ ] stand for themselves."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(file))
