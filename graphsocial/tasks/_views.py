"""The predictions view of a task: rows of `predictions` under the task's own column names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphsocial.errors import InputError
from graphsocial.plugins import names
from graphsocial.store.sql import literal, quote
from graphsocial.tasks.base import TAKEN, Task
from graphsocial.types import EdgeType, NodeType, Target


def _of_tasks() -> set[str]:
    """The views of graphsocial's own tasks, without `_predictions`."""
    return {name.replace("-", "_") for name in names("task")}


BUILT_IN = ("latest_predictions",)
"""Views of every store whose names end in `_predictions`."""


def view_name(task: Task) -> str:
    """`edge-emotion` → `edge_emotion_predictions`.

    Raises:
        InputError: the store has another view of that name, or it is that of one of graphsocial's own tasks.
    """
    name = f"{task.view}_predictions"
    own = type(task).__module__.startswith("graphsocial.")
    taken = name in BUILT_IN or task.view in _of_tasks()
    if taken and task.view != task.name.replace("-", "_"):
        return f"{task.view}_column_predictions"  # a column whose name makes another view's
    if taken and not own:
        raise InputError(f"'{task.name}' cannot name a task: the view '{name}' is taken. Set another `name`.")
    return name


def view_sql(task: Task, entity: NodeType | EdgeType, targets: Sequence[Target]) -> str:
    """The view `<task>_predictions`: one row per run and example, and columns for each target.

    Raises:
        InputError: two columns would have one name.

    A regression target t has the columns `t`, `lower`, `upper` and `true_t`; a multiclass target `t`, `confidence`,
    `probabilities` and `true_t`; a multilabel target lists of labels `t` and `true_t`, and `probabilities`. Where
    several targets are of one kind, the names between begin with `t_`: `t_lower`. A target that is called like another
    column, such as `split`, is `split_value`.

    Args:
        task: the task, which names the view and its id columns.
        entity: the node or edge type.
        targets: the run's targets, used where the task declares none.
    """
    shown = sorted(task.targets or targets, key=lambda target: target.kind != "regression")
    single = len(shown) == 1 and shown[0].kind != "multilabel"
    types = [entity.name] if isinstance(entity, NodeType) else [entity.src, entity.dst]
    default = [f"{name}_id" for name in types] if len(set(types)) == len(types) else ["src_id", "dst_id"]
    ids = task.id_columns or default
    names = {target.name: f"{target.name}_value" if target.name in (*TAKEN, *ids) else target.name for target in shown}
    called = [*ids, *(name for target in shown for name in (names[target.name], f"true_{target.name}"))]
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
    columns += [
        f"{_of(column, target, single)} as {quote(names[target.name] if name == target.name else name)}"
        for target, column, name in _columns(shown)
    ]
    columns.append("split" if single else "any_value(split) as split")
    for target in shown:
        truth = {"regression": "true_value", "multiclass": "true_label", "multilabel": "true labels"}[target.kind]
        columns.append(f"{_of(truth, target, single)} as {quote(f'true_{target.name}')}")
    columns.append("created_at" if single else "max(created_at) as created_at")
    select = ",\n    ".join(columns)
    where = f"task = {literal(task.name)}" + (f"\n    and target = {literal(shown[0].name)}" if single else "")
    if task.view != task.name.replace("-", "_"):  # a task of many columns, of which the view has some
        where = f"task = {literal(task.name)}\n    and entity_type = {literal(str(entity))}\n    and target in "
        where += f"({', '.join(literal(target.name) for target in shown)})"
    group = "" if single else "\ngroup by run_id, dataset, entity_type, entity_id, other_id"
    view = quote(view_name(task))
    return f"create or replace view {view} as\nselect\n    {select}\nfrom predictions\nwhere {where}{group}"


def _columns(targets: Sequence[Target]) -> Iterator[tuple[Target, str, str]]:
    """The columns of `predictions` that hold each target, and their names in the view: (target, column, name)."""
    kinds = [target.kind for target in targets]
    for target in targets:
        columns = {
            "regression": ("value", "lower", "upper"),
            "multiclass": ("label", "confidence", "probabilities"),
            "multilabel": ("labels", "label probabilities"),
        }
        main, *others = columns[target.kind]
        yield target, main, target.name
        for column in others:
            short = column.removeprefix("label ")
            several = (
                sum(kind != "regression" for kind in kinds) if short == "probabilities" else kinds.count(target.kind)
            )
            yield target, column, f"{target.name}_{short}" if several > 1 else short


def _of(column: str, target: Target, single: bool) -> str:
    """SQL of one target's column: the column itself where the view has a single target, else an aggregate."""
    of_target = f"filter (target = {literal(target.name)}"
    if target.kind == "multilabel":
        select = {
            "labels": f"coalesce(list(label order by label) {of_target} and value = 1), [])",
            "true labels": f"case when count(true_value) {of_target}) > 0 "
            f"then coalesce(list(label order by label) {of_target} and true_value = 1), []) end",
            "label probabilities": f"map_from_entries(list((label, confidence) order by label) {of_target}))",
        }
        return select[column]
    return column if single else f"any_value({column}) {of_target})"
