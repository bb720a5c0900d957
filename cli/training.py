"""What `graphsocial train` trains: the model and its baselines, for every seed and fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, fields
from typing import Any

from graphsocial import experiment as experiments
from graphsocial.errors import DataError
from graphsocial.estimation import Estimate, estimate
from graphsocial.experiment import Experiment
from graphsocial.featurization import DEFAULT_ENCODERS, encoder_for
from graphsocial.fitting import Epoch
from graphsocial.runs import Run
from graphsocial.sampling import Visibility
from graphsocial.schemas import names
from graphsocial.splits import SplitPolicy
from graphsocial.sql import quote
from graphsocial.store import GraphStore
from graphsocial.training import train
from graphsocial.types import EdgeType, NodeType

from . import scores
from .render import Output
from .values import number

REFERENCE = "bayes_optimal"


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line.

    Attributes:
        task, model, split: names; no model is the task's default.
        seeds: of the trainings.
        baselines, again, test: the flags.
        settings: of the task, the model, the split and the fitting.
        shared: further arguments of `graphsocial.train`.
    """

    task: str
    model: str | None
    split: str
    seeds: tuple[int, ...]
    baselines: bool
    again: bool
    test: bool
    settings: Mapping[str, Any]
    shared: Mapping[str, Any]


@dataclass(frozen=True)
class Trained:
    """What came of it: the runs, those of the model first, and where their scores and predictions are."""

    runs: list[Run]
    task: str
    dataset: str
    split: str
    view: str


def train_all(store: GraphStore, plan: Plan, out: Output) -> Trained:
    """Train all of it; what is asked for wrongly shows before the first training begins."""
    runs: list[Run] = []
    first = design(store, plan, plan.model, plan.settings)
    wanted = _wanted(store, plan, first)
    for line in encodings(store, first):
        out.say(line)
    for name, settings in wanted:
        for fold in _folds(plan, first):
            for seed in plan.seeds:
                with suppress(DataError) if name == REFERENCE else nullcontext():
                    runs.append(_train(store, plan, out, name, settings | fold, seed))
    view = f"{first.task.name.replace('-', '_')}_predictions"
    known = f"{view}.sql" in names("tasks", ".sql")
    return Trained(runs, first.task.name, first.dataset, str(first.split), view if known else "predictions")


def estimates(store: GraphStore, plan: Plan) -> list[tuple[str, int, Estimate]]:
    """For each model that the plan would train: its name, how often, and what one training takes."""
    first = design(store, plan, plan.model, plan.settings)
    times = len(plan.seeds) * len(_folds(plan, first))
    return [
        (name, times, estimate(store, design(store, plan, name, settings)))
        for name, settings in _wanted(store, plan, first)
    ]


def _wanted(store: GraphStore, plan: Plan, first: Experiment) -> list[tuple[str, dict[str, Any]]]:
    """The models to train with their settings; each is checked."""
    wanted = [(first.model_name, dict(plan.settings))]
    if plan.baselines:
        general = {name: value for name, value in plan.settings.items() if _is_general(name, type(first.task))}
        wanted += [(name, general) for name in _baselines(store, first)]
    for name, settings in wanted[1:]:
        design(store, plan, name, settings)
    return wanted


def design(store: GraphStore, plan: Plan, model: str | None, settings: Mapping[str, Any]) -> Experiment:
    """Check the names and settings of one training."""
    return experiments.design(store, plan.task, model=model, split=plan.split, settings=settings, **plan.shared)


def encodings(store: GraphStore, experiment: Experiment) -> Iterator[str]:
    """A line for each column that the training turns into vectors, with the encoder."""
    entries: list[NodeType | EdgeType] = [*store.schema.nodes, experiment.task.entity(store.schema)]
    for entry in entries:
        for column in entry.columns:
            name = f"{entry}.{column.name}"
            asked = experiment.features.get(name)
            left_out = name in experiment.features and asked is None
            if column.kind not in DEFAULT_ENCODERS or left_out or (column.role != "feature" and asked is None):
                continue
            rows = store.read(entry, dataset=experiment.dataset).count(quote(column.name)).fetchall()[0][0]
            if rows:
                model = getattr(encoder_for(None, column.kind), "model", "")
                encoder = asked or f"{DEFAULT_ENCODERS[column.kind]} ({model})"
                yield f"Features of {name}: {rows:,} rows, encoder {encoder}"


def _train(store: GraphStore, plan: Plan, out: Output, model: str, settings: Mapping[str, Any], seed: int) -> Run:
    fold = settings.get("split.fold")
    label = f"{model}, seed {seed}" + ("" if fold is None else f", fold {fold}")
    experiment = design(store, plan, model, settings)
    total, metric = experiment.fitting.epochs, experiment.task.selection_metric
    done, reported = scores.finished(store), 0
    with out.progress() as progress:

        def report(epoch: Epoch) -> None:
            nonlocal reported
            reported += 1
            told = f"loss {epoch.train_loss:.4f}, validation {epoch.metric} {epoch.value:.4f}"
            if out.live:
                progress(f"{label}\t{told}", epoch.epoch, total)
            else:
                out.say(f"{label}: epoch {epoch.epoch} of {total}, {told}, {epoch.seconds:.1f} s")

        run = train(
            store,
            plan.task,
            model=model,
            split=plan.split,
            seed=seed,
            settings=settings,
            again=plan.again,
            test=plan.test,
            report=report,
            progress=progress,
            **plan.shared,
        )
    part = "test" if plan.test else "validation"
    told = {target: scores[metric] for target, scores in run.metrics.get(part, {}).items() if metric in scores}
    several = len(run.metrics.get(part, {})) > 1
    value = ", ".join(f"{target} " * several + number(value, places=4) for target, value in told.items())
    already = " (done before; --again trains anew)" if run.id in done and not reported and not plan.again else ""
    out.say(f"{label}: {run.id}, {part} {metric} {value}{already}")
    return run


def _baselines(store: GraphStore, experiment: Experiment) -> list[str]:
    """The task's baselines but the model itself, and the best possible answer where the data knows it."""
    found = [name.replace("-", "_") for name in experiment.task.baselines]
    if any(column.role == "reference" for column in experiment.task.entity(store.schema).columns):
        found.append(REFERENCE)
    return [name for name in found if name != experiment.model_name]


def _is_general(setting: str, task: type[Any]) -> bool:
    """Whether a setting decides what is asked, rather than how one model is built and trained."""
    part, _, name = setting.rpartition(".")
    if name == "negatives":  # one more class
        return part in ("", "fitting")
    kinds = {"task": task, "split": SplitPolicy, "visibility": Visibility}
    return any(part in ("", kind) and name in {f.name for f in fields(cls)} for kind, cls in kinds.items())


def _folds(plan: Plan, experiment: Experiment) -> list[dict[str, int]]:
    chosen = {"fold", "split.fold"} & set(plan.settings)
    if experiment.split.policy != "kfold" or chosen:
        return [{}]
    return [{"split.fold": fold} for fold in range(experiment.split.folds)]
