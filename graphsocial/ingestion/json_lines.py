"""Opens JSON lines as a table with a column for each key; a line that is no object stays a row, with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import duckdb

from graphsocial.ingestion.opened import IGNORED, MALFORMED, Opened, read_csv, unreadable, without_nulls
from graphsocial.ingestion.parse_errors import NOTED
from graphsocial.ingestion.records import Splitter
from graphsocial.sources.base import RawTable
from graphsocial.store.sql import literal, quote

IS_OBJECT = "json_valid(line) and json_type(line) = 'OBJECT'"


def open_json_lines(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    file: Path,
    readable: Path,
    lines: Sequence[int] | None = None,
) -> Opened:
    """Read the keys of JSON lines, and say how to read the rest.

    Args:
        connection: where the lines are parsed.
        table: how the file is to be read.
        file: the file, for messages.
        readable: the file, or its copy with a record a line.
        lines: of a copy, the file's line of each record.
    """
    options = "columns = {line: 'varchar'}, header = false, delim = '\x01', quote = '', escape = ''"
    noting, ignoring = read_csv(readable, options, NOTED), read_csv(readable, options, IGNORED)
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
        f", {without_nulls(f'fields[{number}]', table)} as {quote(name)}"
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
