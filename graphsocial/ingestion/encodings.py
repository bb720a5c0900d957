"""Text files in any encoding, gzipped or not, and their copies in UTF-8, which is what DuckDB reads."""

from __future__ import annotations

import gzip
import re
import zlib
from io import TextIOWrapper
from pathlib import Path
from typing import IO

from graphsocial.errors import InputError
from graphsocial.sources.base import RawTable

LATIN_1 = ("latin_1", "latin1", "iso_8859_1", "iso8859_1", "l1")
_C1 = re.compile(rb"[\x80-\x9f]")


def open_text(file: Path, encoding: str, *, errors: str = "strict", newline: str | None = "") -> IO[str]:
    """Open a text file, gzipped or not, for reading; a byte order mark is left out.

    Args:
        file: the file; gzipped if its suffix is `.gz`.
        encoding: as Python names it.
        errors: what becomes of bytes that are not in the encoding, as for `open`.
        newline: as for `open`; line ends stay as they are by default.
    """
    if _normalized(encoding) in ("utf8", "utf_8"):
        encoding = "utf-8-sig"
    if file.suffix.lower() == ".gz":
        return TextIOWrapper(gzip.open(file), encoding=encoding, errors=errors, newline=newline)
    return file.open(encoding=encoding, errors=errors, newline=newline)


def is_utf8(table: RawTable) -> bool:
    """Whether DuckDB can read the table's files as they are.

    Raises:
        InputError: Python does not know the table's encoding.
    """
    try:
        "".encode(table.encoding)
    except LookupError as error:
        raise InputError(
            f"'{table.encoding}' is no encoding that Python knows; for table '{table.name}' give one such as "
            "utf-8, latin-1, utf-16 or gb18030."
        ) from error
    return _normalized(table.encoding) in ("utf8", "utf_8", "utf_8_sig", "ascii")


def utf8_copy(content: Path, encoding: str, folder: Path, *, file: Path, mixed_line_ends: bool = False) -> Path:
    """Copy a text file in UTF-8; bytes that are not UTF-8 in a file that should be stay, to be rejected row by row.

    Args:
        content: the file or its unpacked copy, gzipped or not.
        encoding: its encoding.
        file: the file itself, for messages.
        folder: where the copy is made, under a new name.
        mixed_line_ends: write all line ends as one newline.

    Raises:
        InputError: the file cannot be read, or is not in this encoding.
    """
    if _normalized(encoding) in LATIN_1:
        _check_latin_1(content, file)
    errors = "surrogateescape" if _normalized(encoding) in ("utf8", "utf_8") else "strict"
    copy = folder / f"{len(list(folder.iterdir()))}-{content.name.removesuffix('.gz')[-80:]}"
    try:
        with (
            open_text(content, encoding, errors=errors, newline=None if mixed_line_ends else "") as source,
            copy.open("w", encoding="utf-8", errors=errors, newline="") as target,
        ):
            while block := source.read(1 << 20):
                target.write(block)
    except UnicodeError as error:
        raise InputError(f"'{file}' is not {encoding} throughout ({error}); give its real encoding.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{file}' cannot be read: {error}") from error
    return copy


def suggested(file: Path) -> str:
    """The likely encoding of a text file that is not UTF-8: cp1252 where its bytes are no characters of latin-1."""
    with open_bytes(file) as raw:
        return "cp1252" if any(_C1.search(line) for line in raw if not _is_utf8(line)) else "latin-1"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_latin_1(content: Path, file: Path) -> None:
    """Bytes from 0x80 to 0x9f are control characters in latin-1, which nobody writes, and quotes and € in cp1252."""
    with open_bytes(content) as raw:
        for number, line in enumerate(raw, start=1):
            if found := _C1.search(line):
                character = found[0].decode("cp1252", "replace")
                raise InputError(
                    f"'{file}' is not latin-1: line {number} has the byte 0x{found[0].hex()}, a control character, "
                    f"which is '{character}' in cp1252; set `encoding: cp1252`."
                )


def open_bytes(file: Path) -> IO[bytes]:
    return gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb")  # type: ignore[return-value]


def _normalized(encoding: str) -> str:
    return encoding.lower().replace("-", "_")
