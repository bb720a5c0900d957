"""A raw file that is ready to be selected from: its SQL, its columns, and what its records are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from graphsocial.errors import InputError
from graphsocial.ingestion.records import LONGEST_LINE, Splitter
from graphsocial.sources.base import RawTable
from graphsocial.store.sql import literal, quote

MALFORMED = "__malformed"  # a column with the reason why DuckDB's row is not a row; '' for a blank line
IGNORED = "ignore_errors = true"  # an option of `read_csv`: leave out what cannot be parsed


@dataclass(frozen=True)
class Opened:
    """One file, ready to be selected from.

    Attributes:
        file: the file.
        relation: an SQL select; it leaves out records of a text file that DuckDB cannot parse, and notes them.
        lookup: the same without the notes, for other tables' SQL.
        types: the DuckDB type of each column; all `VARCHAR` in text files.
        format: `csv`, `jsonl` or `parquet`.
        readable: what DuckDB reads: the file, or its copy: unpacked, in UTF-8, one JSON record a line.
        renamed: columns whose SQL name is another one, since another column's differs in case only.
        splitter: of a text file, what its records are.
        header: number of records that name the columns.
        lines: of a copy with other lines than the file, the file's number of each.
        decimal, thousands: the separators of numbers.
        notes: sentences about what was found by looking.
    """

    file: Path
    relation: str
    lookup: str
    types: dict[str, str]
    format: str = "csv"
    readable: Path = Path()
    renamed: dict[str, str] = field(default_factory=dict)
    splitter: Splitter | None = None
    header: int = 0
    lines: Sequence[int] | None = None
    decimal: str = "."
    thousands: str = ""
    notes: tuple[str, ...] = ()

    @property
    def checks_itself(self) -> bool:
        """Whether the relation has the column `MALFORMED` too."""
        return self.format == "jsonl"

    @property
    def skips_blank(self) -> bool:
        """Whether an empty line is no row; where rows have one field it is a row without a value."""
        return self.format == "csv" and len(self.types) > 1

    def column(self, name: str) -> str:
        """The SQL identifier of a column."""
        return quote(self.renamed.get(name, name))

    def reading(self, copy: Path) -> Opened:
        """The same from a copy of the text file."""
        old, new = (f"read_csv({literal(plain(path))}," for path in (self.readable, copy))
        return replace(self, readable=copy, relation=self.relation.replace(old, new))

    def line(self, number: int) -> int:
        """The file's line of a line that is read."""
        return number if self.lines is None or number > len(self.lines) else self.lines[number - 1]


def read_csv(file: Path, options: str, errors: str) -> str:
    """SQL of a text file's records, parsed.

    Args:
        file: the file in UTF-8, gzipped or not.
        options: its columns, delimiter and quote, as options of DuckDB's `read_csv`.
        errors: what becomes of records that cannot be parsed, likewise.
    """
    return f"read_csv({literal(plain(file))}, auto_detect = false, max_line_size = {LONGEST_LINE}, {options}, {errors})"


def without_nulls(value: str, table: RawTable) -> str:
    """SQL of a text, null where it is one of the table's `nulls`."""
    if not table.nulls:
        return value
    return f"case when {value} not in ({', '.join(map(literal, table.nulls))}) then {value} end"


def unreadable(file: Path, error: Exception) -> InputError:
    """DuckDB's complaint about a file, in one line."""
    return InputError(f"'{file}' cannot be read: {str(error).strip().splitlines()[0]}")


def plain(file: Path) -> str:
    """The path for DuckDB, in which * ? [ ] stand for themselves."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(file))
