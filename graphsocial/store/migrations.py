"""The tables of a store, made by numbered SQL files, and stores of earlier versions brought up to date.

A store of an earlier version lacks the last files of `schemas/store`. Opened for writing, it is copied, and the missing
files are applied in one transaction. Opened for reading only, the same tables and views are made as temporary ones.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path

import duckdb

from graphsocial._compat.hashing import hash_file, hash_tensors
from graphsocial.errors import StoreError
from graphsocial.schemas import names, text
from graphsocial.store.beside import runs_folder
from graphsocial.store.sql import literal, quote

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
        """Make the file's tables and views as temporary ones, which need no writing, and updated tables as views."""
        (database,) = connection.execute("select current_database()").fetchone() or ("",)
        for statement in connection.extract_statements(self.sql):
            query = re.sub(r"^(--.*\n|\s)+", "", statement.query)
            if query.startswith("create table"):
                connection.execute(query.replace("create", "create temp", 1))
            elif query.startswith("create view"):  # of which a later migration may have another version
                connection.execute(query.replace("create", "create or replace temp", 1))
            elif update := re.fullmatch(r"update (\w+)\nset (\w+) = (.*)\nwhere (.*?);?\s*", query, re.DOTALL):
                table, column, value, condition = update.groups()
                connection.execute(
                    f"create temp view {table} as select * replace "
                    f"(case when {condition} then {value} else {column} end as {column}) "
                    f"from {quote(database)}.main.{table}"
                )


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
        StoreError: the file is no store, one of a newer version or of a development version before 0.1.0, or its list
            of migrations is incomplete.
    """
    tables = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    if not {"node_types", "edge_types", "datasets"} <= tables:
        raise StoreError(f"'{path}' is a DuckDB file, but not a graphsocial store; choose another --store.")
    if "migrations" in tables:
        applied = connection.execute("select number, name, version from migrations order by number").fetchall()
        last = migrations()[-1]
        if applied and applied[-1][0] > last.number:
            _, name, by = applied[-1]
            here = version("graphsocial")
            versions = "" if by == here else f" ({by}; this is {here})"
            raise StoreError(
                f"'{path}' was written by a newer graphsocial{versions}, whose tables are those of '{name}'; this "
                f"one's are those of '{last.name}'. Install the newer version."
            )
        if not applied or [number for number, *_ in applied] != list(range(1, len(applied) + 1)):
            numbers = f"only the numbers {', '.join(str(number) for number, *_ in applied)}" if applied else "no rows"
            raise StoreError(
                f"'{path}' is damaged: its table `migrations`, which lists the SQL files that made its tables, has "
                f"{numbers}; restore the store from a copy."
            )
        return migrations()[len(applied) :]
    row = None
    if "store_version" in tables:
        row = connection.execute("select fingerprint, version from store_version").fetchone()
    if row is None or row[0] != FINGERPRINT:
        by = f"graphsocial {row[1]}" if row else "an early graphsocial"
        raise StoreError(
            f"'{path}' was written by a development version of {by} with tables that no release had, so they "
            "cannot be brought up to date. Ingest and train again into a new --store, or open it with the "
            "version that wrote it."
        )
    return tuple(migration for migration in migrations() if migration.number > BASELINE)


def migrate(connection: duckdb.DuckDBPyConnection, path: Path, missing: Sequence[Migration]) -> None:
    """Bring a store up to date in one transaction, after copying it.

    Weights that lie beside a store of 0.1.0 are taken in; their files then move beside the copy, which stays a whole
    store of that version. The copy gets its name just before the commit, so that a process that is killed leaves none.

    Args:
        connection: to the store, open for writing and in no transaction.
        path: of the store.
        missing: what `pending` returned.

    Raises:
        StoreError: the copy or the changed store cannot be written. The store is as it was then.
    """
    stem = f"{path.stem}.before-{missing[0].number:03}"
    part = path.with_name(f"{stem}{path.suffix}.part")
    endings = chain([""], (f"-{number}" for number in count(2)))
    kept = next(file for ending in endings if not (file := path.with_name(stem + ending + path.suffix)).exists())
    beside = runs_folder(kept)
    made = [part, part.with_name(f"{part.name}.wal"), kept]
    try:
        _copy(connection, part)
        connection.execute("begin transaction")
        for migration in missing:
            migration.apply(connection)
        _note(connection, migrations() if missing[0].number == BASELINE + 1 else missing)
        if WEIGHTS in {migration.number for migration in missing}:
            for file in _take_in_weights(connection, path):
                made.append(beside / file.parent.name / file.name)
                made[-1].parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, made[-1])
        part.rename(kept)
        connection.execute("commit")
    except BaseException as error:
        with suppress(duckdb.Error):  # it may have ended
            connection.execute("rollback")
        unwritten = isinstance(error, duckdb.IOException | duckdb.TransactionException | OSError)
        if unwritten or not kept.exists():  # otherwise it may have been committed
            for file in made:
                _remove(file)
        if unwritten:
            reason = str(error).rpartition("Original error: ")[2]
            raise StoreError(
                f"'{path}' is of an earlier version and cannot be brought up to date ({reason}); make its folder "
                "writable, with space for a copy, or open it for reading only, as commands that only read do: "
                "graphsocial.open(path, read_only=True)."
            ) from error
        raise
    remove_leftovers(connection, path)
    files = " to ".join(dict.fromkeys((missing[0].name, missing[-1].name)))
    log.warning("'%s' was brought up to date with %s; as it was: '%s'.", path, files, kept)


def remove_leftovers(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Remove what a killed process left beside the store of finished runs: weights that the store has, checkpoints.

    Args:
        connection: to the store, open for writing.
        path: of the store.
    """
    for folder in runs_folder(path).glob("*/"):
        stored = connection.execute(
            "select checkpoint_hash from runs join weights using (run_id) where run_id = ? and status = 'done'",
            [folder.name],
        ).fetchall()
        if stored:
            weights = folder / "weights.safetensors"
            with suppress(OSError, ValueError):  # other or broken weights stay
                if (hash_tensors(weights.read_bytes()),) in stored:
                    _remove(weights)
            _remove(folder / "checkpoint.safetensors")


def _remove(file: Path) -> None:
    """Remove a file if it exists, and its folders if they are then empty; what cannot be removed stays."""
    with suppress(OSError):
        file.unlink(missing_ok=True)
        file.parent.rmdir()
        file.parent.parent.rmdir()


def _note(connection: duckdb.DuckDBPyConnection, applied: Sequence[Migration]) -> None:
    connection.executemany(
        "insert into migrations (number, name, version) values (?, ?, ?)",
        [[migration.number, migration.name, version("graphsocial")] for migration in applied],
    )


def _copy(connection: duckdb.DuckDBPyConnection, part: Path) -> None:
    """Copy the open store to a new file.

    DuckDB copies, as reading the file past it would end its lock of the file (POSIX).
    """
    part.unlink(missing_ok=True)
    (name,) = connection.execute("select current_database()").fetchone() or ("",)
    connection.execute(f"attach {literal(str(part))} as kept")
    try:
        connection.execute(f'copy from database "{name}" to kept')
    except BaseException:
        with suppress(duckdb.Error):  # its file may be broken
            connection.execute("detach kept")
        raise
    connection.execute("detach kept")


def _take_in_weights(connection: duckdb.DuckDBPyConnection, path: Path) -> list[Path]:
    """Read the weights of finished runs from the folder beside the store; the files that were read."""
    taken = []
    done = connection.execute("select run_id, checkpoint_hash from runs where status = 'done'").fetchall()
    for run_id, hashed in done:
        if Path(run_id).name != run_id:  # a path, in a store of someone else
            continue
        file = runs_folder(path) / run_id / "weights.safetensors"
        if not file.is_file() or hash_file(file) != hashed:
            log.warning("The run '%s' has no weights in '%s', or broken ones; train it again to use it.", run_id, file)
            continue
        content = file.read_bytes()
        connection.execute("insert into weights values (?, ?)", [run_id, content])
        connection.execute("update runs set checkpoint_hash = ? where run_id = ?", [hash_tensors(content), run_id])
        taken.append(file)
    return taken
