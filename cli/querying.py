"""The command that runs a query: sql."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from . import render
from .options import Session
from .render import Row
from .values import rows_of

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

BATCH = 2_000
FORMATS = (".parquet", ".csv", ".json")
UNLOCKED = (
    "Unlocked: this query may read and write every file that you may, over the store too, and load extensions that are "
    "installed. Run it only if you know what it does."
)


@dataclass(frozen=True)
class ResultOptions:
    """Where the result goes, and in which format."""

    panel: ClassVar[str] = "Result"

    csv: Annotated[bool, typer.Option("--csv", metavar="", help="Print results as CSV.")] = False
    csv_safe: Annotated[
        bool,
        typer.Option(
            "--csv-safe", metavar="", help="CSV for spreadsheets: text that they take for a formula gets an apostrophe."
        ),
    ] = False
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File to write instead; ends with .parquet, .csv or .json.", show_default=False
        ),
    ] = None
    all_: Annotated[
        bool, typer.Option("--all", metavar="", help="Print all rows on a terminal, not the first screenful.")
    ] = False
    unlocked: Annotated[
        bool,
        typer.Option("--unlocked", metavar="", help="Let the query read and write other files and load extensions."),
    ] = False

    def check(self, *, json: bool) -> None:
        """Raise `BadParameter` where options exclude each other."""
        as_csv = self.csv or self.csv_safe
        if as_csv and json:
            raise typer.BadParameter("choose --json or --csv.", param_hint="--csv")
        if self.out is not None and self.out.suffix.lower() not in FORMATS:
            raise typer.BadParameter(f"'{self.out}' must end with one of {', '.join(FORMATS)}.", param_hint="--out")
        if self.out is not None and (self.csv or json or (self.csv_safe and self.out.suffix.lower() != ".csv")):
            raise typer.BadParameter(
                "the file's ending decides the format; leave --csv and --json.", param_hint="--out"
            )


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="SQL query; - reads it from stdin.")],
    *,
    result: ResultOptions,
    session: Session,
) -> None:
    """Run a SQL query on the store, which is opened read-only.

    One statement, which sees the store and nothing else: no other file is read
    or written, unless --unlocked is given. While another process writes the
    store, the query sees its last committed state.
    """
    result.check(json=session.out.json)
    query = sys.stdin.read() if query == "-" else query
    if result.unlocked:
        session.out.say(UNLOCKED)
    with session.read(unlocked=result.unlocked) as opened:
        relation = _relation(opened, query)
        if result.out is not None:
            return _write(session, opened, relation, result)
        columns, batches = list(relation.columns), _rows(opened, relation)
        if session.out.json:
            render.write_json(columns, batches, sys.stdout)
        elif result.csv or result.csv_safe:
            render.write_csv(columns, batches, sys.stdout, safe=result.csv_safe)
        elif sys.stdout.isatty() and not result.all_:
            _show_first(session, columns, batches)
        else:
            session.out.stream(columns, batches)


def _relation(store: GraphStore, query: str) -> Any:
    """The query as a lazy relation: exactly one statement that gives rows."""
    import duckdb

    from graphsocial.errors import InputError

    try:
        statements = store.connection.extract_statements(query)
    except duckdb.Error as error:
        raise InputError(f"The SQL does not run: {error}") from error
    if len(statements) > 1:
        raise InputError(f"These are {len(statements)} statements; `graphsocial sql` runs one at a time.")
    relation = None
    if statements:
        try:
            relation = store.sql(query)
        except InputError as error:
            raise _explained(error) from error
    if relation is None:
        raise InputError("There is no query that gives rows; write one such as: select * from leaderboard")
    return relation


def _explained(error: Exception) -> Exception:
    from graphsocial.errors import InputError

    if "read-only mode" in str(error):
        return InputError(
            "This statement writes, and `graphsocial sql` only reads. To change a store, open it in Python: "
            "graphsocial.open(path).sql(…)"
        )
    if any(words in str(error) for words in ("disabled by configuration", "disabled through configuration", "locked")):
        return InputError(
            f"`graphsocial sql` sees the store and nothing else ({error}). To export a result: --out "
            "FILE.parquet, .csv or .json. If the query is your own and needs other files or extensions: --unlocked."
        )
    return error


def _write(session: Session, store: GraphStore, relation: Any, result: ResultOptions) -> None:
    """The result as a file."""
    import io

    from graphsocial.store.exporting import whole_file, write_parquet

    path = result.out
    assert path is not None
    with whole_file(path) as file:
        if path.suffix.lower() == ".parquet":
            batches = _batches(store, relation)
            first = next(batches)
            write_parquet(first.schema, chain([first], batches), file)
        else:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            columns, rows = list(relation.columns), _rows(store, relation)
            if path.suffix.lower() == ".json":
                render.write_json(columns, rows, text)
            else:
                render.write_csv(columns, rows, text, safe=result.csv_safe)
            text.flush()
            text.detach()
    session.out.say(f"Written: {path}")


def _show_first(session: Session, columns: list[str], batches: Iterator[Sequence[Row]]) -> None:
    """A screenful of the rows, and how to see the rest."""
    from shutil import get_terminal_size

    height = max(10, get_terminal_size().lines - 4)
    rows = list(islice(chain.from_iterable(batches), height + 1))
    session.out.stream(columns, [rows[:height]])
    if len(rows) > height:
        session.out.say(f"The first {height} rows. All: --all, or --out FILE.csv; add 'limit' to choose.")


def _rows(store: GraphStore, relation: Any) -> Iterator[Sequence[Row]]:
    """The rows of a query's result in batches, as they arrive."""
    for batch in _batches(store, relation):
        yield rows_of(batch)


def _batches(store: GraphStore, relation: Any) -> Iterator[Any]:
    """The Arrow batches of a query; at least one, perhaps empty."""
    import duckdb
    import pyarrow as pa

    from graphsocial.errors import InputError

    try:
        yield from _interruptible(store, relation)
    except (duckdb.Error, pa.ArrowException) as error:  # Arrow passes DuckDB's errors on as its own
        raise _explained(InputError(f"The SQL does not run: {error}")) from error


def _interruptible(store: GraphStore, relation: Any) -> Iterator[Any]:
    """The batches of a query, fetched in a thread: Ctrl-C does not stop Arrow waiting for DuckDB in the main thread."""
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow as pa

    with ThreadPoolExecutor(1) as worker:
        try:
            reader = worker.submit(relation.to_arrow_reader, BATCH).result()
            batch = worker.submit(next, reader, None).result()
            if batch is None:
                yield pa.RecordBatch.from_pylist([], schema=reader.schema)
            while batch is not None:
                yield batch
                batch = worker.submit(next, reader, None).result()
        except KeyboardInterrupt:
            store.connection.interrupt()
            raise
