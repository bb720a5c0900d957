"""All printing: results on stdout, messages on stderr, progress bars on stderr and only on a terminal."""

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

from .values import cell, distinct, escaped, is_number, one_line, plain, text, unformulaic

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Row = Sequence[Any]


@dataclass
class Output:
    """How one command prints.

    Attributes:
        json: results are printed as JSON.
        quiet: no messages and no progress bars; results and errors remain.
        tables: number of tables printed so far; an empty line separates two.
    """

    json: bool = False
    quiet: bool = False
    tables: int = 0

    @property
    def live(self) -> bool:
        """Whether stderr is a terminal, so that a progress bar replaces lines."""
        return not self.quiet and sys.stderr.isatty()

    def say(self, sentence: str) -> None:
        """Print a message on stderr, unless quiet."""
        if not self.quiet:
            _print(sentence, sys.stderr)

    def value(self, value: Any) -> None:
        """Print a value as indented JSON."""
        _print(_dumps(plain(value), indent=2), sys.stdout)

    def table(self, columns: Sequence[str], rows: Iterable[Row], *, title: str = "") -> None:
        """Print rows as an aligned table; nothing without rows.

        Args:
            columns: names of the columns.
            rows: cells in the order of the columns.
            title: a line above the table.
        """
        rows = list(rows)
        if rows:
            if self.tables:
                _print("", sys.stdout)
            self.stream(columns, [rows], title=title)
            self.tables += 1

    def stream(self, columns: Sequence[str], batches: Iterable[Sequence[Row]], *, title: str = "") -> None:
        """Print a table batch by batch, so that it may be longer than memory.

        Args:
            columns: names of the columns.
            batches: lists of rows; the first decides the columns' widths.
            title: a line above the table.
        """
        layout: Layout | None = None
        for batch in batches:
            first, layout = layout is None, layout or Layout.of(columns, batch)
            layout.show(batch, title=title if first else "", header=first)
        if layout is None:
            Layout.of(columns, []).show([], title=title)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A progress bar as a function of (step, done, total); the latest step's bar is shown, and none at the end."""
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
            shown: dict[str, TaskID] = {}

            def show(what: str, done: int, of: int) -> None:
                step, _, note = what.partition("\t")
                for other in shown.keys() - {step}:
                    bars.remove_task(shown.pop(other))
                if step not in shown:
                    shown[step] = bars.add_task(step, total=of)
                bars.update(shown[step], completed=done, total=of, description=f"{step} {note}".strip())

            yield show


def rate(speed: float | None) -> str:
    """The speed of a bar in steps per second: `213/s`; below one, `4.2 s each`; empty before it is measured."""
    if not speed:
        return ""
    return f"{1 / speed:.1f} s each" if speed < 1 else f"{speed:,.1f}/s" if speed < 100 else f"{speed:,.0f}/s"


def line(words: str) -> None:
    """Print a line of results."""
    _print(words, sys.stdout)


def fail(reason: str, *, prefix: str = "Error: ") -> None:
    """Print an error in one line on stderr."""
    _print(f"{prefix}{one_line(reason)}", sys.stderr)


def write_json(columns: Sequence[str], batches: Iterable[Sequence[Row]], stream: IO[str]) -> None:
    """Write rows as a JSON array, one object a line, batch by batch.

    Args:
        columns: names of the columns.
        batches: lists of rows.
        stream: stdout, or a file.
    """
    names = distinct(columns)
    opening = "["
    for batch in batches:
        for row in batch:
            line = _dumps(dict(zip(names, map(plain, row), strict=True)))
            stream.write(f"{opening}\n  {line}")
            opening = ","
    stream.write("[]\n" if opening == "[" else "\n]\n")


def write_csv(columns: Sequence[str], batches: Iterable[Sequence[Row]], stream: IO[str], *, safe: bool = False) -> None:
    """Write rows as CSV: lists and maps as JSON, null as nothing, control characters escaped.

    Args:
        columns: names of the columns.
        batches: lists of rows.
        stream: stdout, or a file.
        safe: mark text that spreadsheets take for a formula with an apostrophe.
    """
    form = unformulaic if safe else escaped
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(form, columns))
    for batch in batches:
        writer.writerows(
            [form(value) if isinstance(value, str) else form(cell(value)) for value in row] for row in batch
        )


@dataclass(frozen=True)
class Layout:
    """The layout of a table: aligned columns; on too narrow a terminal in two parts, or one value a line.

    Attributes:
        columns: names of the columns.
        widths: widths of the columns, in terminal cells.
        right: whether each column is right-aligned.
        parts: indices of the columns side by side in each part of the table; no parts: one value a line.
        console: where the table is printed.
    """

    columns: Sequence[str]
    widths: Sequence[int]
    right: Sequence[bool]
    parts: Sequence[Sequence[int]]
    console: Console

    @classmethod
    def of(cls, columns: Sequence[str], rows: Sequence[Row]) -> Layout:
        """The layout that fits the first rows."""
        from rich.cells import cell_len
        from rich.console import Console

        values = [[row[index] for row in rows] for index in range(len(columns))]
        widths = [max(map(cell_len, [name, *map(text, cells)])) for name, cells in zip(columns, values, strict=True)]
        right = [bool(cells) and all(value is None or is_number(value) for value in cells) for cells in values]
        console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
        parts = _parts(widths, console.width) if console.is_terminal else [range(len(columns))]
        few = len(parts) == 1 or (len(parts) == 2 and len(rows) <= console.height)
        return cls(columns, widths, right, parts if few else (), console)

    def show(self, rows: Sequence[Row], *, title: str = "", header: bool = True) -> None:
        """Print rows; values are never cut.

        Args:
            rows: cells in the order of the columns.
            title: a line above the table.
            header: print the names of the columns.
        """
        from rich.text import Text

        if title:
            self._print(Text(title, "bold"))
        shown = self._padded([[text(value) for value in column] for column in zip(*rows, strict=True)])
        for number, part in enumerate(self.parts):
            if header or len(self.parts) > 1:
                names = [column[0] for column in self._padded([[text(name)] for name in self.columns])]
                line = "  ".join(names[index] for index in part).rstrip()
                self._print(Text("\n" * bool(number) + line, "cyan"))
            lines = (
                ["  ".join(cells).rstrip() for cells in zip(*(shown[index] for index in part), strict=True)]
                if shown
                else []
            )
            if lines:
                _print("\n".join(lines), sys.stdout)
        if not self.parts:
            width = max(map(len, self.columns))
            for row in rows:
                for name, value in zip(self.columns, row, strict=True):
                    self._print(Text(name.rjust(width), "cyan") + Text(f"  {text(value)}", "default"))
                _print("", sys.stdout)

    def _padded(self, columns: Sequence[Sequence[str]]) -> list[list[str]]:
        """The cells of each column, brought to the column's width."""
        from rich.cells import cell_len

        padded = []
        for cells, width, right in zip(columns, self.widths, self.right, strict=False):
            if all(map(str.isascii, cells)):
                padded.append([cell.rjust(width) if right else cell.ljust(width) for cell in cells])
            else:
                spaces = [" " * (width - cell_len(cell)) for cell in cells]
                padded.append([s + c if right else c + s for s, c in zip(spaces, cells, strict=True)])
        return padded

    def _print(self, words: Text) -> None:
        self.console.print(words, soft_wrap=True)


def _parts(widths: Sequence[int], space: int) -> list[list[int]]:
    """Indices of the columns in parts that fit the width; each part begins with the first column."""
    parts: list[list[int]] = [[]]
    for index, width in enumerate(widths):
        if parts[-1] and sum(widths[other] + 2 for other in parts[-1]) + width > space:
            parts.append([0])
        parts[-1].append(index)
    return parts if all(sum(widths[index] + 2 for index in part) - 2 <= space for part in parts) else []


def _dumps(value: Any, indent: int | None = None) -> str:
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    return str(escaped(json.dumps(value, indent=indent, ensure_ascii=not unicode, allow_nan=False), form="\\u{:04x}"))


def _console(stream: IO[str]) -> Console:
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def _print(words: str, stream: IO[str]) -> None:
    print(escaped(words), file=stream)


def hush() -> None:
    """Redirect stdout and stderr to the null device, so that Python does not fail on a closed pipe at exit."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(null_device, stream.fileno())
