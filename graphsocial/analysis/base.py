"""The interface of an analysis: a dataclass of settings whose `analyze` returns tables about a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from graphsocial.types import Progress

if TYPE_CHECKING:
    from graphsocial.store import GraphStore


@dataclass(frozen=True)
class Findings:
    """The results of an analysis.

    Attributes:
        frames: name → rows; the store's table is called `<analysis>_<name>`.
        key: what was analyzed beside the dataset, such as `{"edges": "user connects user"}`: columns that are put
            before those of every frame; new rows replace those of the same dataset and key.
        notes: sentences on how to read the tables: what was sampled, what was left out.
        files: name → function that writes it to a path, for further files on `--export`.
    """

    frames: Mapping[str, pl.DataFrame]
    key: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


class Analyzer(Protocol):
    """A frozen dataclass in `analysis/<name>.py`, called like the file; its fields are its settings."""

    def analyze(self, store: GraphStore, dataset: str, *, progress: Progress | None = None) -> Findings:
        """Analyze a dataset; reads the store and writes nothing.

        Args:
            store: the store to read.
            dataset: name of the dataset.
            progress: called with the name of the step, steps done and steps in all.
        """
        ...


@dataclass(frozen=True)
class Analysis:
    """The result of `analyze`: the findings as written to the store.

    Attributes:
        name: name of the analysis.
        dataset: name of the dataset.
        settings: the values of all fields of the analysis.
        key, notes: see `Findings`.
        tables: name of the store's table → its new rows.
        files: exported files.
        seconds: wall time.
    """

    name: str
    dataset: str
    settings: dict[str, Any]
    key: dict[str, str]
    notes: tuple[str, ...]
    tables: dict[str, pl.DataFrame]
    files: tuple[Path, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON can hold."""
        return {
            **self.__dict__,
            "tables": {name: frame.to_dicts() for name, frame in self.tables.items()},
            "files": [str(path) for path in self.files],
        }
