"""What a run is asked to do, complete with defaults."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from graphsocial import plugins
from graphsocial.errors import InputError, UnknownNameError
from graphsocial.evaluation.splits import SplitPolicy
from graphsocial.graph.visibility import Visibility
from graphsocial.models.base import Model, model_class
from graphsocial.plugins import configure
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.store.sql import utc
from graphsocial.tasks import task_class
from graphsocial.tasks.base import Task
from graphsocial.training.loop import TrainingConfig

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)
RENAMED = {"fitting": {"cold": "cold_start_share"}}
"""By part of a configuration: a setting's first name → its name now."""


class TrainOptions(TypedDict, total=False):
    """What can be asked of a training beside its task; what is not asked for has a default.

    Attributes:
        model: a registered name; the task's default otherwise.
        dataset: needed where the store holds several.
        split: a policy's name, `file:DIR`, or a `SplitPolicy`; `random` by default.
        epochs: at most so many.
        settings: further settings by name, of the task, the model, the split, the visibility or the fitting, whichever
            has it.
        features, edge_types, both_ways, visibility, as_of, seed: see `RunConfig`; both ways and 0 by default.
    """

    model: str | None
    dataset: str | None
    split: str | SplitPolicy | None
    seed: int
    epochs: int | None
    features: Mapping[str, str | None] | None
    edge_types: tuple[str, ...]
    both_ways: bool
    visibility: Visibility | None
    as_of: datetime | str | None
    settings: Mapping[str, object] | None


@dataclass(frozen=True)
class RunConfig:
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
        both_ways: see `graph.building.build`.
        as_of: only what had happened by then.
        seed: of weights, batches and dropout.
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
    edge_types: tuple[str, ...]
    both_ways: bool
    as_of: datetime | None
    seed: int

    @property
    def turn(self) -> str:
        """Which of the trainings that differ in chance alone this is: `seed 0, fold 3`."""
        return f"seed {self.seed}" + (f", fold {self.split.fold}" if self.split.policy == "kfold" else "")

    def to_json(self) -> dict[str, Any]:
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

    def identity(self) -> dict[str, Any]:
        """The JSON that ids of runs and configurations are hashes of: renamed settings keep their first name in it."""
        config = self.to_json()
        for part, renamed in RENAMED.items():
            names = {new: old for old, new in renamed.items()}
            config[part] = {names.get(name, name): value for name, value in config[part].items()}
        return config

    @classmethod
    def from_run(cls, run: Run) -> RunConfig:
        """The configuration that a run recorded, perhaps in another version of graphsocial.

        A setting that did not exist then takes its default, one that is gone is left out; a warning names either.

        Raises:
            InputError: a recorded value is not allowed any more, or a setting without a default is missing.
        """
        config = run.config
        task, model = dict(config["task"]), dict(config["model"])
        task_name, model_name = task.pop("name"), model.pop("name")
        as_of = config.get("as_of")
        return cls(
            task=_recorded(run, "task", task_class(task_name), task),
            task_name=task_name,
            model=_recorded(run, "model", model_class(model_name), model),
            model_name=model_name,
            dataset=run.dataset,
            split=_recorded(run, "split", SplitPolicy, config["split"]),
            fitting=_recorded(run, "fitting", TrainingConfig, config["fitting"]),
            visibility=_recorded(run, "visibility", Visibility, config.get("visibility", {})),
            features=config.get("features", {}),
            edge_types=tuple(config.get("edge_types", ())),
            both_ways=config.get("both_ways", True),
            as_of=None if as_of is None else utc(as_of),
            seed=run.seed,
        )


def _recorded(run: Run, part: str, kind: Any, recorded: Mapping[str, Any]) -> Any:
    """A part of a run's configuration as it was recorded: JSON's lists are tuples again."""
    renamed = RENAMED.get(part, {})
    values = {
        renamed.get(name, name): tuple(value) if isinstance(value, list) else value for name, value in recorded.items()
    }
    settings = {field.name: field for field in plugins.settings(kind)}
    for name in sorted(values.keys() - settings.keys()):
        log.warning("The run '%s' has a setting that is gone, and is left out: %s.%s.", run.id, part, name)
        del values[name]
    for name in sorted(settings.keys() - values.keys()):
        log.warning("The run '%s' is older than the setting %s.%s, which takes its default.", run.id, part, name)
    try:
        return kind(**values)
    except (InputError, TypeError) as error:
        raise InputError(
            f"The run '{run.id}' was made by another version of graphsocial, and its settings of the {part} do not fit "
            f"this one: {error} Train it again."
        ) from error


def design(store: GraphStore, task: str | Task, **asked: Unpack[TrainOptions]) -> RunConfig:
    """Complete what was asked for with defaults; each setting goes to the one part that has it.

    Raises:
        UnknownNameError: nothing of that name can be asked for, or no part has a setting of that name.
        InputError: several have, or the part was given whole.
    """
    for argument in asked.keys() - TrainOptions.__annotations__.keys():
        raise UnknownNameError.of("argument of a training", argument, TrainOptions.__annotations__)
    kind: Any = task_class(task)
    name = asked.get("model") or kind.default_model
    if not name.endswith(".py"):
        name = name.replace("-", "_")
    split, visibility = asked.get("split") or "random", asked.get("visibility")
    kinds: dict[str, Any] = {
        "task": kind,
        "model": model_class(name),
        "split": SplitPolicy,
        "fitting": TrainingConfig,
        "visibility": Visibility,
    }
    whole = {"task": not isinstance(task, str), "split": isinstance(split, SplitPolicy), "visibility": bool(visibility)}
    own = _deal_out(asked.get("settings") or {}, kinds, {part for part in whole if whole[part]}, name)
    epochs = asked.get("epochs")
    by_default = {**kinds["model"].training, **({} if epochs is None else {"epochs": epochs})}
    chosen: Task = configure(kind, own["task"]) if isinstance(task, str) else task
    dataset, as_of = store.dataset(asked.get("dataset")), asked.get("as_of")
    present = tuple(str(edge) for edge in store.schema.edges if store.span(edge, dataset))
    return RunConfig(
        task=chosen,
        task_name=task if isinstance(task, str) and task.endswith(".py") else chosen.name,
        model=configure(kinds["model"], own["model"]),
        model_name=name,
        dataset=dataset,
        split=configure(SplitPolicy, {"policy": split, **own["split"]}) if isinstance(split, str) else split,
        fitting=configure(TrainingConfig, {**by_default, **own["fitting"]}),
        visibility=visibility or configure(Visibility, own["visibility"]),
        features=dict(asked.get("features") or {}),
        edge_types=tuple(asked.get("edge_types", ())) or present,
        both_ways=asked.get("both_ways", True),
        as_of=None if as_of is None else utc(as_of),
        seed=asked.get("seed", 0),
    )


def _deal_out(
    settings: Mapping[str, object], kinds: Mapping[str, Any], whole: set[str], model: str
) -> dict[str, dict[str, object]]:
    """Part → its settings, such as `layers`, or `model.layers` where several parts have some.

    Args:
        kinds: part → the dataclass whose fields its settings are.
        whole: the parts that were given whole, which take none.
    """
    known = {part: {field.name for field in plugins.settings(kind)} for part, kind in kinds.items()}
    own: dict[str, dict[str, object]] = {part: {} for part in kinds}
    for key, value in settings.items():
        part, _, setting = key.rpartition(".")
        having = [p for p, names in known.items() if setting in names and part in ("", p)]
        if not having:
            raise UnknownNameError.of(
                "setting", key, set().union(*known.values()), listing=f"graphsocial list models {model}"
            )
        if len(having) > 1:
            raise InputError(f"'{key}' is a setting of {' and '.join(having)}; write {having[0]}.{setting}.")
        if having[0] in whole:
            raise InputError(f"'{key}' cannot be set beside a {having[0]} that is given whole; set it there.")
        own[having[0]][setting] = value
    return own
