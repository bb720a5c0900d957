"""Label SQL: the template that a task declares, the values of its `$names`, and the rows that it selects."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from string import Template

import duckdb
import pyarrow as pa

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.schemas import text
from graphsocial.store import GraphStore
from graphsocial.store.sql import literal, quote
from graphsocial.types import EdgeType, NodeType, Target


def label_sql(task_class: type, sql: str, targets: Sequence[Target], entity: NodeType | EdgeType) -> str:
    """The label SQL with its `$names`: given as text, in a file, or derived from the targets' columns.

    Args:
        task_class: the class that declares it; a file is beside its module.
        sql: an SQL select, a file name that ends in `.sql`, or empty to select the columns of the targets' names.
        targets: the declared targets.
        entity: the labelled node or edge type.

    Raises:
        InputError: there is no such file.
        UnknownNameError: `sql` is empty and the entity lacks a target's column.
    """
    if not sql:
        return _select_target_columns(targets, entity)
    if not sql.endswith(".sql"):
        return sql
    if task_class.__module__.startswith("graphsocial."):
        return str(text("tasks", sql))
    path = Path(inspect.getfile(task_class)).parent / sql
    if not path.is_file():
        raise InputError(f"{task_class.__name__} reads its label SQL from '{path}', and there is no such file.")
    return path.read_text(encoding="utf-8")


def sql_names(
    store: GraphStore,
    entity: NodeType | EdgeType,
    dataset: str,
    *,
    as_of: datetime | None,
    settings: Mapping[str, object],
) -> dict[str, str]:
    """The `$names` of every label SQL → the SQL that replaces them.

    Args:
        store: the open store.
        entity: the labelled node or edge type, whose visible rows are `$rows` and whose time column is `$time`.
        dataset: the dataset's name.
        as_of: only rows that existed at this time are visible; None for all.
        settings: fields of the task → their values, such as `$hours` → 24.

    Raises:
        InputError: a setting is called like one of the other `$names`.
    """
    tables = {entry.table for entry in store.schema.types}
    for name in settings:
        if name in tables or name in ("rows", "time"):
            raise InputError(f"The setting '{name}' is called like ${name} of the label SQL; give it another name.")
    return {
        **{entry.table: f"({store.visible(entry, dataset=dataset, as_of=as_of)})" for entry in store.schema.types},
        **{name: _sql_value(value) for name, value in settings.items()},
        "rows": f"({store.visible(entity, dataset=dataset, as_of=as_of)})",
        "time": quote(entity.time) if entity.time else "null::timestamptz",
    }


def select_labels(
    store: GraphStore, template: str, names: Mapping[str, str], entity: NodeType | EdgeType, *, task_name: str
) -> pa.Table:
    """The rows of a label SQL, sorted by `idx` or by (`src`, `dst`).

    Args:
        store: the open store.
        template: the label SQL with `$names`.
        names: `$names` → the SQL that replaces them.
        entity: the labelled node or edge type.
        task_name: name of the task's class, for errors.

    Raises:
        InputError: the SQL does not run, names something unknown, or lacks a column.
    """
    subject = f"The label SQL of {task_name}"
    try:
        select = Template(template).substitute(names)
    except KeyError as error:
        raise InputError(f"{subject}: {UnknownNameError.of('$name', str(error.args[0]), names)}") from None
    except ValueError as error:
        raise InputError(f"{subject}: {error}; write $$ for a dollar sign.") from None
    try:
        rows = store.sql(f"select * from (\n{select.strip().rstrip(';')}\n)")
    except InputError as error:
        raise InputError(f"{subject} does not run on '{entity}': {str(error).partition(': ')[2]}") from error
    keys = ("idx",) if isinstance(entity, NodeType) else ("src", "dst")
    for key in keys:
        if key not in rows.columns:
            raise InputError(f"{subject} selects no column '{key}'; it selects {', '.join(rows.columns)}.")
    try:
        table = rows.order(", ".join(keys)).to_arrow_table()
    except duckdb.Error as error:
        reason = str(error).replace("\\n", "\n").partition("\n")[0].rstrip(". ")
        raise InputError(f"{subject} fails on '{entity}': {reason}.") from error
    for key in keys:
        unknown = table[key].null_count
        if not pa.types.is_integer(table[key].type) and unknown < len(table):
            raise InputError(f"{subject} selects '{key}' as {table[key].type}; it takes the store's idx, a bigint.")
        if unknown:
            raise InputError(f"{subject} selects {unknown:,} rows without '{key}'; it names an example in each.")
    return table


def _select_target_columns(targets: Sequence[Target], entity: NodeType | EdgeType) -> str:
    """Select the columns of the targets' names.

    A pair of nodes has the labels and the time of its first labelled edge; of several at that time, the class if they
    agree, else null, and the mean of their numbers. Later edges, which nobody knew of then, change neither.
    """
    columns = [column.name for column in entity.columns]
    for target in targets:
        if target.name not in columns:
            raise UnknownNameError.of(f"column of '{entity}'", target.name, columns)
    fields = {target: quote(target.name) for target in targets}
    if isinstance(entity, EdgeType):
        single = "case when count(distinct {0}::varchar) = 1 then min({0}::varchar) end"
        fields = {t: (single if t.kind == "multiclass" else "avg({0}::double)").format(c) for t, c in fields.items()}
    selected = "".join(f", {sql} as {quote(target.name)}" for target, sql in fields.items())
    if isinstance(entity, NodeType):
        return f"select idx, $time as time{selected} from $rows"
    columns_of = "".join(f", {quote(target.name)}" for target in targets)
    labelled = " or ".join(f"{quote(target.name)} is not null" for target in targets)
    return (
        f"with edges as (select src, dst, $time as time{columns_of} from $rows), "
        "first_labelled as (select * from edges window pair as (partition by src, dst) "
        f"qualify not bool_or({labelled}) over pair "
        f"or time is not distinct from min(case when {labelled} then time end) over pair) "
        f"select src, dst, min(time) as time{selected} from first_labelled group by src, dst"
    )


def _sql_value(value: object) -> str:
    """A setting as an SQL literal."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_sql_value(part) for part in value)}]"
    return literal(str(value))
