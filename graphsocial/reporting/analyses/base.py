"""An analysis as it stands in the store, and the few things that all sections about one need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from graphsocial.reporting.page import Prose
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote


@dataclass(frozen=True)
class Study:
    """One row of `analyses` with its tables.

    Attributes:
        analysis, dataset: what was asked about what.
        key: what was looked at beside the dataset; see `analysis.base.Findings`.
        settings, notes, made: how it was asked, how to read it, when.
        frames: the frame's name (`summary` of `network_summary`) → its rows for this dataset and key.
    """

    analysis: str
    dataset: str
    key: Mapping[str, str]
    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    made: datetime
    frames: Mapping[str, pl.DataFrame]

    def frame(self, name: str) -> pl.DataFrame:
        """A frame, empty where the analysis had nothing to say about it."""
        return self.frames.get(name, pl.DataFrame())

    def number(self, frame: str, measure: str) -> float | None:
        """A value of a frame of `measure` and `value`."""
        rows = self.frame(frame)
        found = rows.filter(measure=measure)["value"].to_list() if rows.height else []
        return found[0] if found else None

    @property
    def remarks(self) -> list[Prose]:
        """What the analysis says of itself, as the end of its section."""
        return [Prose("Notes", [*self.notes, f"Made on {self.made:%Y-%m-%d %H:%M} UTC."], points=True)]


def studies(store: GraphStore, dataset: str) -> list[Study]:
    """The analyses of a dataset that are in the store, the oldest kind first."""
    rows = store.sql(
        "select analysis, key, settings, tables, notes, created_at from analyses where dataset = ? "
        "order by analysis, created_at",
        [dataset],
    ).fetchall()
    found = []
    for analysis, key, settings, tables, notes, made in rows:
        told = json.loads(key)
        names = {name.removeprefix(f"{analysis}_"): name for name in tables}
        frames = {name: _rows(store, table, {"dataset": dataset, **told}) for name, table in names.items()}
        found.append(
            Study(analysis, dataset, told, json.loads(settings), tuple(json.loads(notes)), made, frames),
        )
    return found


def _rows(store: GraphStore, table: str, key: Mapping[str, str]) -> pl.DataFrame:
    same = " and ".join(f"{quote(column)} = ?" for column in key)
    hidden = ", ".join(map(quote, key))
    found: pl.DataFrame = store.sql(
        f"select * exclude ({hidden}) from {quote(table)} where {same} order by rowid", list(key.values())
    ).pl()
    return found
