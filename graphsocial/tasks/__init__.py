"""Tasks by name: their class, their labels as they enter training, and the view of their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from graphsocial.errors import InputError, UnknownNameError
from graphsocial.plugins import authored, names, plain, resolve
from graphsocial.store import GraphStore
from graphsocial.tasks._checks import check_entity, check_labels
from graphsocial.tasks._labels import Context as Context
from graphsocial.tasks._labels import LabelArray as LabelArray
from graphsocial.tasks._labels import Labels as Labels
from graphsocial.tasks._views import view_name as view_name
from graphsocial.tasks._views import view_sql
from graphsocial.tasks.base import Task
from graphsocial.types import EdgeType, GraphSchema, NodeType, Target

DECLARED = ("name", "level", "targets", "sql", "default_model", "baselines", "selection_metric", "id_columns")


def task_class(task: str | Task) -> type[Task]:
    """The class of a task, given configured or by name: `edge-emotion`, `./custom_task.py`.

    Raises:
        UnknownNameError, MissingFileError: there is no such name or file.
        InputError: the class is not a task, or annotates a declaration such as `targets`, which makes it a setting.
    """
    kind = resolve("task", task) if isinstance(task, str) else type(task)
    if not issubclass(kind, Task):
        raise InputError(
            f"{kind.__name__} is not a task; write `class {kind.__name__}(NodeTask)` or `(EdgeTask)`, both from "
            "graphsocial.extending."
        )
    for entry in fields(kind):  # type: ignore[arg-type]  # `resolve` gives dataclasses alone
        if entry.name in DECLARED:
            raise InputError(
                f"{kind.__name__} annotates '{entry.name}', which makes a setting of it; write `{entry.name} = …` "
                "without a type."
            )
    if not kind.__module__.startswith("graphsocial."):
        known = names("model")
        for name in kind.baselines:
            if not name.endswith(".py") and plain(name) not in known:
                unknown = UnknownNameError.of("model", name, known, listing="graphsocial list models")
                raise UnknownNameError(f"{kind.__name__}.baselines: {unknown}")
    return kind


def entity_of(task: Task, schema: GraphSchema) -> NodeType | EdgeType:
    """The node or edge type that a task labels, checked.

    Raises:
        DataError, InputError: as `Task.entity`; or its code fails, or returns something else.
    """
    with authored(type(task), "entity()"):
        return check_entity(task.entity(schema), task)


def read_labels(
    task: Task, store: GraphStore, dataset: str, *, as_of: datetime | None = None
) -> tuple[NodeType | EdgeType, Labels]:
    """The node or edge type of a task, and its checked labels.

    Args:
        task: the configured task.
        store: the open store.
        dataset: the dataset's name.
        as_of: only rows that existed at this time are used; None for all.

    Raises:
        DataError: there are no examples, or no labels.
        InputError: the task's code fails, or its labels are not as `Labels` documents.
    """
    entity = entity_of(task, store.schema_of(dataset))
    with authored(type(task), "labels()"):
        labels = task.labels(store, dataset, as_of=as_of)
    return entity, check_labels(labels, task, store, entity, dataset, as_of)


def create_view(store: GraphStore, task: Task, entity: NodeType | EdgeType, targets: Sequence[Target]) -> None:
    """Create or replace the view `<task>_predictions`; see `view_sql`.

    Args:
        store: open for writing.
        task: the configured task.
        entity: the labelled node or edge type.
        targets: the run's targets, used where the task declares none.
    """
    store.connection.execute(view_sql(task, entity, targets))
