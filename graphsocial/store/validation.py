"""Checks rows on their way into one table of the store: which can be written, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from graphsocial.errors import InputError
from graphsocial.store.sql import ROW_NUMBER, quote
from graphsocial.store.temporary import registered, temporary_table
from graphsocial.types import EdgeType, NodeType

if TYPE_CHECKING:
    import pyarrow as pa

REASON = "__reason"  # why a row is refused, null where it is not; no declared column has this name
POSITION = f"row_number() over (order by {ROW_NUMBER}) - 1"  # SQL: a row's position among those selected, from 0


@dataclass(frozen=True)
class Checked:
    """Rows after the check.

    Attributes:
        select: SQL of the rows to write: `idx`, `id` or `src` and `dst` (the endpoints' idx), and `columns`.
        columns: which of the type's columns the rows have.
        rejects: the refused rows, `row_number` and `reason`, in the order of `row_number`.
    """

    select: str
    columns: tuple[str, ...]
    rejects: pa.Table


@dataclass(frozen=True)
class Incoming:
    """Rows of one type before the check.

    Attributes:
        connection: the store's.
        entry: the rows' type.
        rows: SQL select of the rows, with `ROW_NUMBER`.
        columns: which of the type's columns they have.
        nodes: SQL of the dataset's nodes that are in the store: by `id`, those of the same type; by `src` and `dst`,
            those that can be an endpoint.
    """

    connection: duckdb.DuckDBPyConnection
    entry: NodeType | EdgeType
    rows: str
    columns: tuple[str, ...]
    nodes: Mapping[str, str]

    @contextmanager
    def checked(self, first_idx: int) -> Iterator[Checked]:
        """Which rows can be written and which are refused; their temporary table is dropped at the end.

        Only the keys are kept at first: the other columns, which may be wide, are read again for the insert, unless
        rows have to be left out.
        """
        with ExitStack() as tables:
            rows = tables.enter_context(temporary_table(self.connection, self._resolved(())))
            rejects = self._rejects(rows)
            position = POSITION if rejects.num_rows else self._position(rows)
            if self.columns and rejects.num_rows:
                tables.close()
                rows = tables.enter_context(temporary_table(self.connection, self._resolved(self.columns)))
            elif self.columns:
                rows = f"({self._good_rows()})"
            fields = ", ".join((*self.nodes, *map(quote, self.columns)))
            select = f"select {first_idx} + {position} as idx, {fields} from {rows} where {REASON} is null"
            yield Checked(select, self.columns, rejects)

    def _resolved(self, columns: tuple[str, ...]) -> str:
        """The definition of a table of all rows in order: `ROW_NUMBER`, keys, `columns` and `REASON`."""
        select = self._nodes(columns) if isinstance(self.entry, NodeType) else self._edges(self.entry, columns)
        return f"as {select} order by {ROW_NUMBER}"

    def _rejects(self, resolved: str) -> pa.Table:
        """The rows of the table `resolved` that have a reason."""
        return self.connection.sql(
            f"select {ROW_NUMBER} as row_number, {REASON} as reason from {resolved} where {REASON} is not null "
            f"order by {ROW_NUMBER}"
        ).to_arrow_table()

    def _position(self, resolved: str) -> str:
        """SQL of a row's position in the order of `ROW_NUMBER`, from 0; by subtraction where numbers have no gaps."""
        ascending = f"select {ROW_NUMBER}, coalesce({ROW_NUMBER} > lag({ROW_NUMBER}) over (), true) as after"
        dense = self.connection.execute(
            f"select min({ROW_NUMBER}) from ({ascending} from {resolved}) "  # ascending: no number is there twice
            f"having bool_and(after) and count(*) = max({ROW_NUMBER}) - min({ROW_NUMBER}) + 1"
        ).fetchall()
        return f"{ROW_NUMBER} - {dense[0][0]}" if dense else POSITION

    def _good_rows(self) -> str:
        """SQL of rows that are all good, with their other columns; edges look up their endpoints again."""
        if isinstance(self.entry, NodeType):
            fields = _listed(self.columns)
            return f"select {ROW_NUMBER}, trim(id::varchar) as id{fields}, null as {REASON} from ({self.rows})"
        return self._edges(self.entry, self.columns)

    def _nodes(self, columns: tuple[str, ...]) -> str:
        return f"""
            select {ROW_NUMBER}, id{_listed(columns)},
                case
                    when id is null or id = '' then 'the id is missing'
                    when row_number() over (partition by id order by {ROW_NUMBER}) > 1 then 'duplicate id: ' || id
                    when id in (select id from ({self.nodes["id"]})) then 'duplicate id: ' || id
                end as {REASON}
            from (select * replace (trim(id::varchar) as id) from ({self.rows}))
        """

    def _edges(self, entry: EdgeType, columns: tuple[str, ...]) -> str:
        return f"""
            select edges.{ROW_NUMBER}, s.idx as src, d.idx as dst{_listed(columns)},
                case
                    when edges.src is null or edges.src = '' then 'the {entry.src} is missing'
                    when edges.dst is null or edges.dst = '' then 'the {entry.dst} is missing'
                    when s.idx is null then 'no {entry.src} has the id: ' || edges.src
                    when d.idx is null then 'no {entry.dst} has the id: ' || edges.dst
                end as {REASON}
            from (select * replace (trim(src::varchar) as src, trim(dst::varchar) as dst) from ({self.rows})) as edges
            left join (select idx, id from ({self.nodes["src"]})) as s on s.id = edges.src
            left join (select idx, id from ({self.nodes["dst"]})) as d on d.id = edges.dst
        """


def _listed(columns: tuple[str, ...]) -> str:
    return "".join(f", {quote(name)}" for name in columns)


@contextmanager
def incoming(
    connection: duckdb.DuckDBPyConnection,
    entry: NodeType | EdgeType,
    rows: Any,
    nodes: Mapping[str, str],
    *,
    row_number: str = "row",
) -> Iterator[Incoming]:
    """Rows whose columns are known to be the type's; numbered from 1 where they bring no number.

    Args:
        connection: the store's.
        entry: the rows' type.
        rows: Arrow, polars or pandas data, or the text of an SQL select.
        nodes: see `Incoming`; its keys are the columns that rows must have.
        row_number: the integer column that numbers the rows, where they have it.

    Raises:
        InputError: a column that is not the type's, a key that is missing, or rows that cannot be read.
    """
    try:
        with nullcontext(f"({rows})") if isinstance(rows, str) else registered(connection, rows) as source:
            described = connection.execute(f"describe select * from {source}").fetchall()
            names = [name for name, *_ in described]
            columns = _check_columns(entry, names, tuple(nodes), row_number)
            number = quote(row_number) if row_number in names else "row_number() over ()"
            fields = ", ".join(map(quote, (*nodes, *columns)))
            yield Incoming(
                connection, entry, f"select {number} as {ROW_NUMBER}, {fields} from {source}", columns, nodes
            )
    except (duckdb.ProgrammingError, duckdb.DataError) as error:  # SQL that does not run, values that do not fit
        raise InputError(f"The rows of '{entry}' cannot be read: {error}") from error


def _check_columns(
    entry: NodeType | EdgeType, names: list[str], keys: tuple[str, ...], row_number: str
) -> tuple[str, ...]:
    """Those of the rows' columns that are the type's own."""
    declared = {column.name for column in entry.columns}
    unknown = sorted(set(names) - declared - {*keys, row_number})
    if unknown:
        raise InputError(f"'{entry}' has no column '{unknown[0]}'; it has {sorted({*keys} | declared)}.")
    missing = [key for key in keys if key not in names]
    if missing:
        raise InputError(f"Rows of '{entry}' need a column '{missing[0]}'; given: {names}.")
    return tuple(name for name in names if name in declared)
