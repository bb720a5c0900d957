"""The command that searches settings: tune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    DatasetOption,
    FeaturesOption,
    JsonOption,
    QuietOption,
    Session,
    SetOption,
    StoreOption,
    pairs,
    settings,
    settle,
)
from .render import Progress
from .values import number, text

if TYPE_CHECKING:
    from graphsocial.trials import Study
    from graphsocial.tuning import Step


def tune(
    ctx: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK", help="See 'graphsocial list tasks'.")],
    range_: Annotated[
        list[str] | None,
        typer.Option("--set-range", metavar="NAME=LOW..HIGH[:log]", help="A setting and its range; 2..8 is whole."),
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option(metavar="NAME=A,B,C", help="A setting and the values to choose from.")
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", min=1, help="How many, earlier ones included.")] = 20,
    model: Annotated[
        str | None, typer.Option(metavar="M", help="See 'graphsocial list models'; the task's default by default.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the trainings and of the search.")] = 0,
    split: Annotated[str, typer.Option(metavar="POLICY", help="See 'graphsocial list splits'.")] = "random",
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
    ranges, choices = pairs(range_, option="--set-range"), pairs(choice, option="--choice")
    twice = sorted(ranges.keys() & choices.keys())
    if twice:
        raise typer.BadParameter(f"'{twice[0]}' has a range too.", param_hint="--choice")
    from graphsocial.trials import Range
    from graphsocial.tuning import tune as search

    from .data import encoders

    space: dict[str, Any] = {name.replace("-", "_"): Range.parse(value) for name, value in ranges.items()}
    space |= {name.replace("-", "_"): tuple(map(str.strip, value.split(","))) for name, value in choices.items()}
    fixed = settings(set_)
    with session.write() as opened:
        try:
            with session.out.progress() as progress:
                found = search(
                    opened,
                    task,
                    space=space,
                    trials=trials,
                    model=model,
                    dataset=dataset,
                    split=split,
                    seed=seed,
                    epochs=epochs,
                    features=encoders(features),
                    settings=fixed,
                    prune=not whole,
                    report=_reporter(session, progress),
                )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command goes on where this one stopped") from None
    if session.out.json:
        return session.out.value(found.to_dict())
    show(session, found)
    chosen = {**fixed, **({"epochs": epochs} if epochs else {}), **found.best.settings}
    words = [task, *(["--model", model] if model else []), *(["--dataset", dataset] if dataset else [])]
    words += [*(["--split", split] if split != "random" else []), *(["--seed", str(seed)] if seed else [])]
    words += [word for column in features or [] for word in ("--features", column)]
    words += [word for name, value in chosen.items() for word in ("--set", f"{name}={_written(value)}")]
    session.out.say(f"Open the test part for the best one: {session.command('train', *words)}")


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
