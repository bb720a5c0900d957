"""Search spaces, trials and studies of a hyperparameter search, and the stored trials."""

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
        run_id: id of the run, whose test set stays closed; None where the training could not begin.
        settings: the proposed values of the searched settings.
        state: `complete`, `pruned` (worse than most others at that epoch), or `failed`.
        value: the validation metric at the best epoch.
        epochs: the validation metric after each epoch; None where it is not known, as after an interruption.
        note: the error message of a failed trial.
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
        id: hash of the task, settings, space, seed and data.
        task: name of the task.
        model: name of the model.
        dataset: name of the dataset.
        metric: the validation metric that is optimized.
        trials: the trials, ranked.
    """

    id: str
    task: str
    model: str
    dataset: str
    metric: str
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial with the best validation metric."""
        return self.trials[0]

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON can hold."""
        return {**self.__dict__, "trials": [asdict(trial) for trial in self.trials]}


def stored_trials(store: GraphStore, study_id: str) -> dict[int, Trial]:
    """The stored trials of a study, by number."""
    rows = store.sql(
        "select number, run_id, settings, state, value, epochs, note from trials where study_id = ?", [study_id]
    ).fetchall()
    return {
        number: Trial(number, run_id, json.loads(settings), state, value, tuple(epochs), note)
        for number, run_id, settings, state, value, epochs, note in rows
    }


def store_trial(store: GraphStore, study: Study, trial: Trial) -> None:
    """Write one trial of a study; it replaces a stored one of the same number.

    Args:
        store: the store, open for writing.
        study: the study that the trial belongs to.
        trial: the trial.
    """
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


def ranked(trials: Sequence[Trial], *, lower: bool) -> tuple[Trial, ...]:
    """Trials from best to worst: complete ones, then pruned ones, then failed ones.

    Args:
        trials: the trials.
        lower: lower values are better.
    """
    order = get_args(State)

    def key(trial: Trial) -> tuple[int, float, int]:
        value = math.inf if trial.value is None else trial.value if lower else -trial.value
        return order.index(trial.state), value, trial.number

    return tuple(sorted(trials, key=key))
