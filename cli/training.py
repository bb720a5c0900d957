"""What `graphsocial train` trains: the model and its baselines, each with every seed and fold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, fields, replace
from typing import Any

from graphsocial.errors import DataError
from graphsocial.evaluation.splits import SplitPolicy
from graphsocial.features import describe
from graphsocial.graph.visibility import Visibility
from graphsocial.plugins import resolve
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.tasks import view_name
from graphsocial.training import carry_out
from graphsocial.training.config import RunConfig, TrainOptions, design
from graphsocial.training.encoding import columns_for
from graphsocial.training.estimation import Estimate, estimate
from graphsocial.training.loop import Epoch

from . import scores
from .render import Output
from .values import number

REFERENCE = "bayes_optimal"


@dataclass(frozen=True)
class Trained:
    """The runs of one `train` command.

    Attributes:
        runs: the runs, those of the model before those of its baselines.
        task, dataset, split: of all of them.
        view: the table or view with their predictions.
    """

    runs: list[Run]
    task: str
    dataset: str
    split: str
    view: str


def plan(store: GraphStore, task: str, options: TrainOptions, *, seeds: int, baselines: bool) -> list[RunConfig]:
    """The configs to train, all checked: those of the model, then those of the baselines.

    Args:
        store: where the data is.
        task: a registered name, or a file.
        options: the model's.
        seeds: how many, counted from the seed of `options`.
        baselines: whether the task's baselines are trained too. They share the settings of task, split and visibility;
            where the model is causal, so are they.
    """
    first = design(store, task, options)
    configs, settings = [first], options.settings or {}
    if baselines:
        general = {name: value for name, value in settings.items() if _is_general(name, type(first.task))}
        causal = {name: value for name, value in settings.items() if name in ("causal", "model.causal")}
        for name in _baselines(store, first):
            has_causal = any(field.name == "causal" for field in fields(resolve("model", name)))
            baseline = replace(options, model=name, settings={**general, **(causal if has_causal else {})})
            configs.append(design(store, task, baseline))
    folds = (first.split,) if {"fold", "split.fold"} & settings.keys() else first.split.each_fold()
    every_seed = range(first.seed, first.seed + seeds)
    return [replace(config, seed=seed, split=fold) for config in configs for fold in folds for seed in every_seed]


def train_all(store: GraphStore, configs: list[RunConfig], out: Output, *, again: bool, test: bool) -> Trained:
    """Train all configs, the baselines first, so that `latest` is a run of the model.

    Args:
        store: where the data is, and the runs will be.
        configs: from `plan`.
        out: gets a line for each epoch or a progress bar, and a line for each run.
        again: train finished runs anew.
        test: predict and score the test part.
    """
    runs: list[Run] = []
    first = configs[0]
    for line in first.task.remarks(store, first.dataset):
        out.say(line)
    for line in encodings(store, first):
        out.say(line)
    of_model = [config for config in configs if config.model_name == first.model_name]
    for config in [*configs[len(of_model) :], *of_model]:
        with suppress(DataError) if config.model_name == REFERENCE else nullcontext():
            runs.append(_train(store, config, out, again=again, test=test))
    runs.sort(key=lambda run: run.model != first.model_name)
    for line in unreadable(store, runs):
        out.say(line)
    return Trained(runs, first.task.name, first.dataset, str(first.split), view_name(first.task))


def estimates(store: GraphStore, configs: list[RunConfig]) -> list[tuple[str, int, Estimate]]:
    """For each model: its name, its number of trainings, and the estimate of one training."""
    by_model: dict[str, list[RunConfig]] = {}
    for config in configs:
        by_model.setdefault(config.model_name, []).append(config)
    return [(name, len(same), estimate(store, same[0])) for name, same in by_model.items()]


def encodings(store: GraphStore, config: RunConfig) -> Iterator[str]:
    """A line for each column that the training encodes, with the number of rows and the encoder."""
    entries = {str(entry): entry for entry in store.schema.types}
    for name, encoder in dict(columns_for(store, config, config.task.entity(store.schema_of(config.dataset)))).items():
        entry, _, column = name.rpartition(".")
        rows = store.read(entries[entry], dataset=config.dataset).count(quote(column)).fetchall()[0][0]
        yield f"Features of {name}: {rows:,} rows, encoder {config.features.get(name) or describe(encoder)}"


def unreadable(store: GraphStore, runs: list[Run]) -> Iterator[str]:
    """A line for each column of which these runs lack rows, because their content could not be encoded."""
    rejects = store.sql(
        "select table_name, column_name, count(distinct idx), arg_min(reason, idx) from feature_rejects "
        "join runs using (dataset) where list_contains(?, run_id) "
        "and contains(feature_sets::varchar, set_id) group by all order by all",
        [[run.id for run in runs]],
    ).fetchall()
    types = {entry.table: str(entry) for entry in store.schema.types}
    for table, column, rows, reason in rejects:
        yield f"{rows:,} rows of {types[table]}.{column} cannot be encoded (table feature_rejects); the first: {reason}"


def _train(store: GraphStore, config: RunConfig, out: Output, *, again: bool, test: bool) -> Run:
    label = f"{config.model_name}, {config.turn}"
    total, metric = config.fitting.epochs, config.task.selection_metric
    finished, reported = scores.finished(store), 0
    with out.progress() as progress:

        def report(epoch: Epoch) -> None:
            nonlocal reported
            reported += 1
            losses = f"loss {epoch.train_loss:.4f}, validation {epoch.metric} {epoch.value:.4f}"
            if out.live:
                progress(f"{label}\t{losses}", epoch.epoch, total)
            else:
                out.say(f"{label}: epoch {epoch.epoch} of {total}, {losses}, {epoch.seconds:.1f} s")

        run = carry_out(store, config, again=again, test=test, report=report, progress=progress)
    part = "test" if test else "validation"
    by_target = run.metrics.get(part, {})
    values = {target: metrics[metric] for target, metrics in by_target.items() if metric in metrics}
    several = len(by_target) > 1
    shown = ", ".join(f"{target} " * several + number(value, places=4) for target, value in values.items())
    already = " (done before; --again trains anew)" if run.id in finished and not reported and not again else ""
    out.say(f"{label}: {run.id}, {part} {metric} {shown}{already}")
    return run


def _baselines(store: GraphStore, config: RunConfig) -> list[str]:
    """The task's baselines other than the model itself, and the Bayes-optimal reference where the data has one."""
    baselines = [name.replace("-", "_") for name in config.task.baselines]
    if any(column.role == "reference" for column in config.task.entity(store.schema_of(config.dataset)).columns):
        baselines.append(REFERENCE)
    return [name for name in baselines if name != config.model_name]


def _is_general(setting: str, task: type[Any]) -> bool:
    """Whether a setting belongs to task, split or visibility, and so holds for the baselines too."""
    part, _, name = setting.rpartition(".")
    if name == "negatives":  # adds a class
        return part in ("", "fitting")
    kinds = {"task": task, "split": SplitPolicy, "visibility": Visibility}
    return any(part in ("", kind) and name in {f.name for f in fields(cls)} for kind, cls in kinds.items())
