"""Opens one raw file, whatever its format, as an SQL relation whose columns have the file's own names."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import duckdb

from graphsocial.errors import InputError
from graphsocial.ingestion.containers import PARQUET, unpacked
from graphsocial.ingestion.encodings import is_utf8, open_text, suggested, utf8_copy
from graphsocial.ingestion.json_documents import as_lines, is_json, is_lines
from graphsocial.ingestion.parse_errors import NOTED
from graphsocial.ingestion.preambles import Preamble
from graphsocial.ingestion.records import LONGEST_LINE, Splitter
from graphsocial.sources.base import RawTable
from graphsocial.store.sql import ROW_NUMBER, literal, quote

DELIMITERS = (",", "\t", ";")  # not |, which separates the entries of a list
LOOK = 1000  # records at which to look for decimal commas
MALFORMED = "__malformed"  # a column with the reason why DuckDB's row is not a row; '' for a blank line
IGNORED = "ignore_errors = true"  # an option of `read_csv`: leave out what cannot be parsed
IS_OBJECT = "json_valid(line) and json_type(line) = 'OBJECT'"
TEXT_OPTIONS = ("delimiter", "quote", "comment", "skip", "decimal", "thousands", "names", "has_header")
"""The fields of `RawTable` that only CSV files have."""


@dataclass(frozen=True)
class Opened:
    """One file, ready to be selected from.

    Attributes:
        file: the file.
        relation: an SQL select; it leaves out records of a text file that DuckDB cannot parse, and notes them.
        lookup: the same without the notes, for other tables' SQL.
        types: the DuckDB type of each column; all `VARCHAR` in text files.
        format: `csv`, `jsonl` or `parquet`.
        readable: what DuckDB reads: the file, or its copy: unpacked, in UTF-8, one JSON record a line.
        renamed: columns whose SQL name is another one, since another column's differs in case only.
        splitter: of a text file, what its records are.
        header: number of records that name the columns.
        lines: of a copy with other lines than the file, the file's number of each.
        decimal, thousands: the separators of numbers.
        notes: sentences about what was found by looking.
    """

    file: Path
    relation: str
    lookup: str
    types: dict[str, str]
    format: str = "csv"
    readable: Path = Path()
    renamed: dict[str, str] = field(default_factory=dict)
    splitter: Splitter | None = None
    header: int = 0
    lines: Sequence[int] | None = None
    decimal: str = "."
    thousands: str = ""
    notes: tuple[str, ...] = ()

    @property
    def checks_itself(self) -> bool:
        """Whether the relation has the column `MALFORMED` too."""
        return self.format == "jsonl"

    @property
    def skips_blank(self) -> bool:
        """Whether an empty line is no row; where rows have one field it is a row without a value."""
        return self.format == "csv" and len(self.types) > 1

    def column(self, name: str) -> str:
        """The SQL identifier of a column."""
        return quote(self.renamed.get(name, name))

    def reading(self, copy: Path) -> Opened:
        """The same from a copy of the text file."""
        old, new = (f"read_csv({literal(plain(path))}," for path in (self.readable, copy))
        return replace(self, readable=copy, relation=self.relation.replace(old, new))

    def line(self, number: int) -> int:
        """The file's line of a line that is read."""
        return number if self.lines is None or number > len(self.lines) else self.lines[number - 1]


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
            return _open_json_lines(connection, table, file, copy, lines)
        return _open_json_lines(connection, table, file, content)
    _check_options(table, file, "a CSV file", ("records",))
    return _open_csv(table, file, content, scratch)


def _check_options(table: RawTable, file: Path, what: str, options: tuple[str, ...]) -> None:
    """Raise `InputError` where an option is set that does nothing for the file's format."""
    plain = RawTable("", (), ())
    for name in options:
        if getattr(table, name) != getattr(plain, name):
            word = "header" if name == "has_header" else name
            raise InputError(
                f"'{file}' is {what}, for which `{word}` does nothing; leave it out of table '{table.name}'."
            )


def _open_csv(table: RawTable, file: Path, content: Path, scratch: Path) -> Opened:
    given = table.delimiter or ("\t" if ".tsv" in file.suffixes else None)
    for name, value in (("delimiter", given), ("quote", table.quote)):
        if value and len(value) != 1:
            raise InputError(f"The {name} of table '{table.name}' must be one character, not {value!r}.")
    preamble = Preamble.of(table, content, (given,) if given else DELIMITERS)
    content, lines = preamble.removed(content, scratch)
    header, delimiter = preamble.fields, preamble.delimiter
    names = _column_names(header, file) if table.has_header else _given_names(table, header, file)
    types = dict.fromkeys(names, "VARCHAR")
    splitter = Splitter(len(names), delimiter, table.quote)
    if not header:
        nothing = f"select {', '.join(f'null::varchar as {quote(name)}' for name in names) or 1} where false"
        return Opened(file, nothing, nothing, types, "csv", content, splitter=splitter)
    used = _used_columns(table, names)
    fields = ", ".join(f"c{number} as {quote(name)}" for number, name in enumerate(names) if name in used)
    columns = ", ".join(f"c{number}: 'varchar'" for number in range(len(names)))
    nulls = ", ".join(literal(null) for null in ("", *table.nulls))
    options = (
        f"columns = {{{columns}}}, header = {str(table.has_header).lower()}, delim = {literal(delimiter)}, "
        f"quote = {literal(table.quote)}, escape = {literal(table.quote)}, nullstr = [{nulls}]"
    )
    decimal, thousands = table.decimal or ".", table.thousands or ""
    notes = []
    if preamble.skip > table.skip and table.comment is None:
        notes.append(f"{preamble.skip - table.skip:,} lines before the rows of '{file.name}' are left out as comments.")
    if table.decimal is None and delimiter != ",":
        numbers = {column.source_name for column in table.columns if column.kind in ("number", "integer")}
        with open_text(content, "utf-8", errors="replace") as text:
            head = [splitter.fields(record.text) for record in islice(splitter.records(text), 1, LOOK)]
        if has_decimal_commas(row[n] for row in head for n in range(min(len(row), len(names))) if names[n] in numbers):
            decimal, thousands = ",", table.thousands or "."
            notes.append(f"Numbers in '{file.name}' are read with a decimal comma.")
    return Opened(
        file,
        f"select {fields} from {_read_csv(content, options, NOTED)}",
        f"select {fields} from {_read_csv(content, options, IGNORED)}",
        types,
        "csv",
        content,
        splitter=splitter,
        header=int(table.has_header),
        lines=lines,
        decimal=decimal,
        thousands=thousands,
        notes=tuple(notes),
    )


def has_decimal_commas(numbers: Iterable[str]) -> bool:
    """Whether numbers are written with a decimal comma: some can only be so, and none with a decimal point.

    1,234 is not evidence, since it may be a thousand.
    """
    given = [number.strip() for number in numbers if number.strip()]
    comma = re.compile(r"[+-]?([0-9]{1,3}([.][0-9]{3})+,[0-9]+|[0-9]+,([0-9]{1,2}|[0-9]{4,}))")
    point = re.compile(r"[+-]?([0-9]{1,3}(,[0-9]{3})+[.][0-9]+|[0-9]+[.]([0-9]{1,2}|[0-9]{4,}))")
    return any(map(comma.fullmatch, given)) and not any(map(point.fullmatch, given))


def _used_columns(table: RawTable, names: Sequence[str]) -> set[str]:
    """The columns that are read: all where an SQL expression may name any."""
    used = {column.source_name for column in table.columns if column.sql is None}
    return set(names) if not table.columns or any(column.sql for column in table.columns) else used & set(names)


def _read_csv(file: Path, options: str, errors: str) -> str:
    return f"read_csv({literal(plain(file))}, auto_detect = false, max_line_size = {LONGEST_LINE}, {options}, {errors})"


def _column_names(header: list[str], file: Path) -> list[str]:
    """The names in the header; a column without one is called by its number."""
    names: list[str] = []
    seen = set[str]()
    for number, name in enumerate((name.strip() for name in header), start=1):
        if "\ufffd" in name:
            raise InputError(
                f"The header of '{file}' is not UTF-8; set `encoding` for it, {suggested(file)} for example."
            )
        name = name or f"column_{number}"
        if name.lower() in seen:
            raise InputError(f"'{file}' has two columns called '{name}'; rename one.")
        seen.add(name.lower())
        names.append(name)
    return names


def _given_names(table: RawTable, first_record: list[str], file: Path) -> list[str]:
    """The names that the table gives to a file without a header; further columns are called by their number."""
    names = list(table.names) or [column.source_name for column in table.columns if column.sql is None]
    if first_record and len(first_record) < len(names):
        raise InputError(f"'{file}' has {len(first_record)} fields a row, but {len(names)} names are given: {names}.")
    return names + [f"column_{number}" for number in range(len(names) + 1, len(first_record) + 1)]


def _open_json_lines(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    file: Path,
    readable: Path,
    lines: Sequence[int] | None = None,
) -> Opened:
    """JSON lines as text: a line that is no object stays a row, with a reason."""
    options = "columns = {line: 'varchar'}, header = false, delim = '\x01', quote = '', escape = ''"
    noting, ignoring = _read_csv(readable, options, NOTED), _read_csv(readable, options, IGNORED)
    keys = _json_keys(connection, file, ignoring)
    renamed = _renamed(keys)
    names = {key: renamed.get(key, key) for key in keys}
    lookup = f"select * exclude ({MALFORMED}) from ({_json_objects(ignoring, names, table)}) where {MALFORMED} is null"
    return Opened(
        file,
        _json_objects(noting, names, table),
        lookup,
        dict.fromkeys(keys, "VARCHAR"),
        "jsonl",
        readable,
        renamed,
        Splitter(1, "\x01", ""),
        lines=lines,
    )


def _renamed(names: Sequence[str]) -> dict[str, str]:
    """New SQL names for columns that differ in case only, which SQL does not tell apart."""
    counts = Counter(name.lower() for name in names)
    return {name: f"{name} ({number})" for number, name in enumerate(names) if counts[name.lower()] > 1}


def _json_keys(connection: duckdb.DuckDBPyConnection, file: Path, lines: str) -> list[str]:
    """The keys of all objects, sorted."""
    keys = f"select distinct unnest(json_keys(line)) as key from {lines} where {IS_OBJECT} order by key"
    try:
        return [key for (key,) in connection.execute(keys).fetchall()]
    except duckdb.Error as error:
        raise unreadable(file, error) from error


def _json_objects(lines: str, names: dict[str, str], table: RawTable) -> str:
    """SQL: a column for each key, by its SQL name, and `MALFORMED` for lines that are no objects."""
    pointers = ", ".join(literal("/" + key.replace("~", "~0").replace("/", "~1")) for key in names)
    fields = "".join(
        f", {_without_nulls(f'fields[{number}]', table)} as {quote(name)}"
        for number, name in enumerate(names.values(), start=1)
    )
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


def _without_nulls(value: str, table: RawTable) -> str:
    """SQL of a text, null where it is one of the table's `nulls`."""
    if not table.nulls:
        return value
    return f"case when {value} not in ({', '.join(map(literal, table.nulls))}) then {value} end"


def _open_parquet(connection: duckdb.DuckDBPyConnection, table: RawTable, file: Path, content: Path) -> Opened:
    rows = f"select * from read_parquet({literal(plain(content))})"
    try:
        described = connection.execute(f"describe {rows}").fetchall()
    except duckdb.Error as error:
        raise unreadable(file, error) from error
    types = {name: kind for name, kind, *_ in described}
    texts = [name for name, kind in types.items() if kind == "VARCHAR"] if table.nulls else []
    if texts:
        replaced = ", ".join(f"{_without_nulls(quote(name), table)} as {quote(name)}" for name in texts)
        rows = f"select * replace ({replaced}) from read_parquet({literal(plain(content))})"
    return Opened(file, rows, rows, types, "parquet", content)


def unreadable(file: Path, error: Exception) -> InputError:
    """DuckDB's complaint about a file, in one line."""
    return InputError(f"'{file}' cannot be read: {str(error).strip().splitlines()[0]}")


def plain(file: Path) -> str:
    """The path for DuckDB, in which * ? [ ] stand for themselves."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(file))
