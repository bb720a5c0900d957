"""The command that asks a dataset questions without a model: analyze."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DatasetOption, JsonOption, QuietOption, SetOption, StoreOption, settings, settle

if TYPE_CHECKING:
    from graphsocial.analysis.base import Analysis

    from .render import Output

FEW, FIRST = 40, 10  # tables of a few rows are printed whole, of longer ones the first


def analyze(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="See 'graphsocial list analyses'.")],
    edges: Annotated[
        str | None, typer.Option(metavar="TYPE", help="The edge type to look at, such as 'user connects user'.")
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="The run whose predictions to look at.")] = None,
    set_: SetOption = None,
    dataset: DatasetOption = None,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the tables as Parquet there, and further files.")
    ] = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Describe a dataset by statistics; the tables stay in the store and join with the rest."""
    session = settle(ctx, store, json, quiet)
    given = settings(set_) | {name: value for name, value in (("edges", edges), ("run", run)) if value is not None}
    from graphsocial.analysis import analyze as look

    with session.write() as opened, session.out.progress() as progress:
        found = look(opened, name, dataset=dataset, settings=given, export=export, progress=progress)
    if session.out.json:
        return session.out.value(found.to_dict())
    show(session.out, found)
    for path in found.files:
        session.out.say(f"Written: {path}")
    longest = max(found.tables, key=lambda name: found.tables[name].height)
    session.out.say(f"Ask for all of it: {session.command('sql', f'select * from {longest}')}")


def show(out: Output, found: Analysis) -> None:
    """Every table, long ones by their first rows."""
    hidden = {"dataset", *found.key}
    about = ", ".join([f"{found.name} of {found.dataset}", *(f"{name} {value}" for name, value in found.key.items())])
    for table, frame in found.tables.items():
        columns = [column for column in frame.columns if column not in hidden]
        shown = frame if frame.height <= FEW else frame.head(FIRST)
        cut = "" if frame is shown else f"; the first {FIRST} of {frame.height:,} rows"
        out.table(columns, shown.select(columns).rows(), title=f"{table} ({about}{cut})")
    for note in found.notes:
        out.say(note)
