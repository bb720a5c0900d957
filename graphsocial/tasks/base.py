"""The base classes of tasks: `NodeTask` and `EdgeTask` declare targets and the SQL that labels nodes or edges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal

import pyarrow as pa

from graphsocial.errors import DataError, InputError
from graphsocial.plugins import authored
from graphsocial.store import GraphStore
from graphsocial.tasks._label_columns import read_target, read_times
from graphsocial.tasks._label_sql import label_sql, select_labels, sql_names
from graphsocial.tasks._labels import Context, LabelArray, Labels
from graphsocial.types import EdgeType, GraphSchema, NodeType, Target

Level = Literal["node", "edge"]
TAKEN = frozenset(
    {"run_id", "dataset", "node", "edge", "split", "created_at", "confidence", "probabilities", "lower", "upper"}
    | {"idx", "src", "dst", "time", "label_time"}
)
"""Columns of label SQL and of predictions views, which cannot name a target."""


class Task:
    """The base of `NodeTask` and `EdgeTask`, of which a task is a frozen dataclass in a file of the task's name.

    Class attributes without annotations declare the task; annotated fields are its settings. `labels` runs the label
    SQL and reads each target from the column of its name: class names become codes, in the order of `Target.classes`
    or, where that is empty, sorted; numbers are read as they are.

    Attributes:
        name: the task's registered name; by default the class's, `EdgeEmotion` → `edge-emotion`.
        level: whether examples are nodes or pairs of nodes.
        targets: what is predicted. The predictions view `<name>_predictions` has columns for each.
        sql: the label SQL, or the name of its file beside the task's, such as `loudness.sql`; by default it selects
            the columns of the targets' names. It selects one row per example: `idx` of a node, or `src` and `dst` of a
            pair of nodes; a column for each target, null without a label; and `time` and `label_time` where there are
            any. `$rows` stands for the visible rows of the entity, `$time` for its time column, `$node_user` (or any
            table's name) for the visible rows of another type, `$hours` for the value of that setting.
        default_model, baselines: registered names of models.
        selection_metric: the metric that selects the epoch: its mean on validation over the targets that have it. By
            default `weighted_f1`, and `mae` where every target is a number.
        id_columns: the predictions view's names of the node's id, or of the source's and the destination's; by default
            `user_id` for a node type `user`.
        entity_column: the predictions view's name of the column with the node or edge type; empty to leave it out.
    """

    name: ClassVar[str]
    level: ClassVar[Level]
    targets: ClassVar[tuple[Target, ...]] = ()
    sql: ClassVar[str] = ""
    default_model: ClassVar[str] = "features_only"
    baselines: ClassVar[tuple[str, ...]] = ("majority", "stratified", "features-only")
    selection_metric: ClassVar[str]
    id_columns: ClassVar[tuple[str, ...]] = ()
    entity_column: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check the declaration, and fill in the name and the selection metric.

        Raises:
            InputError: a declared attribute has the wrong type, or a target's name is taken.
        """
        super().__init_subclass__(**kwargs)
        if cls.__module__ == __name__ or cls.__module__.rpartition(".")[2] == "_asked":
            return
        explicit = "name" in vars(cls)  # else the class's name, which a shared base such as `_Base` need not fit
        if not explicit:
            cls.name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        for attribute, kind in (("targets", Target), ("baselines", str), ("id_columns", str)):
            value = getattr(cls, attribute)
            if not isinstance(value, tuple) or not all(isinstance(item, kind) for item in value):
                raise InputError(
                    f"{cls.__name__}.{attribute} is {value!r}; write a tuple of {kind.__name__}, with a comma behind a "
                    f"single one: ({'Target(…)' if kind is Target else repr('…')},)."
                )
        if explicit and not re.fullmatch(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)*", cls.name):
            raise InputError(f"{cls.__name__} is called '{cls.name}'; write lower-case words joined by -.")
        ends = 2 if getattr(cls, "level", "node") == "edge" else 1
        if len(cls.id_columns) not in (0, ends):
            raise InputError(
                f"{cls.__name__}.id_columns names {len(cls.id_columns)} columns; the id of {cls.level}s has {ends}."
            )
        names = [target.name for target in cls.targets]
        for name in cls.id_columns:
            if name in TAKEN or name in names or cls.id_columns.count(name) > 1:
                raise InputError(f"{cls.__name__}.id_columns has '{name}', which another column is called.")
        for name in names:
            if name in TAKEN or names.count(name) > 1:
                reason = "twice" if names.count(name) > 1 else "like a column that every predictions view has"
                raise InputError(f"{cls.__name__} names a target '{name}' {reason}; choose another name.")
        if not hasattr(cls, "selection_metric"):
            classes = not cls.targets or any(target.kind == "multiclass" for target in cls.targets)
            cls.selection_metric = "weighted_f1" if classes else "mae"

    def entity(self, schema: GraphSchema) -> NodeType | EdgeType:
        """The node or edge type that is labelled."""
        raise NotImplementedError

    @property
    def view(self) -> str:
        """The name of the predictions view, without `_predictions`."""
        return self.name.replace("-", "_")

    def resolved(self, store: GraphStore, dataset: str) -> Task:
        """The same task with settings filled in that follow from the data, which a run then records; itself by default.

        Args:
            store: the open store.
            dataset: the dataset's name.
        """
        return self

    def hidden_columns(self, entity: Any) -> set[str]:
        """Columns that are no inputs though their role is `feature`, as `type.column`; none by default."""
        return set()

    def remarks(self, store: GraphStore, dataset: str) -> list[str]:
        """Sentences about how the task reads the data, which `train` prints; none by default.

        Args:
            store: the open store.
            dataset: the dataset's name.
        """
        return []

    def values(self, entity: Any) -> Mapping[str, str]:
        """Further `$names` of the label SQL → the SQL that replaces them; none by default."""
        return {}

    def target_labels(self, rows: pa.Table, entity: Any, dataset: str) -> dict[Target, LabelArray]:
        """Each target, with its classes filled in, and its (P,) labels; by default read from the column of its name.

        Args:
            rows: the P rows that the label SQL selected.
            entity: the node or edge type.
            dataset: the dataset's name, for errors.

        Raises:
            DataError: a target has no label, or the same one everywhere.
            InputError: the label SQL selects no column for a target.
        """
        target_labels = {}
        for target in self.targets:
            if target.name not in rows.column_names:
                raise InputError(
                    f"The label SQL of {type(self).__name__} selects no column '{target.name}', which its targets "
                    f"name; it selects {', '.join(rows.column_names)}."
                )
            labelled, labels = read_target(target, rows[target.name], f"'{entity}' of '{dataset}'")
            target_labels[labelled] = labels
        return target_labels

    def context(self, store: GraphStore, entity: Any, dataset: str, as_of: datetime | None) -> Context | None:
        """Columns about each example beside the graph, one row per example in order of `idx`; None by default.

        Args:
            store: the open store.
            entity: the node or edge type.
            dataset: the dataset's name.
            as_of: only rows that existed at this time are used; None for all.
        """
        return None

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        """Run the label SQL and read the targets.

        Args:
            store: the open store.
            dataset: the dataset's name.
            as_of: only rows that existed at this time are used; None for all.

        Raises:
            DataError: there are no examples, or their labels leave nothing to learn.
            InputError: the SQL does not run, or lacks a column.
        """
        entity = self.entity(store.schema_of(dataset))
        with authored(type(self), "values()"):
            values = self.values(entity)
        if not isinstance(values, Mapping) or not all(isinstance(sql, str) for sql in values.values()):
            raise InputError(f"{type(self).__name__}.values() returned {values!r}; it must return a dict: $name → SQL.")
        names = {**sql_names(store, entity, dataset, as_of=as_of, settings=vars(self)), **values}
        template = label_sql(type(self), self.sql, self.targets, entity)
        rows = select_labels(store, template, names, entity, task_name=type(self).__name__)
        if not rows.num_rows:
            raise DataError(f"'{dataset}' has no '{entity}' {self.level}s to learn from.")
        with authored(type(self), "target_labels()"):
            target_labels = self.target_labels(rows, entity, dataset)
        if not isinstance(target_labels, Mapping) or not all(isinstance(key, Target) for key in target_labels):
            raise InputError(
                f"{type(self).__name__}.target_labels() returned a value of type {type(target_labels).__name__}; it "
                "must return a dict: Target → labels."
            )
        nodes = self.level == "node"
        return Labels(
            src=rows["idx" if nodes else "src"].to_numpy(),
            dst=None if nodes else rows["dst"].to_numpy(),
            target_labels={target.name: labels for target, labels in target_labels.items()},
            targets=tuple(target_labels),
            times=read_times(rows, "time"),
            label_time=read_times(rows, "label_time"),
            context=self.context(store, entity, dataset, as_of),
        )


class NodeTask(Task):
    """A task about the nodes of one type.

    Attributes:
        node: the node type; by default the only one that has a column for each target. It may be a setting.
    """

    level = "node"
    entity_column = "node"
    node: str | None = None

    def entity(self, schema: GraphSchema) -> NodeType:
        """The node type that is labelled.

        Raises:
            UnknownNameError: there is no such node type.
            DataError: none is named, and none or several have the targets' columns.
        """
        return schema.node(self.node) if self.node else _only(schema.nodes, self, "node")


class EdgeTask(Task):
    """A task about the edges of one type; an example is a pair of nodes, whatever the number of edges between them.

    Attributes:
        edge: the edge type, such as `user views image`; by default the only one that has a column for each target. It
            may be a setting.
    """

    level = "edge"
    entity_column = "edge"
    edge: str | None = None

    def entity(self, schema: GraphSchema) -> EdgeType:
        """The edge type that is labelled.

        Raises:
            UnknownNameError: there is no such edge type.
            DataError: none is named, and none or several have the targets' columns.
        """
        return schema.edge(self.edge) if self.edge else _only(schema.edges, self, "edge")


def _only(entries: Sequence[Any], task: Task, level: Level) -> Any:
    """The only node or edge type that has a column for each target."""
    names = {target.name for target in task.targets}
    having = [entry for entry in entries if names and names <= {column.name for column in entry.columns}]
    if len(having) == 1:
        return having[0]
    known = ", ".join(f"'{entry}'" for entry in having or entries) or "none"
    reason = "Several have" if having else "None has"
    raise DataError(
        f"{type(task).__name__} does not say which {level} type it is about. {reason} the columns "
        f"{', '.join(sorted(names)) or 'of its targets'}: {known}. Name it: {level} = '…'."
    )
