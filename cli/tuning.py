"""The command that searches hyperparameters: tune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from graphsocial.types import Progress

from .options import DataOptions, ModelOptions, Session, Targets, TaskArgument, pairs, resumable, settings
from .values import number, text

if TYPE_CHECKING:
    from graphsocial.tuning import Step
    from graphsocial.tuning.trials import Study


REQUEST = ("model", "dataset", "split", "features", "settings")
"""The options whose names are checked before torch is imported."""


@dataclass(frozen=True)
class SearchOptions:
    """What is searched, and how."""

    panel: ClassVar[str] = "Search"

    range_: Annotated[
        list[str] | None,
        typer.Option(
            "--set-range",
            metavar="NAME=LOW..HIGH[:log]",
            help="Range of a setting; of whole numbers if both ends are. Repeatable.",
            show_default=False,
        ),
    ] = None
    choice: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B,C", help="Choices of a setting. Repeatable.", show_default=False),
    ] = None
    trials: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of trials, those of earlier calls included.")
    ] = 20
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Random seed for the search and each training.")] = 0
    no_pruning: Annotated[
        bool,
        typer.Option("--no-pruning", metavar="", help="Train every trial to its end; none is pruned."),
    ] = False


def tune(
    task: TaskArgument,
    *,
    targets: Targets,
    search: SearchOptions,
    data: DataOptions,
    training: ModelOptions,
    session: Session,
) -> None:
    """Search hyperparameters on validation; unpromising trials are pruned, the test part stays closed.

    Every trial is a run. The same command resumes where it stopped,
    and with more --trials continues where it ended.
    """
    space = _space(search.range_, search.choice)
    from .data import encoders

    options: dict[str, Any] = {
        "model": training.model,
        "dataset": data.dataset,
        "split": data.split,
        "seed": search.seed,
        "epochs": training.epochs,
        "features": encoders(data.features),
        "settings": {**settings(training.set_), **targets.settings()},
    }
    with session.write() as opened, resumable(), session.out.progress() as progress:
        from graphsocial.evaluation.requests import check_request

        check_request(opened, task, **{name: options[name] for name in REQUEST})
        from graphsocial.tuning import tune as run_trials

        report = _reporter(session, progress)
        study = run_trials(
            opened,
            task,
            space=space,
            trials=search.trials,
            prune=not search.no_pruning,
            report=report,
            **options,
        )
    if session.out.json:
        return session.out.value(study.to_dict())
    show(session, study)
    words = _options(options, data.features or [], study.best.settings)
    session.out.say(f"Open the test part for the best trial: {session.command('train', task, *words)}")


def _space(range_: list[str] | None, choice: list[str] | None) -> dict[str, Any]:
    """The search space: setting → its range, or its choices."""
    ranges, choices = pairs(range_, option="--set-range"), pairs(choice, option="--choice")
    both = sorted(ranges.keys() & choices.keys())
    if both:
        raise typer.BadParameter(f"'{both[0]}' has a range too.", param_hint="--choice")
    from graphsocial.specs import Range

    space: dict[str, Any] = {name.replace("-", "_"): Range.parse(value) for name, value in ranges.items()}
    return space | {name.replace("-", "_"): tuple(map(str.strip, value.split(","))) for name, value in choices.items()}


def _options(options: Mapping[str, Any], features: list[str], best: Mapping[str, Any]) -> list[str]:
    """The command-line options of `train` for the same training with the best settings."""
    words = []
    for name in ("model", "dataset", "split", "seed"):
        words += [f"--{name}", str(options[name])] if options[name] else []
    words += [word for column in features for word in ("--features", column)]
    epochs = {"epochs": options["epochs"]} if options["epochs"] else {}
    merged = {**(options["settings"] or {}), **epochs, **best}
    return words + [word for name, value in merged.items() for word in ("--set", f"{name}={_written(value)}")]


def _reporter(session: Session, progress: Progress) -> Any:
    def report(step: Step) -> None:
        tried = ", ".join(f"{name} {text(value)}" for name, value in step.settings.items())
        if step.epoch is not None:
            metric = f"epoch {step.epoch.epoch}, {step.epoch.metric} {step.epoch.value:.4f}"
            progress(f"trials\t{tried}: {metric}", step.number - 1, step.of)
        elif step.trial is not None:
            progress("trials", step.number, step.of)
            outcome = f": {step.trial.note}" if step.trial.note else f", {number(step.trial.value, places=4)}"
            session.out.say(f"trial {step.number} of {step.of}: {tried}: {step.trial.state}{outcome}")

    return report


def show(session: Session, study: Study) -> None:
    """The trials, best first."""
    names = list(study.best.settings)
    session.out.table(
        ["trial", study.metric, "state", "epochs", *names, "run"],
        [
            [
                trial.number + 1,
                number(trial.value, places=4),
                trial.state,
                len(trial.epochs),
                *(trial.settings[name] for name in names),
                trial.run_id or "",
            ]
            for trial in study.trials
        ],
        title=f"{study.task} on {study.dataset}, {study.model}: scores on the validation part",
    )


def _written(value: Any) -> str:
    """A setting's value as `--set` takes it, with all its digits, so that it names the same run."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return repr(value) if isinstance(value, float) else str(value)
