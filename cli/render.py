"""The only place that prints: data on stdout, talk on stderr, progress bars on stderr and only on a terminal."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from graphsocial.types import Progress

from .values import cell, distinct, is_number, one_line, plain, text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Row = Sequence[Any]


@dataclass
class Output:
    """How this call of the command line prints.

    Attributes:
        json: data is JSON.
        quiet: no talk and no progress; data and errors remain.
        tables: how many have been printed; there is an empty line between two.
    """

    json: bool = False
    quiet: bool = False
    tables: int = 0

    @property
    def live(self) -> bool:
        """Whether somebody watches, so that a bar says more than lines."""
        return not self.quiet and sys.stderr.isatty()

    def say(self, sentence: str) -> None:
        """A sentence for the person at the terminal."""
        if not self.quiet:
            _print(sentence, sys.stderr)

    def value(self, value: Any) -> None:
        """A value as indented JSON."""
        _print(_dumps(plain(value), indent=2), sys.stdout)

    def table(self, columns: Sequence[str], rows: Iterable[Row], *, title: str = "") -> None:
        """A table for people; nothing at all without rows."""
        rows = list(rows)
        if rows:
            if self.tables:
                _print("", sys.stdout)
            self.stream(columns, [rows], title=title)
            self.tables += 1

    def stream(self, columns: Sequence[str], batches: Iterable[Sequence[Row]], *, title: str = "") -> None:
        """A table that may be longer than memory; the columns' widths come from the first batch."""
        layout: Layout | None = None
        for batch in batches:
            begun, layout = layout is not None, layout or Layout.of(columns, batch)
            layout.show(batch, title="" if begun else title, header=not begun)
        if layout is None:
            Layout.of(columns, []).show([], title=title)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A bar that is told (what, done, of how many); the bar of the last word is shown, and none at the end."""
        if not self.live:
            yield lambda what, done, of: None
            return
        from rich.console import Console
        from rich.progress import Progress as Bars
        from rich.progress import ProgressColumn, Task, TaskID
        from rich.text import Text

        class Rate(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text(rate(task.speed), "cyan")

        with Bars(*Bars.get_default_columns(), Rate(), console=Console(stderr=True), transient=True) as bars:
            known: dict[str, TaskID] = {}

            def show(what: str, done: int, of: int) -> None:
                word, _, note = what.partition("\t")
                for other in known.keys() - {word}:
                    bars.remove_task(known.pop(other))
                if word not in known:
                    known[word] = bars.add_task(word, total=of)
                bars.update(known[word], completed=done, total=of, description=f"{word} {note}".strip())

            yield show


def rate(speed: float | None) -> str:
    """How fast a bar moves, in steps a second: `213/s`; of slow ones, `4.2 s each`; nothing before it is known."""
    if not speed:
        return ""
    return f"{1 / speed:.1f} s each" if speed < 1 else f"{speed:,.1f}/s" if speed < 100 else f"{speed:,.0f}/s"


def line(words: str) -> None:
    """A line of data."""
    _print(words, sys.stdout)


def fail(reason: str, *, prefix: str = "Error: ") -> None:
    """What went wrong, in one line."""
    _print(f"{prefix}{one_line(reason)}", sys.stderr)


def write_json(columns: Sequence[str], batches: Iterable[Sequence[Row]]) -> None:
    """Rows as a JSON array of objects, one a line, written as they come."""
    names = distinct(columns)
    opening = "["
    for batch in batches:
        for row in batch:
            line = _dumps(dict(zip(names, map(plain, row), strict=True)))
            sys.stdout.write(f"{opening}\n  {line}")
            opening = ","
    sys.stdout.write("[]\n" if opening == "[" else "\n]\n")


def write_csv(columns: Sequence[str], batches: Iterable[Sequence[Row]]) -> None:
    """Rows as CSV: lists and maps as JSON, nothing for null."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for batch in batches:
        writer.writerows([cell(value) for value in row] for row in batch)


@dataclass(frozen=True)
class Layout:
    """How the rows of one table stand: aligned; on a terminal that is too narrow in two parts, or one value a line.

    Attributes:
        columns: their names.
        widths: of the columns, in terminal cells.
        right: whether a column is set to the right.
        parts: the columns that stand side by side, one part below the other; none for one value a line.
        console: what the table is printed on.
    """

    columns: Sequence[str]
    widths: Sequence[int]
    right: Sequence[bool]
    parts: Sequence[Sequence[int]]
    console: Console

    @classmethod
    def of(cls, columns: Sequence[str], rows: Sequence[Row]) -> Layout:
        """The layout that the first rows call for."""
        from rich.cells import cell_len
        from rich.console import Console

        values = [[row[at] for row in rows] for at in range(len(columns))]
        widths = [max(map(cell_len, [name, *map(text, found)])) for name, found in zip(columns, values, strict=True)]
        right = [bool(found) and all(value is None or is_number(value) for value in found) for found in values]
        console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
        parts = _parts(widths, console.width) if console.is_terminal else [range(len(columns))]
        few = len(parts) == 1 or (len(parts) == 2 and len(rows) <= console.height)
        return cls(columns, widths, right, parts if few else (), console)

    def show(self, rows: Sequence[Row], *, title: str = "", header: bool = True) -> None:
        """Rows, whole: what does not fit is never cut."""
        from rich.text import Text

        if title:
            self._print(Text(title, "bold"))
        for number, part in enumerate(self.parts):
            if header or len(self.parts) > 1:
                self._print(Text("\n" * bool(number) + self._line(self.columns, part), "cyan"))
            for row in rows:
                _print(self._line([text(value) for value in row], part), sys.stdout)
        if not self.parts:
            width = max(map(len, self.columns))
            for row in rows:
                for name, value in zip(self.columns, row, strict=True):
                    self._print(Text(name.rjust(width), "cyan") + Text(f"  {text(value)}", "default"))
                _print("", sys.stdout)

    def _line(self, cells: Sequence[str], part: Sequence[int]) -> str:
        from rich.cells import cell_len

        found = []
        for at in part:
            space = " " * (self.widths[at] - cell_len(cells[at]))
            found.append(space + cells[at] if self.right[at] else cells[at] + space)
        return "  ".join(found).rstrip()

    def _print(self, words: Text) -> None:
        self.console.print(words, soft_wrap=True)


def _parts(widths: Sequence[int], space: int) -> list[list[int]]:
    """The columns dealt out to parts that fit; each part begins with the first column."""
    parts: list[list[int]] = [[]]
    for at, width in enumerate(widths):
        if parts[-1] and sum(widths[other] + 2 for other in parts[-1]) + width > space:
            parts.append([0])
        parts[-1].append(at)
    return parts if all(sum(widths[at] + 2 for at in part) - 2 <= space for part in parts) else []


def _dumps(value: Any, indent: int | None = None) -> str:
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    return json.dumps(value, indent=indent, ensure_ascii=not unicode, allow_nan=False)


def _console(stream: IO[str]) -> Console:
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def _print(words: str, stream: IO[str]) -> None:
    print(words, file=stream)


def hush() -> None:
    """Let what is left on a closed pipe go nowhere, so that Python's exit does not complain about it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
