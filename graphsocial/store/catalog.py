"""The catalog of a store: its node and edge types, its datasets, and where each dataset's rows lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.store.database import Database
from graphsocial.store.sql import quote
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType


@dataclass(frozen=True)
class Span:
    """Where one dataset's rows lie in a table: `first <= idx < last`."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    def __str__(self) -> str:
        return f"idx >= {self.first} and idx < {self.last}"


class Catalog(Database):
    """A database whose tables of nodes and edges are declared."""

    @property
    def schema(self) -> GraphSchema:
        """Every node and edge type that has been declared, in the order of declaration."""
        nodes = self.connection.execute("select name, columns, time_column from node_types").fetchall()
        edges = self.connection.execute("select src, relation, dst, columns, time_column from edge_types").fetchall()
        return GraphSchema(
            nodes=tuple(NodeType(name, _columns(columns), time) for name, columns, time in nodes),
            edges=tuple(
                EdgeType(src, relation, dst, _columns(columns), time) for src, relation, dst, columns, time in edges
            ),
        )

    def schema_of(self, dataset: str) -> GraphSchema:
        """The node and edge types of which a dataset has rows, and the types that its edges join."""
        schema = self.schema
        edges = tuple(edge for edge in schema.edges if len(self.span(edge, dataset)))
        joined = {end for edge in edges for end in (edge.src, edge.dst)}
        nodes = (node for node in schema.nodes if node.name in joined or len(self.span(node, dataset)))
        return GraphSchema(tuple(nodes), edges)

    def declare(self, schema: GraphSchema) -> None:
        """Make the tables of all types in `schema`; a type that is declared already gains the columns that are new.

        Raises:
            InputError: a column, or a type's time, is already declared in another way, and a dataset has rows of the
                type; while none has, it is changed.
        """
        declared = {entry.table: entry for entry in self.schema.types}
        with self.transaction():
            for entry in schema.types:
                present = declared.get(entry.table)
                if present is None:
                    self._create(entry)
                elif present != entry:
                    self._extend(self._without_changed(present, entry), entry)

    def _create(self, entry: NodeType | EdgeType) -> None:
        keys = "id varchar not null" if isinstance(entry, NodeType) else "src bigint not null, dst bigint not null"
        columns = "".join(f", {quote(column.name)} {column.sql_type}" for column in entry.columns)
        self.connection.execute(
            f"create table {quote(entry.table)} (idx bigint not null, {keys}, dataset varchar not null{columns})"
        )
        described = _described(entry.columns)
        if isinstance(entry, NodeType):
            self.connection.execute("insert into node_types values (?, ?, ?)", [entry.name, described, entry.time])
        else:
            self.connection.execute(
                "insert into edge_types values (?, ?, ?, ?, ?)", [*entry.canonical, described, entry.time]
            )

    def _without_changed(self, present: NodeType | EdgeType, entry: NodeType | EdgeType) -> NodeType | EdgeType:
        """The declared type; while it is empty, without the columns that `entry` declares in another way."""
        if self.first(f"select 1 from {quote(entry.table)} limit 1"):
            return present
        given = {column.name: (column.kind, column.role) for column in entry.columns}
        changed = [c for c in present.columns if given.get(c.name, (c.kind, c.role)) != (c.kind, c.role)]
        for column in changed:
            self.connection.execute(f"alter table {quote(entry.table)} drop column {quote(column.name)}")
        other_time = entry.time is not None and entry.time != present.time
        gone = other_time or any(column.name == present.time for column in changed)
        kept = tuple(column for column in present.columns if column not in changed)
        return replace(present, columns=kept, time=None if gone else present.time)

    def _extend(self, present: NodeType | EdgeType, entry: NodeType | EdgeType) -> None:
        if entry.time is not None and present.time is not None and entry.time != present.time:
            raise InputError(f"The time of '{present}' is '{present.time}' in this store, not '{entry.time}'.")
        before = {column.name: column for column in present.columns}
        for column in entry.columns:
            old = before.get(column.name)
            if old is None:
                self.connection.execute(
                    f"alter table {quote(entry.table)} add column {quote(column.name)} {column.sql_type}"
                )
            elif (old.kind, old.role) != (column.kind, column.role):
                raise InputError(
                    f"'{present}' has a column '{column.name}' of kind {old.kind} ({old.role}) in this store; "
                    f"it cannot be {column.kind} ({column.role}) too. Name it differently, or use another store."
                )
        after = {column.name: column for column in entry.columns}
        kept = tuple(_widened(column, after.get(column.name)) for column in present.columns)
        merged = kept + tuple(column for column in entry.columns if column.name not in before)
        where, keys = (
            ("name = ?", [entry.name])
            if isinstance(entry, NodeType)
            else ("src = ? and relation = ? and dst = ?", list(entry.canonical))
        )
        table = "node_types" if isinstance(entry, NodeType) else "edge_types"
        self.connection.execute(
            f"update {table} set columns = ?, time_column = ? where {where}",
            [_described(merged), entry.time or present.time, *keys],
        )

    def datasets(self) -> list[str]:
        """The names of the datasets in the store, oldest first."""
        rows = self.connection.execute("select name from datasets order by ingested_at, name").fetchall()
        return [name for (name,) in rows]

    def dataset(self, name: str | None = None) -> str:
        """The name of a dataset after a check that it exists; the only dataset's when none is given.

        Raises:
            DataError: the store is empty, or has several datasets and none was named.
            UnknownNameError: no dataset has that name.
        """
        names = self.datasets()
        if name is not None:
            if name not in names:
                raise UnknownNameError.of("dataset", name, names, listing="graphsocial info")
            return name
        if not names:
            raise DataError(f"'{self.path}' holds no dataset yet; ingest one first.")
        if len(names) > 1:
            raise DataError(f"The store holds several datasets ({', '.join(names)}); say which with --dataset NAME.")
        return names[0]

    def span(self, entry: NodeType | EdgeType, dataset: str) -> Span:
        """Where the dataset's rows of one type lie; empty if it has none."""
        row = self.first(
            "select first_idx, first_idx + row_count from dataset_rows where dataset = ? and table_name = ?",
            [dataset, entry.table],
        )
        return Span(*row) if row else Span(0, 0)


def _described(columns: Sequence[Column]) -> str:
    """The columns as JSON; a column without bounds says nothing of them."""
    described = [asdict(column) for column in columns]
    return json.dumps([{name: value for name, value in column.items() if value is not None} for column in described])


def _widened(column: Column, other: Column | None) -> Column:
    """The column with bounds that hold for another dataset's values too."""
    if other is None:
        return column
    lower, upper = (column.minimum, other.minimum), (column.maximum, other.maximum)
    return replace(
        column,
        minimum=None if None in lower else min(lower),  # type: ignore[type-var]  # no None among them
        maximum=None if None in upper else max(upper),  # type: ignore[type-var]
    )


def _columns(described: str) -> tuple[Column, ...]:
    return tuple(Column(**column) for column in json.loads(described))
