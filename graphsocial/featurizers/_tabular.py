"""Numbers, categories and times as model inputs, scaled and listed by what the training rows show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.types import Column

KINDS = ("number", "integer", "boolean", "category", "timestamp")
MOST_VALUES = 64
PERIODS = {"day": 86_400.0, "week": 604_800.0, "year": 31_556_952.0}
"""Seconds; the year is the Gregorian calendar's mean, so that 1 January wanders by up to a day."""
_EPOCH = 345_600.0
"""Seconds from Thursday, 1 January 1970 to the first Monday, so that weeks begin on Mondays."""


@dataclass(frozen=True)
class Scale:
    """One number: standardised by the training rows' mean and deviation, with a flag where it is missing.

    Attributes:
        log: take sign(x) log(1 + |x|) first, for counts, whose few large values would drown the rest.
    """

    column: str
    mean: float
    deviation: float
    log: bool = False

    width = 2

    def encode(self, values: pl.Series) -> NDArray[np.float32]:
        """(N,) → (N, 2): standardised value (0 where missing), missing flag."""
        numbers = _numbers(values, log=self.log)
        missing = ~np.isfinite(numbers)
        scaled = np.where(missing, 0.0, (numbers - self.mean) / self.deviation)
        return np.stack([np.clip(scaled, -10, 10), missing], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Vocabulary:
    """One category: a column for each of the training rows' commonest values, one for any other, one for missing."""

    column: str
    values: tuple[str, ...]

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.values) + 2

    def encode(self, values: pl.Series) -> NDArray[np.float32]:
        """(N,) → (N, width), one-hot."""
        index_of = {value: index for index, value in enumerate(self.values)}
        other, missing = len(self.values), len(self.values) + 1
        index = [missing if value is None else index_of.get(value, other) for value in values.cast(pl.String).to_list()]
        return np.eye(self.width, dtype=np.float32)[np.asarray(index, dtype=np.int64)]


@dataclass(frozen=True)
class Cycle:
    """One time as the places of a clock's hands, one hand per period, so that 23:59 is next to 00:00; and a flag."""

    column: str
    periods: tuple[str, ...]

    @property
    def width(self) -> int:
        """Two numbers a period and the flag."""
        return 2 * len(self.periods) + 1

    def encode(self, values: pl.Series) -> NDArray[np.float32]:
        """(N,) UTC times → (N, width): sine and cosine of each period (0 where missing), missing flag."""
        seconds = values.cast(pl.Datetime("us", "UTC")).dt.epoch("us").cast(pl.Float64).to_numpy() / 1e6
        missing = ~np.isfinite(seconds)
        known = np.where(missing, 0.0, seconds)
        hands = []
        for period in self.periods:
            angle = 2 * np.pi * (known - _EPOCH * (period == "week")) / PERIODS[period]
            hands += [np.where(missing, 0.0, np.sin(angle)), np.where(missing, 0.0, np.cos(angle))]
        return np.stack([*hands, missing], axis=1).astype(np.float32)


Part = Scale | Vocabulary | Cycle


@dataclass(frozen=True)
class Tabular:
    """The fitted encoding of a type's plain columns; `state` and `restore` carry it through JSON."""

    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """The number of columns that come out."""
        return sum(part.width for part in self.parts)

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        columns: Sequence[Column],
        rows: NDArray[np.int64],
        *,
        log_counts: bool = False,
        periods: tuple[str, ...] = (),
        most_values: int = MOST_VALUES,
    ) -> Tabular:
        """Learn means, deviations and vocabularies from `rows` of `frame` alone.

        Args:
            frame: the rows.
            columns: of the frame; others than features of numbers, categories and times are left out.
            rows: (N,) the indices of the rows to learn from.
            log_counts: integers that are never negative in these rows are taken as counts; see `Scale.log`.
            periods: of `PERIODS`, for the times; none leaves the times out.
            most_values: number of values of a category that have a column of their own.
        """
        parts: list[Part] = []
        shown = frame[rows]
        for column in columns:
            if column.kind not in KINDS or column.role != "feature" or shown[column.name].null_count() == len(rows):
                continue
            values = shown[column.name]
            if column.kind in ("number", "integer"):
                numbers = _numbers(values)
                count = log_counts and column.kind == "integer" and not (numbers < 0).any()
                scale = _scale(column.name, _numbers(values, log=count), log=count)
                parts += [scale] if scale else []
            elif column.kind == "timestamp":
                parts += [Cycle(column.name, periods)] if periods else []
            else:
                counts = (
                    values.cast(pl.String)
                    .drop_nulls()
                    .value_counts()
                    .sort(["count", column.name], descending=[True, False])
                )
                parts.append(Vocabulary(column.name, tuple(counts[column.name].head(most_values).to_list())))
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
        return cls(tuple(_part(part) for part in state))


def _part(state: dict[str, Any]) -> Part:
    if "mean" in state:
        return Scale(**state)
    if "values" in state:
        return Vocabulary(state["column"], tuple(state["values"]))
    return Cycle(state["column"], tuple(state["periods"]))


def _numbers(values: pl.Series, *, log: bool = False) -> NDArray[np.float64]:
    """(N,) float64, NaN where there is none."""
    numbers: NDArray[np.float64] = values.cast(pl.Float64, strict=False).to_numpy()
    return np.sign(numbers) * np.log1p(np.abs(numbers)) if log else numbers


def _scale(column: str, numbers: NDArray[np.float64], *, log: bool) -> Scale | None:
    """By scikit-learn's scaler; None for a column that is the same everywhere."""
    from sklearn.preprocessing import StandardScaler

    known = numbers[np.isfinite(numbers)]
    if not len(known) or known.min() == known.max():
        return None
    scaler = StandardScaler().fit(known[:, None])
    return Scale(column, float(scaler.mean_[0]), float(scaler.scale_[0]), log)
