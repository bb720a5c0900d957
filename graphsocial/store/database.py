"""The file under the store: opened, with the tables of this version, transactions and SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import duckdb

from graphsocial.errors import InputError, StoreError
from graphsocial.store import migrations
from graphsocial.store.opening import connect, rights_of

if TYPE_CHECKING:
    from typing_extensions import Self

SESSION = (
    "set TimeZone = 'UTC'",
    "set python_enable_replacements = false",  # a table name never means a Python variable
    "set autoinstall_known_extensions = false",  # nothing is downloaded
    "set enable_progress_bar = false",
)
LOCKED = (
    "set enable_external_access = false",  # no other file is read or written, no extension loaded
    "set lock_configuration = true",  # and no statement changes that
)


class _Undone(Exception):
    """Ends the transaction of `undone`."""


class Database:
    """A DuckDB file with the tables of this version: made in a new file, brought up to date in an older one.

    Use it as a context manager, or call `close()`.

    Args:
        path, read_only, locked, allow_code, wait: see `graphsocial.open`.

    Attributes:
        made: whether this object has made the file.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        read_only: bool = False,
        locked: bool = False,
        allow_code: bool = False,
        wait: bool = False,
    ) -> None:
        self.path = Path(path)
        self.made = False
        self.read_only = read_only
        self.allow_code = allow_code
        self._depth = 0
        self.connection, self._copy = connect(self.path, read_only=read_only, wait=wait)
        try:
            for setting in SESSION:
                self.connection.execute(setting)
            with rights_of(self.path):
                self._make_or_migrate()
            for setting in LOCKED if locked else ():
                self.connection.execute(setting)
        except BaseException:
            self.close()
            raise

    @property
    def is_copy(self) -> bool:
        """Whether another process writes the store, so that a copy of its last committed state is read."""
        return self._copy is not None

    def close(self) -> None:
        """Close the file; the store cannot be used after."""
        with rights_of(self.path):
            self.connection.close()
        if self._copy is not None:
            self._copy.cleanup()

    def discard(self) -> None:
        """Remove the file, while it is still held so that it is no other process's by then, and close it.

        Raises:
            StoreError: this object has not made the file.
        """
        if not self.made:
            raise StoreError(f"'{self.path}' was there before; it is not removed.")
        self.connection.execute("checkpoint")  # closes the write-ahead log, whose name another process may use next
        self.path.unlink(missing_ok=True)
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_or_migrate(self) -> None:
        tables = self.first("select count(*) from duckdb_tables()")
        if tables == (0,):
            if self.read_only:
                raise StoreError(f"'{self.path}' is empty; ingest a dataset first.")
            with self.transaction():
                migrations.make(self.connection)
            self.made = True
            return
        missing = migrations.pending(self.connection, self.path)
        if self.read_only:
            for migration in missing:
                migration.imitate(self.connection)
        elif missing:
            migrations.migrate(self.connection, self.path, missing)
        else:
            migrations.remove_leftovers(self.connection, self.path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: what happens inside is written together, or not at all. Nested uses join the outer one."""
        if self.read_only:
            raise StoreError(f"'{self.path}' is open for reading only.")
        if self._depth == 0:
            self.connection.execute("begin transaction")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self.connection.execute("rollback")
            raise
        self._depth -= 1
        if self._depth == 0:
            with rights_of(self.path):
                self.connection.execute("commit")

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside is seen inside alone, and undone at the end; a killed process leaves the store as it was.

        Raises:
            StoreError: the store is open for reading only, or inside a transaction.
        """
        if self._depth:
            raise StoreError("A change that is to be undone cannot be part of a transaction.")
        try:
            with self.transaction():
                yield
                raise _Undone
        except _Undone:
            return

    def sql(self, query: str, params: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Any SQL over the store, as a lazy relation: `.pl()`, `.to_arrow_table()`, `.df()`, `.fetchall()`.

        Raises:
            InputError: DuckDB does not accept the query; its own words follow.
        """
        try:
            return self.connection.sql(query, params=list(params) if params else None)
        except duckdb.Error as error:
            raise InputError(f"The SQL does not run: {error}") from error

    def first(self, query: str, params: Sequence[Any] | None = None) -> tuple[Any, ...] | None:
        """The first row of a query, or None; the rest is fetched too, as DuckDB wants before the next query.

        Raises:
            InputError: as `sql`.
        """
        try:
            rows = self.connection.execute(query, params).fetchall()  # half the time of a relation
        except duckdb.Error as error:
            raise InputError(f"The SQL does not run: {error}") from error
        return rows[0] if rows else None
