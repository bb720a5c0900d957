"""The command that writes a page about a run or a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import DatasetOption, GroupsOption, JsonOption, QuietOption, SamplesOption, StoreOption, settle
from .values import number


def report(
    ctx: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run's id, the start of it, or latest; without it, the page is about the dataset."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="RUN.html or DATASET.html by default.", show_default=False)
    ] = None,
    dataset: DatasetOption = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="A run, configuration or model beside it; may be given several times."),
    ] = None,
    by: GroupsOption = None,
    inside: Annotated[
        bool, typer.Option("--inside/--no-inside", help="Rebuild the network to show embeddings, gates and attention.")
    ] = True,
    samples: SamplesOption = 1000,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write one HTML file about a run or a dataset, which opens without a network: charts, tables, the model card.

    Analyses of the dataset that stand in the store are part of it. It needs the packages of the extra 'report'.
    """
    session = settle(ctx, store, json, quiet)
    with session.write() as opened:
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
