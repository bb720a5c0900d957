"""What DuckDB cannot parse of a CSV file: it notes such records in tables while it reads the others."""

from __future__ import annotations

import re
from contextlib import suppress

import duckdb

from graphsocial.ingestion.records import STRAY, TOO_LONG

_RECORDS, _SCANS = "__unparsed_records", "__unparsed_scans"
NOTED = f"store_rejects = true, rejects_table = '{_RECORDS}', rejects_scan = '{_SCANS}'"
"""Options of `read_csv` with which records that it cannot parse are left out and noted."""
NOT_UTF8 = "the row is not UTF-8; set `encoding` for this file"
_REASONS = {  # what DuckDB calls the error, and what we do
    "UNQUOTED VALUE": STRAY,
    "LINE SIZE OVER MAXIMUM": TOO_LONG,
    "INVALID ENCODING": NOT_UTF8,
    "INVALID STATE": "the row is not CSV",
}


def insert(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[int, dict[int, str]]:
    """Run an `insert` that reads files with the options `NOTED`.

    Returns:
        How many rows were inserted; record number in the file → reason for those that cannot be parsed.
    """
    try:
        row = connection.execute(statement).fetchone()
        return int(row[0]) if row else 0, _unparsed(connection)
    finally:
        with suppress(duckdb.Error):  # a transaction that has failed takes them along when it is rolled back
            for table in (_RECORDS, _SCANS):
                connection.execute(f"drop table if exists {table}")


def _unparsed(connection: duckdb.DuckDBPyConnection) -> dict[int, str]:
    """The records that were noted, with the first error of each."""
    if not connection.execute("select 1 from duckdb_tables() where table_name = ?", [_RECORDS]).fetchone():
        return {}
    errors = connection.execute(
        f"select line, error_type::varchar, error_message from {_RECORDS} order by line, byte_position"
    ).fetchall()
    reasons: dict[int, str] = {}
    for record, kind, message in errors:
        counts = re.search(r"Columns: (\d+) Found: (\d+)", message or "")
        reason = f"the row has {counts[2]} fields, not {counts[1]}" if counts else _REASONS.get(kind, str(message))
        reasons.setdefault(int(record), reason)
    return reasons
