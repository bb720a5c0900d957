"""The read-only commands: sql, info, list, doctor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import render
from .options import Session
from .values import one_line

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

BATCH = 2_000


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="SQL query; - reads it from stdin.")],
    *,
    csv: Annotated[bool, typer.Option("--csv", metavar="", help="Print results as CSV.")] = False,
    session: Session,
) -> None:
    """Run a SQL query on the store, which is opened read-only."""
    if csv and session.out.json:
        raise typer.BadParameter("choose --json or --csv.", param_hint="--csv")
    query = sys.stdin.read() if query == "-" else query
    with session.read() as opened:
        columns, batches = _run(opened, query)
        if session.out.json:
            render.write_json(columns, batches)
        elif csv:
            render.write_csv(columns, batches)
        else:
            session.out.stream(columns, batches)


def _run(store: GraphStore, query: str) -> tuple[list[str], Iterator[list[tuple[Any, ...]]]]:
    """The columns of a query's result, and its rows in batches as they arrive."""
    import duckdb

    from graphsocial.errors import InputError

    try:
        relation = store.sql(query)
    except InputError as error:
        if "read-only mode" in str(error):
            raise InputError(
                "This statement writes, and `graphsocial sql` only reads. To change a store, open it in Python: "
                "graphsocial.open(path).sql(…)"
            ) from error
        raise
    if relation is None:
        raise InputError("There is no query; write one such as: select * from leaderboard")

    def rows() -> Iterator[list[tuple[Any, ...]]]:
        try:
            for batch in _interruptible(store, relation):
                columns = [column.to_pylist(maps_as_pydicts="lossy") for column in batch.columns]
                yield list(zip(*columns, strict=True))
        except BrokenPipeError:
            raise
        except (duckdb.Error, OSError) as error:  # Arrow passes DuckDB's errors on as OSError
            raise InputError(f"The SQL does not run: {error}") from error

    return list(relation.columns), rows()


def _interruptible(store: GraphStore, relation: Any) -> Iterator[Any]:
    """The batches of a query, fetched in a thread: Ctrl-C does not stop Arrow waiting for DuckDB in the main thread."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as worker:
        try:
            reader = worker.submit(relation.to_arrow_reader, BATCH).result()
            while (batch := worker.submit(next, reader, None).result()) is not None:
                yield batch
        except KeyboardInterrupt:
            store.connection.interrupt()
            raise


def info(*, session: Session) -> None:
    """Show what the store holds: datasets, types with their columns and rows, features, runs, rejected rows."""
    from .contents import contents, show

    with session.read() as opened:
        listed = contents(opened)
    if session.out.json:
        return session.out.value(listed)
    show(session.out, listed)
    if not listed["datasets"]:
        session.out.say(f"'{session.path}' holds no data yet. Load some: graphsocial ingest SOURCE PATH")
    if listed["rejects"]:
        session.out.say(f"All rejected rows: {session.command('sql', 'select * from rejects')}")


def list_(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="sources, featurizers, tasks, models, analyses, papers, splits or training."
        ),
    ],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of one of them, to show all its settings.")
    ] = None,
    *,
    session: Session,
) -> None:
    """List sources, encoders, tasks, models and so on, with the settings that --set takes and their defaults."""
    from .catalog import catalog, show_all, show_one

    entries = catalog(kind, name)
    if session.out.json:
        return session.out.value(entries if name is None else entries[0])
    if name is None and len(entries) > 1:
        show_all(session.out, entries)
        session.out.say(f"All settings of one: graphsocial list {kind} NAME")
    else:
        for entry in entries:
            show_one(entry)


def doctor(*, session: Session) -> None:
    """Check that graphsocial and its dependencies work on this machine."""
    from graphsocial.diagnostics.doctor import examine

    checks = []
    for check in examine():
        checks.append(check)
        if not session.out.json:
            render.line(f"{'ok' if check.ok else 'failed':<8}{check.name}: {one_line(check.detail)}")
    if session.out.json:
        session.out.value([check.to_dict() for check in checks])
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
