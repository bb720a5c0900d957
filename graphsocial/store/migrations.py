"""The tables of a store, made by numbered SQL files, and stores of earlier versions brought up to date.

A store of an earlier version lacks the last files of `schemas/store`. Opened for writing, it is copied, and the missing
files are applied in one transaction. Opened for reading only, the same tables and views are made as temporary ones.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path

import duckdb

from graphsocial._compat.hashing import hash_file, hash_tensors
from graphsocial.errors import StoreError
from graphsocial.schemas import names, text
from graphsocial.store.sql import literal

log = logging.getLogger(__name__)
BASELINE = 4
"""The last file of 0.1.0, which knew a store by the fingerprint of its tables."""
FINGERPRINT = "d78dd48dce1c"
WEIGHTS = 7
"""The file since which weights lie in the store."""


@dataclass(frozen=True)
class Migration:
    """One SQL file of `schemas/store`, applied in the order of the numbers."""

    number: int
    name: str

    @property
    def sql(self) -> str:
        return str(text("store", self.name))

    def apply(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Run the file; the caller has begun a transaction."""
        connection.execute(self.sql)

    def imitate(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the file's tables and views as temporary ones, which need no writing."""
        for statement in connection.extract_statements(self.sql):
            query = statement.query.strip()
            made = re.sub(r"^((--.*\n|\s)*)create (table|view)", r"\1create temp \3", query)
            if made != query:
                connection.execute(made)


def migrations() -> tuple[Migration, ...]:
    """All that this version has."""
    return tuple(Migration(int(name[:3]), name) for name in names("store", ".sql"))


def fingerprint() -> str:
    """The hash by which 0.1.0 knew its tables: of the SQL of the baseline, without comments and spaces."""
    written = " ".join(migration.sql for migration in migrations() if migration.number <= BASELINE)
    return blake2b(" ".join(re.sub(r"--.*", "", written).split()).encode(), digest_size=6).hexdigest()


def make(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of a new store; the caller has begun a transaction."""
    connection.execute(migrations()[0].sql)
    connection.execute(
        "insert into store_version (fingerprint, version) values (?, ?)", [FINGERPRINT, version("graphsocial")]
    )
    for migration in migrations()[1:]:
        migration.apply(connection)
    _note(connection, migrations())


def pending(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[Migration, ...]:
    """The migrations that an existing store lacks.

    Args:
        connection: to the store.
        path: of the store, for messages.

    Raises:
        StoreError: the file is no store, or one of a newer version, or of a development version before 0.1.0.
    """
    tables = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    if not {"node_types", "edge_types", "datasets"} <= tables:
        raise StoreError(f"'{path}' is a DuckDB file, but not a graphsocial store; choose another --store.")
    here = version("graphsocial")
    if "migrations" in tables:
        applied = connection.execute("select number, name, version from migrations order by number").fetchall()
        last = migrations()[-1]
        if applied[-1][0] > last.number:
            _, name, by = applied[-1]
            raise StoreError(
                f"'{path}' was written by a newer graphsocial ({by}, whose tables are those of '{name}'); this is "
                f"{here}, which ends with '{last.name}'. Install the newer version."
            )
        numbers = {number for number, *_ in applied}
        return tuple(migration for migration in migrations() if migration.number not in numbers)
    row = None
    if "store_version" in tables:
        row = connection.execute("select fingerprint, version from store_version").fetchone()
    if row is None or row[0] != FINGERPRINT:
        by = f"graphsocial {row[1]}" if row else "an early graphsocial"
        raise StoreError(
            f"'{path}' was written by a development version of {by} with tables that no release had; this is {here}, "
            "which cannot bring them up to date. Ingest and train again into a new --store, or open it with the "
            "version that wrote it."
        )
    return tuple(migration for migration in migrations() if migration.number > BASELINE)


def migrate(connection: duckdb.DuckDBPyConnection, path: Path, missing: Sequence[Migration]) -> None:
    """Bring a store up to date in one transaction, after copying it.

    Weights that lie beside a store of 0.1.0 are taken in; their files then move beside the copy, which stays a whole
    store of that version.

    Args:
        connection: to the store, open for writing and in no transaction.
        path: of the store.
        missing: what `pending` returned.
    """
    kept = _copy(connection, path, f"{path.stem}.before-{missing[0].number:03}")
    connection.execute("begin transaction")
    try:
        for migration in missing:
            migration.apply(connection)
        _note(connection, migrations() if missing[0].number == BASELINE + 1 else missing)
        taken = _take_in_weights(connection, path) if WEIGHTS in {part.number for part in missing} else []
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    for file in taken:
        target = kept.with_suffix(".runs") / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        for folder in (file.parent, file.parent.parent):
            if not any(folder.iterdir()):
                folder.rmdir()
    log.warning("'%s' was brought up to date for graphsocial %s; as it was: '%s'.", path, version("graphsocial"), kept)


def _note(connection: duckdb.DuckDBPyConnection, applied: Sequence[Migration]) -> None:
    connection.executemany(
        "insert into migrations (number, name, version) values (?, ?, ?)",
        [[migration.number, migration.name, version("graphsocial")] for migration in applied],
    )


def _copy(connection: duckdb.DuckDBPyConnection, path: Path, stem: str) -> Path:
    """Copy the open store, whole or not at all, to a new file of that name beside it, or to `<stem>-2`, … .

    DuckDB copies, as reading the file past it would end its lock of the file (POSIX).
    """
    part = path.with_name(f"{stem}.part")
    part.unlink(missing_ok=True)
    (name,) = connection.execute("select current_database()").fetchone() or ("",)
    connection.execute(f"attach {literal(str(part))} as kept")
    connection.execute(f'copy from database "{name}" to kept')
    connection.execute("detach kept")
    endings = chain([""], (f"-{number}" for number in count(2)))
    target = next(file for ending in endings if not (file := path.with_name(stem + ending + path.suffix)).exists())
    return part.rename(target)


def _take_in_weights(connection: duckdb.DuckDBPyConnection, path: Path) -> list[Path]:
    """Read the weights of finished runs from the folder beside the store; the files that were read."""
    taken = []
    done = connection.execute("select run_id, checkpoint_hash from runs where status = 'done'").fetchall()
    for run_id, hashed in done:
        file = path.with_suffix(".runs") / run_id / "weights.safetensors"
        if not file.is_file() or hash_file(file) != hashed:
            log.warning("The run '%s' has no weights in '%s', or broken ones; train it again to use it.", run_id, file)
            continue
        content = file.read_bytes()
        connection.execute("insert into weights values (?, ?)", [run_id, content])
        connection.execute("update runs set checkpoint_hash = ? where run_id = ?", [hash_tensors(content), run_id])
        taken.append(file)
    return taken
