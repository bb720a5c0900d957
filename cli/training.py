"""What `graphsocial train` trains: the model and its baselines, for every seed and fold."""

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
from graphsocial.schemas import names
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.training import carry_out
from graphsocial.training.config import RunConfig, TrainOptions, design
from graphsocial.training.data import columns_for
from graphsocial.training.estimation import Estimate, estimate
from graphsocial.training.loop import Epoch

from . import scores
from .render import Output
from .values import number

REFERENCE = "bayes_optimal"


@dataclass(frozen=True)
class Trained:
    """What came of it: the runs, those of the model first, and where their scores and predictions are."""

    runs: list[Run]
    task: str
    dataset: str
    split: str
    view: str


def plan(store: GraphStore, task: str, asked: TrainOptions, *, seeds: int, baselines: bool) -> list[RunConfig]:
    """What is to be trained: the model's experiments, then those of the baselines; each is checked."""
    first = design(store, task, **asked)
    chosen, settings = [first], asked.get("settings") or {}
    if baselines:
        general = {name: value for name, value in settings.items() if _is_general(name, type(first.task))}
        causal = {name: value for name, value in settings.items() if name in ("causal", "model.causal")}
        for name in _baselines(store, first):  # what a model may not know, its baselines may not know either
            reads = any(field.name == "causal" for field in fields(resolve("model", name)))
            other: TrainOptions = {**asked, "model": name, "settings": {**general, **(causal if reads else {})}}
            chosen.append(design(store, task, **other))
    folds = (first.split,) if {"fold", "split.fold"} & settings.keys() else first.split.each_fold()
    every_seed = range(first.seed, first.seed + seeds)
    return [replace(one, seed=seed, split=fold) for one in chosen for fold in folds for seed in every_seed]


def train_all(store: GraphStore, planned: list[RunConfig], out: Output, *, again: bool, test: bool) -> Trained:
    """Train all of it, the baselines first: `latest` is then a run of the model that was asked for."""
    runs: list[Run] = []
    first = planned[0]
    for line in encodings(store, first):
        out.say(line)
    asked = [one for one in planned if one.model_name == first.model_name]
    for config in [*planned[len(asked) :], *asked]:
        with suppress(DataError) if config.model_name == REFERENCE else nullcontext():
            runs.append(_train(store, config, out, again=again, test=test))
    runs.sort(key=lambda run: run.model != first.model_name)
    for line in unreadable(store, runs):
        out.say(line)
    view = f"{first.task.name.replace('-', '_')}_predictions"
    known = f"{view}.sql" in names("tasks", ".sql")
    return Trained(runs, first.task.name, first.dataset, str(first.split), view if known else "predictions")


def estimates(store: GraphStore, planned: list[RunConfig]) -> list[tuple[str, int, Estimate]]:
    """For each model: its name, how often it would be trained, and what one training takes."""
    by_model: dict[str, list[RunConfig]] = {}
    for one in planned:
        by_model.setdefault(one.model_name, []).append(one)
    return [(name, len(same), estimate(store, same[0])) for name, same in by_model.items()]


def encodings(store: GraphStore, config: RunConfig) -> Iterator[str]:
    """A line for each column that the training turns into vectors, with the encoder."""
    entries = {str(entry): entry for entry in store.schema.types}
    for name, encoder in dict(columns_for(store, config, config.task.entity(store.schema))).items():
        entry, _, column = name.rpartition(".")
        rows = store.read(entries[entry], dataset=config.dataset).count(quote(column)).fetchall()[0][0]
        yield f"Features of {name}: {rows:,} rows, encoder {config.features.get(name) or describe(encoder)}"


def unreadable(store: GraphStore, runs: list[Run]) -> Iterator[str]:
    """A line for each column of which these runs lack rows, as their content could not be encoded."""
    found = store.sql(
        "select table_name, column_name, count(distinct idx), arg_min(reason, idx) from feature_rejects "
        "join runs using (dataset) where list_contains(?, run_id) "
        "and contains(feature_sets::varchar, set_id) group by all order by all",
        [[run.id for run in runs]],
    ).fetchall()
    types = {entry.table: str(entry) for entry in store.schema.types}
    for table, column, rows, reason in found:
        yield f"{rows:,} rows of {types[table]}.{column} cannot be encoded (table feature_rejects); the first: {reason}"


def _train(store: GraphStore, config: RunConfig, out: Output, *, again: bool, test: bool) -> Run:
    label = f"{config.model_name}, {config.turn}"
    total, metric = config.fitting.epochs, config.task.selection_metric
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

        run = carry_out(store, config, again=again, test=test, report=report, progress=progress)
    part = "test" if test else "validation"
    told = {target: scores[metric] for target, scores in run.metrics.get(part, {}).items() if metric in scores}
    several = len(run.metrics.get(part, {})) > 1
    value = ", ".join(f"{target} " * several + number(value, places=4) for target, value in told.items())
    already = " (done before; --again trains anew)" if run.id in done and not reported and not again else ""
    out.say(f"{label}: {run.id}, {part} {metric} {value}{already}")
    return run


def _baselines(store: GraphStore, config: RunConfig) -> list[str]:
    """The task's baselines but the model itself, and the best possible answer where the data knows it."""
    found = [name.replace("-", "_") for name in config.task.baselines]
    if any(column.role == "reference" for column in config.task.entity(store.schema).columns):
        found.append(REFERENCE)
    return [name for name in found if name != config.model_name]


def _is_general(setting: str, task: type[Any]) -> bool:
    """Whether a setting decides what is asked, rather than how one model is built and trained."""
    part, _, name = setting.rpartition(".")
    if name == "negatives":  # one more class
        return part in ("", "fitting")
    kinds = {"task": task, "split": SplitPolicy, "visibility": Visibility}
    return any(part in ("", kind) and name in {f.name for f in fields(cls)} for kind, cls in kinds.items())
