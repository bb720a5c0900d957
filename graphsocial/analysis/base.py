"""What an analysis is: settings that answer a question about a dataset with tables."""

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
    """What an analysis found.

    Attributes:
        frames: name → rows; the store's table is called `<analysis>_<name>`.
        key: what was looked at beside the dataset, such as `{"edges": "user connects user"}`: columns before those of
            every frame, whose rows replace the ones of the same dataset and key.
        notes: sentences on how to read the tables: what was sampled, what was left out.
        files: name → what writes it, for further files beside the tables on `--export`.
    """

    frames: Mapping[str, pl.DataFrame]
    key: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


class Analyzer(Protocol):
    """A frozen dataclass in `analysis/<name>.py`, called like the file; its fields are its settings."""

    def analyze(self, store: GraphStore, dataset: str, *, progress: Progress | None = None) -> Findings:
        """Look at a dataset; reads the store and writes nothing.

        Args:
            progress: called with a word, steps done and steps to do.
        """
        ...


@dataclass(frozen=True)
class Analysis:
    """What `analyze` returns: the findings as they stand in the store.

    Attributes:
        name, dataset: of the analysis and what it looked at.
        settings: all of them, as JSON.
        key, notes: see `Findings`.
        tables: the store's table → its new rows.
        files: what was exported.
        seconds: how long it took.
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
        """As JSON."""
        return {
            **self.__dict__,
            "tables": {name: frame.to_dicts() for name, frame in self.tables.items()},
            "files": [str(path) for path in self.files],
        }
