"""The predictions view of a task: rows of `predictions` under the task's own column names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphsocial.errors import InputError
from graphsocial.plugins import names
from graphsocial.store.sql import literal, quote
from graphsocial.tasks.base import Task
from graphsocial.types import EdgeType, NodeType, Target

BUILT_IN = ("latest_predictions",)
"""Views of every store whose names end in `_predictions`."""


def view_name(task: Task) -> str:
    """`edge-emotion` → `edge_emotion_predictions`.

    Raises:
        InputError: the store has another view of that name, or it is that of one of graphsocial's own tasks.
    """
    name = f"{task.name.replace('-', '_')}_predictions"
    own = type(task).__module__.startswith("graphsocial.")
    if name in BUILT_IN or (not own and task.name.replace("-", "_") in names("task")):
        raise InputError(f"'{task.name}' cannot name a task: the view '{name}' is taken. Set another `name`.")
    return name


def view_sql(task: Task, entity: NodeType | EdgeType, targets: Sequence[Target]) -> str:
    """The view `<task>_predictions`: one row per run and example, and columns for each target.

    Raises:
        InputError: two columns would have one name.

    A regression target t has the columns `t`, `lower`, `upper` and `true_t`; a multiclass target `t`, `confidence`,
    `probabilities` and `true_t`. Where several targets are of one kind, the names between begin with `t_`: `t_lower`.

    Args:
        task: the task, which names the view and its id columns.
        entity: the node or edge type.
        targets: the run's targets, used where the task declares none.
    """
    shown = sorted(task.targets or targets, key=lambda target: target.kind == "multiclass")
    single = len(shown) == 1
    types = [entity.name] if isinstance(entity, NodeType) else [entity.src, entity.dst]
    default = [f"{name}_id" for name in types] if len(set(types)) == len(types) else ["src_id", "dst_id"]
    ids = task.id_columns or default
    called = [*ids, *(name for target in shown for name in (target.name, f"true_{target.name}"))]
    called += [name for target, _, name in _columns(shown) if name != target.name and name.startswith(target.name)]
    for name in called:
        if called.count(name) > 1:
            raise InputError(
                f"The predictions view of '{task.name}' would have two columns '{name}'; rename a target, or set "
                "id_columns."
            )
    columns = ["run_id", "dataset"]
    columns += [f"entity_type as {quote(task.entity_column)}"] if task.entity_column else []
    columns += [f"{key} as {quote(name)}" for key, name in zip(("entity_id", "other_id"), ids, strict=False)]
    columns += [f"{_of(column, target, single)} as {quote(name)}" for target, column, name in _columns(shown)]
    columns.append("split" if single else "any_value(split) as split")
    for target in shown:
        truth = "true_value" if target.kind == "regression" else "true_label"
        columns.append(f"{_of(truth, target, single)} as {quote(f'true_{target.name}')}")
    columns.append("created_at" if single else "max(created_at) as created_at")
    select = ",\n    ".join(columns)
    where = f"task = {literal(task.name)}" + (f"\n    and target = {literal(shown[0].name)}" if single else "")
    group = "" if single else "\ngroup by run_id, dataset, entity_type, entity_id, other_id"
    view = quote(view_name(task))
    return f"create or replace view {view} as\nselect\n    {select}\nfrom predictions\nwhere {where}{group}"


def _columns(targets: Sequence[Target]) -> Iterator[tuple[Target, str, str]]:
    """The columns of `predictions` that hold each target, and their names in the view: (target, column, name)."""
    kinds = [target.kind for target in targets]
    for target in targets:
        numbers, classes = ("value", "lower", "upper"), ("label", "confidence", "probabilities")
        main, *others = numbers if target.kind == "regression" else classes
        yield target, main, target.name
        for column in others:
            yield target, column, f"{target.name}_{column}" if kinds.count(target.kind) > 1 else column


def _of(column: str, target: Target, single: bool) -> str:
    """SQL of one target's column: the column itself where the view has a single target, else an aggregate."""
    return column if single else f"any_value({column}) filter (target = {literal(target.name)})"
