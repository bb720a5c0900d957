"""The command that writes a page about a run or a dataset: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import CodeOption, DatasetOption, GroupsOption, SamplesOption, Session
from .values import number


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="Id of the run, a unique prefix of it, or latest; without it the page is about the dataset.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="File to write.", show_default="RUN.html or DATASET.html")
    ] = None,
    dataset: DatasetOption = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN", help="Run, configuration or model to compare with. Repeatable.", show_default=False
        ),
    ] = None,
    by: GroupsOption = None,
    inside: Annotated[
        bool, typer.Option("--inside/--no-inside", help="Embeddings, gates and attention of the restored network.")
    ] = True,
    samples: SamplesOption = 1000,
    allow_code: CodeOption = False,
    session: Session,
) -> None:
    """Write one self-contained HTML file about a run or a dataset: charts, tables, the model card.

    It includes the dataset's analyses that are in the store, and needs the packages of the extra 'report'.
    """
    with session.write_or_read(allow_code=allow_code) as opened:
        from graphsocial.reporting.writing import report as write

        with session.out.progress() as progress:
            path = write(
                opened,
                run,
                dataset=dataset,
                output=output,
                against=against or (),
                by=by or (),
                inside=inside,
                samples=samples,
                progress=progress,
            )
    if session.out.json:
        return session.out.value({"file": str(path), "bytes": path.stat().st_size})
    session.out.table(["file", "MiB"], [(str(path), number(path.stat().st_size / 2**20, places=1))])
