"""One target of a run, with the predictions of all seeds of its configuration and a comparison with other models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from graphsocial.comparison import Comparison, breakdowns, compare, configurations
from graphsocial.comparison.configurations import Panel
from graphsocial.comparison.examples import Examples
from graphsocial.comparison.outcomes import Array, Outcomes
from graphsocial.errors import DataError
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.types import EdgeType

JSON_COLUMNS = ("config", "feature_sets", "versions", "notes")
GROUPING_KINDS = ("category", "boolean", "integer", "number")  # kinds of columns that scores are grouped by
MAX_GROUPINGS = 10
MIN_ROWS = 10  # groups with fewer rows are not drawn


@dataclass(frozen=True)
class Subject:
    """One target of a run: the subject of most sections of a report.

    Attributes:
        store: the store of the run.
        run: the run.
        record: its row in `runs`, with JSON columns parsed.
        comparison: the run's configuration compared with others.
        label: label of the run's configuration in `comparison`.
        seeds: seeds of that configuration, the run's own seed first.
        outcomes: predictions and true values of `examples`, for each seed.
        examples: the test rows.
    """

    store: GraphStore
    run: Run
    record: dict[str, Any]
    comparison: Comparison
    label: str
    seeds: list[int]
    outcomes: list[Outcomes]
    examples: Examples

    @property
    def errors(self) -> Array:
        """(N,) error rate, or absolute error for numeric targets, of each test row; mean over the seeds."""
        errors: Array = np.mean([outcomes.errors for outcomes in self.outcomes], axis=0)
        return errors

    @property
    def error_name(self) -> str:
        """What the mean of `errors` is called."""
        return "error rate" if self.examples.classes else "mean absolute error"

    @property
    def unit(self) -> str:
        """What the rows are, in the plural: `user–image pairs`, `users`."""
        ends = self.examples.ends
        return f"{ends[0]}s" if len(ends) < 2 else f"{ends[0]}–{ends[1]} pairs"

    @property
    def groupings(self) -> list[str]:
        """SQL expressions that the comparison groups by, without the groupings by training degree and cold start."""
        if not self.comparison.groups.height:
            return []
        by_training = breakdowns.cold_start(self.store, self.examples)
        return [name for name in self.comparison.groups["by"].unique(maintain_order=True) if name not in by_training]


def subjects(
    store: GraphStore, run: Run, *, against: Sequence[Run | str], by: Sequence[str], samples: int
) -> list[Subject]:
    """Each target of a run, compared with other models.

    Args:
        store: the store of the run.
        run: the run.
        against: runs, configurations or models to compare with, as in `compare`.
        by: SQL expressions to group by, beside the columns of the endpoints.
        samples: number of bootstrap samples.

    Raises:
        DataError: the run has no labelled test predictions.
    """
    rows = store.sql(
        "select distinct target from predictions where run_id = ? and split = 'test' "
        "and (true_label is not null or true_value is not null) order by target",
        [run.id],
    ).fetchall()
    if not rows:
        raise DataError(f"The run '{run.id}' has no labelled test predictions to report on.")
    result = []
    for (target,) in rows:
        panel = Panel.read(store, configurations.find(store, [run]), target, "test")
        columns = _grouping_columns(store, panel.examples)
        comparison = compare(store, [run, *against], by=[*columns, *by], target=target, samples=samples)
        (seeds,), (outcomes,) = panel.seeds.values(), panel.outcomes.values()
        order = sorted(range(len(seeds)), key=lambda index: seeds[index] != run.seed)
        result.append(
            Subject(
                store,
                run,
                _record(store, run),
                comparison,
                str(comparison.scores["model"][0]),
                [seeds[index] for index in order],
                [outcomes[index] for index in order],
                panel.examples,
            )
        )
    return result


def _record(store: GraphStore, run: Run) -> dict[str, Any]:
    row: dict[str, Any] = store.sql("select * from runs where run_id = ?", [run.id]).pl().to_dicts()[0]
    return {name: json.loads(value) if name in JSON_COLUMNS else value for name, value in row.items()}


def _grouping_columns(store: GraphStore, examples: Examples) -> list[str]:
    """SQL for the endpoints' columns to group by: numbers, and booleans and categories with repeated values."""
    same_type = len(set(examples.ends)) < len(examples.ends)
    aliases = ("source", "destination") if same_type else examples.ends
    columns = []
    for alias, ids, end in zip(aliases, examples.ids, examples.ends, strict=True):
        node = store.schema.node(end)
        for column in node.columns:
            if column.kind not in GROUPING_KINDS or column.role != "feature":
                continue
            distinct, rows = store.first(
                f"select count(distinct {quote(column.name)}), count({quote(column.name)}) from {quote(node.table)} "
                "where list_contains(?, id)",
                [ids.unique().to_list()],
            ) or (0, 0)
            if distinct > 1 and (column.kind in ("integer", "number") or 2 * distinct < rows):
                columns.append(f"{quote(alias)}.{quote(column.name)}")
    return columns[:MAX_GROUPINGS]


def unquoted(expression: str) -> str:
    """`"user"."gender"` → `user.gender`."""
    return expression.replace('"', "")


def frame_of(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a data frame; its types are inferred from all rows."""
    return pl.DataFrame(rows, infer_schema_length=None)


def is_sequence(store: GraphStore, edge: EdgeType, dataset: str) -> bool:
    """Whether no node has two outgoing or two incoming edges, as in chains of a dialogue's segments.

    Args:
        store: the store of the edges.
        edge: an edge type.
        dataset: name of the dataset.
    """
    row = store.first(
        f"select count(*) = count(distinct src) and count(*) = count(distinct dst) from {quote(edge.table)} "
        f"where {store.span(edge, dataset)}"
    )
    return bool(row and row[0])


def is_skewed(values: Array) -> bool:
    """Whether non-negative numbers are so skewed to the right, as counts are, that a logarithmic scale suits them."""
    low, median, high = np.quantile(values, [0.0, 0.5, 0.99])
    return bool(low >= 0 and high > 10 * max(median, 1))
