"""Reproduce the tables of papers: train every row on the store's data and compare with the published figures."""

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
from graphsocial.store.temporary import registered
from graphsocial.training import carry_out
from graphsocial.training.loop import Epoch


@dataclass(frozen=True)
class Step:
    """Progress of a reproduction, reported after each epoch and after each training.

    Attributes:
        training: the current training.
        number: its number, from 1.
        of: number of trainings.
        epoch: the epoch, after each epoch.
        run: the run, after each training.
    """

    training: Training
    number: int
    of: int
    epoch: Epoch | None = None
    run: Run | None = None


@dataclass(frozen=True)
class Reproduction:
    """The published figures of a paper's tables and the figures of our runs.

    Attributes:
        paper: name of the paper.
        dataset: name of the dataset.
        papers_data: whether the dataset has the paper's row counts and is not synthetic.
        data: the same as a sentence.
        titles: table number → its title and note.
        rows: a row for each table, row of it and metric: `table_number`, `place` (position of the row), `row_name`,
            `model`, `metric`, `published`, `published_sd`, `mean`, `sd` (sample standard deviation, null for one run),
            `run_ids`, `note`.
    """

    paper: str
    dataset: str
    papers_data: bool
    data: str
    titles: dict[str, str]
    rows: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON can hold."""
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
    """A paper by name: a module `reproduction/<name>.py`, an entry point, or a file.

    Raises:
        UnknownNameError: no paper has that name.
        InputError: the module's `PAPER` is not a `Paper`.
    """
    paper = plugins.constant("paper", name, "PAPER")
    if not isinstance(paper, Paper):
        raise InputError(f"The PAPER of '{name}' is a {type(paper).__name__}, not a Paper.")
    return paper


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
    """Train the rows of a paper's tables on the store's data and compare our figures with the published ones.

    Every row is trained as by `train`: finished trainings are reused, and an interrupted reproduction resumes. A row
    that cannot be trained on this data is kept with the reason in its note. The rows replace those of the same paper,
    table and dataset in the store's table `reproductions`.

    Args:
        store: the store to read and write.
        paper: a registered name such as `hmg_emo`.
        table: number of the table; all tables by default.
        seeds: random seeds; by default as many as the paper's, from 0. A random split has the same seed, so that
            deviations are over data and training, like those of a cross-validation.
        dataset: name of the dataset; required where the store holds several.
        split: another split policy than the paper's, such as `kfold` (every fold is trained) or `file:DIR`.
        settings: settings in place of the paper's, for the rows that have them.
        report: called after each epoch and after each training.

    Raises:
        UnknownNameError: a paper, table or setting that does not exist.
        InputError: a value out of range, or a setting that no row has.
        GraphSocialError: no row can be trained on this data.
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
    papers_data, sentence = compare_data(store, declared.data, dataset)
    lines = [
        line
        for entry in tables
        for position, row in enumerate(entry.rows)
        for line in _lines(store, entry, position, row, runs.get((entry.number, row.name), []), failed)
    ]
    titles = {entry.number: " ".join(filter(None, (f"{entry.title}.", entry.note))) for entry in tables}
    frame = pl.DataFrame(lines, SCHEMA, orient="row")
    result = Reproduction(plugins.plain(paper), dataset, papers_data, sentence, titles, frame)
    _save(store, result)
    return result


def compare_data(store: GraphStore, data: Data, dataset: str) -> tuple[bool, str]:
    """Whether a dataset has the paper's row counts and is not synthetic; and the same as a sentence.

    Args:
        store: the store of the dataset.
        data: the paper's data.
        dataset: name of the dataset.
    """
    entries = {str(entry): entry for entry in store.schema.types}
    counts = {name: len(store.span(entries[name], dataset)) if name in entries else 0 for name in data.rows}
    synthetic = any(
        (column.name, column.role) == ("optimal", "reference") and len(store.span(entry, dataset))
        for entry in store.schema.types
        for column in entry.columns
    )
    listed = ", ".join(f"{counts[name]:,} {name} ({papers_count:,})" for name, papers_count in data.rows.items())
    if synthetic:
        return False, f"'{dataset}' is synthetic, not the paper's {data.name}; rows here (in the paper): {listed}."
    if counts == dict(data.rows):
        return True, f"'{dataset}' has the counts of the paper's {data.name}: {listed}."
    return False, f"'{dataset}' is not the paper's {data.name}; rows here (in the paper): {listed}."


def _train(store: GraphStore, step: Step, report: Callable[[Step], None] | None) -> Run:
    def report_step(epoch: Epoch | None = None, run: Run | None = None) -> None:
        if report:
            report(Step(step.training, step.number, step.of, epoch, run))

    run = carry_out(store, step.training.config, report=report_step)
    report_step(run=run)
    return run


def _lines(
    store: GraphStore,
    table: Table,
    position: int,
    row: Row,
    runs: list[Run],
    failed: Mapping[tuple[str, str], str],
) -> Iterator[tuple[Any, ...]]:
    """One row per metric, in the order of `SCHEMA`."""
    note = " ".join(filter(None, (row.note, failed.get((table.number, row.name)))))
    scores = [_scores(store, run) for run in runs]
    for metric in table.metrics:
        published = row.published.get(metric)
        published_mean, published_sd = published if isinstance(published, tuple) else (published, None)
        values = [of_run[metric] for of_run in scores if metric in of_run]
        mean, sd = (fmean(values) if values else None), (stdev(values) if len(values) > 1 else None)
        figures = (published_mean, published_sd, mean, sd)
        yield table.number, position, row.name, row.model, metric, *figures, [run.id for run in runs], note


def _scores(store: GraphStore, run: Run) -> dict[str, float]:
    """`target.metric` → test score; also by the metric's name alone where a single target has it."""
    scores: dict[str, float] = {}
    ambiguous = set()
    for target, metric, value in store.sql(
        "select target, metric, value from metrics where run_id = ? and split = 'test'", [run.id]
    ).fetchall():
        if metric in scores:
            ambiguous.add(metric)
        scores[metric] = scores[f"{target}.{metric}"] = value
    return {name: value for name, value in scores.items() if name not in ambiguous}


def _save(store: GraphStore, result: Reproduction) -> None:
    """Replace the rows of the same paper, tables and dataset, in one transaction."""
    with store.transaction():
        for number in result.rows["table_number"].unique():
            store.connection.execute(
                "delete from reproductions where paper = ? and table_number = ? and dataset = ?",
                [result.paper, number, result.dataset],
            ).fetchall()
        columns = ", ".join(SCHEMA)
        with registered(store.connection, result.rows.to_arrow()) as rows:
            store.connection.execute(
                f"insert into reproductions (paper, dataset, papers_data, {columns}) "
                f"select ?, ?, ?, {columns} from {rows}",
                [result.paper, result.dataset, result.papers_data],
            ).fetchall()
