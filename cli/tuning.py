"""The command that searches settings: tune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphsocial.types import Progress

from .options import (
    DatasetOption,
    EpochsOption,
    FeaturesOption,
    JsonOption,
    ModelOption,
    QuietOption,
    Session,
    SetOption,
    SplitOption,
    StoreOption,
    TaskArgument,
    pairs,
    resumable,
    settings,
    settle,
)
from .values import number, text

if TYPE_CHECKING:
    from graphsocial.training.config import TrainOptions
    from graphsocial.tuning import Step
    from graphsocial.tuning.trials import Study


def tune(
    ctx: typer.Context,
    task: TaskArgument,
    range_: Annotated[
        list[str] | None,
        typer.Option("--set-range", metavar="NAME=LOW..HIGH[:log]", help="A setting and its range; 2..8 is whole."),
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option(metavar="NAME=A,B,C", help="A setting and the values to choose from.")
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", min=1, help="How many, earlier ones included.")] = 20,
    model: ModelOption = None,
    epochs: EpochsOption = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the trainings and of the search.")] = 0,
    split: SplitOption = None,
    whole: Annotated[
        bool, typer.Option("--no-pruning", metavar="", help="Train every trial to its end, however poor.")
    ] = False,
    features: FeaturesOption = None,
    set_: SetOption = None,
    dataset: DatasetOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search the settings that do best on validation; the test part stays closed.

    Every trial is a run. The same command goes on where it stopped,
    and with more --trials where it ended.
    """
    session = settle(ctx, store, json, quiet)
    space = _space(range_, choice)
    from graphsocial.tuning import tune as search

    from .data import encoders

    asked: TrainOptions = {
        "model": model,
        "dataset": dataset,
        "split": split,
        "seed": seed,
        "epochs": epochs,
        "features": encoders(features),
        "settings": settings(set_),
    }
    with session.write() as opened, resumable(), session.out.progress() as progress:
        report = _reporter(session, progress)
        found = search(opened, task, space=space, trials=trials, prune=not whole, report=report, **asked)
    if session.out.json:
        return session.out.value(found.to_dict())
    show(session, found)
    words = _options(asked, features or [], found.best.settings)
    session.out.say(f"Open the test part for the best one: {session.command('train', task, *words)}")


def _space(range_: list[str] | None, choice: list[str] | None) -> dict[str, Any]:
    """What is searched: setting → its range, or its choices."""
    ranges, choices = pairs(range_, option="--set-range"), pairs(choice, option="--choice")
    twice = sorted(ranges.keys() & choices.keys())
    if twice:
        raise typer.BadParameter(f"'{twice[0]}' has a range too.", param_hint="--choice")
    from graphsocial.tuning.trials import Range

    space: dict[str, Any] = {name.replace("-", "_"): Range.parse(value) for name, value in ranges.items()}
    return space | {name.replace("-", "_"): tuple(map(str.strip, value.split(","))) for name, value in choices.items()}


def _options(asked: TrainOptions, features: list[str], best: Mapping[str, Any]) -> list[str]:
    """The options of `train` that ask for the same, with the settings that were found."""
    words = []
    for name in ("model", "dataset", "split", "seed"):
        words += [f"--{name}", str(asked[name])] if asked[name] else []
    words += [word for column in features for word in ("--features", column)]
    epochs = {"epochs": asked["epochs"]} if asked["epochs"] else {}
    chosen = {**(asked["settings"] or {}), **epochs, **best}
    return words + [word for name, value in chosen.items() for word in ("--set", f"{name}={_written(value)}")]


def _reporter(session: Session, progress: Progress) -> Any:
    def report(step: Step) -> None:
        told = ", ".join(f"{name} {text(value)}" for name, value in step.settings.items())
        if step.epoch is not None:
            reached = f"epoch {step.epoch.epoch}, {step.epoch.metric} {step.epoch.value:.4f}"
            progress(f"trials\t{told}: {reached}", step.number - 1, step.of)
        elif step.trial is not None:
            progress("trials", step.number, step.of)
            came = f": {step.trial.note}" if step.trial.note else f", {number(step.trial.value, places=4)}"
            session.out.say(f"trial {step.number} of {step.of}: {told}: {step.trial.state}{came}")

    return report


def show(session: Session, found: Study) -> None:
    """The trials, best first."""
    names = list(found.best.settings)
    session.out.table(
        ["trial", found.metric, "state", "epochs", *names, "run"],
        [
            [
                trial.number + 1,
                number(trial.value, places=4),
                trial.state,
                len(trial.epochs),
                *(trial.settings[name] for name in names),
                trial.run_id or "",
            ]
            for trial in found.trials
        ],
        title=f"{found.task} on {found.dataset}, {found.model}: scores on the validation part",
    )


def _written(value: Any) -> str:
    """A setting's value as `--set` takes it, with all its digits, so that it names the same run."""
    return repr(value) if isinstance(value, float) else str(value)
