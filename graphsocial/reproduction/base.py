"""The declaration of a paper: its tables as lists of configurations, with the published figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphsocial.errors import InputError, UnknownNameError

Score = float | tuple[float, float]
"""A published figure: a mean, or a mean and a standard deviation."""


@dataclass(frozen=True)
class Row:
    """One row of a table: a configuration and its published figures.

    Attributes:
        name: name of the row in the paper.
        published: metric → published figure; empty for a row that the paper does not have.
        model: a registered name; None for a row that is shown but not trained, with the reason in `note`.
        settings: settings of the model, the task, the split or the training, as `train` takes them.
        features: `type.column` → encoder, or None to leave the column out, as `train` takes them.
        edge_types: message edge types; all by default.
        note: caveats of the comparison.
    """

    name: str
    published: Mapping[str, Score] = field(default_factory=dict)
    model: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    features: Mapping[str, str | None] = field(default_factory=dict)
    edge_types: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.model is None and not self.note:
            raise InputError(f"The row '{self.name}' is not trained; its note must say why.")


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper.

    Attributes:
        number: its number as `--table` takes it: `2`, or `fig9`.
        title: title in the paper.
        rows: its rows in the paper's order.
        metrics: names of the metrics as in the store's table `metrics`; `target.metric` where several targets of the
            task have it.
        note: caveats of the whole table.
    """

    number: str
    title: str
    rows: tuple[Row, ...]
    metrics: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Data:
    """The paper's data.

    Attributes:
        name: name of the dataset in the paper.
        rows: node or edge type → number of rows according to the paper.
    """

    name: str
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Paper:
    """A paper that `graphsocial reproduce` can train: the constant `PAPER` of a module `reproduction/<name>.py`.

    Attributes:
        title: authors, year and short title.
        task: a registered task.
        tables: the tables that can be reproduced.
        data: the data of the published figures.
        split: the paper's split policy; a random split is drawn anew for each seed.
        seeds: number of trainings of each row in the paper.
    """

    title: str
    task: str
    tables: tuple[Table, ...]
    data: Data
    split: str = "random"
    seeds: int = 1

    def table(self, number: str) -> Table:
        """The table of a number.

        Raises:
            UnknownNameError: the paper has no such table.
        """
        for table in self.tables:
            if table.number == number:
                return table
        raise UnknownNameError.of("table of this paper", number, [table.number for table in self.tables])
