"""The command that computes statistics of a dataset: analyze."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import CodeOption, DatasetOption, Session, SetOption, settings

if TYPE_CHECKING:
    from graphsocial.analysis.base import Analysis

    from .render import Output

LONG = 5  # seconds from which an estimate is printed first
FEW, FIRST = 40, 10  # tables of up to FEW rows are printed whole, longer ones by their FIRST rows


def analyze(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the analysis; see 'graphsocial list analyses'.")],
    *,
    edges: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="Edge type, such as 'user connects user'.", show_default=False),
    ] = None,
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Run whose predictions are analysed too.", show_default=False)
    ] = None,
    set_: SetOption = None,
    dataset: DatasetOption = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for the tables as Parquet, and for further files.", show_default=False
        ),
    ] = None,
    allow_code: CodeOption = False,
    session: Session,
) -> None:
    """Compute statistics of a dataset; the tables stay in the store and join with the rest."""
    given = settings(set_) | {name: value for name, value in (("edges", edges), ("run", run)) if value is not None}
    from graphsocial.analysis import analyze as compute
    from graphsocial.analysis import expected

    with session.write(allow_code=allow_code) as opened:
        seconds = expected(opened, name, dataset=dataset, settings=given)
        if seconds is not None and seconds >= LONG:
            session.out.say(f"This takes about {seconds:,.0f} s on a core that does nothing else.")
        with session.out.progress() as progress:
            analysis = compute(opened, name, dataset=dataset, settings=given, export=export, progress=progress)
    if session.out.json:
        return session.out.value(analysis.to_dict())
    show(session.out, analysis)
    for path in analysis.files:
        session.out.say(f"Written: {path}")
    longest = max(analysis.tables, key=lambda name: analysis.tables[name].height)
    session.out.say(f"All rows: {session.command('sql', f'select * from {longest}')}")


def show(out: Output, analysis: Analysis) -> None:
    """Every table, long ones by their first rows."""
    hidden = {"dataset", *analysis.key}
    key = [f"{name} {value}" for name, value in analysis.key.items()]
    about = ", ".join([f"{analysis.name} of {analysis.dataset}", *key])
    for table, frame in analysis.tables.items():
        columns = [column for column in frame.columns if column not in hidden]
        shown = frame if frame.height <= FEW else frame.head(FIRST)
        cut = "" if frame is shown else f"; the first {FIRST} of {frame.height:,} rows"
        out.table(columns, shown.select(columns).rows(), title=f"{table} ({about}{cut})")
    for note in analysis.notes:
        out.say(note)
