"""What a source's `plan` returns, checked before a file is read."""

from __future__ import annotations

from pathlib import Path

from graphsocial.errors import InputError, MissingFileError, UnknownNameError
from graphsocial.sources.base import Plan, RawTable, Rows
from graphsocial.store.beside import check_dataset_name
from graphsocial.types import SQL_TYPES, NodeType


def check_plan(plan: object, source: str) -> None:
    """Check that a plan's tables, columns and rows fit each other.

    Args:
        plan: what the source's `plan` returned.
        source: the name of its class, for errors.

    Raises:
        InputError: it is no `Plan`, or a part of it does not fit the others.
        MissingFileError: a table names a file that does not exist.
    """
    who = f"{source}.plan()"
    if not isinstance(plan, Plan):
        given = "None" if plan is None else f"a value of type {type(plan).__name__}"
        raise InputError(f"{who} returned {given}; it must return a Plan.")
    check_dataset_name(plan.dataset, who)
    for word, parts, kind in (("tables", plan.tables, RawTable), ("rows", plan.rows, Rows)):
        if not isinstance(parts, tuple) or not all(isinstance(part, kind) for part in parts) or not parts:
            given = f"{len(parts)} values" if isinstance(parts, tuple) else f"a value of type {type(parts).__name__}"
            raise InputError(f"{who} gave {given} as {word}; it takes a tuple of {kind.__name__}, at least one.")
    for table in plan.tables:
        _check_table(table, who)
    known = [*(table.name for table in plan.tables), *(name for name, _ in plan.derived)]
    for rows in plan.rows:
        if rows.table not in known:
            raise InputError(f"{who}: rows of '{rows.into}': {UnknownNameError.of('raw table', rows.table, known)}")
        _check_rows(rows, who)
    _ = plan.schema  # which checks that each edge type has its node types


def _check_table(table: RawTable, who: str) -> None:
    for column in table.columns:
        if column.kind not in SQL_TYPES:
            unknown = UnknownNameError.of("column kind", column.kind, SQL_TYPES)
            raise InputError(f"{who}: column '{column.name}' of table '{table.name}': {unknown}")
    for file in table.files:
        if not isinstance(file, Path) or not file.is_file():
            raise MissingFileError(f"{who} names {str(file)!r} as a file of table '{table.name}'; there is none.")
    if not table.files:
        raise InputError(f"{who} names no files for table '{table.name}'; leave it out, or raise missing_table().")
    names = [column.name for column in table.columns]
    for name in table.unique:
        if name not in names:
            raise InputError(f"{who}: unique of table '{table.name}': {UnknownNameError.of('column', name, names)}")


def _check_rows(rows: Rows, who: str) -> None:
    keys = {"id"} if isinstance(rows.into, NodeType) else {"src", "dst"}
    if set(rows.keys) != keys:
        raise InputError(
            f"{who} gives rows of '{rows.into}' the keys {sorted(rows.keys)}; they are {' and '.join(sorted(keys))}."
        )
    names = [column.name for column in rows.into.columns]
    for name in rows.columns:
        if name not in names:
            raise InputError(f"{who}: rows of '{rows.into}': {UnknownNameError.of('column', name, names)}")
