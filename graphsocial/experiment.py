"""What a run is asked to do, complete with defaults, and the data that it does it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphsocial import graph as graphs
from graphsocial import plugins, runs, splits
from graphsocial.errors import InputError, UnknownNameError
from graphsocial.feature_sets import of_rows
from graphsocial.featurization import DEFAULT_ENCODERS, FeatureReport, FeatureUse, Progress, encoder_for, featurize
from graphsocial.featurizers.base import Featurizer, Learner, Tunable
from graphsocial.fitting import Fitting
from graphsocial.graph import SocialGraph
from graphsocial.loaders import FullGraph, Loader, Neighbours
from graphsocial.models.base import Model, only_target
from graphsocial.plugins import configure, resolve
from graphsocial.runs import Run
from graphsocial.sampling import Visibility
from graphsocial.splits import ROLES, SplitPolicy
from graphsocial.sql import quote, utc
from graphsocial.store import GraphStore
from graphsocial.tabular import KINDS, Tabular
from graphsocial.tasks.base import Labels, Task
from graphsocial.types import EdgeType, NodeType

NO_EDGE = "no-edge"


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a run but the data: what `train` was asked for, complete with defaults.

    Attributes:
        task, model: configured.
        task_name, model_name: how each is found again: a registered name, or a file.
        dataset: the dataset's name.
        split, fitting, visibility: how pairs are dealt out, how it is trained, what it may see.
        features: `type.column` → encoder, or several joined by `+`, or None to leave the column out; others get their
            kind's default. A node type's name → what made vectors of its rows, such as a run: `tmsam:RUN`.
        edge_types: message edge types; by default all that the dataset had when the run was designed, by name, so that
            edges which come later (`link`) leave the run as it is.
        both_ways: see `graph.build`.
        as_of: only what had happened by then.
        seed: of weights, batches and dropout.
    """

    task: Task
    task_name: str
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
            "task": {"name": self.task_name, **asdict(self.task)},  # type: ignore[call-overload]
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
        """The experiment that a run recorded.

        Raises:
            InputError: another version recorded it, with other settings than there are now.
        """
        config = run.config
        task, model = dict(config["task"]), dict(config["model"])
        task_name, model_name = task.pop("name"), model.pop("name")
        return cls(
            task=_recorded(run, resolve("task", task_name), task),
            task_name=task_name,
            model=_recorded(run, resolve("model", model_name), model),
            model_name=model_name,
            dataset=run.dataset,
            split=_recorded(run, SplitPolicy, config["split"]),
            fitting=_recorded(run, Fitting, config["fitting"]),
            visibility=_recorded(run, Visibility, config["visibility"]),
            features=config["features"],
            edge_types=tuple(config["edge_types"]),
            both_ways=config["both_ways"],
            as_of=None if config["as_of"] is None else utc(config["as_of"]),
            seed=run.seed,
        )


def _recorded(run: Run, kind: Any, values: Mapping[str, Any]) -> Any:
    """A part of an experiment as a run recorded it: JSON's lists are tuples again."""
    known = {field.name for field in plugins.settings(kind)}
    if other := values.keys() ^ known:
        raise InputError(
            f"The run '{run.id}' was made by another version of graphsocial: {kind.__name__} had other settings then "
            f"({', '.join(sorted(other))}). Train it again."
        )
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


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
            raise UnknownNameError.of(
                "setting", key, set().union(*known.values()), listing=f"graphsocial list models {name}"
            )
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
    dataset = store.dataset(dataset)
    return Experiment(
        task=chosen_task,
        task_name=task if isinstance(task, str) and task.endswith(".py") else chosen_task.name,
        model=configure(kinds["model"], own["model"]),
        model_name=name,
        dataset=dataset,
        split=chosen_split,
        fitting=configure(Fitting, own["fitting"]),
        visibility=visibility or configure(Visibility, own["visibility"]),
        features=dict(features or {}),
        edge_types=tuple(edge_types) or tuple(str(edge) for edge in store.schema.edges if store.span(edge, dataset)),
        both_ways=both_ways,
        as_of=None if as_of is None else utc(as_of),
        seed=seed,
    )


@dataclass(frozen=True)
class Prepared:
    """An experiment's data: the graph with its labels and split, and the hashes that name it."""

    graph: SocialGraph
    entity: NodeType | EdgeType
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
    features: Sequence[FeatureUse] | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Featurize, label, split and build; the same for training and for predicting again.

    Args:
        features: the vectors to use, which are there; when not given, all that the model reads, which are encoded where
            they are not.
        tabular: the fitted encodings of a run; fitted on the training pairs when not given.
        split_id: a split that was made before; made now by the experiment's policy when not given.
    """
    entity = experiment.task.entity(store.schema)
    labels = experiment.task.labels(store, experiment.dataset, as_of=experiment.as_of)
    uses = tuple(features) if features is not None else _encode_all(store, experiment, entity, progress)
    graph = graphs.build(
        store,
        experiment.dataset,
        entity,
        labels,
        features=uses,
        edge_types=experiment.edge_types,
        both_ways=experiment.both_ways,
        as_of=experiment.as_of,
        leave_out={name for name, spec in experiment.features.items() if spec is None},
    )
    ids = graph.example_ids()
    if split_id is None:
        roles = splits.assign(
            experiment.split,
            ids=ids,
            codes=_strata(graph),
            times=labels.times,
            column=_split_column(store, experiment, entity, labels),
        )
        split_id = splits.save(
            store,
            experiment.split,
            roles,
            task=experiment.task.name,
            dataset=experiment.dataset,
            entity=str(entity),
            ids=ids,
        )
    else:
        roles = splits.restore(store, split_id, ids=ids)
    _check_learnt(store, uses, split_id)
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


def _check_learnt(store: GraphStore, uses: Sequence[FeatureUse], split_id: str) -> None:
    """Raise `InputError` if vectors were learnt from the training rows of another split than this."""
    learnt = store.sql(
        "select encoder, split_id from feature_sets where split_id is not null and list_contains(?, set_id)",
        [[use.set_id for use in uses]],
    ).fetchall()
    for encoder, split in learnt:
        if split != split_id:
            raise InputError(
                f"'{encoder}' learnt from the training rows of the split '{split}', among which may be rows that are "
                f"tested here ('{split_id}'). Use the same split for both."
            )


def _strata(graph: SocialGraph) -> np.ndarray:
    """(P,) what stratified splits keep in proportion: the first classes asked about; -1 where no answer is known."""
    for target in graph.targets:
        if target.classes:
            codes = graph.answers[target.name].numpy()
            return np.where(graph.answered.numpy(), codes.clip(0), -1)
    return np.where(graph.answered.numpy(), 0, -1)


def _split_column(
    store: GraphStore, experiment: Experiment, entity: NodeType | EdgeType, labels: Labels
) -> np.ndarray | None:
    """(P,) the values of the node column that decides the split, if one does."""
    name = experiment.split.column
    if name is None:
        return None
    if isinstance(entity, EdgeType):
        raise InputError(f"The split '{experiment.split}' is for nodes; split edges by source or destination.")
    if name not in {column.name for column in entity.columns}:
        raise UnknownNameError.of(
            f"column of '{entity}'", name, [column.name for column in entity.columns], listing="graphsocial info"
        )
    rows = store.read(entity, dataset=experiment.dataset).select(f"idx, {quote(name)}::varchar as told").pl()
    found: np.ndarray = (
        pl.DataFrame({"idx": labels.src}).join(rows, on="idx", how="left", maintain_order="left")["told"].to_numpy()
    )
    return found


def _encode_all(
    store: GraphStore, experiment: Experiment, entity: NodeType | EdgeType, progress: Progress | None
) -> tuple[FeatureUse, ...]:
    reports: list[FeatureReport] = []
    for name, encoder in columns_for(store, experiment, entity):
        reports += featurize(store, name, encoder, dataset=experiment.dataset, progress=progress)
    return (*(report.use for report in reports), *rows_for(store, experiment))


def rows_for(store: GraphStore, experiment: Experiment) -> list[FeatureUse]:
    """The vectors of whole rows that were asked for by a node type's name; they are in the store already."""
    asked = {name: spec for name, spec in experiment.features.items() if name in _node_types(store) and spec}
    return [
        of_rows(store, store.schema.node(name), experiment.dataset, encoder)
        for name, spec in asked.items()
        for encoder in spec.split("+")
    ]


def _node_types(store: GraphStore) -> set[str]:
    return {node.name for node in store.schema.nodes}


def columns_for(store: GraphStore, experiment: Experiment, entity: NodeType | EdgeType) -> list[tuple[str, Featurizer]]:
    """Every feature column of text, images or sound that the model reads and that holds something, with its encoder."""
    schema = store.schema
    wanted = [schema.edge(name) for name in experiment.edge_types] or list(schema.edges)
    names = {end for edge in wanted if len(store.span(edge, experiment.dataset)) for end in (edge.src, edge.dst)}
    entries: list[NodeType | EdgeType] = [node for node in schema.nodes if node.name in names or node == entity]
    entries += [entity] if isinstance(entity, EdgeType) else []
    columns = {f"{e}.{c.name}": (e, c) for e in entries for c in e.columns if c.kind in DEFAULT_ENCODERS}
    ready: dict[str, str] = {f"{e}.{c.name}": c.kind for e in entries for c in e.columns if c.kind == "vector"}
    nodes = [node for node in entries if isinstance(node, NodeType)]
    ready |= {f"{e}.{c.name}": c.kind for e in nodes for c in e.columns if c.kind in KINDS and c.role == "feature"}
    for name, spec in experiment.features.items():
        if name not in {*columns, *ready, *_node_types(store)}:
            known = ", ".join(sorted({*columns, *ready}))
            raise InputError(f"There is no column to use or leave out, and no node type, '{name}'; columns: {known}.")
        if name in _node_types(store) and spec is None:
            raise InputError(f"'{name}' is a node type; leave out its columns one by one, such as '{name}.COLUMN'.")
        if name in ready and spec is not None:
            raise InputError(f"'{name}' is a {ready[name]}; it takes no encoder, but none, which leaves it out.")
    found: list[tuple[str, Featurizer]] = []
    read = getattr(experiment.model, "reads", ("nodes", "edges"))
    for name, (entry, column) in columns.items():
        if ("nodes" if isinstance(entry, NodeType) else "edges") not in read:
            continue
        asked = name in experiment.features
        if (asked and experiment.features[name] is None) or (not asked and column.role != "feature"):
            continue
        if not _filled(store, experiment.dataset, entry, column.name):
            continue
        for spec in (experiment.features.get(name) or DEFAULT_ENCODERS[column.kind]).split("+"):
            encoder = encoder_for(spec, column.kind)
            why = _unreadable(experiment, encoder, own=name.startswith(f"{entity}."))
            if isinstance(encoder, Learner) or why:
                raise InputError(
                    f"{type(encoder).__name__} {why}; '{experiment.model_name}' takes one vector for each row "
                    f"of '{name}'. Choose another encoder or other settings of it."
                )
            found.append((name, encoder))
    return found


def _unreadable(experiment: Experiment, encoder: Featurizer | Learner, *, own: bool) -> str:
    """Why the model cannot read what an encoder makes of a column, which may be the `own` of what is asked about."""
    if isinstance(encoder, Learner):
        return "learns from a split first"
    if isinstance(encoder, Tunable) and encoder.tune:
        return "" if own and getattr(experiment.model, "tunes", False) else "leaves layers to be trained"
    return (
        "gives sequences" if encoder.sequences and not (own and getattr(experiment.model, "sequences", False)) else ""
    )


def _filled(store: GraphStore, dataset: str, entry: NodeType | EdgeType, column: str) -> bool:
    span = store.span(entry, dataset)
    row = store.first(
        f"select 1 from {quote(entry.table)} where idx >= ? and idx < ? and {quote(column)} is not null limit 1",
        [span.first, span.last],
    )
    return row is not None


def _add_negatives(graph: SocialGraph, roles: np.ndarray, experiment: Experiment) -> tuple[SocialGraph, np.ndarray]:
    """Pairs without an edge, in every role in proportion, as the last class (which renumbers none)."""
    target = only_target(graph, "negatives")
    generator = np.random.default_rng([experiment.split.seed, 9])
    count = round(int((roles >= 0).sum()) * experiment.fitting.negatives)
    users, images = (graph.num_nodes[name] for name in graph.end_types)
    known = set((graph.ends[0].numpy() * images + graph.ends[1].numpy()).tolist())
    if count > (users * images - len(known)) // 2:
        raise InputError(f"There are too few pairs without an edge for {count:,} negatives; lower negatives.")
    drawn: list[int] = []
    while len(drawn) < count:
        for key in generator.integers(0, users * images, size=count - len(drawn)).tolist():
            if key not in known:
                known.add(key)
                drawn.append(key)
    keys = torch.tensor(drawn, dtype=torch.int64)
    graph = replace(
        graph.with_pairs(keys // images, keys % images, len(target.classes)),
        targets=(replace(target, classes=(*target.classes, NO_EDGE)),),
    )
    shares = [experiment.split.validation, experiment.split.test]
    dealt = np.searchsorted(np.cumsum([1 - sum(shares), shares[0]]), generator.permutation(count) / count, side="right")
    return graph, np.concatenate([roles, dealt])


def make_loader(experiment: Experiment, prepared: Prepared) -> Loader:
    """Full-graph or sampled batches, temporal where the split is by time or the task says when answers became known."""
    depth = experiment.model.layers
    temporal = experiment.split.policy == "time" or (prepared.graph.known_time is not None and depth > 0)
    whole = FullGraph(prepared.graph, prepared.roles, experiment.visibility, depth, temporal, experiment.fitting.kernel)
    if experiment.fitting.loader == "full" or not depth:
        return whole
    given = experiment.fitting.fanouts
    return Neighbours(whole, (given + given[-1:] * depth)[:depth])
