"""The store: one DuckDB file that holds a typed social graph and everything learnt from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from graphsocial.errors import DataError, InputError
from graphsocial.store.beside import check_dataset_name
from graphsocial.store.catalog import Catalog
from graphsocial.store.sql import quote
from graphsocial.store.time import visible_as_of
from graphsocial.store.validation import incoming
from graphsocial.types import EdgeType, NodeType

if TYPE_CHECKING:
    import pyarrow as pa

    from graphsocial.store.exchange import PropertyGraph


@dataclass(frozen=True)
class Written:
    """What became of the rows of a write.

    Attributes:
        rows: how many were added.
        rejects: the refused ones, as an Arrow table of `row_number` and `reason` in the order of `row_number`.
    """

    rows: int
    rejects: pa.Table

    @property
    def rejected(self) -> int:
        """How many rows were refused."""
        return int(self.rejects.num_rows)


class GraphStore(Catalog):
    """One DuckDB file: typed node and edge tables, a catalog, features, splits, runs, predictions.

    A node type is a table `node_<type>` (`idx`, `id`, `dataset`, columns), an edge type a table
    `edge_<src>_<relation>_<dst>` (`idx`, `src`, `dst`, `dataset`, columns), where `src` and `dst` are the `idx` of the
    endpoints. `idx` is dense and unique in its table, and one dataset's rows are contiguous in it.

    Use it as a context manager, or call `close()`.
    """

    def write(
        self, entry: NodeType | EdgeType, rows: Any, *, dataset: str, strict: bool = True, row_number: str = "row"
    ) -> Written:
        """Append rows of one type to one dataset; the only way by which graph rows come into the store.

        Args:
            entry: a declared node or edge type.
            rows: Arrow, polars or pandas data, or the text of an SQL select. It has `id` (nodes) or `src` and `dst`
                (edges: the endpoints' own ids) and any of the type's columns.
            dataset: the dataset that they belong to. A dataset's rows are contiguous in their table, so another
                dataset must not have written to this table since.
            strict: raise when a row is refused; otherwise the other rows are written.
            row_number: the integer column of `rows`, where they have it, that gives their order and names refused
                rows. Rows without it are numbered from 1 as they come.

        Returns:
            Rows added and rows refused: missing or duplicate ids, edges whose endpoints do not exist.

        Raises:
            DataError: a row was refused and `strict` is true. Nothing is written then.
            InputError: a column that is not the type's, a key that is missing, or a dataset's name that is a path.
        """
        check_dataset_name(dataset, "write()")
        keys = {"id": entry.name} if isinstance(entry, NodeType) else {"src": entry.src, "dst": entry.dst}
        nodes = {key: self.visible(self.schema.node(name), dataset=dataset) for key, name in keys.items()}
        with (
            self.transaction(),
            incoming(self.connection, entry, rows, nodes, row_number=row_number) as given,
            given.checked(first_idx := self._append_at(entry, dataset)) as checked,
        ):
            if strict and checked.rejects.num_rows:
                raise _refused(entry, checked.rejects)
            fields = "".join(f", {quote(name)}" for name in (*keys, *checked.columns))
            inserted = self.connection.execute(
                f"insert into {quote(entry.table)} (dataset, idx{fields}) "
                f"select ?, idx{fields} from ({checked.select})",
                [dataset],
            ).fetchone()
            added = int(inserted[0]) if inserted else 0
            self.connection.execute(
                "insert into dataset_rows values (?, ?, ?, ?) "
                "on conflict do update set row_count = row_count + excluded.row_count",
                [dataset, entry.table, first_idx, added],
            )
            self.connection.execute(
                "insert into datasets (name, source, settings, files_hash) values (?, 'memory', '{}', '') "
                "on conflict do nothing",
                [dataset],
            )
        return Written(added, checked.rejects)

    def _append_at(self, entry: NodeType | EdgeType, dataset: str) -> int:
        """The first idx of the rows to be written; the dataset's rows must stay contiguous."""
        (total,) = self.first(f"select count(*) from {quote(entry.table)}") or (0,)
        span = self.span(entry, dataset)
        if span and span.last != total:
            raise InputError(
                f"Another dataset has written to '{entry}' since, so '{dataset}' cannot grow there; "
                "ingest it again whole."
            )
        return int(total)

    def remove(self, dataset: str) -> None:
        """Remove a dataset's rows; the idx of later rows are lowered, so that they stay dense.

        Its splits, runs, predictions and vectors stay: they name entities by the source's own ids, or by content.
        """
        with self.transaction():
            for entry in reversed(self.schema.types):
                self.clear(entry, dataset)
            for table, key in (("rejects", "dataset"), ("datasets", "name")):
                self.connection.execute(f"delete from {table} where {key} = ?", [dataset])

    def clear(self, entry: NodeType | EdgeType, dataset: str) -> None:
        """Remove a dataset's rows of one type; of a node type, after the edges that have it as an endpoint."""
        span = self.span(entry, dataset)
        with self.transaction():
            for table in ("dataset_rows", "links"):
                self.connection.execute(
                    f"delete from {table} where dataset = ? and table_name = ?", [dataset, entry.table]
                )
            if not span:
                return
            count = len(span)
            self.connection.execute(
                f"delete from {quote(entry.table)} where idx >= ? and idx < ?", [span.first, span.last]
            )
            self._lower(entry.table, "idx", span.last, count)
            if isinstance(entry, NodeType):
                for edge in self.schema.edges:
                    for key, endpoint in (("src", edge.src), ("dst", edge.dst)):
                        if endpoint == entry.name:
                            self._lower(edge.table, key, span.last, count)
            for table in ("feature_rows", "feature_rejects"):
                self.connection.execute(
                    f"delete from {table} where dataset = ? and table_name = ?", [dataset, entry.table]
                )
                self.connection.execute(
                    f"update {table} set idx = idx - ? where table_name = ? and idx >= ?",
                    [count, entry.table, span.last],
                )
            self.connection.execute(
                "update dataset_rows set first_idx = first_idx - ? where table_name = ? and first_idx >= ?",
                [count, entry.table, span.last],
            )

    def _lower(self, table: str, column: str, start: int, by: int) -> None:
        """Subtract `by` from the indices in `column` that are at least `start`."""
        self.connection.execute(f"update {quote(table)} set {column} = {column} - ? where {column} >= ?", [by, start])

    def read(
        self, entry: NodeType | EdgeType, *, dataset: str | None = None, as_of: datetime | str | None = None
    ) -> duckdb.DuckDBPyRelation:
        """The rows of one type in the order of `idx`, lazily.

        Args:
            entry: a declared node or edge type.
            dataset: only this dataset's rows.
            as_of: only rows that are visible at this moment, UTC; see `graphsocial.store.time`.

        Returns:
            A relation of `idx`, the keys, `dataset` and the type's columns; `.pl()`, `.to_arrow_table()`, `.df()`.
        """
        return self.sql(f"select * from ({self.visible(entry, dataset=dataset, as_of=as_of)}) order by idx")

    def visible(
        self, entry: NodeType | EdgeType, *, dataset: str | None = None, as_of: datetime | str | None = None
    ) -> str:
        """The SQL select behind `read`, unordered, to build on.

        Args:
            entry, dataset, as_of: as of `read`.
        """
        conditions = [] if dataset is None else [str(self.span(entry, dataset))]
        if as_of is not None:
            conditions += visible_as_of(entry, self.schema, as_of)
        where = f" where {' and '.join(conditions)}" if conditions else ""
        return f"select * from {quote(entry.table)}{where}"

    def graph(
        self, dataset: str | None = None, *, edge_types: Sequence[str] = (), as_of: datetime | str | None = None
    ) -> PropertyGraph:
        """A dataset's nodes, edges and columns as a value, which goes to DGL, PyG and networkx and back.

        Args:
            dataset: needed where the store holds several.
            edge_types: by name, such as `user views image`, with the node types at their ends; all types that have
                rows by default.
            as_of: only rows that existed then, as for `read`.

        Raises:
            DataError, UnknownNameError: no such dataset or edge type.
        """
        from graphsocial.store.exchange import PropertyGraph

        dataset, schema = self.dataset(dataset), self.schema
        edges = [schema.edge(name) for name in edge_types] or [e for e in schema.edges if self.span(e, dataset)]
        ends = {end for edge in edges for end in (edge.src, edge.dst)}
        nodes = [n for n in schema.nodes if n.name in ends or (not edge_types and self.span(n, dataset))]
        return PropertyGraph.of_rows(nodes, edges, lambda entry: self.read(entry, dataset=dataset, as_of=as_of).pl())

    def write_graph(self, graph: PropertyGraph, *, dataset: str) -> None:
        """Declare a graph's types and add its nodes and edges to a dataset, all or nothing.

        Raises:
            InputError: a type or column is already declared in another way.
            DataError: the dataset has a node of the same type and id.
        """
        with self.transaction():
            self.declare(graph.schema)
            for node in graph.schema.nodes:
                self.write(node, graph.nodes[node.name], dataset=dataset)
            for edge in graph.schema.edges:
                self.write(edge, graph.with_ids(edge.canonical), dataset=dataset)

    def data_hash(self, dataset: str) -> str:
        """A hash of all rows of a dataset: changes when any value does, whatever order the rows are in.

        Types and columns that other datasets brought, and in which this one has no value, do not count.
        """
        digest = blake2b(digest_size=16)
        for entry in self.schema.types:
            span = self.span(entry, dataset)
            if not len(span):
                continue
            rows, bounds = f"from {quote(entry.table)} where idx >= ? and idx < ?", [span.first, span.last]
            names = self.connection.table(entry.table).columns
            counts = self.first(f"select {', '.join(f'count({quote(name)})' for name in names)} {rows}", bounds) or ()
            filled = [name for name, count in zip(names, counts, strict=True) if count]
            hashed = f"hash({', '.join(map(quote, filled))})"
            row = self.first(f"select bit_xor({hashed}), sum({hashed} % 4294967296), count(*) {rows}", bounds)
            digest.update(f"{entry.table} {filled} {row}".encode())
        return digest.hexdigest()


def open(
    path: Path | str, *, read_only: bool = False, locked: bool = False, allow_code: bool = False, wait: bool = False
) -> GraphStore:
    """Open a store; a new file is made unless `read_only`. Only its owner may read a new file.

    Args:
        path: the file.
        read_only: nothing is written. If another process writes the store, a copy of its last committed state is read.
        locked: SQL reads and writes no other file and loads no extension, for queries and stores of other people.
        allow_code: runs of the store may run the files of their tasks, models and encoders, each if its hash is the
            recorded one. Files whose paths are given in the same process run anyway.
        wait: wait for a process that writes the store.

    Raises:
        StoreError: another process holds the file, it is not a store, or it is from a newer version.
    """
    return GraphStore(path, read_only=read_only, locked=locked, allow_code=allow_code, wait=wait)


def _refused(entry: NodeType | EdgeType, rejects: pa.Table) -> DataError:
    examples = "; ".join(f"row {row['row_number']}: {row['reason']}" for row in rejects.slice(0, 3).to_pylist())
    return DataError(f"{rejects.num_rows:,} rows of '{entry}' cannot be written: {examples}")
