"""Opens a CSV file: its header, delimiter and decimal separator, by the table's options or by looking."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from graphsocial.errors import InputError
from graphsocial.ingestion.encodings import open_text, suggested
from graphsocial.ingestion.opened import IGNORED, Opened, read_csv
from graphsocial.ingestion.parse_errors import NOTED
from graphsocial.ingestion.preambles import Preamble
from graphsocial.ingestion.records import Splitter
from graphsocial.sources.base import RawTable
from graphsocial.store.sql import literal, quote

DELIMITERS = (",", "\t", ";")  # not |, which separates the entries of a list
LOOK = 1000  # records at which to look for decimal commas


def open_csv(table: RawTable, file: Path, content: Path, scratch: Path) -> Opened:
    """Look at the head of a CSV file and say how to read the rest.

    Args:
        table: how the file is to be read.
        file: the file, for messages.
        content: the file or its copy in UTF-8.
        scratch: a folder of our own for copies.

    Raises:
        InputError: its header cannot be used, or the delimiter or quote is no single character.
    """
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
    comments = preamble.skip - table.skip - preamble.mended
    if comments and table.comment is None:
        lines_are = "1 line is" if comments == 1 else f"{comments:,} lines are"
        notes.append(f"Before the rows of '{file.name}' {lines_are} left out as comments.")
    if preamble.mended:
        notes.append(f"A quote in the header of '{file.name}' is not closed; its names are read without quotes.")
    if table.decimal is None and delimiter != ",":
        numbers = {column.source_name for column in table.columns if column.kind in ("number", "integer")}
        with open_text(content, "utf-8", errors="replace") as text:
            head = [splitter.fields(record.text) for record in islice(splitter.records(text), 1, LOOK)]
        if has_decimal_commas(row[n] for row in head for n in range(min(len(row), len(names))) if names[n] in numbers):
            decimal, thousands = ",", table.thousands or "."
            notes.append(f"Numbers in '{file.name}' are read with a decimal comma.")
    return Opened(
        file,
        f"select {fields} from {read_csv(content, options, NOTED)}",
        f"select {fields} from {read_csv(content, options, IGNORED)}",
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
