"""Read the stored results of analyses for their sections."""

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
class StoredAnalysis:
    """One row of `analyses` with its result tables.

    Attributes:
        name: name of the analysis.
        dataset: name of the dataset.
        key: what was analyzed beside the dataset; see `analysis.base.Findings`.
        settings: settings of the analysis.
        notes: sentences on how to read the tables.
        created_at: time of the analysis, UTC.
        frames: frame name (`summary` of the table `network_summary`) → its rows of this dataset and key.
    """

    name: str
    dataset: str
    key: Mapping[str, str]
    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    created_at: datetime
    frames: Mapping[str, pl.DataFrame]

    def frame(self, name: str) -> pl.DataFrame:
        """A frame by name; empty where the analysis wrote none."""
        return self.frames.get(name, pl.DataFrame())

    def number(self, frame: str, measure: str) -> float | None:
        """The value of a measure in a frame with columns `measure` and `value`; None where it has none."""
        rows = self.frame(frame)
        values = rows.filter(measure=measure)["value"].to_list() if rows.height else []
        return values[0] if values else None

    @property
    def remarks(self) -> list[Prose]:
        """The notes and the time of the analysis, for the end of its section."""
        return [Prose("Notes", [*self.notes, f"Created {self.created_at:%Y-%m-%d %H:%M} UTC."], bullets=True)]


def stored_analyses(store: GraphStore, dataset: str) -> list[StoredAnalysis]:
    """The stored analyses of a dataset, by name and time."""
    rows = store.sql(
        "select analysis, key, settings, tables, notes, created_at from analyses where dataset = ? "
        "order by analysis, created_at",
        [dataset],
    ).fetchall()
    result = []
    for name, key_json, settings, tables, notes, created_at in rows:
        key = json.loads(key_json)
        table_names = {table.removeprefix(f"{name}_"): table for table in tables}
        frames = {frame: _rows(store, table, {"dataset": dataset, **key}) for frame, table in table_names.items()}
        result.append(
            StoredAnalysis(name, dataset, key, json.loads(settings), tuple(json.loads(notes)), created_at, frames)
        )
    return result


def _rows(store: GraphStore, table: str, key: Mapping[str, str]) -> pl.DataFrame:
    """The rows of a table that belong to a dataset and key, without the columns of the key."""
    condition = " and ".join(f"{quote(column)} = ?" for column in key)
    key_columns = ", ".join(map(quote, key))
    frame: pl.DataFrame = store.sql(
        f"select * exclude ({key_columns}) from {quote(table)} where {condition} order by rowid", list(key.values())
    ).pl()
    return frame
