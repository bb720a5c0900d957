"""The format of values: in JSON, in CSV and in a table."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def plain(value: Any) -> Any:
    """A value as JSON: times in ISO 8601, NaN and infinity as null."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if type(value) in (list, tuple):
        return [plain(entry) for entry in value]
    return str(value)


CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that steer a terminal or turn the direction of text; tabs and line ends are not among them."""


def escaped(value: Any, *, form: str = "\\x{:02x}") -> Any:
    """A text with its control characters written out, which a terminal would obey; other values as they are.

    Args:
        value: a text, or another value.
        form: of an escaped character, such as `\\x1b`.
    """
    if not isinstance(value, str) or value.isprintable():
        return value
    return CONTROL.sub(lambda match: form.format(ord(match[0])), value)


def unformulaic(value: Any) -> Any:
    """The same, with an apostrophe before what a spreadsheet takes for a formula."""
    shown = escaped(value)
    return f"'{shown}" if isinstance(shown, str) and shown.lstrip(" ").startswith(FORMULA) else shown


def rows_of(batch: Any) -> list[tuple[Any, ...]]:
    """The rows of an Arrow batch; times that Python does not know, such as BC or infinity, as DuckDB writes them."""
    columns = []
    for column in batch.columns:
        try:
            columns.append(column.to_pylist(maps_as_pydicts="lossy"))
        except (ValueError, OverflowError):  # noqa: PERF203 - of single columns
            columns.append(_as_text(column))
    return list(zip(*columns, strict=True))


def _as_text(column: Any) -> list[str | None]:
    import duckdb
    import pyarrow as pa

    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("batch", pa.table({"value": column}))
        return [text for (text,) in connection.execute("select value::varchar from batch").fetchall()]


class Figure(str):
    """A formatted number, for a right-aligned column."""


def number(value: float | None, spread: float | None = None, *, places: int = 3) -> Figure:
    """`0.412`, or `0.412 ± 0.010` with a spread.

    Args:
        value: a number; None is printed as a dash.
        spread: its standard deviation.
        places: number of decimals.
    """
    if value is None:
        return Figure("–")
    return Figure(f"{value:.{places}f}" + (f" ± {spread:.{places}f}" if spread is not None else ""))


def is_number(value: Any) -> bool:
    """Whether a value is right-aligned."""
    return isinstance(value, int | float | Decimal | Figure) and not isinstance(value, bool)


def cell(value: Any) -> Any:
    """A value as CSV: null as nothing, lists and maps as JSON."""
    value = value if isinstance(value, float) else plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def text(value: Any) -> str:
    """A table's cell: numbers shortened, control characters escaped."""
    kind = type(value)
    if kind is str and value.isprintable():
        return str(value)
    if value is None:
        return "null"
    if kind is int:
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.15g}"
    shown = str(cell(_short(value)))
    return shown if shown.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def _short(value: Any) -> Any:
    """Lists and maps with shortened numbers."""
    if isinstance(value, Mapping):
        return {key: _short(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_short(entry) for entry in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def distinct(columns: Sequence[str]) -> list[str]:
    """`a, a` → `a, a_1`, since the keys of an object are unique."""
    names: list[str] = []
    for name in columns:
        number, fresh = 0, name
        while fresh in names:
            number += 1
            fresh = f"{name}_{number}"
        names.append(fresh)
    return names


def one_line(text: str) -> str:
    """A text of several lines as one, without DuckDB's excerpt of the query."""
    text = re.sub(r"\n+LINE \d+:.*", "", text, flags=re.DOTALL)
    return " ".join(line.strip() for line in text.splitlines() if line.strip())
