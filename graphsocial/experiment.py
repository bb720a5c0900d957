"""What a run is asked to do, complete with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from graphsocial import plugins
from graphsocial.errors import InputError, UnknownNameError
from graphsocial.fitting import Fitting
from graphsocial.models.base import Model
from graphsocial.plugins import configure, resolve
from graphsocial.runs import Run
from graphsocial.sampling import Visibility
from graphsocial.splits import SplitPolicy
from graphsocial.sql import utc
from graphsocial.store import GraphStore
from graphsocial.tasks.base import Task


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
