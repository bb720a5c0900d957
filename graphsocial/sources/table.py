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
    EntryRule,
    IdsRule,
    Key,
    KeyRule,
    Mapping,
    NodeRule,
    folder_of,
    raw_table,
    read_mapping,
)
from graphsocial.sources.base import ENTRY, Plan, RawColumn, RawTable, Rows
from graphsocial.store.sql import literal, quote
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
            where_column, when = self._where(table, name, rule.where)
            keys = {"id": self._key(table, name, "id", rule.id, when=when)}
            columns = self._columns(table, name, rule.columns, rule.time, when=when)
            yield Rows(entry, table, keys, columns, where=where_column, distinct=rule.distinct)
        for given in rule.ids_from:
            origin = given.each if isinstance(given, IdsRule) else given
            file, _, column = origin.partition(".")
            if not column:
                raise InputError(f"{self.path}: {where}.ids_from: '{origin}' must be written table.column.")
            table = self._table(f"{where}.ids_from", file)
            if isinstance(given, IdsRule):
                each = self._each(table, name, column, None)
                yield Rows(entry, table, {"id": _entry(given.entry)}, distinct=True, each=each)
            else:
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
        where_column, when = self._where(table, rule.type, rule.where)
        each = None if rule.each is None else self._each(table, rule.type, rule.each, when)
        keys = {key: self._end(where, rule, table, key, when) for key in ("src", "dst")}
        columns = self._columns(table, rule.type, rule.columns, rule.time, when=when)
        conditions = [] if where_column is None else [where_column]
        if self.mapping.files[table].nulls:  # an end that is declared to be missing is no fault
            conditions += [f"{key} is not null" for key in keys.values() if ENTRY not in key]
        where_all = " and ".join(conditions) or None
        return Rows(entry, table, keys, columns, where=where_all, distinct=rule.distinct, each=each)

    def _end(self, where: str, rule: EdgeRule, table: str, name: str, when: str | None) -> str:
        """SQL of an endpoint's id: a column, an expression, or the entry of the list that `each` names."""
        given = rule.src if name == "src" else rule.dst
        other = rule.dst if name == "src" else rule.src
        entry = isinstance(given, EntryRule) or (given is None and rule.each is not None) or given == rule.each
        if entry and (rule.each is None or other is None or isinstance(other, EntryRule)):
            raise InputError(
                f"{self.path}: {where} needs src and dst, the columns with the ids of its ends, or one of them and "
                "`each`, the column with a list of the others."
            )
        if isinstance(given, EntryRule):
            return _entry(given.entry)
        return _entry(None) if entry or given is None else self._key(table, rule.type, name, given, when=when)

    def _each(self, table: str, owner: str, given: Key, when: str | None) -> str:
        """The list column that `each` names."""
        sql, header = (given.sql, None) if isinstance(given, KeyRule) else (None, given)
        column = RawColumn(f"{owner} each", "categories", header, sql, must_exist=True, when=when, entries=True)
        return self._read(table, column)

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

    def _columns(self, table: str, owner: str, rules: Columns, time: str | None, *, when: str | None) -> dict[str, str]:
        columns = {}
        for name, rule in rules.items():
            if rule.format is not None and (rule.kind != "timestamp" or "%" not in rule.format):
                raise InputError(
                    f"{self.path}: column '{name}' of {owner}: `format` is of timestamps, such as \"%d/%m/%y\"; it is "
                    f"{rule.format!r} of a {rule.kind}."
                )
            if rule.sql is not None and rule.source is not None:
                raise InputError(f"{self.path}: column '{name}' of {owner} has both `from` and `sql`; give one.")
            classes = rule.kind == "category" and rule.role == "label"
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
                    format=rule.format,
                    classes=classes,
                    no_answer=tuple(word.lower() for word in rule.no_answer) if classes else (),
                    when=when,
                ),
            )
        if time is not None and time not in rules:
            columns[time] = self._read(
                table, RawColumn(f"{owner} {time}", "timestamp", time, must_exist=True, when=when)
            )
        return columns

    def _key(self, table: str, owner: str, name: str, key: Key, *, when: str | None = None) -> str:
        sql, header = (key.sql, None) if isinstance(key, KeyRule) else (None, key)
        column = RawColumn(f"{owner} {name}", "text", header, sql, must_exist=header is not None, key=True, when=when)
        return self._read(table, column)

    def _where(self, table: str, owner: str, where: str | None) -> tuple[str | None, str | None]:
        """The condition as SQL and as the name of its column; nothing where there is none."""
        if where is None:
            return None, None
        condition = self._read(table, RawColumn(f"{owner} where", "boolean", sql=where))
        return condition, condition[1:-1].replace('""', '"')

    def _read(self, table: str, column: RawColumn) -> str:
        """The name of a raw column read according to `column`; equal columns are read once."""
        columns = self.read.setdefault(table, {})
        for name, other in columns.items():
            if replace(column, name=name) == other:
                return quote(name)
        name = column.name
        while name in columns:  # of another rule for the same type
            name += "'"
        columns[name] = replace(column, name=name)
        return quote(name)

    def tables(self, root: Path) -> Iterator[RawTable]:
        for name, rule in self.mapping.files.items():
            columns = tuple(self.read.get(name, {}).values())
            yield raw_table(name, rule, columns, root, self.path, tables=self.mapping.files)


def _entry(key: str | None) -> str:
    """SQL of the id in an entry of a list: the entry itself, or of an object what is under a key."""
    if key is None:
        return ENTRY
    return f"json_extract_string({ENTRY}, {literal('/' + key.replace('~', '~0').replace('/', '~1'))})"
