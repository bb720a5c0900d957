"""What a report is about: one run, with the seeds of its configuration, and what it is compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from graphsocial.comparison import Comparison, breakdowns, compare, configurations
from graphsocial.comparison.configurations import Panel
from graphsocial.comparison.outcomes import Array, Examples, Outcomes
from graphsocial.errors import DataError
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.types import EdgeType

JSON = ("config", "feature_sets", "versions", "notes")
GROUPING = ("category", "boolean", "integer", "number")  # kinds of columns that people and things are grouped by
MOST_COLUMNS = 10
LEAST_ROWS = 10  # below which a mean is not drawn


@dataclass(frozen=True)
class Subject:
    """One target of a run.

    Attributes:
        store: where everything is read.
        run: the run.
        record: its row of `runs`, JSON read.
        comparison: its configuration beside others.
        label: its configuration's name there.
        seeds: of that configuration, the run's own first.
        answers: of each seed, to `examples`.
        examples: the test rows.
    """

    store: GraphStore
    run: Run
    record: dict[str, Any]
    comparison: Comparison
    label: str
    seeds: list[int]
    answers: list[Outcomes]
    examples: Examples

    @property
    def errors(self) -> Array:
        """(N,) how often each row was answered wrongly, or by how much; the mean over the seeds."""
        found: Array = np.mean([one.errors for one in self.answers], axis=0)
        return found

    @property
    def error(self) -> str:
        """What `errors` are."""
        return "share of wrong answers" if self.examples.classes else "mean absolute error"

    @property
    def rows(self) -> str:
        """What the rows are: `user–image pairs`, `users`."""
        ends = self.examples.ends
        return f"{ends[0]}s" if len(ends) < 2 else f"{ends[0]}–{ends[1]} pairs"

    @property
    def groupings(self) -> list[str]:
        """What the comparison groups by, beside what training knew: SQL expressions."""
        if not self.comparison.groups.height:
            return []
        cold = breakdowns.cold_start(self.store, self.examples)
        return [name for name in self.comparison.groups["by"].unique(maintain_order=True) if name not in cold]


def subjects(
    store: GraphStore, run: Run, *, against: Sequence[Run | str], by: Sequence[str], samples: int
) -> list[Subject]:
    """The run's targets, each compared.

    Raises:
        DataError: the run has no labelled test rows.
    """
    rows = store.sql(
        "select distinct target from predictions where run_id = ? and split = 'test' "
        "and (true_label is not null or true_value is not null) order by target",
        [run.id],
    ).fetchall()
    if not rows:
        raise DataError(f"The run '{run.id}' has no labelled test predictions to report on; it was trained without.")
    found = []
    for (target,) in rows:
        panel = Panel.read(store, configurations.find(store, [run]), target, "test")
        columns = _columns(store, panel.examples)
        comparison = compare(store, [run, *against], by=[*columns, *by], target=target, samples=samples)
        (seeds,), (answers,) = panel.seeds.values(), panel.outcomes.values()
        order = sorted(range(len(seeds)), key=lambda place: seeds[place] != run.seed)
        found.append(
            Subject(
                store,
                run,
                _record(store, run),
                comparison,
                str(comparison.scores["model"][0]),
                [seeds[place] for place in order],
                [answers[place] for place in order],
                panel.examples,
            )
        )
    return found


def _record(store: GraphStore, run: Run) -> dict[str, Any]:
    row: dict[str, Any] = store.sql("select * from runs where run_id = ?", [run.id]).pl().to_dicts()[0]
    return {name: json.loads(value) if name in JSON else value for name, value in row.items()}


def _columns(store: GraphStore, examples: Examples) -> list[str]:
    """SQL for the columns of the ends that make groups: words that repeat, truth values, numbers."""
    one_type = len(set(examples.ends)) < len(examples.ends)
    names = ("source", "destination") if one_type else examples.ends
    found = []
    for alias, ids, end in zip(names, examples.ids, examples.ends, strict=True):
        node = store.schema.node(end)
        for column in node.columns:
            if column.kind not in GROUPING or column.role != "feature":
                continue
            distinct, rows = store.first(
                f"select count(distinct {quote(column.name)}), count({quote(column.name)}) from {quote(node.table)} "
                "where list_contains(?, id)",
                [ids.unique().to_list()],
            ) or (0, 0)
            if distinct > 1 and (column.kind in ("integer", "number") or 2 * distinct < rows):
                found.append(f"{quote(alias)}.{quote(column.name)}")
    return found[:MOST_COLUMNS]


def plain(name: str) -> str:
    """`"user"."gender"` → `user.gender`."""
    return name.replace('"', "")


def frame_of(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a frame, whatever the first ones lack."""
    return pl.DataFrame(rows, infer_schema_length=None)


def is_order(store: GraphStore, edge: EdgeType, dataset: str) -> bool:
    """Whether edges only put nodes one after the other, as segments of a dialogue: no network to speak of."""
    row = store.first(
        f"select count(*) = count(distinct src) and count(*) = count(distinct dst) from {quote(edge.table)} "
        f"where {store.span(edge, dataset)}"
    )
    return bool(row and row[0])


def is_skewed(values: Array) -> bool:
    """Whether numbers from 0 up are so uneven, as counts are, that their logarithms show more."""
    low, middle, high = np.quantile(values, [0.0, 0.5, 0.99])
    return bool(low >= 0 and high > 10 * max(middle, 1))
