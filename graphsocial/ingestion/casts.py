"""SQL that casts the raw values of a column to its kind, and gives the reason where a value cannot be used."""

from __future__ import annotations

import re

from graphsocial.ingestion import times
from graphsocial.sources.base import RawColumn
from graphsocial.store.sql import literal

ROUNDED = "[0-9]+([.,][0-9]+[eE][+]?|[eE][+])[0-9]+"  # not 12e34, which may be hexadecimal
ROUNDED_ID = "is an id that a spreadsheet or a number type has rounded; export it as text"
SHOWN = 60  # characters of a bad value in the reason
LARGEST_FLOAT = "3.4e38"  # vectors are float32


def raw_text(column: RawColumn, raw: str, duckdb_type: str) -> str:
    """SQL for a raw value as trimmed text, null when empty; of a vector that is a list already, only its length.

    A list of categories in which every entry is null, such as `[kind]` of a row without one, is empty.

    Args:
        column: what the values may be.
        raw: SQL of the raw value.
        duckdb_type: its DuckDB type, such as `VARCHAR` or `VARCHAR[]`.
    """
    if column.key and duckdb_type in ("DOUBLE", "FLOAT"):
        exact = 2**53 if duckdb_type == "DOUBLE" else 2**24  # whole numbers from there on are rounded
        whole = f"{raw} = trunc({raw}) and abs({raw}) < {exact}"
        rounded = f"when abs({raw}) >= {exact} then replace(format('{{:e}}', {raw}::double), ',', '')"
        return f"case when {whole} then {raw}::bigint::varchar {rounded} else ({raw})::varchar end"
    if duckdb_type.endswith("]"):
        if column.kind == "vector":
            return f"case when len({raw}) > 0 then len({raw}) || ' entries' end"
        return f"case when list_count({raw}) > 0 then ({raw})::varchar end"
    text = f"nullif(trim({raw}), '')" if duckdb_type == "VARCHAR" else f"nullif(trim(({raw})::varchar), '')"
    return f"nullif({text}, '[]')" if column.kind in ("categories", "vector") else text


def value(column: RawColumn, text: str, raw: str, duckdb_type: str) -> str:
    """SQL for the typed value; null when the text is not one.

    Args:
        column: what the values may be.
        text: SQL of the value's text, as of `raw_text`.
        raw: SQL of the raw value.
        duckdb_type: the raw value's DuckDB type.
    """
    is_list = duckdb_type.endswith("]")
    if column.kind == "categories":
        tidy = "lower(trim(entry))" if column.values else "trim(entry)"
        given = f"list_transform({raw}, lambda entry: to_json(entry)::varchar)" if "STRUCT" in duckdb_type else raw
        entries = f"case when {text} is not null then try_cast({given} as varchar[]) end" if is_list else _split(text)
        return f"list_transform({entries}, lambda entry: {tidy})"
    if column.kind == "vector":
        entries = (
            f"case when starts_with({text}, '[') then string_split(trim({text}, '[] '), ',') "
            f"else string_split({text}, '|') end"
        )
        return f"try_cast({raw if is_list else entries} as float[])"
    if column.kind == "category" and column.values:
        return f"lower({text})"
    if column.kind == "number":
        return f"try_cast({_plain_number(column, text)} as double)"
    if column.kind == "integer":
        number = _plain_number(column, text)
        return f"case when regexp_full_match({number}, '[+-]?[0-9]+([.]0*)?') then try_cast({number} as bigint) end"
    if column.kind == "boolean":
        return (
            f"case when list_contains(['true', 't', 'yes', 'y', '1'], lower({text})) then true "
            f"when list_contains(['false', 'f', 'no', 'n', '0'], lower({text})) then false end"
        )
    if column.kind == "timestamp":
        if duckdb_type.startswith(("TIMESTAMP", "DATE")):
            return f"try_cast({raw} as timestamptz)"
        return times.value(column.format, text)
    return text


def _plain_number(column: RawColumn, text: str) -> str:
    """SQL of a number's text with a decimal point and without thousands separators, null where they are misplaced."""
    if column.decimal == "." and not column.thousands:
        return text
    decimal, thousands = (re.escape(mark) if mark else "" for mark in (column.decimal, column.thousands))
    groups = f"[0-9]{{1,3}}({thousands}[0-9]{{3}})+|" if thousands else ""
    form = literal(f"[+-]?({groups}[0-9]*)({decimal}[0-9]*)?([eE][+-]?[0-9]+)?")
    bare = f"replace({text}, {literal(column.thousands)}, '')" if thousands else text
    return f"case when regexp_full_match({text}, {form}) then replace({bare}, {literal(column.decimal)}, '.') end"


def _split(text: str) -> str:
    listed = f"""coalesce(try(from_json({text}, '["VARCHAR"]')), try_cast({text} as varchar[]))"""
    return f"case when starts_with({text}, '[') then {listed} else string_split({text}, '|') end"


def reasons(column: RawColumn, text: str, value: str, *, when: str | None = None) -> list[tuple[str, str]]:
    """Pairs of SQL: the condition that a value cannot be used, and the reason.

    Args:
        column: what the values may be.
        text: SQL of the value's text, as of `raw_text`.
        value: SQL of the typed value, as of `value`.
        when: SQL of a boolean: rows for which it is not true are not checked.
    """
    name = column.source_name
    faults: list[tuple[str, str]] = []

    def reject(condition: str, reason: str, *, show: bool = True) -> None:
        shown = f" || ': ' || left({text}, {SHOWN})" if show else ""
        condition = condition if when is None else f"coalesce({when}, false) and ({condition})"
        faults.append((condition, literal(f"{name} {reason}") + shown))

    if column.required:
        reject(f"{text} is null", "is missing", show=False)
    if column.key:
        reject(f"regexp_full_match({text}, {literal(ROUNDED)})", ROUNDED_ID)
    not_cast = f"{text} is not null and {value} is null"
    if column.kind == "number":
        reject(not_cast, "is not a number")
        reject(f"not isfinite({value})", "is not finite")
    elif column.kind == "integer":
        reject(not_cast, "is not a whole number")
    elif column.kind == "boolean":
        reject(not_cast, "is not true or false")
    elif column.kind == "timestamp":
        years = "timestamptz '0001-01-01' and timestamptz '9999-12-31 23:59:59.999999'"
        reject(f"{not_cast} and {times.two_digit_year(column.format, text)}", times.TWO_DIGIT_YEAR)
        known = f"is not a time written like {column.format}" if column.format else "is not an ISO 8601 time"
        reject(f"{not_cast} or {value} not between {years}", known)
    elif column.entries:
        reject(not_cast, "is not a list")
    elif column.kind == "categories":
        full = f"len(list_filter({value}, lambda entry: entry <> ''))"
        reject(f"{not_cast} or {full} <> len({value})", "is a malformed list")
        if column.values:
            allowed = f"len(list_filter({value}, lambda entry: entry in ({_list(column.values)})))"  # 5 × list_has_all
            reject(f"{allowed} <> len({value})", f"is not among {', '.join(column.values)}")
    elif column.kind == "vector":
        finite = f"len(list_filter({value}, lambda entry: abs(entry) < {LARGEST_FLOAT}))"
        open_ended = f"starts_with({text}, '[') <> ends_with({text}, ']')"
        reject(f"{not_cast} or {open_ended} or {finite} <> len({value})", "is a malformed list of numbers")
    elif column.kind == "category" and column.values:
        reject(f"not list_contains([{_list(column.values)}], {value})", f"is not one of {', '.join(column.values)}")
    if column.kind in ("number", "integer"):
        if column.minimum is not None and column.maximum is not None:
            bounds = f"is not between {column.minimum:g} and {column.maximum:g}"
            reject(f"{value} not between {column.minimum!r} and {column.maximum!r}", bounds)
        elif column.minimum is not None:
            reject(f"{value} < {column.minimum!r}", f"is less than {column.minimum:g}")
        elif column.maximum is not None:
            reject(f"{value} > {column.maximum!r}", f"is more than {column.maximum:g}")
    return faults


def _list(values: tuple[str, ...]) -> str:
    return ", ".join(literal(value.lower()) for value in values)
