"""The commands that show what there is: info, list, doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from . import render
from .options import Session
from .values import one_line


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
