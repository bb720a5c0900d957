"""The papers' tables on the store's data: every row trained, and set beside the paper's own figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import polars as pl

from graphsocial import plugins
from graphsocial.errors import GraphSocialError, InputError, StoreError
from graphsocial.reproduction._plan import Training as Training
from graphsocial.reproduction._plan import trainings as trainings
from graphsocial.reproduction.base import Data, Paper, Row, Table
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.training import carry_out
from graphsocial.training.loop import Epoch


@dataclass(frozen=True)
class Step:
    """What is reported: after each epoch with it, after each training with its run.

    Attributes:
        training: the one that goes on.
        number, of: which training it is, from 1, of how many.
    """

    training: Training
    number: int
    of: int
    epoch: Epoch | None = None
    run: Run | None = None


@dataclass(frozen=True)
class Reproduction:
    """A paper's figures beside ours.

    Attributes:
        paper, dataset: names.
        papers_data: whether the data has the paper's counts and is not known to be synthetic.
        data: the same in a sentence.
        titles: table number → its title, and what holds for the whole table.
        rows: a line for each table, row and metric: `table_number`, `place`, `row_name`, `model`, `metric`,
            `published`, `published_sd`, `mean`, `sd` (sample standard deviation, null for one run), `run_ids`, `note`.
    """

    paper: str
    dataset: str
    papers_data: bool
    data: str
    titles: dict[str, str]
    rows: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.__dict__, "rows": self.rows.to_dicts()}


SCHEMA: dict[str, Any] = {
    "table_number": pl.String,
    "place": pl.Int32,
    "row_name": pl.String,
    "model": pl.String,
    "metric": pl.String,
    "published": pl.Float64,
    "published_sd": pl.Float64,
    "mean": pl.Float64,
    "sd": pl.Float64,
    "run_ids": pl.List(pl.String),
    "note": pl.String,
}


def paper_of(name: str) -> Paper:
    """The paper behind a name: `reproduction/<name>.py`, an entry point, or a file.

    Raises:
        UnknownNameError: no paper is called so.
        InputError: the module's `PAPER` is none.
    """
    found = plugins.constant("paper", name, "PAPER")
    if not isinstance(found, Paper):
        raise InputError(f"The PAPER of '{name}' is a {type(found).__name__}, not a Paper.")
    return found


def reproduce(
    store: GraphStore,
    paper: str,
    *,
    table: str | None = None,
    seeds: Sequence[int] | None = None,
    dataset: str | None = None,
    split: str | None = None,
    settings: Mapping[str, object] | None = None,
    report: Callable[[Step], None] | None = None,
) -> Reproduction:
    """Train the rows of a paper's tables on the store's data and set our figures beside the paper's.

    Every row is trained by `train`, so that a training that is done is not done again and an interrupted reproduction
    goes on where it stopped. A row that this data cannot answer is kept, with the reason in its note. The lines replace
    those of the same paper, table and dataset in the store's table `reproductions`.

    Args:
        paper: a registered name such as `hmg_emo`.
        table: its number; all tables by default.
        seeds: of the trainings; as many as the paper's, from 0, by default. A random split is dealt out by the same
            seed, so that deviations are over data and training, like those of a cross-validation.
        dataset: needed where the store holds several.
        split: another split policy than the paper's, such as `kfold` (every fold is trained) or `file:DIR`.
        settings: in place of the paper's, for the rows that have them.
        report: called after each epoch and after each training.

    Raises:
        UnknownNameError, InputError: a paper, table or setting that does not exist.
        GraphSocialError: no row at all can be trained on this data.
    """
    declared = paper_of(paper)
    dataset = store.dataset(dataset)
    planned = trainings(store, declared, table=table, seeds=seeds, dataset=dataset, split=split, settings=settings)
    runs: dict[tuple[str, str], list[Run]] = {}
    failed: dict[tuple[str, str], str] = {}
    first: GraphSocialError | None = None
    for number, training in enumerate(planned, 1):
        key = (training.table.number, training.row.name)
        if key in failed:
            continue
        step = Step(training, number, len(planned))
        try:
            run = _train(store, step, report)
        except StoreError:
            raise
        except GraphSocialError as error:
            failed[key] = f"Seed {training.config.seed} cannot be trained on this data: {error}"
            first = first or error
            continue
        runs.setdefault(key, []).append(run)
    if first and not runs:
        raise first
    tables = declared.tables if table is None else (declared.table(table),)
    same, told = compare_data(store, declared.data, dataset)
    rows = [
        line
        for chosen in tables
        for place, row in enumerate(chosen.rows)
        for line in _lines(store, chosen, place, row, runs.get((chosen.number, row.name), []), failed)
    ]
    titles = {chosen.number: " ".join(filter(None, (f"{chosen.title}.", chosen.note))) for chosen in tables}
    result = Reproduction(plugins.plain(paper), dataset, same, told, titles, pl.DataFrame(rows, SCHEMA, orient="row"))
    _save(store, result)
    return result


def compare_data(store: GraphStore, data: Data, dataset: str) -> tuple[bool, str]:
    """Whether a dataset may be the paper's, as far as counts can tell; and a sentence that says so."""
    entries = {str(entry): entry for entry in store.schema.types}
    here = {name: len(store.span(entries[name], dataset)) if name in entries else 0 for name in data.rows}
    synthetic = any(
        (column.name, column.role) == ("optimal", "reference") and len(store.span(entry, dataset))
        for entry in store.schema.types
        for column in entry.columns
    )
    counted = ", ".join(f"{here[name]:,} {name} ({count:,})" for name, count in data.rows.items())
    if synthetic:
        return False, f"'{dataset}' is synthetic, not the paper's {data.name}; rows here (in the paper): {counted}."
    if here == dict(data.rows):
        return True, f"'{dataset}' has the counts of the paper's {data.name}: {counted}."
    return False, f"'{dataset}' is not the paper's {data.name}; rows here (in the paper): {counted}."


def _train(store: GraphStore, step: Step, report: Callable[[Step], None] | None) -> Run:
    def told(epoch: Epoch | None = None, run: Run | None = None) -> None:
        if report:
            report(Step(step.training, step.number, step.of, epoch, run))

    run = carry_out(store, step.training.config, report=told)
    told(run=run)
    return run


def _lines(
    store: GraphStore,
    table: Table,
    place: int,
    row: Row,
    runs: list[Run],
    failed: Mapping[tuple[str, str], str],
) -> Iterator[tuple[Any, ...]]:
    """A line for each metric."""
    note = " ".join(filter(None, (row.note, failed.get((table.number, row.name)))))
    scores = [_scores(store, run) for run in runs]
    for metric in table.metrics:
        published = row.published.get(metric)
        figure, spread = published if isinstance(published, tuple) else (published, None)
        values = [found[metric] for found in scores if metric in found]
        mean, sd = (fmean(values) if values else None), (stdev(values) if len(values) > 1 else None)
        ids = [run.id for run in runs]
        yield table.number, place, row.name, row.model, metric, figure, spread, mean, sd, ids, note


def _scores(store: GraphStore, run: Run) -> dict[str, float]:
    """`target.metric` → test score; also by the metric's name alone where one target has it."""
    found: dict[str, float] = {}
    several = set()
    for target, metric, value in store.sql(
        "select target, metric, value from metrics where run_id = ? and split = 'test'", [run.id]
    ).fetchall():
        if metric in found:
            several.add(metric)
        found[metric] = found[f"{target}.{metric}"] = value
    return {name: value for name, value in found.items() if name not in several}


def _save(store: GraphStore, result: Reproduction) -> None:
    """Write the lines in place of those of the same paper, tables and dataset, in one transaction."""
    with store.transaction():
        for number in result.rows["table_number"].unique():
            store.connection.execute(
                "delete from reproductions where paper = ? and table_number = ? and dataset = ?",
                [result.paper, number, result.dataset],
            ).fetchall()
        store.connection.register("given", result.rows.to_arrow())
        columns = ", ".join(SCHEMA)
        store.connection.execute(
            f"insert into reproductions (paper, dataset, papers_data, {columns}) select ?, ?, ?, {columns} from given",
            [result.paper, result.dataset, result.papers_data],
        ).fetchall()
        store.connection.unregister("given")
