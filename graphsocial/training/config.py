"""The options of a training, and the configuration of a run, in which every option has a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from graphsocial import plugins
from graphsocial.errors import InputError, UnknownNameError
from graphsocial.evaluation.splits import SplitPolicy
from graphsocial.graph.visibility import Visibility
from graphsocial.models.base import Model, check_model, model_class
from graphsocial.plugins import code_hash, configure
from graphsocial.runs import Run
from graphsocial.specs import Spec
from graphsocial.store import GraphStore
from graphsocial.store.sql import utc
from graphsocial.tasks import entity_of, task_class
from graphsocial.tasks.base import Task
from graphsocial.training import reading
from graphsocial.training.averages import Averages, complete, split_specs
from graphsocial.training.reading import RENAMED
from graphsocial.training.settings import TrainingConfig


@dataclass(frozen=True)
class TrainOptions:
    """The options of a training beside its task; all have defaults.

    Attributes:
        model: a registered name or a file; by default the task's default model.
        dataset: the dataset's name; by default the only one in the store.
        split: a policy's name, `file:DIR`, or a `SplitPolicy`; `random` by default.
        seed: random seed of weights, batches and dropout.
        epochs: maximum number of epochs; by default the model's.
        features, edge_types, both_ways, visibility, as_of: see `RunConfig`.
        settings: name → value of further settings of the task, the model, the split, the visibility or the fitting.
    """

    model: str | None = None
    dataset: str | None = None
    split: str | SplitPolicy | None = None
    seed: int = 0
    epochs: int | None = None
    features: Mapping[str, str | None] | None = None
    edge_types: tuple[str, ...] = ()
    both_ways: bool = True
    visibility: Visibility | None = None
    as_of: datetime | str | None = None
    settings: Mapping[str, object] | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> TrainOptions:
        """Options from keyword arguments.

        Raises:
            UnknownNameError: an option does not exist.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise UnknownNameError.of("argument of a training", name, known)
        return cls(**options)

    def with_settings(self, settings: Mapping[str, object]) -> TrainOptions:
        """The same options with further settings."""
        return replace(self, settings={**(self.settings or {}), **settings})


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run except the data: the arguments of `train`, completed with defaults.

    Attributes:
        task, model: the configured task and model.
        task_name, model_name: their registered names, or the paths of their files.
        dataset: the dataset's name.
        split: the policy that assigns examples to train, validation and test.
        fitting: settings of optimiser, batching and decision rule.
        visibility: which labels and features of examples messages may carry.
        features: `type.column` → encoder, several joined by `+`, or None to leave the column out; other columns get the
            default encoder of their kind. Node type → encoder of its rows, such as a run: `tmsam:RUN`.
        averages: column of vectors → the node types whose nodes get the mean of their neighbors' vectors; by default
            what the model declares. None for runs from before this setting; see `averages.implied`.
        edge_types: names of the message edge types; by default all that the dataset has when the configuration is
            made, so that later edges (`link`) do not change the run.
        both_ways: see `graph.building.build`.
        as_of: rows after this time are ignored; None for none.
        seed: random seed of weights, batches and dropout.
    """

    task: Task
    task_name: str
    model: Model
    model_name: str
    dataset: str
    split: SplitPolicy
    fitting: TrainingConfig
    visibility: Visibility
    features: Mapping[str, str | None]
    averages: Averages | None
    edge_types: tuple[str, ...]
    both_ways: bool
    as_of: datetime | None
    seed: int

    @property
    def turn(self) -> str:
        """Seed and fold, by which repeated trainings of a configuration differ: `seed 0, fold 3`."""
        return f"seed {self.seed}" + (f", fold {self.split.fold}" if self.split.kind == "kfold" else "")

    @property
    def code(self) -> dict[str, str]:
        """`task`, `model` and encoders' paths → the hash of the file with the code, where that is not our own."""
        sql = [self.task.sql] if self.task.sql.endswith(".sql") else []
        hashes = {"task": code_hash(type(self.task), *sql), "model": code_hash(type(self.model))}
        for spec in filter(None, self.features.values()):
            for name in (encoder.name for encoder in Spec.parse_all(spec)):
                if name.endswith(".py"):
                    hashes[name] = code_hash(plugins.resolve("featurizer", name))
        return {part: value for part, value in hashes.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """The configuration without the seed, as a dictionary for JSON."""
        return {
            "task": {"name": self.task_name, **asdict(self.task)},  # type: ignore[call-overload]
            "model": {"name": self.model_name, **asdict(self.model)},  # type: ignore[call-overload]
            "split": asdict(self.split),
            "fitting": asdict(self.fitting),
            "visibility": asdict(self.visibility),
            "features": dict(self.features),
            "averages": None if self.averages is None else {name: list(to) for name, to in self.averages.items()},
            "edge_types": list(self.edge_types),
            "both_ways": self.both_ways,
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
            **({"code": code} if (code := self.code) else {}),
        }

    def identity(self) -> dict[str, Any]:
        """The dictionary that ids of runs are hashes of; renamed settings have their former names."""
        config = self.to_json()
        for part, renamed in RENAMED.items():
            names = {new: old for old, new in renamed.items()}
            config[part] = {names.get(name, name): value for name, value in config[part].items()}
        if self.visibility.reciprocal == "visible":
            del config["visibility"]["reciprocal"]  # likewise
        if not config["averages"]:
            del config["averages"]  # ids of runs without averages are those from before this setting
        return config

    @classmethod
    def from_run(cls, run: Run, *, allow_code: bool = False) -> RunConfig:
        """The recorded configuration of a run, perhaps of another version of graphsocial.

        Settings that did not exist then take their defaults, and removed settings are ignored, both with a warning.

        Args:
            run: the run.
            allow_code: whether the files that the run names may run; see `reading.check_files`.

        Raises:
            InputError: a recorded value is not allowed, a setting without a default is missing, or the file of its
                task, model or encoder was not allowed to run or has changed.
            UnknownNameError, MissingFileError: no task or model has the recorded name.
        """
        reading.check_names(run, {field.name for field in fields(cls)})
        reading.check_files(run, allow_code=allow_code)
        (task_name, task), (model_name, model) = reading.named(run, "task"), reading.named(run, "model")
        as_of = reading.value(run, "as_of", str | None, None)
        config = cls(
            task=reading.part(run, "task", task_class(task_name), task),
            task_name=task_name,
            model=reading.part(run, "model", model_class(model_name), model),
            model_name=model_name,
            dataset=run.dataset,
            split=reading.part(run, "split", SplitPolicy),
            fitting=reading.part(run, "fitting", TrainingConfig),
            visibility=reading.part(run, "visibility", Visibility),
            features=reading.mapping(run, "features"),
            averages=_averages(run),
            edge_types=reading.value(run, "edge_types", tuple[str, ...], ()),
            both_ways=reading.value(run, "both_ways", bool, True),
            as_of=None if as_of is None else utc(as_of),
            seed=run.seed,
        )
        reading.check_code(run, config.code)
        return config

    def later_settings(self, run: Run) -> dict[str, dict[str, Any]]:
        """Part → the settings that did not exist when a run was recorded, with the defaults that it takes.

        Args:
            run: the run that this configuration was read from, see `from_run`.
        """
        complete, later = self.to_json(), {}
        for part in ("task", "model", "split", "fitting", "visibility"):
            names = {RENAMED.get(part, {}).get(name, name) for name in run.config.get(part, {})}
            later[part] = {name: value for name, value in complete[part].items() if name not in names}
        return {part: settings for part, settings in later.items() if settings}


def _averages(run: Run) -> Averages | None:
    """The means that a run recorded; None for a run from before they were asked for."""
    if run.config.get("averages") is None:
        return None
    return {name: tuple(map(str, types)) for name, types in reading.mapping(run, "averages").items()}


def design(store: GraphStore, task: str | Task, options: TrainOptions | None = None) -> RunConfig:
    """The configuration of a task and options, completed with defaults; each setting goes to the part that has it.

    Args:
        store: the store with the data.
        task: a registered name, a file, or a configured task.
        options: the options of the training.

    Raises:
        UnknownNameError: no part has a setting of that name, or a name is not registered.
        InputError: several parts have the setting, or its part was given as an object.
    """
    options = options or TrainOptions()
    kinds = _kinds(task, options)
    settings = _settings_by_part(task, options, kinds)
    model: Model = configure(kinds["model"], settings["model"])
    check_model(model)
    configured: Task = configure(kinds["task"], settings["task"]) if isinstance(task, str) else task
    split = options.split or "random"
    epochs = {} if options.epochs is None else {"epochs": options.epochs}
    dataset = store.dataset(options.dataset)
    configured = configured.resolved(store, dataset)
    features, asked = split_specs(options.features or {})
    averages: Averages = {}
    if asked or kinds["model"].averages:
        entity = entity_of(configured, store.schema_of(dataset))
        averages = complete(store, dataset, asked, kinds["model"].averages, features, entity)
    present = tuple(str(edge) for edge in store.schema.edges if store.span(edge, dataset))
    return RunConfig(
        task=configured,
        task_name=task if isinstance(task, str) and task.endswith(".py") else configured.name,
        model=model,
        model_name=_model_name(task, options),
        dataset=dataset,
        split=configure(SplitPolicy, {"policy": split, **settings["split"]}) if isinstance(split, str) else split,
        fitting=configure(TrainingConfig, {**kinds["model"].training, **epochs, **settings["fitting"]}),
        visibility=options.visibility or configure(Visibility, settings["visibility"]),
        features=features,
        averages=averages,
        edge_types=tuple(options.edge_types) or present,
        both_ways=options.both_ways,
        as_of=None if options.as_of is None else utc(options.as_of),
        seed=options.seed,
    )


def _model_name(task: str | Task, options: TrainOptions) -> str:
    name: str = options.model or task_class(task).default_model
    return name if name.endswith(".py") else name.replace("-", "_")


def _kinds(task: str | Task, options: TrainOptions) -> dict[str, Any]:
    """Part of a configuration → the dataclass whose fields are its settings."""
    return {
        "task": task_class(task),
        "model": model_class(_model_name(task, options)),
        "split": SplitPolicy,
        "fitting": TrainingConfig,
        "visibility": Visibility,
    }


def _settings_by_part(
    task: str | Task, options: TrainOptions, kinds: Mapping[str, Any]
) -> dict[str, dict[str, object]]:
    """Part → its settings, given as `layers`, or as `model.layers` if several parts have a setting of that name."""
    given_as_object = {"task": not isinstance(task, str), "split": isinstance(options.split, SplitPolicy)}
    given_as_object["visibility"] = options.visibility is not None
    names = {part: {field.name for field in plugins.settings(kind)} for part, kind in kinds.items()}
    by_part: dict[str, dict[str, object]] = {part: {} for part in kinds}
    for key, value in (options.settings or {}).items():
        prefix, _, setting = key.rpartition(".")
        having = [part for part in names if setting in names[part] and prefix in ("", part)]
        if not having:
            listing = f"graphsocial list models {_model_name(task, options)}"
            raise UnknownNameError.of("setting", key, set().union(*names.values()), listing=listing)
        if len(having) > 1:
            raise InputError(f"'{key}' is a setting of {' and '.join(having)}; write {having[0]}.{setting}.")
        (part,) = having
        if given_as_object.get(part):
            raise InputError(f"'{key}' cannot be set because the {part} is given as an object; set it there.")
        by_part[part][setting] = value
    return by_part
