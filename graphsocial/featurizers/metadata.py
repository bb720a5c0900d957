"""Rows as numbers: scaled numbers and counts, one-hot categories, times on a clock, all as the training rows show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, ClassVar

import numpy as np
import polars as pl

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.featurizers._settings import check_minimum
from graphsocial.featurizers._tabular import PERIODS, Tabular
from graphsocial.featurizers.base import NO_EFFECT, Encoded, Featurizer, Modality, Requires, digest
from graphsocial.types import Column, Kind

_KINDS: dict[type, tuple[Kind, type[pl.DataType] | pl.DataType]] = {
    bool: ("boolean", pl.Boolean),
    int: ("integer", pl.Int64),
    float: ("number", pl.Float64),
    str: ("category", pl.String),
    datetime: ("timestamp", pl.Datetime("us", "UTC")),
}


@dataclass(frozen=True)
class Metadata:
    """One vector per row of a type: its numbers, categories, booleans and times; learns from a split's training rows.

    A number is standardised and has a flag where it is missing; a count (an integer that is never negative) is
    log(1 + x) first. A category has a column for each common value, one for any other and one for none. A time is
    the sine and cosine of its position in the day, the week and the year (UTC), and a flag.

    Attributes:
        log_counts: False treats counts as other numbers.
        periods: which clocks times are read from, of `day`, `week`, `year`; none leaves times out.
        most_values: number of values of a category that have a column of their own.
        batch_size: rows at a time.
    """

    log_counts: bool = True
    periods: tuple[str, ...] = ("day", "week", "year")
    most_values: int = 64
    batch_size: int = field(default=8192, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("table",)
    requires: ClassVar[Requires] = Requires()

    def __post_init__(self) -> None:
        check_minimum(self, 1, "batch_size", "most_values")
        for period in self.periods:
            if period not in PERIODS:
                raise UnknownNameError.of("period", period, PERIODS)

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`."""
        return digest(self, weights="tabular, 1")  # raise the number when the same rows give another vector

    def fit(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Means, deviations and vocabularies of these rows; what a column holds shows in the types of its values.

        Raises:
            InputError: no column has two different values.
        """
        kinds: dict[str, type] = {}
        for row in items:
            kinds |= {name: type(value) for name, value in row.items() if value is not None and name not in kinds}
        columns = [Column(name, _KINDS[kind][0]) for name, kind in sorted(kinds.items())]
        fitted = Tabular.fit(
            _frame(items, kinds),
            columns,
            np.arange(len(items)),
            log_counts=self.log_counts,
            periods=self.periods,
            most_values=self.most_values,
        )
        if not fitted.parts:
            raise InputError("The training rows hold nothing to encode: every column is empty, or the same everywhere.")
        return {"kinds": {name: kind.__name__ for name, kind in kinds.items()}, "parts": fitted.state()}

    def fitted(self, state: dict[str, Any]) -> Featurizer:
        """What encodes rows by what `fit` learnt."""
        known = {kind.__name__: kind for kind in _KINDS}
        kinds = {name: known[kind] for name, kind in state["kinds"].items()}
        return FittedMetadata(tuple(kinds.items()), Tabular.restore(state["parts"]), self.batch_size)


@dataclass(frozen=True)
class FittedMetadata:
    """`Metadata` after it has seen the training rows."""

    kinds: tuple[tuple[str, type], ...]
    tabular: Tabular
    batch_size: int = field(default=8192, metadata=NO_EFFECT)

    modalities: ClassVar[tuple[Modality, ...]] = ("table",)
    requires: ClassVar[Requires] = Requires()
    sequences: ClassVar[bool] = False

    @property
    def dimension(self) -> int:
        """D, which depends on what was learnt."""
        return self.tabular.width

    def fingerprint(self) -> str:
        """See `graphsocial.featurizers.base.digest`; what was learnt counts."""
        return digest(self, weights="tabular, 1")

    def encode(self, items: Sequence[Mapping[str, Any]]) -> Encoded:
        """Encode rows; returns (N, D) float32. Nothing is rejected: missing and new values have columns."""
        return Encoded.of(self.tabular.encode(_frame(items, dict(self.kinds))))


def _frame(items: Sequence[Mapping[str, Any]], kinds: Mapping[str, type]) -> pl.DataFrame:
    columns = {}
    for name, kind in kinds.items():
        values = [row.get(name) for row in items]
        if kind is datetime:
            values = [value and value.astimezone(timezone.utc) for value in values]
        columns[name] = pl.Series(name, values, dtype=_KINDS[kind][1])
    return pl.DataFrame(columns)
