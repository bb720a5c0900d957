"""What a search for settings tries, and what became of it: spaces, trials and studies, and their rows in the store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from graphsocial.specs import Range
from graphsocial.store import GraphStore

State = Literal["complete", "pruned", "failed"]


Space = Mapping[str, Range | tuple[Any, ...]]
"""Setting → a range, or the values to choose from."""


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes:
        number: from 0.
        run_id: of the run, whose test part the search leaves closed; None where it could not begin.
        settings: what was tried.
        state: `complete`, `pruned` (worse than most others at that epoch), or `failed`.
        value: the metric on validation at the best epoch.
        epochs: the same after each epoch; None where it was not seen, as by a search that was interrupted.
        note: why it failed.
    """

    number: int
    run_id: str | None
    settings: dict[str, Any]
    state: State
    value: float | None
    epochs: tuple[float | None, ...]
    note: str = ""


@dataclass(frozen=True)
class Study:
    """A search and its trials, best first: complete ones, then pruned ones, then failed ones.

    Attributes:
        id: the same for the same task, settings, space, seed and data.
        metric: on validation.
    """

    id: str
    task: str
    model: str
    dataset: str
    metric: str
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial that did best on validation."""
        return self.trials[0]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.__dict__, "trials": [asdict(trial) for trial in self.trials]}


def remembered(store: GraphStore, study_id: str) -> dict[int, Trial]:
    """The trials of a search that are in the store, by number."""
    rows = store.sql(
        "select number, run_id, settings, state, value, epochs, note from trials where study_id = ?", [study_id]
    ).fetchall()
    return {
        number: Trial(number, run_id, json.loads(settings), state, value, tuple(epochs), note)
        for number, run_id, settings, state, value, epochs, note in rows
    }


def remember(store: GraphStore, study: Study, trial: Trial) -> None:
    """Write one trial of a search, in place of one of the same number."""
    store.connection.execute(
        "insert or replace into trials "
        "(study_id, number, run_id, task, dataset, settings, state, metric, value, epochs, note) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            study.id,
            trial.number,
            trial.run_id,
            study.task,
            study.dataset,
            json.dumps(trial.settings),
            trial.state,
            study.metric,
            trial.value,
            list(trial.epochs),
            trial.note,
        ],
    ).fetchall()


def ranked(found: Sequence[Trial], *, lower: bool) -> tuple[Trial, ...]:
    """Best first: complete ones, then pruned ones, then failed ones.

    Args:
        lower: lower values are better.
    """
    order = get_args(State)

    def key(trial: Trial) -> tuple[int, float, int]:
        value = math.inf if trial.value is None else trial.value if lower else -trial.value
        return order.index(trial.state), value, trial.number

    return tuple(sorted(found, key=key))
