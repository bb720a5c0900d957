"""Hyperparameter search on the validation set: each trial is a run, and a stored search can be resumed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from graphsocial.errors import DataError, InputError, TrainingError
from graphsocial.evaluation.metrics import LOWER_IS_BETTER
from graphsocial.runs.provenance import digest, versions
from graphsocial.runs.records import stop
from graphsocial.specs import Range
from graphsocial.store import GraphStore
from graphsocial.tasks.base import Task
from graphsocial.training import carry_out
from graphsocial.training.config import RunConfig, TrainOptions, design
from graphsocial.training.loop import Epoch
from graphsocial.tuning.trials import Space, Study, Trial, ranked, store_trial, stored_trials

STARTUP = 5  # trials before pruning begins
_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class Step:
    """The progress of a search, reported after each epoch and at the end of each trial.

    Attributes:
        number: number of the trial, from 1.
        of: number of trials in all.
        settings: the proposed values of the searched settings.
        epoch: the epoch, after an epoch.
        trial: the trial, at its end.
    """

    number: int
    of: int
    settings: Mapping[str, Any]
    epoch: Epoch | None = None
    trial: Trial | None = None


class _Pruned(BaseException):
    """Raised in the report of an epoch to end a training, which has not failed: so it is no `Exception`."""


def tune(
    store: GraphStore,
    task: str | Task,
    *,
    space: Space,
    trials: int = 20,
    prune: bool = True,
    report: Callable[[Step], None] | None = None,
    **options: Any,
) -> Study:
    """Search for the settings with the best validation metric; the test set stays closed.

    Optuna's tree-structured Parzen estimator with a fixed seed proposes settings, a training without the test set
    scores them, and the table `trials` stores the scores. A repeated call proposes the same settings and uses the
    stored scores, so that it resumes an interrupted search, or extends a shorter one.

    Args:
        store: the store, open for writing.
        task: as in `train`.
        space: setting → its range, or its choices.
        trials: number of trials, those of earlier calls included.
        prune: stop a trial that is worse than the median of others at the same epoch.
        report: called after each epoch and at the end of each trial.
        options: as in `train`; `settings` are fixed ones, and `seed` is also the seed of the search.

    Raises:
        InputError, UnknownNameError: the space is empty, or a setting is unknown or cannot have such values.
        DataError: the data cannot be trained on.
        TrainingError: every trial failed; with the last error message.
    """
    if not space or trials < 1:
        raise InputError(
            "There is nothing to search: name at least one setting with its range or choices, such as --set-range "
            "learning_rate=0.001..0.01:log or --choice width=32,64, and at least one trial."
        )
    fixed = TrainOptions.of(options)
    base = _check(store, task, space, fixed)
    metric = base.fitting.select or base.task.selection_metric
    space_key = {name: str(part) if isinstance(part, Range) else list(part) for name, part in space.items()}
    data = store.data_hash(base.dataset)
    study_id = digest([base.identity(), base.seed, space_key, prune, data, versions()["graphsocial"]])
    result = Study(study_id, base.task.name, base.model_name, base.dataset, metric, ())
    stored, completed = stored_trials(store, study_id), list[Trial]()
    with _quiet():
        study = optuna.create_study(
            direction="minimize" if metric in LOWER_IS_BETTER else "maximize",
            sampler=optuna.samplers.TPESampler(seed=base.seed),
            pruner=optuna.pruners.MedianPruner(STARTUP, base.fitting.epochs // 5)
            if prune
            else optuna.pruners.NopPruner(),
        )
        for number in range(trials):
            proposed = study.ask({name: _distribution(part) for name, part in space.items()})
            report_step = partial(_report_step, report, Step(number + 1, trials, proposed.params))
            trial = stored.get(number)
            if trial is None or trial.settings != proposed.params:
                trial = _try(store, task, proposed, fixed.with_settings(proposed.params), report_step)
                store_trial(store, result, trial)
            else:
                for step, value in enumerate(trial.epochs, 1):
                    if value is not None:
                        proposed.report(value, step)
            study.tell(proposed, trial.value if trial.state == "complete" else None, _STATES[trial.state])
            completed.append(trial)
            report_step(trial=trial)
    result = replace(result, trials=ranked(completed, lower=metric in LOWER_IS_BETTER))
    if result.best.state == "failed":
        raise TrainingError(f"Every trial failed; the last one: {completed[-1].note}")
    return result


def _check(store: GraphStore, task: str | Task, space: Space, options: TrainOptions) -> RunConfig:
    """The configuration with the fixed settings, after checking the bounds and choices of the space on it."""
    for name, part in space.items():
        if name in (options.settings or {}):
            raise InputError(f"'{name}' is fixed by a setting and searched as well; choose one.")
        for value in _bounds(part):
            design(store, task, options.with_settings({name: value}))
    return design(store, task, options)


def _bounds(part: Range | tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(part, Range):
        return part
    return (int(part.low), int(part.high)) if part.whole else (part.low, part.high)


def _distribution(part: Range | tuple[Any, ...]) -> BaseDistribution:
    if not isinstance(part, Range):
        return CategoricalDistribution(part)
    if part.whole:
        return IntDistribution(int(part.low), int(part.high), log=part.log)
    return FloatDistribution(part.low, part.high, log=part.log)


def _report_step(report: Callable[[Step], None] | None, step: Step, **more: Any) -> None:
    if report:
        report(Step(step.number, step.of, step.settings, **more))


def _try(
    store: GraphStore, task: str | Task, proposed: optuna.Trial, options: TrainOptions, report_step: Callable[..., None]
) -> Trial:
    """Train once; an impossible combination of settings fails the trial, not the search."""
    values: dict[int, float] = {}

    def report_epoch(epoch: Epoch) -> None:
        values[epoch.epoch] = epoch.value
        report_step(epoch=epoch)
        proposed.report(epoch.value, epoch.epoch)
        if proposed.should_prune():
            raise _Pruned

    trial = partial(Trial, proposed.number, settings=dict(proposed.params))
    lower = proposed.study.direction == StudyDirection.MINIMIZE
    try:
        run = carry_out(store, design(store, task, options), test=False, report=report_epoch)
    except _Pruned:
        epochs = tuple(values.get(number) for number in range(1, max(values) + 1))
        return trial(_stop_run(store), state="pruned", value=_best(epochs, lower), epochs=epochs)
    except DataError:
        raise
    except InputError as error:
        return trial(None, state="failed", value=None, epochs=(), note=str(error))
    except TrainingError as error:
        return trial(_stop_run(store), state="failed", value=None, epochs=(), note=str(error))
    history = store.sql("select value from run_epochs where run_id = ? order by epoch", [run.id]).fetchall()
    epochs = tuple(value for (value,) in history)
    value = _best(epochs, lower)
    if value is None:
        raise InputError(f"'{run.model}' is not trained in epochs, so there is nothing to search.")
    return trial(run.id, state="complete", value=value, epochs=epochs)


def _stop_run(store: GraphStore) -> str:
    """Mark the run in training as pruned, and return its id."""
    row = store.first("select run_id from runs where status = 'running' order by started_at desc limit 1")
    assert row is not None
    stop(store, row[0], "pruned")
    return str(row[0])


def _best(epochs: tuple[float | None, ...], lower: bool) -> float | None:
    known = [value for value in epochs if value is not None and not math.isnan(value)]
    return (min(known) if lower else max(known)) if known else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's log messages, which it prints by default."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
