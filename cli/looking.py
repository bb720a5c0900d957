"""The commands that look and change nothing: sql, info, list, doctor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import render
from .options import JsonOption, QuietOption, StoreOption, settle
from .values import one_line

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

BATCH = 2_000


def sql(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to select; - reads it from stdin.")],
    csv: Annotated[bool, typer.Option("--csv", metavar="", help="Print data as CSV.")] = False,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Ask the store anything in SQL; it is opened for reading only."""
    session = settle(ctx, store, json, quiet)
    if csv and session.out.json:
        raise typer.BadParameter("choose --json or --csv.", param_hint="--csv")
    query = sys.stdin.read() if query == "-" else query
    with session.read() as opened:
        columns, batches = _ask(opened, query)
        if session.out.json:
            render.write_json(columns, batches)
        elif csv:
            render.write_csv(columns, batches)
        else:
            session.out.stream(columns, batches)


def _ask(store: GraphStore, query: str) -> tuple[list[str], Iterator[list[tuple[Any, ...]]]]:
    """The columns of a query, and its rows as they come."""
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
    """The batches of a query; Ctrl-C stops it, which it would not while Arrow waits for DuckDB in the main thread."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as worker:
        try:
            reader = worker.submit(relation.to_arrow_reader, BATCH).result()
            while (batch := worker.submit(next, reader, None).result()) is not None:
                yield batch
        except KeyboardInterrupt:
            store.connection.interrupt()
            raise


def info(ctx: typer.Context, store: StoreOption = None, json: JsonOption = False, quiet: QuietOption = False) -> None:
    """What the store holds: datasets, types with their columns and rows, features, runs, rejects."""
    session = settle(ctx, store, json, quiet)
    from .contents import contents, show

    with session.read() as opened:
        found = contents(opened)
    if session.out.json:
        return session.out.value(found)
    show(session.out, found)
    if not found["datasets"]:
        session.out.say(f"Nothing is in '{session.path}' yet. Bring data in: graphsocial ingest SOURCE PATH")
    if found["rejects"]:
        session.out.say(f"See each rejected row: {session.command('sql', 'select * from rejects')}")


def list_(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="sources, featurizers, tasks, models, analyses, papers, splits or training."
        ),
    ],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them, with all its settings.")] = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """What there is to choose from, with the settings that --set takes and their defaults."""
    session = settle(ctx, store, json, quiet)
    from .catalog import catalog, show_all, show_one

    found = catalog(kind, name)
    if session.out.json:
        return session.out.value(found if name is None else found[0])
    if name is None and len(found) > 1:
        show_all(session.out, found)
        session.out.say(f"All settings of one: graphsocial list {kind} NAME")
    else:
        for entry in found:
            show_one(entry)


def doctor(ctx: typer.Context, store: StoreOption = None, json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Check that graphsocial and what it builds on work on this machine."""
    session = settle(ctx, store, json, quiet)
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
