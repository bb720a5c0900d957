"""Splits a text file into its records, and finds quotes that would swallow the lines after them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO

LONGEST_LINE = 8_000_000  # bytes of a record
TOO_LONG = "the row is too long: over 8 MB"
STRAY = "a quote is not closed, or text follows a closing quote"
SWALLOWS = "a quote is not closed on its line, and the lines after it are rows: set `quote: none` if quotes are text"
MOST = 0.8  # share of swallowed lines that resemble rows, from which on the quote is a stray one
_NUMBER = re.compile(r"[-+0-9.,:/TZ ]*[0-9][-+0-9.,:/TZ ]*")
FEW = 3  # swallowed lines below which only a number where rows have one is evidence


@dataclass(frozen=True)
class Record:
    """One record of a text file: usually one line, several where a quoted field has line ends.

    Attributes:
        line: number of its first line, from 1.
        text: its text with all line ends; of one that is too long, the beginning.
        fault: why it is no row, as far as this is known from its quotes and its length.
    """

    line: int
    text: str
    fault: str | None = None

    @property
    def blank(self) -> bool:
        """Whether it is an empty line."""
        return self.text in ("\n", "\r\n", "\r", "")


@dataclass(frozen=True)
class Splitter:
    """Splits text into records.

    Attributes:
        width: number of fields of a row; 0 where it is unknown.
        delimiter: one character.
        quote: one character; empty where quotes are text, so that each line is a record.
    """

    width: int
    delimiter: str = ","
    quote: str = '"'

    @cached_property
    def _field(self) -> str:
        """Pattern of one field, in quotes or without."""
        if not self.quote:
            return f"[^{self._d}\r\n]*"
        return f"(?:{self._q}{self._inside}{self._q}|(?:[^{self._q}{self._d}\r\n][^{self._d}\r\n]*)?)"

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        """Fields and a line end."""
        return re.compile(f"{self._field}(?:{self._d}{self._field})*[\r\n]*")

    @cached_property
    def _open(self) -> re.Pattern[str]:
        """Fields, the last of which begins with a quote that is not closed."""
        return re.compile(f"((?:{self._field}{self._d})*){self._q}{self._inside}")

    @cached_property
    def _rest(self) -> re.Pattern[str]:
        """What lies before the closing quote of an open field."""
        return re.compile(self._inside)

    @cached_property
    def _each(self) -> re.Pattern[str]:
        return re.compile(f"(?:^|{self._d})({self._field})")

    @property
    def _d(self) -> str:
        return re.escape(self.delimiter)

    @property
    def _q(self) -> str:
        return re.escape(self.quote)

    @property
    def _inside(self) -> str:
        return f"[^{self._q}]*(?:{self._q}{self._q}[^{self._q}]*)*"

    def fields(self, record: str) -> list[str]:
        """The fields of a record without fault, without their quotes."""
        found = self._each.findall(record.rstrip("\r\n"))
        if not self.quote:
            return found
        return [
            field[1:-1].replace(self.quote * 2, self.quote) if field.startswith(self.quote) else field
            for field in found
        ]

    def records(self, text: IO[str]) -> Iterator[Record]:
        """The records of a text file that was opened with `newline=""`, in order.

        A record over several lines is one only if its quotes are closed, it has as many fields as a row, and the
        lines in it do not look like rows themselves; otherwise its first line is a faulty record, and the next line
        begins another one.
        """
        lines = _Lines(text)
        while (line := lines.next()) is not None:
            number = lines.number
            if len(line) > LONGEST_LINE or (
                len(line) > LONGEST_LINE // 4 and len(line.encode("utf-8", "replace")) > LONGEST_LINE
            ):
                yield Record(number, line, TOO_LONG)
            elif not self.quote or self.quote not in line or self._whole.fullmatch(line):
                yield Record(number, line)
            elif not self._open.fullmatch(line):
                yield Record(number, line, STRAY)
            else:
                yield self._several(line, lines)

    def _several(self, first: str, lines: _Lines) -> Record:
        """The record that begins with a line in which a quoted field is left open."""
        number, span, size = lines.number, [first], len(first)
        fault: str | None = STRAY
        while (line := lines.next()) is not None:
            span.append(line)
            size += len(line)
            if size > LONGEST_LINE:
                break
            inside = self._rest.match(line)
            close = inside.end() if inside else 0
            if close == len(line):
                continue  # all of the line is inside the quotes
            rest = line[close + 1 :]
            if rest.strip("\r\n") and not rest.startswith(self.delimiter):
                break  # text follows a closing quote
            rest = rest.removeprefix(self.delimiter)
            if self._whole.fullmatch(rest):
                fault = self._fault_of(span)
                break
            if not self._open.fullmatch(rest):
                break
        if fault is None:
            return Record(number, "".join(span))
        lines.give_back(span[1:])
        lines.number = number
        return Record(number, first, fault)

    def _fault_of(self, span: list[str]) -> str | None:
        """Why a record whose quotes are closed is none; None if it is one."""
        if self.width and len(self.fields("".join(span))) != self.width:
            head, *swallowed = (line.count(self.delimiter) + 1 for line in span)
            return STRAY if head >= self.width or self.width in swallowed else None
        return SWALLOWS if self.width > 1 and self._are_rows(span) else None

    def _are_rows(self, span: list[str]) -> bool:
        """Whether the lines of one record are rather rows of their own: as many fields, and numbers where it has them.

        The first line's own fields are those before the open quote, counted from the left, and those after it, counted
        from the right, since the text between them may have delimiters.
        """
        head, *swallowed = span
        literal = head.rstrip("\r\n").split(self.delimiter)
        opened = self._open.fullmatch(head)
        before = self.fields(opened[1])[:-1] if opened and opened[1] else []
        after = range(len(before) + 1 - self.width, 0)
        if len(literal) < self.width:
            return False
        shapes = {number: self._shape(field) for number, field in enumerate(before)}
        shapes |= {number: self._shape(literal[number]) for number in after}
        if "number" not in shapes.values() and len(swallowed) < FEW:
            return False

        def resembles(line: str) -> bool:
            fields = self.fields(line) if self._whole.fullmatch(line) else line.rstrip("\r\n").split(self.delimiter)
            if len(fields) != self.width:
                return False
            pairs = [
                (shape, self._shape(fields[number]))
                for number, shape in shapes.items()
                if shape and fields[number] and not fields[number].endswith(self.quote)
            ]
            return bool(pairs) and all(one == other for one, other in pairs)

        return sum(map(resembles, swallowed)) >= MOST * len(swallowed)

    def _shape(self, field: str) -> str:
        """What a field is, roughly; empty where it has no value. Text after a comma begins with a space, data do not.

        Where a row has two fields, words with a digit in them, such as most ids, differ from words without one.
        """
        if not field:
            return ""
        if _NUMBER.fullmatch(field):
            return "number"
        word = "id" if self.width == 2 and any(letter.isdigit() for letter in field) else "word"
        return f"{'spaced ' if field[0] == ' ' else ''}{word}"


class _Lines:
    """The lines of a text file, which can be given back; of a long one only the beginning is kept in memory."""

    def __init__(self, text: IO[str]) -> None:
        self.text, self.number, self._returned = text, 0, deque[str]()

    def next(self) -> str | None:
        """The next line with its end; None at the end of the file."""
        if self._returned:
            line = self._returned.popleft()
        else:
            line = self.text.readline(LONGEST_LINE + 1)
            if len(line) > LONGEST_LINE and line[-1] not in "\r\n":
                while (more := self.text.readline(LONGEST_LINE)) and more[-1] not in "\r\n":
                    pass
        if not line:
            return None
        self.number += 1
        return line

    def give_back(self, lines: list[str]) -> None:
        """The next ones are these again."""
        self._returned.extendleft(reversed(lines))
