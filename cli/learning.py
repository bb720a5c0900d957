"""The commands that learn and judge: train, predict, evaluate, runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import scores
from .options import (
    DatasetOption,
    EpochsOption,
    FeaturesOption,
    JsonOption,
    ModelOption,
    PartOption,
    QuietOption,
    RunArgument,
    Session,
    SetOption,
    SplitOption,
    StoreOption,
    TaskArgument,
    resumable,
    settings,
    settle,
)
from .values import number

if TYPE_CHECKING:
    from graphsocial.training.config import TrainOptions


def train(
    ctx: typer.Context,
    task: TaskArgument,
    model: ModelOption = None,
    epochs: EpochsOption = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of weights, batches and dropout.")] = 0,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Train so many seeds, from --seed on.")] = 1,
    split: SplitOption = None,
    folds: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="Cross-validate: train every fold of --split kfold.")
    ] = None,
    class_weights: Annotated[
        str | None, typer.Option(metavar="sqrt|balanced|none", help="Whether rare classes weigh more in the loss.")
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(metavar="auto|fused|csr|dgl", help="What passes messages along edges; dgl is the reference."),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", metavar="", help="Train the task's baselines too, on the same split.")
    ] = False,
    features: FeaturesOption = None,
    set_: SetOption = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="A mapping of the same settings.")] = None,
    dataset: DatasetOption = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Use only what had happened by then (ISO, UTC).")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", metavar="", help="Train anew, even if the same run is done.")
    ] = False,
    no_test: Annotated[
        bool,
        typer.Option("--no-test", metavar="", help="Keep the test part closed; 'evaluate' opens it, and logs it."),
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", metavar="", help="Only say what it will take, from a short probe: time, memory."),
    ] = False,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a model for a task, with predictions, scores and provenance in the store.

    The same command is the same run: a finished one is not trained again,
    an interrupted one goes on from its last epoch.
    """
    session = settle(ctx, store, json, quiet)
    if folds is not None and split not in (None, "kfold"):
        raise typer.BadParameter(f"--folds goes with --split kfold, not with '{split}'.", param_hint="--folds")
    flags = {"epochs": epochs, "class_weights": class_weights, "folds": folds, "kernel": kernel}
    from .data import encoders
    from .training import estimates, plan, train_all

    asked: TrainOptions = {
        "model": model,
        "dataset": dataset,
        "split": split or ("kfold" if folds else None),
        "seed": seed,
        "features": encoders(features),
        "as_of": as_of,
        "settings": _over(settings(set_, config), flags),
    }
    with session.write() as opened:
        planned = plan(opened, task, asked, seeds=seeds, baselines=baselines)
        if estimate:
            return scores.show_estimates(session.out, estimates(opened, planned))
        with resumable():
            trained = train_all(opened, planned, session.out, again=again, test=not no_test)
        found = scores.of_runs(opened, trained.runs)
        board = scores.board(opened, task=trained.task, dataset=trained.dataset, split=trained.split)
    if session.out.json:
        return session.out.value({"runs": [run.to_dict() for run in trained.runs], "leaderboard": board.to_dicts()})
    scores.show_boards(session.out, board)
    scores.show_runs(session.out, found)
    run_id = trained.runs[0].id
    if no_test:
        session.out.say(f"The test part is closed. To score it: {session.command('evaluate', run_id)}")
    query = f"select * from {trained.view} where run_id = '{run_id}' limit 5"
    session.out.say(f"Look at the predictions: {session.command('sql', query)}")


def _over(settings: dict[str, Any], flags: Mapping[str, object]) -> dict[str, Any]:
    """The settings with those flags that were given, which win over settings of the same name."""
    for name, value in flags.items():
        if value is not None:
            same = (name, f"fitting.{name}", f"split.{name}")
            settings = {**{key: old for key, old in settings.items() if key not in same}, name: value}
    return settings


def predict(
    ctx: typer.Context,
    run: RunArgument,
    ids: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Whom to answer: ids in its first column, or first two for pairs."),
    ] = None,
    train: Annotated[bool, typer.Option("--train", metavar="", help="Answer the training examples too.")] = False,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Answer with a trained run and write the answers to the table predictions."""
    session = settle(ctx, store, json, quiet)
    with session.write() as opened:
        from graphsocial import runs
        from graphsocial.prediction import predict as answer

        chosen = runs.load(opened, run)
        with session.out.progress() as progress:
            count = answer(opened, chosen, ids=ids, train=train, progress=progress)
    if session.out.json:
        return session.out.value({"run": chosen.id, "predictions": count})
    session.out.table(["run", "predictions"], [(chosen.id, count)])
    query = f"select * from predictions where run_id = '{chosen.id}' order by created_at desc limit 5"
    session.out.say(f"Look at them: {session.command('sql', query)}")


def evaluate(
    ctx: typer.Context,
    run: RunArgument,
    split: PartOption = "test",
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score a run's predictions as they stand in the store, class by class; each look at the test part is logged."""
    session = settle(ctx, store, json, quiet)
    with session.write() if split == "test" else session.read() as opened:
        from graphsocial.prediction import evaluate as judge

        with session.out.progress() as progress:
            found = judge(opened, run, split=split, progress=progress)
    if session.out.json:
        return session.out.value(found)
    columns = ["class", "precision", "recall", "f1", "support"]
    for target, part in found["targets"].items():
        title = f"{found['run']}: {target} of {part['rows']:,} {found['split']} examples"
        lines = [(name, number(value, places=4)) for name, value in part["metrics"].items()]
        session.out.table(["metric", "value"], lines, title=title)
        rounded = [
            [number(entry[name], places=4) if isinstance(entry[name], float) else entry[name] for name in columns]
            for entry in part["classes"]
        ]
        if rounded:
            session.out.table(columns, rounded)


def runs(
    ctx: typer.Context,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only this task's.")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Only this dataset's.")] = None,
    each: Annotated[
        bool,
        typer.Option("--each", metavar="", help="Every run on a line of its own, rather than the mean over seeds."),
    ] = False,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """The leaderboard: what was trained, best first, with the mean over seeds."""
    session = settle(ctx, store, json, quiet)
    with session.read() as opened:
        task = scores.task_name(task)
        dataset = opened.dataset(dataset) if dataset else None
        found = scores.each(opened, task, dataset) if each else scores.board(opened, task=task, dataset=dataset)
        waiting, failed = (scores.of_status(opened, status, task, dataset) for status in ("running", "failed"))
        closed = scores.closed(opened, task, dataset)
    if session.out.json:
        return session.out.value(found.to_dicts())
    if each:
        scores.show_runs(session.out, found, grouped=True)
    else:
        scores.show_boards(session.out, found)
    _say_what_is_missing(session, found.height, waiting, failed, closed)


def _say_what_is_missing(
    session: Session, count: int, waiting: list[str], failed: list[str], closed: list[str]
) -> None:
    if waiting:
        session.out.say(f"Not done: {', '.join(waiting)}. The command that began a run finishes it.")
    if failed:
        session.out.say(f"Ended by an error: {', '.join(failed)}. Train again with other settings.")
    if closed:
        shown = f"{', '.join(closed[:3])}{', …' if len(closed) > 3 else ''}"
        session.out.say(f"{len(closed):,} with the test part closed: {shown}. 'graphsocial evaluate RUN' opens it.")
    if not (count or waiting or failed or closed):
        session.out.say(f"There are no runs yet. Make one: {session.command('train', 'edge-emotion')}")
