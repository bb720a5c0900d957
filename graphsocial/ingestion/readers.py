"""Opens one raw file, whatever its format, as an SQL relation whose columns have the file's own names."""

from __future__ import annotations

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import duckdb

from graphsocial.errors import InputError
from graphsocial.ingestion.encodings import is_utf8, open_text, utf8_copy
from graphsocial.ingestion.parse_errors import NOTED
from graphsocial.sources.base import RawTable
from graphsocial.store.sql import ROW_NUMBER, literal, quote

DELIMITERS = (",", "\t", ";")  # not |, which separates the entries of a list
MALFORMED = "__malformed"  # a column with the reason why DuckDB's row is not a row; '' for a blank line
LONGEST_LINE = 8_000_000  # bytes
IGNORED = "ignore_errors = true"  # an option of `read_csv`: leave out what cannot be parsed
IS_OBJECT = "json_valid(line) and json_type(line) = 'OBJECT'"


@dataclass(frozen=True)
class Opened:
    """One file, ready to be selected from.

    Attributes:
        file: the file.
        relation: an SQL select; it leaves out records of a text file that DuckDB cannot parse, and notes them.
        lookup: the same without the notes, for other tables' SQL.
        types: the DuckDB type of each column; all `VARCHAR` in text files.
        checks_itself: the relation has the column `MALFORMED` too.
        delimiter: of CSV, given or inferred.
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
        scratch: a folder of our own for the UTF-8 copy of a file in another encoding.
        mixed_line_ends: the text file has different line ends, which DuckDB does not read; read a copy with equal ones.

    Raises:
        InputError: the file cannot be read or its header cannot be used.
    """
    if file_format(file) == "parquet":
        opened = _open_parquet(connection, file)
    else:
        readable = file
        if mixed_line_ends or not is_utf8(table):
            readable = utf8_copy(file, table.encoding, scratch, mixed_line_ends=mixed_line_ends)
        if file_format(file) == "jsonl":
            opened = _open_json_lines(connection, file, readable)
        else:
            opened = _open_csv(table, file, readable)
    for name in opened.types:
        if name.lower() in (ROW_NUMBER, MALFORMED):
            raise InputError(f"'{file}' has a column '{name}', which is a name of graphsocial's own; rename it.")
    return opened


def _open_csv(table: RawTable, file: Path, readable: Path) -> Opened:
    delimiter, header = _header(table, file, readable)
    names = _column_names(header, file) if table.has_header else _given_names(table, header, file)
    types = dict.fromkeys(names, "VARCHAR")
    if not header:
        nothing = f"select {', '.join(f'null::varchar as {quote(name)}' for name in names) or 1} where false"
        return Opened(file, nothing, nothing, types)
    fields = ", ".join(f"c{number} as {quote(name)}" for number, name in enumerate(names))
    columns = ", ".join(f"c{number}: 'varchar'" for number in range(len(names)))
    nulls = ", ".join(literal(null) for null in ("", *table.nulls))
    options = (
        f"columns = {{{columns}}}, header = {str(table.has_header).lower()}, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', nullstr = [{nulls}]"
    )
    return Opened(
        file,
        f"select {fields} from {_read_csv(readable, options, NOTED)}",
        f"select {fields} from {_read_csv(readable, options, IGNORED)}",
        types,
        delimiter=delimiter,
    )


def _read_csv(file: Path, options: str, errors: str) -> str:
    return f"read_csv({literal(plain(file))}, auto_detect = false, max_line_size = {LONGEST_LINE}, {options}, {errors})"


def _header(table: RawTable, file: Path, readable: Path) -> tuple[str, list[str]]:
    """The delimiter and the fields of the first record; none in an empty file."""
    with readable.open("rb") as raw:
        if raw.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"'{file}' is not UTF-8 but UTF-16; set `encoding: utf-16` for it.")
    given = table.delimiter or ("\t" if ".tsv" in file.suffixes else None)
    if given is not None and len(given) != 1:
        raise InputError(f"The delimiter of table '{table.name}' must be one character, not {given!r}.")
    headers: list[tuple[str, list[str]]] = []
    try:
        for delimiter in (given,) if given else DELIMITERS:
            with open_text(readable, "utf-8", errors="replace") as text:
                headers.append((delimiter, next(csv.reader(text, delimiter=delimiter), [])))
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise InputError(f"'{file}' cannot be read: {error}") from error
    return max(headers, key=lambda pair: len(pair[1]))


def _column_names(header: list[str], file: Path) -> list[str]:
    """The names in the header; a column without one is called by its number."""
    names: list[str] = []
    for number, name in enumerate((name.strip() for name in header), start=1):
        if "\ufffd" in name:
            raise InputError(f"The header of '{file}' is not UTF-8; set `encoding` for it, latin-1 for example.")
        if any(name.lower() == other.lower() for other in names):
            raise InputError(f"'{file}' has two columns called '{name}'; rename one.")
        names.append(name or f"column_{number}")
    return names


def _given_names(table: RawTable, first_record: list[str], file: Path) -> list[str]:
    """The names that the table gives to a file without a header; further columns are called by their number."""
    names = list(table.names) or [column.source_name for column in table.columns if column.sql is None]
    if first_record and len(first_record) < len(names):
        raise InputError(f"'{file}' has {len(first_record)} fields a row, but {len(names)} names are given: {names}.")
    return names + [f"column_{number}" for number in range(len(names) + 1, len(first_record) + 1)]


def _open_json_lines(connection: duckdb.DuckDBPyConnection, file: Path, readable: Path) -> Opened:
    """JSON lines as text: a line that is no object stays a row, with a reason."""
    options = "columns = {line: 'varchar'}, header = false, delim = '\x01', quote = '', escape = ''"
    noting, ignoring = _read_csv(readable, options, NOTED), _read_csv(readable, options, IGNORED)
    keys = _json_keys(connection, file, ignoring)
    lookup = f"select * exclude ({MALFORMED}) from ({_json_objects(ignoring, keys)}) where {MALFORMED} is null"
    return Opened(file, _json_objects(noting, keys), lookup, dict.fromkeys(keys, "VARCHAR"), checks_itself=True)


def _json_keys(connection: duckdb.DuckDBPyConnection, file: Path, lines: str) -> list[str]:
    """The keys of all objects, sorted."""
    keys = f"select distinct unnest(json_keys(line)) as key from {lines} where {IS_OBJECT} order by key"
    try:
        return [key for (key,) in connection.execute(keys).fetchall()]
    except duckdb.Error as error:
        raise unreadable(file, error) from error


def _json_objects(lines: str, keys: list[str]) -> str:
    """SQL: a column for each key, and `MALFORMED` for lines that are no objects."""
    pointers = ", ".join(literal("/" + key.replace("~", "~0").replace("/", "~1")) for key in keys)
    fields = "".join(f", fields[{number}] as {quote(key)}" for number, key in enumerate(keys, start=1))
    return f"""
        select
            case
                when line is null then ''
                when fields is null then 'the line is not a JSON object'
            end as {MALFORMED}{fields}
        from (
            select line, case when {IS_OBJECT} then json_extract_string(line, [{pointers}]::varchar[]) end as fields
            from {lines}
        )
    """


def _open_parquet(connection: duckdb.DuckDBPyConnection, file: Path) -> Opened:
    relation = f"select * from read_parquet({literal(plain(file))})"
    try:
        types = {name: kind for name, kind, *_ in connection.execute(f"describe {relation}").fetchall()}
    except duckdb.Error as error:
        raise unreadable(file, error) from error
    return Opened(file, relation, relation, types)


def unreadable(file: Path, error: Exception) -> InputError:
    """DuckDB's complaint about a file, in one line."""
    return InputError(f"'{file}' cannot be read: {str(error).strip().splitlines()[0]}")


def plain(file: Path) -> str:
    """The path for DuckDB, in which * ? [ ] stand for themselves."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(file))
