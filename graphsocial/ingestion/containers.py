"""Unpacks raw files that are compressed or packed: gzip, zstd and zip, recognized by their first bytes."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

import pyarrow as pa

from graphsocial.errors import InputError

GZIP, ZSTD, ZIP, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1"
SUFFIXES = (".gz", ".zst", ".zip")


def unpacked(file: Path, scratch: Path) -> Path:
    """The file itself, or the copy of its content where DuckDB does not read it packed as it is.

    Args:
        file: the file; `.gz` stays packed, which DuckDB reads.
        scratch: a folder of our own for copies.

    Raises:
        InputError: it cannot be unpacked, or a zip file does not hold exactly one file.
    """
    try:
        with file.open("rb") as raw:
            magic = raw.read(4)
        if magic.startswith(GZIP):
            return file if file.suffix.lower() == ".gz" else _copied(pa.input_stream(file, "gzip"), file, scratch)
        if magic == ZSTD:
            return _copied(pa.input_stream(file, "zstd"), file, scratch)
        if magic == ZIP:
            with zipfile.ZipFile(file) as archive, archive.open(_only_member(file, archive)) as member:
                return _copied(member, Path(member.name or file.stem), scratch)
    except (
        OSError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        pa.ArrowException,
    ) as error:
        raise InputError(f"'{file}' cannot be read: {error}") from error
    return file


def _only_member(file: Path, archive: zipfile.ZipFile) -> str:
    """The one file in a zip file; what macOS and folders add does not count."""
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    names = [
        name for name in names if not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
    ]
    if len(names) != 1:
        shown = f": {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else ""
        raise InputError(f"'{file}' is a zip file of {len(names)} files{shown}; unpack it and name the file to read.")
    return names[0]


def _copied(content: IO[bytes] | pa.NativeFile, file: Path, scratch: Path) -> Path:
    """A copy whose name ends like the packed file's, without its suffix."""
    name = file.with_suffix("").name if file.suffix.lower() in SUFFIXES else file.name
    copy = scratch / f"{len(list(scratch.iterdir()))}-{name[-80:]}"
    with content, copy.open("wb") as target:
        shutil.copyfileobj(content, target, 1 << 20)
    return copy
