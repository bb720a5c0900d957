"""The command that times models on the store's data: benchmark."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import DataOptions, Session, SetOption, TaskArgument, settings


def benchmark(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="acceleration: time of an epoch on one thread and on all.")
    ],
    task: TaskArgument = "dialogue-emotion",
    *,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Models, such as tmsam,lstm.", show_default="the task's model and its baselines"
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of timed epochs per thread count; the median is reported.")
    ] = 3,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="Number of threads.", show_default="the machine's")
    ] = None,
    set_: SetOption = None,
    data: DataOptions,
    session: Session,
) -> None:
    """Time training epochs of several models; S is the time on one thread over the time on all threads.

    Only features and the split are stored. The paper's S is a CPU's
    time over a GPU's; graphsocial's networks run on a CPU.
    """
    from graphsocial.diagnostics.benchmarking import benchmark as measure

    from .data import encoders

    names = [name.strip().replace("-", "_") for name in (models or "").split(",") if name.strip()]
    with session.write() as opened, session.out.progress() as progress:
        results = measure(
            opened,
            what,
            task,
            models=names,
            dataset=data.dataset,
            split=data.split,
            features=encoders(data.features),
            settings=settings(set_),
            rounds=rounds,
            threads=threads,
            progress=progress,
        )
    if session.out.json:
        return session.out.value([result.to_dict() for result in results])
    columns = [
        "model",
        "parameters",
        "1 thread, s",
        f"{results[0].threads} threads, s",
        "examples/s",
        "S",
        "in the paper",
    ]
    lines = [
        (
            result.model,
            result.parameters,
            f"{result.serial_seconds:.2f}",
            f"{result.parallel_seconds:.2f}",
            f"{result.examples_per_second:,.0f}",
            f"{result.ratio:.2f}",
            "" if result.published is None else result.published,
        )
        for result in results
    ]
    session.out.table(columns, lines, title=f"an epoch of {results[0].examples:,} examples")
