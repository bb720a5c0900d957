"""Opens the file of a store: with its owner's rights alone, and beside a process that writes it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from graphsocial.errors import StoreError
from graphsocial.store.faults import is_damage, is_full, message_of

PRIVATE = 0o600
POLL = 0.1  # seconds between two tries to open a store that another process holds
TRIES = 50  # copies that are begun, at most, while a process merges what it has committed into the file
HEADER = 3 * 4096  # bytes: DuckDB's file header and its two database headers, of which a checkpoint replaces one


@contextmanager
def rights_of(path: Path) -> Iterator[None]:
    """Files that are made meanwhile get the store's rights, or those of a new store: none but its owner's."""
    mode = path.stat().st_mode & 0o666 if path.exists() else PRIVATE
    before = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(before)


def connect(
    path: Path, *, read_only: bool, wait: bool = False
) -> tuple[duckdb.DuckDBPyConnection, TemporaryDirectory[str] | None]:
    """A connection to a store's file, and the folder of the copy that it reads, if another process writes the file.

    Args:
        path: of the store.
        read_only: nothing is written; if another process writes the store, its last committed state is copied and read.
        wait: wait for the other process instead.

    Raises:
        StoreError: there is no such file or folder, it is not a store, or another process holds it.
    """
    _check(path, read_only)
    while True:
        try:
            with rights_of(path):
                return duckdb.connect(str(path), read_only=read_only), None
        except (duckdb.Error, OSError) as error:  # noqa: PERF203 - it is tried again
            holder = _holder(error)
            if holder is None:
                raise _refused(path, error) from error
            if not wait and read_only:
                return _snapshot(path)
            if not wait:
                raise StoreError(
                    f"'{path}' is held by {holder}. Wait until it ends, or give --wait; what only reads a store "
                    "(sql, info, runs, report) works meanwhile."
                ) from error
            time.sleep(POLL)


def is_writable(path: Path, *, wait: bool = False) -> bool:
    """Whether a store can be opened for writing: neither its medium nor another process forbids it.

    Args:
        path: of the store.
        wait: another process is waited for, so it forbids nothing.
    """
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return False
    if wait:
        return True
    try:
        duckdb.connect(str(path)).close()
    except (duckdb.Error, OSError) as error:
        return _holder(error) is None
    return True


def _check(path: Path, read_only: bool) -> None:
    try:
        if path.is_dir():
            raise StoreError(f"'{path}' is a folder; a store is one file, such as '{path / 'graphsocial.duckdb'}'.")
        if read_only and not path.exists():
            raise StoreError(f"There is no store '{path}'; ingest a dataset first, or name another with --store.")
        if not path.parent.is_dir():
            raise StoreError(f"There is no folder '{path.parent}' for the store '{path.name}'.")
    except OSError as error:  # a name that is too long, a folder that may not be searched
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"'{path.name[:80]}' cannot be the name of a store here: {message_of(error)}") from error


def _holder(error: Exception) -> str | None:
    """Who holds the file, if that is why it cannot be opened; DuckDB's words for damage have "lock" in "block"."""
    text = str(error)
    if "Could not set lock on file" not in text:
        return None
    found = re.search(r"PID (\d+)", text)
    return f"process {found.group(1)}" if found else "another process"


def _refused(path: Path, error: Exception) -> StoreError:
    text = message_of(error)
    if "not a valid DuckDB" in text:
        return StoreError(f"'{path}' is not a graphsocial store; choose another --store.")
    if "storage version" in text or "version number" in text:
        return StoreError(f"'{path}' was written by another DuckDB ({text}); install that version.")
    if "Read-only file system" in text or "Permission denied" in text:
        return StoreError(
            f"'{path}' cannot be written ({text.rstrip('.')}); copy it to a folder of yours. What only reads a store "
            "works where it is: sql, info, runs, compare, evaluate, report."
        )
    if is_full(error):
        return StoreError(f"'{path}' cannot be opened, as its disk is full ({text}). Make space there.")
    if is_damage(error):
        copies = sorted(copy.name for copy in path.parent.glob(f"{path.stem}.before-*{path.suffix}"))
        kept = f"from its copy '{copies[-1]}', or another" if copies else "from a copy"
        return StoreError(
            f"'{path}' is damaged and cannot be opened; DuckDB says: {text} Nothing of it can be read here. Restore it "
            f"{kept}, or ingest and train again into a new --store."
        )
    return StoreError(f"'{path}' cannot be opened: {text}")


def _snapshot(path: Path) -> tuple[duckdb.DuckDBPyConnection, TemporaryDirectory[str]]:
    """A copy of what another process has committed so far, opened for reading.

    A commit is in the file, or in the log beside it, which says where in the file its rows are. Blocks of the file that
    its header or the log refers to stay as they are until a checkpoint writes a new header. So the log is copied, then
    the file, and both belong together if the header is the same after as before.
    """
    log = path.with_name(f"{path.name}.wal")
    error: Exception | None = None
    for _ in range(TRIES):
        folder = TemporaryDirectory(prefix="graphsocial-")
        copy = Path(folder.name, path.name)
        try:
            before = _state(path)
            if before is not None:
                if log.exists():
                    shutil.copyfile(log, copy.with_name(log.name))
                shutil.copyfile(path, copy)
                if _state(path) == before:
                    return duckdb.connect(str(copy), read_only=True), folder
        except FileNotFoundError as missing:  # the log, which a checkpoint removes
            error = missing
        except duckdb.Error as torn:  # the end of the log was being written
            error = torn
        except OSError as failed:
            folder.cleanup()
            raise StoreError(
                f"'{path}' is held by another process, and its last state cannot be copied to '{folder.name}': "
                f"{message_of(failed)} Set TMPDIR to a folder with more space, or give --wait."
            ) from failed
        except BaseException:
            folder.cleanup()
            raise
        folder.cleanup()
        time.sleep(POLL)
    raise StoreError(f"'{path}' is held by another process, which writes it all the time; give --wait.") from error


def _state(path: Path) -> tuple[bytes, int, bool] | None:
    """The header, which changes with each checkpoint, and the log's identity; None in the midst of a checkpoint."""
    names = {entry.name for entry in path.parent.glob(f"{path.name}.wal*")}
    if names - {f"{path.name}.wal"}:
        return None
    with path.open("rb") as file:
        header = file.read(HEADER)
    log = path.with_name(f"{path.name}.wal")
    return header, log.stat().st_ino if names else 0, bool(names)
