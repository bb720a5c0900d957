"""CSV files of ids: the examples to predict, or the parts of a split, by a header that names the ends."""

from __future__ import annotations

import zlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphsocial.errors import InputError, MissingFileError
from graphsocial.ingestion.encodings import open_text, suggested
from graphsocial.ingestion.records import Record, Splitter

DELIMITERS = (",", "\t", ";")
SOURCE = ("src", "source", "src_id", "source_id", "entity_id")
DESTINATION = ("dst", "destination", "dst_id", "destination_id", "other_id")


@dataclass(frozen=True)
class IdFile:
    """The ids in a file.

    Attributes:
        path: the file.
        rows: the ids of each row; as many as the file has columns for, at most one for each end.
        lines: the line of each row.
        rejects: line and reason of each row without ids.
    """

    path: Path
    rows: list[tuple[str, ...]]
    lines: list[int]
    rejects: list[tuple[int, str]]

    @property
    def read(self) -> int:
        """How many rows the file has."""
        return len(self.rows) + len(self.rejects)


def read_ids(path: Path, ends: Sequence[str], *, known: Sequence[Container[str]] = (), fewer: bool = False) -> IdFile:
    """Read a CSV file of ids, gzipped or not, whose columns are in any order; other columns are ignored.

    A column belongs to the end whose type it names (`user`, `user_id`) or to the one that it calls `src` or `dst`; a
    second column takes the end that is left. Of nodes it is the column `id` or the type's, else the first.

    Args:
        path: the file.
        ends: the node type of the examples, or those of the source and the destination of pairs; where they are
            empty, the ids are in the first columns.
        known: the ids of each end; a first line of such ids is no header.
        fewer: whether a file of pairs may have only one column, of the source.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is empty or no UTF-8, or its header does not say which column is which end.
    """
    if not path.is_file():
        raise MissingFileError(f"There is no file '{path}'.")
    try:
        with open_text(path, "utf-8") as text:
            delimiter, header = _header(text.readline())
            records = [Record(1, ""), *Splitter(len(header), delimiter).records(text)]
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not UTF-8, but {suggested(path)} perhaps; write it as UTF-8.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error
    wanted = "a column of ids" if len(ends) == 1 else "two columns of ids, of the source and of the destination,"
    if not any(header) or (len(header) < len(ends) and not fewer) or not any(record.text for record in records):
        raise InputError(f"'{path}' needs a header, {wanted} and at least one row.")
    if known and all(name in ids for name, ids in zip(header, known, strict=False)):
        raise InputError(f"The first line of '{path}' is ids ({', '.join(header)}); put a line with names above it.")
    columns = _columns(path, header, ends)
    splitter = Splitter(len(header), delimiter)
    file = IdFile(path, [], [], [])
    for record in records[1:]:
        if record.blank:
            continue
        fields = [] if record.fault else [field.strip() for field in splitter.fields(record.text)]
        ids = tuple(fields[column] for column in columns if column < len(fields))
        if record.fault or len(fields) != len(header):
            reason = record.fault or f"the row has {len(fields)} fields, not {len(header)}"
            file.rejects.append((record.line + 1, reason))
        elif not all(ids):
            file.rejects.append((record.line + 1, f"the {ends[ids.index('')]} is missing"))
        else:
            file.rows.append(ids)
            file.lines.append(record.line + 1)
    if not file.read:
        raise InputError(f"'{path}' needs a header, {wanted} and at least one row; it has blank lines only.")
    return file


def _header(line: str) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns."""
    pairs = [(delimiter, Splitter(0, delimiter).fields(line)) for delimiter in DELIMITERS]
    delimiter, names = max(pairs, key=lambda pair: len(pair[1]))
    return delimiter, [name.strip() for name in names]


def _columns(path: Path, header: list[str], ends: Sequence[str]) -> list[int]:
    """The column of each end."""
    lower = [name.lower() for name in header]
    if len(ends) == 1:
        known = [name for name in (ends[0], f"{ends[0]}_id", "id", "entity_id") if name in lower]
        return [lower.index(known[0]) if known else 0]
    names = [{*SOURCE}, {*DESTINATION}]
    if ends[0] != ends[1]:
        names = [{*names[end], ends[end], f"{ends[end]}_id"} for end in (0, 1)]
    columns = [next((number for number, name in enumerate(lower) if name in known), None) for known in names]
    if columns == [None, None]:
        if len(header) == 1 or not any(ends):
            return [*range(min(len(header), 2))]
        accepted = "src and dst" if ends[0] == ends[1] else f"{ends[0]} and {ends[1]}, or src and dst"
        raise InputError(
            f"The header of '{path}' ({', '.join(header[:4])}) does not say which column is the source and which the "
            f"destination; call them {accepted}."
        )
    left = [number for number in range(len(header)) if number not in columns]
    return [column if column is not None else left[0] for column in columns if column is not None or left]
