"""The commands that train and score: train, predict, evaluate, runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from . import scores
from .options import (
    CodeOption,
    DataOptions,
    ModelOptions,
    PartOption,
    RunArgument,
    Session,
    Targets,
    TaskArgument,
    resumable,
    settings,
)
from .values import number


@dataclass(frozen=True)
class TrainingData(DataOptions):
    """What `train` trains on: `DataOptions`, cross-validation and a point in time."""

    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=2, help="Number of cross-validation folds, all of which are trained.", show_default=False
        ),
    ] = None
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Time of the data: later rows are ignored (ISO 8601, UTC).", show_default=False
        ),
    ] = None

    @property
    def policy(self) -> str | None:
        """The split policy: `--folds` implies kfold.

        Raises:
            BadParameter: `--folds` was given with another policy.
        """
        if self.folds is not None and (self.split or "kfold").partition(":")[0] != "kfold":
            raise typer.BadParameter(f"--folds goes with --split kfold, not with '{self.split}'.", param_hint="--folds")
        return self.split or ("kfold" if self.folds else None)


@dataclass(frozen=True)
class TrainingRuns(ModelOptions):
    """What `train` trains: `ModelOptions`, seeds, loss, kernel and baselines."""

    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Random seed for weights, batches and dropout.")] = 0
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Number of seeds, counted from --seed.")] = 1
    class_weights: Annotated[
        str | None,
        typer.Option(
            metavar="sqrt|balanced|none", help="Weights of classes in the loss.", show_default="the model's own"
        ),
    ] = None
    kernel: Annotated[
        str | None,
        typer.Option(
            metavar="auto|fused|csr|dgl",
            help="Message-passing kernel; dgl is the reference implementation.",
            show_default="auto",
        ),
    ] = None
    baselines: Annotated[
        bool, typer.Option("--baselines", metavar="", help="Train the task's baselines on the same split too.")
    ] = False
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="Mapping of settings; --set wins over it.", show_default=False),
    ] = None
    again: Annotated[
        bool, typer.Option("--again", metavar="", help="Train anew, and replace the finished run of the same settings.")
    ] = False

    def settings(self, folds: int | None) -> dict[str, Any]:
        """All settings: from `--config`, over them `--set`, over them the options that are settings too."""
        flags = {"epochs": self.epochs, "class_weights": self.class_weights, "folds": folds, "kernel": self.kernel}
        return _override(settings(self.set_, self.config), flags)


@dataclass(frozen=True)
class TrainingEvaluation:
    """How `train` evaluates."""

    panel: ClassVar[str] = "Evaluation"

    no_test: Annotated[
        bool,
        typer.Option("--no-test", metavar="", help="Keep the test part closed; 'graphsocial evaluate' opens it."),
    ] = False
    estimate: Annotated[
        bool,
        typer.Option("--estimate", metavar="", help="Estimate of time and memory from a short probe; trains nothing."),
    ] = False


def train(
    task: TaskArgument,
    *,
    targets: Targets,
    data: TrainingData,
    training: TrainingRuns,
    evaluation: TrainingEvaluation,
    session: Session,
) -> None:
    """Train a model for a task; predictions, metrics and provenance are stored.

    The same command names the same run: a finished one is not trained again,
    an interrupted one resumes from its last epoch.
    """
    from .data import encoders

    request: dict[str, Any] = {
        "model": training.model,
        "dataset": data.dataset,
        "split": data.policy,
        "features": encoders(data.features),
        "settings": {**training.settings(data.folds), **targets.settings()},
    }
    with session.write() as opened:
        from graphsocial.evaluation.requests import check_request

        check_request(opened, task, **request)
        from graphsocial.training.config import TrainOptions

        from .training import estimates, plan, train_all

        options = TrainOptions(**request, seed=training.seed, as_of=data.as_of)
        configs = plan(opened, task, options, seeds=training.seeds, baselines=training.baselines)
        if evaluation.estimate:
            return scores.show_estimates(session.out, estimates(opened, configs))
        with resumable():
            trained = train_all(opened, configs, session.out, again=training.again, test=not evaluation.no_test)
        run_scores = scores.of_runs(opened, trained.runs)
        first = trained.runs[0]
        board = scores.board(opened, task=trained.task, dataset=trained.dataset, split=trained.split, beside=first)
        run_id = first.id
        edges = opened.sql("select * from run_edges where run_id = ? order by edge_type", [run_id]).pl()
    if session.out.json:
        listed = {"runs": [run.to_dict() for run in trained.runs], "leaderboard": board.to_dicts()}
        return session.out.value({**listed, "edges": edges.to_dicts()})
    scores.show_boards(session.out, board)
    scores.show_runs(session.out, run_scores)
    scores.show_graph(session.out, edges)
    if evaluation.no_test:
        session.out.say(f"The test part is closed. To score it: {session.command('evaluate', run_id)}")
    query = f"select * from {trained.view} where run_id = '{run_id}' limit 5"
    session.out.say(f"Predictions: {session.command('sql', query)}")


def _override(given: dict[str, Any], flags: Mapping[str, object]) -> dict[str, Any]:
    """The settings, overridden by the flags that were given."""
    for name, value in flags.items():
        if value is not None:
            same = (name, f"fitting.{name}", f"split.{name}")
            given = {**{key: old for key, old in given.items() if key not in same}, name: value}
    return given


def predict(
    run: RunArgument,
    *,
    ids: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="IDs to predict, in columns named after their node types, or src and dst.",
            show_default="all examples outside training",
        ),
    ] = None,
    train: Annotated[bool, typer.Option("--train", metavar="", help="Predict the training examples too.")] = False,
    top: Annotated[
        int | None,
        typer.Option(metavar="K", min=1, help="Likeliest new links of each source (task link).", show_default=False),
    ] = None,
    allow_code: CodeOption = False,
    session: Session,
) -> None:
    """Predict with a trained run; the predictions are rows of the table predictions."""
    with session.write(allow_code=allow_code) as opened:
        from graphsocial import runs
        from graphsocial.prediction import predict as predict_examples

        loaded = runs.load(opened, run)
        with session.out.progress() as progress:
            if top is None:
                count = predict_examples(opened, loaded, ids=ids, train=train, progress=progress)
            else:
                from graphsocial.prediction.top import first_column, predict_top

                count = predict_top(
                    opened, loaded, top=top, sources=None if ids is None else first_column(ids), progress=progress
                )
    if session.out.json:
        return session.out.value({"run": loaded.id, "predictions": count})
    session.out.table(["run", "predictions"], [(loaded.id, count)])
    query = f"select * from predictions where run_id = '{loaded.id}' order by created_at desc limit 5"
    session.out.say(f"Predictions: {session.command('sql', query)}")


def evaluate(run: RunArgument, *, split: PartOption = "test", allow_code: CodeOption = False, session: Session) -> None:
    """Compute the metrics of a run's stored predictions, class by class; openings of the test part are logged."""
    opening = session.write_or_read if split == "test" else session.read
    with opening(allow_code=allow_code) as opened:
        from graphsocial.prediction import evaluate as score

        with session.out.progress() as progress:
            evaluation = score(opened, run, split=split, progress=progress)
        if opened.read_only and split == "test":
            session.out.say("The store cannot be written now, so this look at the test part is not in test_openings.")
    if session.out.json:
        return session.out.value(evaluation)
    columns = ["class", "precision", "recall", "f1", "support"]
    for target, part in evaluation["targets"].items():
        title = f"{evaluation['run']}: {target} of {part['rows']:,} {evaluation['split']} examples"
        metrics = [(name, number(value, places=4)) for name, value in part["metrics"].items()]
        session.out.table(["metric", "value"], metrics, title=title)
        rounded = [
            [number(entry[name], places=4) if isinstance(entry[name], float) else entry[name] for name in columns]
            for entry in part["classes"]
        ]
        if rounded:
            session.out.table(columns, rounded)


def runs(
    *,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="Runs of this task only.", show_default="all")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Runs on this dataset only.", show_default="all")
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", metavar="", help="One line per run instead of the mean over seeds.")
    ] = False,
    session: Session,
) -> None:
    """Leaderboard: test metrics by configuration, mean ± standard deviation over seeds, best first."""
    with session.read() as opened:
        task = scores.task_name(task)
        dataset = opened.dataset(dataset) if dataset else None
        lines = scores.each(opened, task, dataset) if each else scores.board(opened, task=task, dataset=dataset)
        unfinished, failed = (scores.of_status(opened, status, task, dataset) for status in ("running", "failed"))
        closed = scores.closed(opened, task, dataset)
    if session.out.json:
        return session.out.value(lines.to_dicts())
    if each:
        scores.show_runs(session.out, lines, grouped=True)
    else:
        scores.show_boards(session.out, lines)
    _say_what_is_missing(session, lines.height, unfinished, failed, closed)


def _say_what_is_missing(
    session: Session, count: int, unfinished: list[str], failed: list[str], closed: list[str]
) -> None:
    if unfinished:
        session.out.say(f"Not done: {', '.join(unfinished)}. The command that started a run resumes it.")
    if failed:
        session.out.say(f"Ended by an error: {', '.join(failed)}. Train again with other settings.")
    if closed:
        shown = f"{', '.join(closed[:3])}{', …' if len(closed) > 3 else ''}"
        session.out.say(f"{len(closed):,} with the test part closed: {shown}. 'graphsocial evaluate RUN' opens it.")
    if not (count or unfinished or failed or closed):
        session.out.say(f"There are no runs yet. Train one: {session.command('train', 'edge-emotion')}")
