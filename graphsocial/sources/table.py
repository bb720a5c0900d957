"""Any tables at all: a YAML file declares which columns are nodes, edges, features and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.sources._mapping import (
    Columns,
    EdgeRule,
    Key,
    KeyRule,
    Mapping,
    NodeRule,
    folder_of,
    raw_table,
    read_mapping,
)
from graphsocial.sources.base import Plan, RawColumn, RawTable, Rows
from graphsocial.store.sql import quote
from graphsocial.types import Column, EdgeType, NodeType

T = TypeVar("T", NodeType, EdgeType)


@dataclass(frozen=True)
class Table:
    """Reads CSV, TSV, Parquet or JSON-lines files according to a mapping (`schemas/datasets/table.schema.json`).

        dataset: ratings
        root: ${DATA}/ratings
        files:
          people: {path: people.csv, nulls: [NA]}
          ratings: {path: "part-*.csv"}
        nodes:
          user: {file: people, id: pid, columns: {age: number, town: category}}
          film: {ids_from: [ratings.film]}
        edges:
          - type: user rates film
            file: ratings
            src: pid
            dst: film
            columns: {emotions: {kind: categories, sql: "[stars]", role: label}, at: timestamp}
            time: at

    In an `sql`, columns of text files are `varchar` (a missing value is null), those of Parquet files have their own
    types, and the other files are tables of the same names. The result is checked and cast to the column's kind.

    Attributes:
        root: the data's folder, instead of the one in the mapping.
    """

    root: Path | None = None

    def plan(self, path: Path, *, dataset: str | None = None) -> Plan:
        """The tables that the mapping names, and the rows that they become; reads no rows."""
        mapping = read_mapping(path)
        root = folder_of(mapping.root, Path(path), self.root)
        build = _Build(mapping, Path(path))
        rows = tuple(build.rows())
        return Plan(tuple(build.tables(root)), rows, root, dataset or mapping.dataset)


@dataclass
class _Build:
    """Turns the mapping's rules into the columns to read of each raw table, and the rows that they become."""

    mapping: Mapping
    path: Path
    read: dict[str, dict[str, RawColumn]] = field(default_factory=dict)  # raw table → its columns by name

    def rows(self) -> Iterator[Rows]:
        for name, rule in self.mapping.nodes.items():
            yield from self._node(name, rule)
        for number, edge in enumerate(self.mapping.edges):
            yield self._edge(number, edge)

    def _node(self, name: str, rule: NodeRule) -> Iterator[Rows]:
        where = f"nodes.{name}"
        if rule.file is None and (not rule.ids_from or rule.columns or rule.time or rule.where or rule.id):
            raise InputError(f"{self.path}: {where} needs `file` and `id`, or only `ids_from`.")
        entry = self._typed(where, lambda columns: NodeType(name, columns, rule.time), rule.columns, rule.time)
        if rule.file is not None:
            if rule.id is None:
                raise InputError(f"{self.path}: {where} needs `id`, the column with the node's id.")
            table = self._table(where, rule.file)
            keys = {"id": self._key(table, name, "id", rule.id)}
            columns = self._columns(table, name, rule.columns, rule.time)
            yield self._filtered(Rows(entry, table, keys, columns, distinct=rule.distinct), rule.where)
        for origin in rule.ids_from:
            file, _, column = origin.partition(".")
            if not column:
                raise InputError(f"{self.path}: {where}.ids_from: '{origin}' must be written table.column.")
            table = self._table(f"{where}.ids_from", file)
            yield Rows(entry, table, {"id": self._key(table, name, f"id from {column}", column)}, distinct=True)

    def _edge(self, number: int, rule: EdgeRule) -> Rows:
        where = f"edges.{number}"
        words = rule.type.split()
        if len(words) != 3:
            raise InputError(f"{self.path}: {where}.type must be `source relation destination`, not '{rule.type}'.")
        src, relation, dst = words
        for endpoint in (src, dst):
            if endpoint not in self.mapping.nodes:
                unknown = UnknownNameError.of("node type", endpoint, self.mapping.nodes)
                raise InputError(f"{self.path}: {where}: {unknown}")
        entry = self._typed(
            where, lambda columns: EdgeType(src, relation, dst, columns, rule.time), rule.columns, rule.time
        )
        table = self._table(where, rule.file)
        keys = {key: self._key(table, rule.type, key, given) for key, given in (("src", rule.src), ("dst", rule.dst))}
        columns = self._columns(table, rule.type, rule.columns, rule.time)
        return self._filtered(Rows(entry, table, keys, columns, distinct=rule.distinct), rule.where)

    def _typed(self, where: str, make: Callable[[tuple[Column, ...]], T], rules: Columns, time: str | None) -> T:
        """The node or edge type; errors name `where` it is declared in the mapping."""
        try:
            columns = tuple(
                Column(name, rule.kind, rule.role, rule.doc, minimum=rule.minimum, maximum=rule.maximum)
                for name, rule in rules.items()
            )
            if time is not None and time not in rules:
                columns += (Column(time, "timestamp"),)
            return make(columns)
        except (InputError, UnknownNameError) as error:
            raise InputError(f"{self.path}: {where}: {error}") from error

    def _table(self, where: str, name: str) -> str:
        if name not in self.mapping.files:
            raise InputError(f"{self.path}: {where}: {UnknownNameError.of('file', name, self.mapping.files)}")
        return name

    def _columns(self, table: str, owner: str, rules: Columns, time: str | None) -> dict[str, str]:
        columns = {}
        for name, rule in rules.items():
            if rule.sql is not None and rule.source is not None:
                raise InputError(f"{self.path}: column '{name}' of {owner} has both `from` and `sql`; give one.")
            columns[name] = self._read(
                table,
                RawColumn(
                    f"{owner} {name}",
                    rule.kind,
                    None if rule.sql else rule.source or name,
                    rule.sql,
                    required=rule.required,
                    must_exist=True,
                    minimum=rule.minimum,
                    maximum=rule.maximum,
                    values=tuple(rule.values),
                ),
            )
        if time is not None and time not in rules:
            columns[time] = self._read(table, RawColumn(f"{owner} {time}", "timestamp", time, must_exist=True))
        return columns

    def _key(self, table: str, owner: str, name: str, key: Key) -> str:
        if isinstance(key, KeyRule):
            return self._read(table, RawColumn(f"{owner} {name}", sql=key.sql))
        return self._read(table, RawColumn(f"{owner} {name}", header=key, must_exist=True))

    def _filtered(self, rows: Rows, where: str | None) -> Rows:
        if where is None:
            return rows
        return replace(rows, where=self._read(rows.table, RawColumn(f"{rows.into} where", "boolean", sql=where)))

    def _read(self, table: str, column: RawColumn) -> str:
        """The name of a raw column read according to `column`; equal columns are read once."""
        columns = self.read.setdefault(table, {})
        for name, other in columns.items():
            if replace(column, name=name) == other:
                return quote(name)
        columns[column.name] = column
        return quote(column.name)

    def tables(self, root: Path) -> Iterator[RawTable]:
        for name, rule in self.mapping.files.items():
            columns = tuple(self.read.get(name, {}).values())
            yield raw_table(name, rule, columns, root, self.path, tables=self.mapping.files)
