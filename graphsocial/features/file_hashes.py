"""Hashes of files' bytes; the store remembers them, so that a file that was not written since is not read again."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from graphsocial._compat.hashing import hash_file
from graphsocial.errors import MissingFileError
from graphsocial.store import GraphStore
from graphsocial.store.temporary import registered
from graphsocial.types import Progress

_JUST_NOW = 2_000_000_000
"""Nanoseconds: a file as fresh as that may be written again without a visible change of its time."""
LARGEST = {"image": 1 << 28, "audio": 1 << 32, "video": 1 << 34}
"""Kind of column → largest size of a file, in bytes."""
NO_FILE = -2
"""The size of what is no regular file: a device, a pipe or a folder, which may have no end."""


def hash_files(
    store: GraphStore,
    paths: Sequence[str],
    what: str,
    progress: Progress | None,
    *,
    root: str | None = None,
    kind: str = "video",
) -> pa.Table:
    """The hash of each file, from the store where size and time of the last write are still the same.

    Args:
        store: what remembers the hashes, in its table `file_contents`.
        paths: without repetitions.
        what: the name that progress has.
        progress: called with that name, files done and files to do.
        root: the folder that the files must lie in, links followed; None for any.
        kind: of the files' column, which limits their size.

    Returns:
        (path, content, reason), in the order of the paths: the hash, or why there is none; the other of both is null.
    """
    begin = time.time_ns()
    states = [_state(path) for path in paths]
    remembered = {
        path: (size, modified, content)
        for path, size, modified, content in store.sql(
            "select path, bytes, modified_ns, content from file_contents"
        ).fetchall()
    }
    refused = _refusals(paths, states, root, LARGEST.get(kind, LARGEST["video"]))
    changed = [
        path
        for path, state in zip(paths, states, strict=True)
        if path not in refused and remembered.get(path, ())[:2] != state
    ]
    hashes: dict[str, tuple[str | None, str | None]] = {
        path: (content, None) for path, (_, _, content) in remembered.items()
    }
    hashes |= {path: (None, reason) for path, reason in refused.items()}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, (path, hashed) in enumerate(zip(changed, pool.map(_hash, changed), strict=True)):
            hashes[path] = hashed
            if progress and done % 256 == 0:
                progress(f"reading {what}", done, len(changed))
    files = pa.table(
        {
            "path": pa.array(paths, pa.string()),
            "bytes": pa.array([size for size, _ in states], pa.int64()),
            "modified_ns": pa.array([modified for _, modified in states], pa.int64()),
            "content": pa.array([hashes[path][0] for path in paths], pa.string()),
            "reason": pa.array([hashes[path][1] for path in paths], pa.string()),
        }
    )
    if changed:
        with registered(store.connection, files) as name:
            store.connection.execute(
                "insert or replace into file_contents "
                f"select distinct on (path) path, bytes, modified_ns, content from {name} "
                "where reason is null and modified_ns < ?",
                [begin - _JUST_NOW],
            )
    return files.select(["path", "content", "reason"])


def _state(path: str) -> tuple[int, int]:
    """Size and time of the last write; of what cannot be opened, -1 and 0, of what is no regular file, -2 and 0."""
    try:
        state = os.stat(path)  # noqa: PTH116 - pathlib takes twice as long
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return -1, 0
    return (state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else (NO_FILE, 0)


def _refusals(
    paths: Sequence[str], states: Sequence[tuple[int, int]], root: str | None, largest: int
) -> dict[str, str]:
    """Path → why a file is not read."""
    refused = {}
    real_root = None if root is None else os.path.realpath(root)
    folders: dict[str, str] = {}
    for path, (size, _) in zip(paths, states, strict=True):
        if size == NO_FILE:
            refused[path] = f"'{path}' is no regular file"
        elif size > largest:
            refused[path] = f"'{path}' has {size:,} bytes; at most {largest:,} are read"
        elif real_root is not None and size >= 0 and not _is_inside(path, real_root, folders):
            refused[path] = f"'{path}' lies outside of the dataset's folder; ingest with --allow-outside to read it"
    return refused


def _is_inside(path: str, root: str, folders: dict[str, str]) -> bool:
    """Whether a file lies in a folder, links followed; `folders` remembers where those of files lead."""
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    real = os.path.join(folders[folder], name)  # noqa: PTH118 - pathlib takes ten times as long
    if os.path.islink(real):  # noqa: PTH114
        real = os.path.realpath(real)
    return name != ".." and os.path.commonpath((real, root)) == root


def _hash(path: str) -> tuple[str | None, str | None]:
    """The hash of a file, or why there is none."""
    try:
        return hash_file(path), None
    except MissingFileError as error:
        return None, str(error)
    except ValueError as error:  # a null byte in the name
        return None, f"'{path}' cannot be read: {error}"
