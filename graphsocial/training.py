"""From a store to a trained run: featurize what is missing, label, split, build the graph, fit, predict, record."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphsocial import graph as graphs
from graphsocial import plugins, runs, splits
from graphsocial.errors import InputError, UnknownNameError
from graphsocial.featurization import DEFAULT_ENCODERS, FeatureReport, FeatureUse, Progress, encoder_for, featurize
from graphsocial.fitting import Epoch, Fitted, Fitting, fit, read_tensors, score, write_tensors
from graphsocial.graph import SocialGraph
from graphsocial.models.base import Model, Network
from graphsocial.plugins import configure, resolve
from graphsocial.runs import Answers, Run
from graphsocial.sampling import FullGraph, Loader, Neighbours, Visibility
from graphsocial.splits import ROLES, SplitPolicy
from graphsocial.store import GraphStore, utc
from graphsocial.tabular import Tabular
from graphsocial.tasks.base import Task
from graphsocial.types import EdgeType, NodeType

log = logging.getLogger(__name__)
NO_EDGE = "no-edge"
Report = Callable[[Epoch], None]


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a run but the data: what `train` was asked for, complete with defaults.

    Attributes:
        task, model: configured.
        model_name: the model's registered name.
        dataset: the dataset's name.
        split, fitting, visibility: how pairs are dealt out, how it is trained, what it may see.
        features: `type.column` → encoder, or None to leave the column out; others get their kind's default.
        edge_types: message edge types; all by default.
        both_ways: see `graph.build`.
        as_of: only what had happened by then.
        seed: of weights, batches and dropout.
    """

    task: Task
    model: Model
    model_name: str
    dataset: str
    split: SplitPolicy
    fitting: Fitting
    visibility: Visibility
    features: Mapping[str, str | None]
    edge_types: tuple[str, ...]
    both_ways: bool
    as_of: datetime | None
    seed: int

    def config(self) -> dict[str, Any]:
        """All of it as JSON, but for the seed."""
        return {
            "task": {"name": self.task.name, **asdict(self.task)},  # type: ignore[call-overload]
            "model": {"name": self.model_name, **asdict(self.model)},  # type: ignore[call-overload]
            "split": asdict(self.split),
            "fitting": asdict(self.fitting),
            "visibility": asdict(self.visibility),
            "features": dict(self.features),
            "edge_types": list(self.edge_types),
            "both_ways": self.both_ways,
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
        }

    @classmethod
    def from_run(cls, run: Run) -> Experiment:
        """The experiment that a run recorded."""
        config = run.config
        task = dict(config["task"])
        model = dict(config["model"])
        fitting = dict(config["fitting"])
        fitting["fanouts"] = tuple(fitting["fanouts"])
        task_name, model_name = task.pop("name"), model.pop("name")
        return cls(
            task=resolve("task", task_name)(**{k: tuple(v) if isinstance(v, list) else v for k, v in task.items()}),
            model=resolve("model", model_name)(**model),
            model_name=model_name,
            dataset=run.dataset,
            split=SplitPolicy(**config["split"]),
            fitting=Fitting(**fitting),
            visibility=Visibility(**config["visibility"]),
            features=config["features"],
            edge_types=tuple(config["edge_types"]),
            both_ways=config["both_ways"],
            as_of=None if config["as_of"] is None else utc(config["as_of"]),
            seed=run.seed,
        )


def train(
    store: GraphStore,
    task: str | Task,
    *,
    model: str | None = None,
    dataset: str | None = None,
    split: str | SplitPolicy = "random",
    seed: int = 0,
    epochs: int | None = None,
    features: Mapping[str, str | None] | None = None,
    edge_types: tuple[str, ...] = (),
    both_ways: bool = True,
    visibility: Visibility | None = None,
    as_of: datetime | str | None = None,
    settings: Mapping[str, object] | None = None,
    again: bool = False,
    report: Report | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train a model for a task and write its predictions, metrics and provenance to the store.

    The same call on the same data is the same run: one that is done is returned as it is, one that was interrupted
    goes on from its last epoch.

    Args:
        task: a registered name such as `edge-emotion`, or a configured task.
        model: a registered name; the task's default otherwise.
        dataset: needed where the store holds several.
        split: a policy's name, `file:DIR`, or a `SplitPolicy`.
        settings: further settings by name, of the task, the model, the split or the fitting, whichever has it.
        again: train anew even if the run is done.
        report: called after each epoch.
        progress: called while content is encoded.

    Raises:
        DataError: the data has no usable labels, or a part of the split is empty.
        InputError, UnknownNameError: a setting or name that does not exist.
    """
    experiment = design(
        store,
        task,
        model=model,
        dataset=dataset,
        split=split,
        seed=seed,
        epochs=epochs,
        features=features,
        edge_types=edge_types,
        both_ways=both_ways,
        visibility=visibility,
        as_of=as_of,
        settings=settings,
    )
    begin = perf_counter()
    prepared = prepare(store, experiment, progress=progress)
    run_id = f"{Path(experiment.model_name).stem}-{prepared.digest[:8]}"
    found = store.first("select status from runs where run_id = ?", [run_id])
    if found and found[0] == "done" and not again:
        return runs.load(store, run_id)
    checkpoint = runs.folder(store, run_id) / "checkpoint.safetensors"
    if again:
        checkpoint.unlink(missing_ok=True)
    rows = {role: torch.nonzero(prepared.roles == code).squeeze(1) for code, role in enumerate(ROLES)}
    torch.manual_seed(seed)
    network = experiment.model.build(prepared.graph, rows["train"], seed=seed)
    runs.start(
        store,
        run_id=run_id,
        task=experiment.task.name,
        model=experiment.model_name,
        dataset=experiment.dataset,
        seed=seed,
        config=experiment.config(),
        split_id=prepared.split_id,
        split=str(experiment.split),
        data_hash=prepared.data_hash,
        feature_sets={str(use): use.set_id for use in prepared.features},
        notes=[*prepared.notes, *(["transductive"] if network.transductive else [])],
    )
    loader = make_loader(experiment, prepared)
    fitted = fit(
        network,
        loader,
        rows["train"],
        rows["validation"],
        experiment.fitting,
        metric=experiment.task.selection_metric,
        seed=seed,
        checkpoint=checkpoint,
        report=report,
    )
    hashed = save_weights(store, run_id, fitted, prepared.graph)
    asked = torch.nonzero(prepared.roles != ROLES.index("train")).squeeze(1)
    answers = answer(experiment, prepared, fitted.network, fitted.log_weights, loader, asked)
    with store.transaction():
        runs.save_predictions(
            store,
            run_id,
            task=experiment.task.name,
            target=prepared.graph.target.name,
            dataset=experiment.dataset,
            answers=answers,
            as_of=experiment.config()["as_of"],
        )
        for role in ("validation", "test"):
            values, count = answers.metrics(role)
            runs.save_metrics(store, run_id, prepared.graph.target.name, role, values, count)
        store.connection.executemany(
            "insert into run_epochs values (?, ?, ?, ?, ?, ?, ?)",
            [[run_id, *epoch.__dict__.values()] for epoch in fitted.history]
            or [[run_id, 0, None, "none", None, None, None]],
        )
        store.connection.execute(
            "update runs set status = 'done', finished_at = now(), checkpoint_hash = ?, parameters = ?, epochs = ?, "
            "best_epoch = ?, wall_seconds = ?, peak_memory_mib = ? where run_id = ?",
            [
                hashed,
                sum(p.numel() for p in network.parameters()),
                len(fitted.history),
                fitted.best_epoch,
                perf_counter() - begin,
                runs.peak_memory_mib(),
                run_id,
            ],
        )
    checkpoint.unlink(missing_ok=True)  # weights.safetensors has what is needed from here on
    return runs.load(store, run_id)


def design(
    store: GraphStore,
    task: str | Task,
    *,
    model: str | None = None,
    dataset: str | None = None,
    split: str | SplitPolicy = "random",
    seed: int = 0,
    epochs: int | None = None,
    features: Mapping[str, str | None] | None = None,
    edge_types: tuple[str, ...] = (),
    both_ways: bool = True,
    visibility: Visibility | None = None,
    as_of: datetime | str | None = None,
    settings: Mapping[str, object] | None = None,
) -> Experiment:
    """Complete what was asked for with defaults; each setting goes to the one part that has it.

    Raises:
        UnknownNameError: no part has a setting of that name.
        InputError: several have, or the part was given whole.
    """
    given = dict(settings or {})
    asked: Any = resolve("task", task) if isinstance(task, str) else type(task)
    name = model or asked.default_model
    if not name.endswith(".py"):
        name = name.replace("-", "_")
    kinds: dict[str, Any] = {
        "task": asked,
        "model": resolve("model", name),
        "split": SplitPolicy,
        "fitting": Fitting,
        "visibility": Visibility,
    }
    fixed = {"task": not isinstance(task, str), "split": isinstance(split, SplitPolicy), "visibility": bool(visibility)}
    known = {part: {field.name for field in plugins.settings(kind)} for part, kind in kinds.items()}
    own: dict[str, dict[str, object]] = {part: {} for part in kinds}
    own["fitting"] |= dict(kinds["model"].training)
    if epochs is not None:
        own["fitting"]["epochs"] = epochs
    for key, value in given.items():
        part, _, setting = key.rpartition(".")
        having = [p for p, names in known.items() if setting in names and part in ("", p)]
        if not having:
            raise UnknownNameError.of("setting", key, set().union(*known.values()))
        if len(having) > 1:
            raise InputError(f"'{key}' is a setting of {' and '.join(having)}; write {having[0]}.{setting}.")
        if fixed.get(having[0]):
            raise InputError(f"'{key}' cannot be set beside a {having[0]} that is given whole; set it there.")
        own[having[0]][setting] = value
    if isinstance(split, SplitPolicy):
        chosen_split = split
    else:
        chosen_split = configure(SplitPolicy, {"policy": split, **own["split"]})
    chosen_task: Task = configure(kinds["task"], own["task"]) if isinstance(task, str) else task
    return Experiment(
        task=chosen_task,
        model=configure(kinds["model"], own["model"]),
        model_name=name,
        dataset=store.dataset(dataset),
        split=chosen_split,
        fitting=configure(Fitting, own["fitting"]),
        visibility=visibility or configure(Visibility, own["visibility"]),
        features=dict(features or {}),
        edge_types=tuple(edge_types),
        both_ways=both_ways,
        as_of=None if as_of is None else utc(as_of),
        seed=seed,
    )


@dataclass(frozen=True)
class Prepared:
    """An experiment's data: the graph with its labels and split, and the hashes that name it."""

    graph: SocialGraph
    entity: EdgeType
    roles: Tensor
    split_id: str
    data_hash: str
    features: tuple[FeatureUse, ...]
    notes: tuple[str, ...]
    digest: str


def prepare(
    store: GraphStore,
    experiment: Experiment,
    *,
    tabular: Mapping[str, Tabular] | None = None,
    split_id: str | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Featurize, label, split and build; the same for training and for predicting again.

    Args:
        tabular: the fitted encodings of a run; fitted on the training pairs when not given.
        split_id: a split that was made before; made now by the experiment's policy when not given.
    """
    entity = experiment.task.entity(store.schema)
    labels = experiment.task.labels(store, experiment.dataset, as_of=experiment.as_of)
    reports = features_for(store, experiment, entity, progress=progress)
    uses = tuple(report.use for report in reports)
    graph = graphs.build(
        store,
        experiment.dataset,
        entity,
        labels,
        features=uses,
        edge_types=experiment.edge_types,
        both_ways=experiment.both_ways,
        as_of=experiment.as_of,
    )
    sources, destinations = graph.pair_ids()
    if split_id is None:
        roles = splits.assign(
            experiment.split, sources=sources, destinations=destinations, codes=labels.codes, times=labels.times
        )
        split_id = splits.save(
            store,
            experiment.split,
            roles,
            task=experiment.task.name,
            dataset=experiment.dataset,
            sources=sources,
            destinations=destinations,
        )
    else:
        roles = splits.restore(store, split_id, sources=sources, destinations=destinations)
    if experiment.fitting.negatives:
        graph, roles = _add_negatives(graph, roles, experiment)
    train = np.flatnonzero(roles == ROLES.index("train"))
    graph = graph.fit_tabular(train) if tabular is None else graph.with_tabular(dict(tabular))
    data_hash = store.data_hash(experiment.dataset)
    named = [experiment.config(), experiment.seed, data_hash, split_id, sorted(use.set_id for use in uses)]
    notes = [f"visibility {part}={state}" for part, state in asdict(experiment.visibility).items() if state != "hidden"]
    return Prepared(
        graph,
        entity,
        torch.from_numpy(roles),
        split_id,
        data_hash,
        uses,
        tuple(notes),
        runs.digest([*named, runs.versions()["graphsocial"]]),
    )


def features_for(
    store: GraphStore, experiment: Experiment, entity: EdgeType, *, progress: Progress | None = None
) -> list[FeatureReport]:
    """The vectors of every feature column of text or images in the graph, encoded where they are missing."""
    schema = store.schema
    wanted = [schema.edge(name) for name in experiment.edge_types] or list(schema.edges)
    names = {end for edge in wanted if len(store.span(edge, experiment.dataset)) for end in (edge.src, edge.dst)}
    entries: list[NodeType | EdgeType] = [node for node in schema.nodes if node.name in names] + [entity]
    columns = {f"{e}.{c.name}": (e, c) for e in entries for c in e.columns if c.kind in DEFAULT_ENCODERS}
    unknown = sorted(set(experiment.features) - set(columns))
    if unknown:
        raise InputError(f"There is no text or image column '{unknown[0]}'; known: {', '.join(sorted(columns))}.")
    found = []
    for name, (entry, column) in columns.items():
        asked = name in experiment.features
        if (asked and experiment.features[name] is None) or (not asked and column.role != "feature"):
            continue
        if not _filled(store, experiment.dataset, entry, column.name):
            continue
        encoder = encoder_for(experiment.features.get(name), column.kind)
        found += featurize(store, name, encoder, dataset=experiment.dataset, progress=progress)
    return found


def _filled(store: GraphStore, dataset: str, entry: NodeType | EdgeType, column: str) -> bool:
    span = store.span(entry, dataset)
    row = store.first(
        f'select 1 from {entry.table} where idx >= ? and idx < ? and "{column}" is not null limit 1',
        [span.first, span.last],
    )
    return row is not None


def _add_negatives(graph: SocialGraph, roles: np.ndarray, experiment: Experiment) -> tuple[SocialGraph, np.ndarray]:
    """Pairs without an edge, in every role in proportion, as the last class (which renumbers none)."""
    generator = np.random.default_rng([experiment.split.seed, 9])
    count = round(int((roles >= 0).sum()) * experiment.fitting.negatives)
    users, images = graph.num_nodes[graph.entity[0]], graph.num_nodes[graph.entity[2]]
    known = set((graph.pair_src.numpy() * images + graph.pair_dst.numpy()).tolist())
    if count > (users * images - len(known)) // 2:
        raise InputError(f"There are too few pairs without an edge for {count:,} negatives; lower negatives.")
    drawn: list[int] = []
    while len(drawn) < count:
        for key in generator.integers(0, users * images, size=count - len(drawn)).tolist():
            if key not in known:
                known.add(key)
                drawn.append(key)
    keys = torch.tensor(drawn, dtype=torch.int64)
    codes = torch.full((count,), len(graph.classes), dtype=torch.int64)
    graph = replace(
        graph.with_pairs(keys // images, keys % images, codes),
        target=replace(graph.target, classes=(*graph.classes, NO_EDGE)),
    )
    shares = [experiment.split.validation, experiment.split.test]
    dealt = np.searchsorted(np.cumsum([1 - sum(shares), shares[0]]), generator.permutation(count) / count, side="right")
    return graph, np.concatenate([roles, dealt])


def make_loader(experiment: Experiment, prepared: Prepared) -> Loader:
    """Full-graph or sampled batches, temporal where the split is by time."""
    temporal = experiment.split.policy == "time"
    depth = experiment.model.layers
    if experiment.fitting.loader == "sampled" and depth:
        given = experiment.fitting.fanouts
        fanouts = (given + given[-1:] * depth)[:depth]
        return Neighbours(prepared.graph, prepared.roles, experiment.visibility, tuple(reversed(fanouts)), temporal)
    return FullGraph(prepared.graph, prepared.roles, experiment.visibility, depth, temporal)


def answer(
    experiment: Experiment, prepared: Prepared, network: Network, log_weights: Tensor, loader: Loader, pairs: Tensor
) -> Answers:
    """Predict pairs, role by role, so that no answer depends on which other pairs are asked for."""
    if experiment.fitting.loader == "sampled":  # exact answers: sampling is for training
        loader = FullGraph(
            prepared.graph, prepared.roles, experiment.visibility, experiment.model.layers, loader.temporal
        )
    probabilities = np.zeros((len(pairs), len(prepared.graph.classes)))
    roles = prepared.roles[pairs]
    for role in torch.unique(roles).tolist():
        rows = torch.nonzero(roles == role).squeeze(1)
        few = max(1, len(rows) // 10) if role == ROLES.index("train") else None
        probabilities[rows.numpy()] = score(network, loader, pairs[rows], log_weights, size=few)
    sources, destinations = prepared.graph.pair_ids(pairs.numpy())
    names = np.asarray([*ROLES, None], dtype=object)
    return Answers(
        entity_type=str(prepared.entity),
        entity_ids=sources,
        other_ids=destinations,
        probabilities=probabilities,
        classes=prepared.graph.classes,
        splits=names[roles.numpy()],
        codes=prepared.graph.codes[pairs].numpy(),
    )


def save_weights(store: GraphStore, run_id: str, fitted: Fitted, graph: SocialGraph) -> str:
    """Write what predicting needs: weights, class weights, fitted encodings, classes. Returns the file's hash."""
    told = {
        "classes": json.dumps(graph.classes),
        "tabular": json.dumps({name: part.state() for name, part in graph.tabular.items()}),
    }
    tensors = {f"network/{name}": tensor for name, tensor in fitted.network.state_dict().items()}
    return write_tensors(
        runs.folder(store, run_id) / "weights.safetensors", {**tensors, "log_weights": fitted.log_weights}, told
    )


def load_weights(store: GraphStore, run_id: str) -> tuple[dict[str, Tensor], Tensor, dict[str, Any]]:
    """Read it back: the network's state, the log class weights, and the rest as JSON."""
    tensors, told = read_tensors(runs.folder(store, run_id) / "weights.safetensors")
    state = {name.removeprefix("network/"): tensor for name, tensor in tensors.items() if name.startswith("network/")}
    return state, tensors["log_weights"], {name: json.loads(value) for name, value in told.items()}
