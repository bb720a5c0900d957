"""What a paper's reproduction is: its tables as lists of configurations, with the figures that the paper prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphsocial.errors import InputError, UnknownNameError

Score = float | tuple[float, float]
"""A published figure: a mean, or a mean and a standard deviation."""


@dataclass(frozen=True)
class Row:
    """One line of a table: a configuration and what the paper says of it.

    Attributes:
        name: as the paper writes it.
        published: metric → the paper's figure; empty for a line that the paper does not have.
        model: a registered name; None for a line that is shown but not trained, whose `note` says why.
        settings: of the model, the task, the split or the fitting, as `train` takes them.
        features: `type.column` → encoder, or None to leave the column out, as `train` takes them.
        edge_types: message edge types; all by default.
        note: what a reader must know to compare.
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
        number: as it is asked for: `2`, or `fig9`.
        title: the paper's.
        rows: in the paper's order.
        metrics: the metrics that are shown, as the store's table `metrics` names them; `target.metric` where a task
            has several targets that have it.
        note: what holds for the whole table.
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
        name: what the paper calls it.
        rows: node or edge type → how many rows the paper says it has.
    """

    name: str
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Paper:
    """What `graphsocial reproduce` needs: a module `reproduction/<name>.py` has one, called `PAPER`.

    Attributes:
        title: with authors and year.
        task: a registered name.
        tables: those that can be reproduced.
        data: what the figures were measured on.
        split: the paper's split policy; each seed deals it out anew.
        seeds: how many trainings of a row the paper's deviation is over.
    """

    title: str
    task: str
    tables: tuple[Table, ...]
    data: Data
    split: str = "random"
    seeds: int = 1

    def table(self, number: str) -> Table:
        """One table.

        Raises:
            UnknownNameError: the paper has none of that number here.
        """
        for table in self.tables:
            if table.number == number:
                return table
        raise UnknownNameError.of("table of this paper", number, [table.number for table in self.tables])
