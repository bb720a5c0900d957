"""The command that sets a paper's tables beside ours: reproduce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphsocial.types import Progress

from . import render
from .options import (
    DatasetOption,
    EpochsOption,
    JsonOption,
    QuietOption,
    SetOption,
    StoreOption,
    resumable,
    settings,
    settle,
)
from .values import number

if TYPE_CHECKING:
    from graphsocial.reproduction import Reproduction, Step

    from .render import Output


def reproduce(
    ctx: typer.Context,
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="See 'graphsocial list papers'.")],
    table: Annotated[str | None, typer.Option(metavar="N", help="One table; all by default.")] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Trainings of a row; as many as the paper's by default.")
    ] = None,
    epochs: EpochsOption = None,
    split: Annotated[
        str | None, typer.Option(metavar="POLICY", help="See 'graphsocial list splits'; the paper's by default.")
    ] = None,
    set_: SetOption = None,
    dataset: DatasetOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the rows of a paper's tables on the store's data, and print the paper's figures beside ours.

    What is trained already is not trained again; an interrupted
    reproduction goes on where it stopped.
    """
    session = settle(ctx, store, json, quiet)
    given = settings(set_) | ({"epochs": epochs} if epochs is not None else {})
    from graphsocial.reproduction import paper_of, trainings
    from graphsocial.reproduction import reproduce as run

    asked: dict[str, Any] = {
        "table": table,
        "seeds": None if seeds is None else range(seeds),
        "dataset": dataset,
        "split": split,
        "settings": given,
    }
    with session.write() as opened:
        planned = trainings(opened, paper_of(paper), **asked)
        rows = len({(one.table.number, one.row.name) for one in planned})
        session.out.say(f"{len(planned)} trainings of {rows} rows; those that are equal are one, and done ones stay.")
        with resumable(), session.out.progress() as progress:
            found = run(opened, paper, report=_reporter(session.out, progress), **asked)
    if session.out.json:
        return session.out.value(found.to_dict())
    show(session.out, found)
    query = f"select * from reproductions where paper = '{found.paper}'"
    session.out.say(f"Ask for them: {session.command('sql', query)}")


def _reporter(out: Output, progress: Progress) -> Any:
    def report(step: Step) -> None:
        label = f"{step.number} of {step.of}: {step.training}"
        if step.epoch is not None:
            told = f"epoch {step.epoch.epoch}, validation {step.epoch.metric} {step.epoch.value:.4f}"
            progress(f"trainings\t{label}, {told}", step.number - 1, step.of)
        elif step.run is not None:
            progress(f"trainings\t{label}", step.number, step.of)
            out.say(f"{label}: {step.run.id}")

    return report


def show(out: Output, found: Reproduction) -> None:
    """A table for each of the paper's; then what a reader must know to compare."""
    notes = []
    for table in found.rows.partition_by("table_number", maintain_order=True):
        table_number = table["table_number"][0]
        printed = set(table.filter(table["published"].is_not_null())["metric"])
        lines: dict[tuple[int, str], list[Any]] = {}
        columns = ["row", "runs"]
        for row in table.to_dicts():
            key = (row["place"], row["row_name"])
            if key not in lines:
                lines[key] = [row["row_name"], len(row["run_ids"])]
                notes += [(row["table_number"], row["row_name"], row["note"])] if row["note"] else []
            if len(lines) == 1:
                columns += [row["metric"], *(["in the paper"] if row["metric"] in printed else [])]
            lines[key].append(number(row["mean"], row["sd"]))
            lines[key] += [number(row["published"], row["published_sd"])] if row["metric"] in printed else []
        title = f"{found.paper}, table {table_number}, on {found.dataset}: {found.titles[table_number]}"
        out.table(columns, lines.values(), title=title)
    out.table(["table", "row", "note"], notes, title="notes")
    render.line(f"\n{found.data}")
