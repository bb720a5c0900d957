"""The few words of SQL that are put together by hand: names, texts and times, safe for any value."""

from __future__ import annotations

from datetime import datetime, timezone

from graphsocial.errors import InputError

ROW_NUMBER = "__row_number"
"""A row's number among the rows it came with, in SQL that has users' columns too: no declared column has this name."""


def quote(name: str) -> str:
    """An SQL identifier, safe for any name."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """An SQL string literal, for the few places where DuckDB takes no parameter."""
    return "'" + value.replace("'", "''") + "'"


def utc(time: datetime | str) -> datetime:
    """A time as an aware UTC datetime; text is ISO 8601, and what has no zone is UTC.

    Raises:
        InputError: the text is not ISO 8601.
    """
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.replace("Z", "+00:00"))
        except ValueError as error:
            raise InputError(f"'{time}' is not a time; write it like 2016-05-20 or 2016-05-20T12:00:00Z.") from error
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)
