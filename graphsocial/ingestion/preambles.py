"""What stands before the rows of a text file: comment lines, lines to skip, the header; and the delimiter."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO

from graphsocial.ingestion.encodings import open_text
from graphsocial.ingestion.records import Record, Splitter
from graphsocial.sources.base import RawTable

MARK = "#"  # begins comments before the rows, also where the table names no comment


@dataclass(frozen=True)
class Preamble:
    """The lines before the first row, and what they say.

    Attributes:
        table: how the file is to be read.
        fields: those of the header, or of the first row where there is no header; empty in an empty file.
        delimiter: given or inferred.
        skip: number of lines before the header, or before the rows where it is in a comment line, that are left out.
        header: the header, where it stands in a comment line or has to be mended.
        mended: whether the header is the last of the lines that are left out, since a quote in it is not closed.
    """

    table: RawTable
    fields: list[str]
    delimiter: str
    skip: int = 0
    header: str | None = None
    mended: bool = False

    @classmethod
    def of(cls, table: RawTable, content: Path, delimiters: Sequence[str]) -> Preamble:
        """Look at the head of a file.

        Args:
            table: how it is to be read.
            content: the file or its copy in UTF-8.
            delimiters: those among which to infer the file's; the one with most fields in the first record.
        """
        with open_text(content, "utf-8", errors="replace") as text:
            skipped = sum(1 for _ in islice(text, table.skip))
            marked, first = _head(text, table.comment)
        if not first:
            return cls(table, [], delimiters[0])
        if table.comment is None and marked:
            delimiter, names = _widest(first, delimiters, table.quote)
            known = {column.source_name for column in table.columns}
            while marked and not table.has_header and not _is_comment(marked[-1], len(names), delimiter, table.quote):
                marked.pop()  # a row whose first value begins with the mark
            last = next((line for line in reversed(marked) if line.strip()), "").strip().lstrip(MARK).strip(" ")
            header = Splitter(0, delimiter, table.quote).fields(last)
            if table.has_header and len(header) == len(names) > 1 and not known & set(names):
                return cls(table, header, delimiter, skipped + len(marked), last + "\n")
        skip = skipped + len(marked)
        records = [
            (delimiter, _first(content, skip, delimiter, table.quote, header=table.has_header))
            for delimiter in delimiters
        ]
        closed = [(delimiter, fields) for delimiter, fields in records if fields is not None]
        delimiter, names = max(closed, key=lambda pair: len(pair[1]), default=("", []))
        if len(closed) < len(records) and len(names) < 2:  # a quote in the header is not closed
            delimiter, names = _widest(first, delimiters, "")
            names = [name.replace(table.quote, "") for name in names]
            return cls(table, names, delimiter, skip + 1, delimiter.join(names) + "\n", mended=True)
        return cls(table, names, delimiter, skip)

    def removed(self, content: Path, scratch: Path) -> tuple[Path, Sequence[int] | None]:
        """The file without the lines that are left out, and the original number of each of its lines."""
        if not self.skip and self.table.comment is None:
            return content, None
        copy = scratch / f"{len(list(scratch.iterdir()))}-rows.csv"
        lines = array("q")
        with (
            open_text(content, "utf-8", errors="surrogateescape") as source,
            copy.open("w", encoding="utf-8", errors="surrogateescape", newline="") as target,
        ):
            if self.header is not None:
                target.write(self.header)
                lines.append(self.skip)
            for record in self._rows(source):
                target.write(record.text if record.fault is None else record.text.rstrip("\r\n") + "\n")
                lines.extend(range(record.line, record.line + max(1, len(record.text.splitlines()))))
        return copy, lines

    def _rows(self, source: IO[str]) -> Iterator[Record]:
        """The records that stay; of a long or faulty one the text as it is."""
        for _ in range(self.skip):
            source.readline()
        splitter = Splitter(len(self.fields), self.delimiter, self.table.quote)
        for record in splitter.records(source):
            if self.table.comment is None or not record.text.startswith(self.table.comment):
                yield replace(record, line=record.line + self.skip)


def _head(text: IO[str], comment: str | None) -> tuple[list[str], str]:
    """The blank and the marked lines at the beginning, and the first other line; empty where there is none."""
    marked: list[str] = []
    for line in text:
        if line.strip() and not line.startswith(comment or MARK):
            return marked, line
        marked.append(line)
    written = [line for line in marked if line.strip()]
    return [], written[0] if written and comment is None else ""


def _is_comment(line: str, width: int, delimiter: str, quote: str) -> bool:
    """Whether a line that begins with the mark is rather a comment than a row."""
    fields = Splitter(0, delimiter, quote).fields(line)
    return not line.strip() or len(fields) != width or line.startswith((f"{MARK} ", MARK * 2))


def _first(content: Path, skip: int, delimiter: str, quote: str, *, header: bool) -> list[str] | None:
    """The fields of the first record after some lines; None where it is a header whose quotes are not closed."""
    splitter = Splitter(0, delimiter, quote)
    with open_text(content, "utf-8", errors="replace") as text:
        for _ in range(skip):
            text.readline()
        record = next(splitter.records(text), Record(0, ""))
    if record.fault:
        return None if header else Splitter(0, delimiter, "").fields(record.text)
    return splitter.fields(record.text)


def _widest(line: str, delimiters: Sequence[str], quote: str) -> tuple[str, list[str]]:
    pairs = [(delimiter, Splitter(0, delimiter, quote).fields(line)) for delimiter in delimiters]
    return max(pairs, key=lambda pair: len(pair[1]))
