"""The command that times models on the store's data: benchmark."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import (
    DatasetOption,
    FeaturesOption,
    JsonOption,
    QuietOption,
    SetOption,
    SplitOption,
    StoreOption,
    TaskArgument,
    settings,
    settle,
)


def benchmark(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="WHAT", help="acceleration: an epoch on one thread and on all.")],
    task: TaskArgument = "dialogue-emotion",
    models: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Such as tmsam,lstm; the task's model and its baselines by default."),
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Timed epochs of each kind; the median counts.")] = 3,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="All threads; the machine's by default.", show_default=False)
    ] = None,
    split: SplitOption = None,
    features: FeaturesOption = None,
    set_: SetOption = None,
    dataset: DatasetOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time training epochs of several models on the store's data; S is one thread's time over that of all threads.

    Nothing is kept but features and the split. The paper's S is a CPU's
    time over a GPU's: networks of graphsocial run on a CPU.
    """
    session = settle(ctx, store, json, quiet)
    given = settings(set_)
    from graphsocial.diagnostics.benchmarking import benchmark as measure

    from .data import encoders

    names = [name.strip().replace("-", "_") for name in (models or "").split(",") if name.strip()]
    with session.write() as opened, session.out.progress() as progress:
        found = measure(
            opened,
            what,
            task,
            models=names,
            dataset=dataset,
            split=split,
            features=encoders(features),
            settings=given,
            rounds=rounds,
            threads=threads,
            progress=progress,
        )
    if session.out.json:
        return session.out.value([one.to_dict() for one in found])
    columns = [
        "model",
        "parameters",
        "1 thread, s",
        f"{found[0].threads} threads, s",
        "examples/s",
        "S",
        "in the paper",
    ]
    lines = [
        (
            one.model,
            one.parameters,
            f"{one.serial_seconds:.2f}",
            f"{one.parallel_seconds:.2f}",
            f"{one.examples_per_second:,.0f}",
            f"{one.ratio:.2f}",
            "" if one.published is None else one.published,
        )
        for one in found
    ]
    session.out.table(columns, lines, title=f"an epoch of {found[0].examples:,} examples")
