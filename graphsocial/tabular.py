"""Numbers and categories of nodes as model inputs, scaled and listed by what the training rows show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.types import Column

KINDS = ("number", "integer", "boolean", "category")
MOST_VALUES = 64


@dataclass(frozen=True)
class Scale:
    """One number: standardised by the training rows' mean and deviation, with a flag where it is missing."""

    column: str
    mean: float
    deviation: float

    width = 2

    def encode(self, values: pl.Series) -> NDArray[np.float32]:
        """(N,) → (N, 2): standardised value (0 where missing), missing flag."""
        numbers = values.cast(pl.Float64, strict=False).to_numpy()
        missing = ~np.isfinite(numbers)
        scaled = np.where(missing, 0.0, (numbers - self.mean) / self.deviation)
        return np.stack([np.clip(scaled, -10, 10), missing], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Vocabulary:
    """One category: a place for each of the training rows' commonest values, one for any other, one for missing."""

    column: str
    values: tuple[str, ...]

    @property
    def width(self) -> int:
        """The number of places."""
        return len(self.values) + 2

    def encode(self, values: pl.Series) -> NDArray[np.float32]:
        """(N,) → (N, width), one-hot."""
        place = {value: index for index, value in enumerate(self.values)}
        other, missing = len(self.values), len(self.values) + 1
        index = [missing if value is None else place.get(value, other) for value in values.cast(pl.String).to_list()]
        return np.eye(self.width, dtype=np.float32)[np.asarray(index, dtype=np.int64)]


@dataclass(frozen=True)
class Tabular:
    """The fitted encoding of a node type's plain columns; `state` and `restore` carry it through a run's JSON."""

    parts: tuple[Scale | Vocabulary, ...]

    @property
    def width(self) -> int:
        """The number of columns that come out."""
        return sum(part.width for part in self.parts)

    @classmethod
    def fit(cls, frame: pl.DataFrame, columns: Sequence[Column], rows: NDArray[np.int64]) -> Tabular:
        """Learn means, deviations and vocabularies from `rows` of `frame` alone."""
        parts: list[Scale | Vocabulary] = []
        shown = frame[rows]
        for column in columns:
            if column.kind not in KINDS or column.role != "feature":
                continue
            values = shown[column.name]
            if column.kind in ("number", "integer"):
                numbers = values.cast(pl.Float64, strict=False).drop_nulls().to_numpy()
                numbers = numbers[np.isfinite(numbers)]
                if len(numbers) and numbers.std() > 0:
                    parts.append(Scale(column.name, float(numbers.mean()), float(numbers.std())))
            else:
                counts = (
                    values.cast(pl.String)
                    .drop_nulls()
                    .value_counts()
                    .sort(["count", column.name], descending=[True, False])
                )
                if counts.height:
                    parts.append(Vocabulary(column.name, tuple(counts[column.name].head(MOST_VALUES).to_list())))
        return cls(tuple(parts))

    def encode(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """(N rows) → (N, width) float32."""
        if not self.parts:
            return np.zeros((frame.height, 0), dtype=np.float32)
        return np.concatenate([part.encode(frame[part.column]) for part in self.parts], axis=1)

    def state(self) -> list[dict[str, Any]]:
        """As JSON."""
        return [asdict(part) for part in self.parts]

    @classmethod
    def restore(cls, state: list[dict[str, Any]]) -> Tabular:
        """From JSON."""
        return cls(
            tuple(
                Scale(**part) if "mean" in part else Vocabulary(part["column"], tuple(part["values"])) for part in state
            )
        )
