"""The command that trains a paper's tables: reproduce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphsocial.types import Progress

from . import render
from .options import DatasetOption, EpochsOption, Session, SetOption, resumable, settings
from .values import number

if TYPE_CHECKING:
    from graphsocial.reproduction import Reproduction, Step

    from .render import Output


def reproduce(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="Name of the paper; see 'graphsocial list papers'.")],
    *,
    table: Annotated[str | None, typer.Option(metavar="N", help="Number of the table.", show_default="all")] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of seeds per row.", show_default="the paper's")
    ] = None,
    epochs: EpochsOption = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="POLICY", help="Split policy; see 'graphsocial list splits'.", show_default="the paper's"),
    ] = None,
    set_: SetOption = None,
    dataset: DatasetOption = None,
    session: Session,
) -> None:
    """Train the rows of a paper's tables on the store's data; prints published and reproduced figures side by side.

    Finished runs are not trained again; an interrupted reproduction
    resumes where it stopped.
    """
    from graphsocial.reproduction import paper_of, trainings
    from graphsocial.reproduction import reproduce as train_rows

    options: dict[str, Any] = {
        "table": table,
        "seeds": None if seeds is None else range(seeds),
        "dataset": dataset,
        "split": split,
        "settings": settings(set_) | ({"epochs": epochs} if epochs is not None else {}),
    }
    with session.write() as opened:
        planned = trainings(opened, paper_of(paper), **options)
        rows = len({(training.table.number, training.row.name) for training in planned})
        session.out.say(
            f"{len(planned)} trainings for {rows} rows; equal trainings are one run, and finished runs are kept."
        )
        with resumable(), session.out.progress() as progress:
            reproduction = train_rows(opened, paper, report=_reporter(session.out, progress), **options)
    if session.out.json:
        return session.out.value(reproduction.to_dict())
    show(session.out, reproduction)
    query = f"select * from reproductions where paper = '{reproduction.paper}'"
    session.out.say(f"As rows: {session.command('sql', query)}")


def _reporter(out: Output, progress: Progress) -> Any:
    def report(step: Step) -> None:
        label = f"{step.number} of {step.of}: {step.training}"
        if step.epoch is not None:
            metric = f"epoch {step.epoch.epoch}, validation {step.epoch.metric} {step.epoch.value:.4f}"
            progress(f"trainings\t{label}, {metric}", step.number - 1, step.of)
        elif step.run is not None:
            progress(f"trainings\t{label}", step.number, step.of)
            out.say(f"{label}: {step.run.id}")

    return report


def show(out: Output, reproduction: Reproduction) -> None:
    """A table for each of the paper's; then notes on how they compare."""
    notes = []
    for table in reproduction.rows.partition_by("table_number", maintain_order=True):
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
        title = f"{reproduction.paper}, table {table_number}, on {reproduction.dataset}"
        out.table(columns, lines.values(), title=f"{title}: {reproduction.titles[table_number]}")
    out.table(["table", "row", "note"], notes, title="notes")
    render.line(f"\n{reproduction.data}")
