"""What a task is: a question about nodes or edges, declared by its targets and the SQL that labels them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.schemas import text
from graphsocial.store.sql import literal, quote
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType, Target

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

Level = Literal["node", "edge"]
Answers = NDArray[np.int64] | NDArray[np.float64]
"""(P,) class codes, -1 where there is no single label; or numbers, NaN where there is none."""
TAKEN = frozenset(
    {"run_id", "dataset", "node", "edge", "split", "created_at", "confidence", "probabilities", "lower", "upper"}
    | {"idx", "src", "dst", "time", "label_time"}
)
"""Columns of label SQL and of predictions views, which are no names for a target."""


@dataclass(frozen=True)
class Context:
    """What is known of each example at its time, such as how its page's earlier posts were shared.

    It belongs to the example, not to the node: models join it to the example's own representation and pass it along
    no edge, since the context of later examples may tell the labels of earlier ones.

    Attributes:
        columns: numbers, categories and times; those with the role `feature` are encoded by what the training examples
            show, the others are there for models that ask for them by name.
        rows: (P,) one row an example, in the order of the labels.
        parts: a group of columns, such as what is known of the page → their names; explanations ablate each as one.
    """

    columns: tuple[Column, ...]
    rows: pl.DataFrame
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def without(self, names: Collection[str]) -> Context:
        """The same with these columns null."""
        blank = [pl.lit(None, dtype=self.rows.schema[name]).alias(name) for name in names]
        return replace(self, rows=self.rows.with_columns(blank))


@dataclass(frozen=True)
class Labels:
    """The examples of a task: each a node or, for edges, a distinct pair of nodes, labelled or not.

    Attributes:
        src: the store's idx of the node, or of the pair's source, (P,) int64; rows are sorted by (src, dst).
        dst: of the pair's destination, (P,) int64; None where examples are nodes.
        answers: target → (P,) int64 codes into `target.classes`, -1 where there is no single label; or float64
            numbers, NaN where there is none.
        targets: with classes filled in.
        times: (P,) datetime64[us] in UTC, NaT where unknown; None where the data has no times.
        label_time: (P,) when each label became known, where that is later than `times`.
        context: what is known of each example beside the graph, if anything is.
    """

    src: NDArray[np.int64]
    dst: NDArray[np.int64] | None
    answers: Mapping[str, Answers]
    targets: tuple[Target, ...]
    times: NDArray[np.datetime64] | None = None
    label_time: NDArray[np.datetime64] | None = None
    context: Context | None = None

    def __len__(self) -> int:
        return len(self.src)


class Task:
    """A frozen dataclass in `tasks/<name>.py`, or in a file of one's own; a `NodeTask` or an `EdgeTask`.

    What it declares are class attributes without annotations; its annotated fields are its settings. `labels` runs the
    SQL and reads each target from the column of its name: a category's words become class codes, in the order of
    `Target.classes` or, where that is empty, sorted; a number is read as it is.

    Attributes:
        name: as users write it; by default the class's, `EdgeEmotion` → `edge-emotion`.
        level: what an example is.
        targets: what is predicted. The predictions view `<name>_predictions` has columns for each.
        sql: the label SQL, or a file of it beside the task's, `loudness.sql`; by default it reads the columns of the
            targets' names. It selects one row an example: `idx` of a node, or `src` and `dst` of a pair of nodes; a
            column for each target, null where there is no label; and, where there are any, `time` and `label_time`.
            `$rows` stands for the rows of the entity that are visible, `$time` for its time column, `$node_user` (or
            any table's name) for the visible rows of another type, `$hours` for the setting of that name as a value.
        default_model, baselines: names of models.
        selection_metric: chooses the epoch on validation: its mean over the targets that have it.
        id_columns: the view's names of the node's id, or of the source's and the destination's; by default
            `user_id` for a node type `user`.
        entity_column: the view's name of the node or edge type; empty to leave it out.
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
        """Fill in what follows from the rest, and check the declaration.

        Raises:
            InputError: a part of the declaration is not of its kind.
        """
        super().__init_subclass__(**kwargs)
        if cls.__module__ == __name__:
            return
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        for word, kind in (("targets", Target), ("baselines", str), ("id_columns", str)):
            given = getattr(cls, word)
            if not isinstance(given, tuple) or not all(isinstance(part, kind) for part in given):
                raise InputError(
                    f"{cls.__name__}.{word} is {given!r}; write a tuple of {kind.__name__}, with a comma behind a "
                    f"single one: ({'Target(…)' if kind is Target else repr('…')},)."
                )
        names = [target.name for target in cls.targets]
        for name in names:
            if name in TAKEN or names.count(name) > 1:
                why = "twice" if names.count(name) > 1 else "like a column that every predictions view has"
                raise InputError(f"{cls.__name__} names a target '{name}' {why}; choose another name.")
        if not hasattr(cls, "selection_metric"):
            classes = not cls.targets or any(target.kind == "multiclass" for target in cls.targets)
            cls.selection_metric = "weighted_f1" if classes else "mae"

    def entity(self, schema: GraphSchema) -> NodeType | EdgeType:
        """The node or edge type that the question is about."""
        raise NotImplementedError

    def values(self, entity: Any) -> Mapping[str, str]:
        """Further `$names` of the label SQL → the SQL that they stand for; none by default."""
        return {}

    def answers(self, rows: pa.Table, entity: Any, dataset: str) -> dict[Target, Answers]:
        """Each target, with its classes filled in, and its (P,) labels; by default read from the column of its name.

        Args:
            rows: what the label SQL gave, P rows.
            entity: the node or edge type.
            dataset: its name, for errors.

        Raises:
            DataError: a target has no label, or the same one everywhere.
            InputError: the label SQL has no column for a target.
        """
        answers = {}
        for target in self.targets:
            if target.name not in rows.column_names:
                raise InputError(
                    f"The label SQL of {type(self).__name__} selects no column '{target.name}', which its targets "
                    f"name; it selects {', '.join(rows.column_names)}."
                )
            labelled, labels = read_target(target, rows[target.name], f"'{entity}' of '{dataset}'")
            answers[labelled] = labels
        return answers

    def context(self, store: GraphStore, entity: Any, dataset: str, as_of: datetime | None) -> Context | None:
        """What is known of each example beside the graph, one row an example in order of `idx`; None by default."""
        return None

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        """Run the label SQL and read the targets.

        Args:
            store: the open store.
            dataset: its name.
            as_of: only what had happened by then.

        Raises:
            DataError: there are no examples, or their labels leave nothing to learn.
            InputError: the SQL does not run, or lacks a column.
        """
        entity = self.entity(store.schema)
        rows = label_rows(self, store, entity, dataset, as_of)
        if not rows.num_rows:
            raise DataError(f"'{dataset}' has no '{entity}' {self.level}s to learn from.")
        answers = self.answers(rows, entity, dataset)
        times = {name: _times(rows, name) for name in ("time", "label_time")}
        nodes = self.level == "node"
        return Labels(
            src=rows["idx" if nodes else "src"].to_numpy(),
            dst=None if nodes else rows["dst"].to_numpy(),
            answers={target.name: labels for target, labels in answers.items()},
            targets=tuple(answers),
            times=times["time"],
            label_time=times["label_time"],
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
    """A task about the edges of one type; an example is a pair of nodes, however many edges join it.

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


def _only(entries: Sequence[Any], task: Task, word: str) -> Any:
    """The only type that has a column for each target."""
    names = {target.name for target in task.targets}
    having = [entry for entry in entries if names and names <= {column.name for column in entry.columns}]
    if len(having) == 1:
        return having[0]
    known = ", ".join(f"'{entry}'" for entry in having or entries) or "none"
    why = "Several have" if having else "None has"
    raise DataError(
        f"{type(task).__name__} does not say which {word} type it is about. {why} the columns "
        f"{', '.join(sorted(names)) or 'of its targets'}: {known}. Name it: {word} = '…'."
    )


def label_rows(
    task: Task, store: GraphStore, entity: NodeType | EdgeType, dataset: str, as_of: datetime | None
) -> pa.Table:
    """The rows of a task's label SQL, sorted by their keys.

    Args:
        task: with its `sql` and `values`.
        store: the open store.
        entity: the node or edge type.
        dataset: its name.
        as_of: only what had happened by then.

    Raises:
        InputError: the SQL does not run, names something unknown, or lacks a column.
    """
    who = f"The label SQL of {type(task).__name__}"
    known = {
        **{entry.table: f"({store.visible(entry, dataset=dataset, as_of=as_of)})" for entry in store.schema.types},
        **{name: _value(value) for name, value in vars(task).items()},
        "rows": f"({store.visible(entity, dataset=dataset, as_of=as_of)})",
        "time": quote(entity.time) if entity.time else "null::timestamptz",
        **task.values(entity),
    }
    try:
        select = Template(label_sql(task, entity)).substitute(known)
    except KeyError as error:
        raise InputError(f"{who}: {UnknownNameError.of('$name', str(error.args[0]), known)}") from None
    except ValueError as error:
        raise InputError(f"{who}: {error}; write $$ for a dollar sign.") from None
    keys = ("idx",) if isinstance(entity, NodeType) else ("src", "dst")
    try:
        selected = store.sql(f"select * from (\n{select.strip().rstrip(';')}\n)")
    except InputError as error:
        raise InputError(f"{who} does not run on '{entity}': {str(error).partition(': ')[2]}") from error
    for key in keys:
        if key not in selected.columns:
            raise InputError(f"{who} selects no column '{key}'; it selects {', '.join(selected.columns)}.")
    return selected.order(", ".join(keys)).to_arrow_table()


def label_sql(task: Task, entity: NodeType | EdgeType) -> str:
    """The label SQL as the task declares it: its text, the text of its file, or a select of the targets' columns.

    Raises:
        InputError: there is no such file, or nothing is declared and the entity lacks a target's column.
    """
    if not task.sql:
        return _plain_sql(task, entity)
    if not task.sql.endswith(".sql"):
        return task.sql
    if type(task).__module__.startswith("graphsocial."):
        return str(text("tasks", task.sql))
    path = Path(inspect.getfile(type(task))).parent / task.sql
    if not path.is_file():
        raise InputError(f"{type(task).__name__} reads its label SQL from '{path}', and there is no such file.")
    return path.read_text(encoding="utf-8")


def _plain_sql(task: Task, entity: NodeType | EdgeType) -> str:
    """The columns of the targets' names; of a pair of nodes the label of its edges where that is one, or their mean."""
    columns = [column.name for column in entity.columns]
    for target in task.targets:
        if target.name not in columns:
            raise UnknownNameError.of(f"column of '{entity}'", target.name, columns)
    fields = {target: quote(target.name) for target in task.targets}
    if isinstance(entity, EdgeType):
        single = "case when count(distinct {0}::varchar) = 1 then min({0}::varchar) end"
        fields = {t: (single if t.kind == "multiclass" else "avg({0}::double)").format(c) for t, c in fields.items()}
    selected = "".join(f", {sql} as {quote(target.name)}" for target, sql in fields.items())
    if isinstance(entity, NodeType):
        return f"select idx, $time as time{selected} from $rows"
    return f"select src, dst, min($time) as time{selected} from $rows group by src, dst"


def _value(value: object) -> str:
    """A setting as an SQL value."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_value(part) for part in value)}]"
    return literal(str(value))


def read_target(target: Target, column: pa.ChunkedArray, whose: str) -> tuple[Target, Answers]:
    """A target with its classes filled in, and its labels as codes or numbers.

    Args:
        target: what the column holds.
        column: (P,) words, or numbers; null where there is no label.
        whose: for errors, such as `'post' of 'pages'`.

    Raises:
        DataError: there is no label, or the same one everywhere.
        InputError: the target is a number, and the column holds words.
        UnknownNameError: a word is none of the target's classes.
    """
    if target.kind == "regression":
        try:
            numbers = column.cast(pa.float64()).to_numpy()
        except pa.ArrowException as error:
            raise InputError(
                f"The target '{target.name}' is a number, and its column holds {column.type} ({error}). Cast it in the "
                f"label SQL, or declare Target('{target.name}') for classes."
            ) from None
        known = numbers[~np.isnan(numbers)]
        if not len(known) or known.min() == known.max():
            same = f"all {len(known):,} known ones are equal" if len(known) else "none is known"
            raise DataError(f"There is nothing to learn about '{target.name}' of {whose}: {same}.")
        return target, numbers
    words = words_in(column)
    if len(words) < 2:
        same = f"every one is '{words[0]}'" if words else "there is none"
        raise DataError(f"There is nothing to learn from the labels '{target.name}' of {whose}: {same}.")
    labelled = target if target.classes else replace(target, classes=tuple(words))
    return labelled, codes_of(column, labelled.classes)


def words_in(column: pa.ChunkedArray) -> list[str]:
    """The distinct labels of a column, sorted."""
    return sorted(column.cast(pa.string()).unique().drop_null().to_pylist())


def codes_of(column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.int64]:
    """(P,) the position of each label among the classes; -1 where it is null.

    Raises:
        UnknownNameError: a label is none of the classes.
    """
    label = column.cast(pa.string()).combine_chunks().dictionary_encode()
    words = label.dictionary.to_pylist()
    for word in sorted(words):
        if word not in classes:
            raise UnknownNameError.of("class", word, classes)
    code_of = np.asarray([classes.index(word) for word in words], dtype=np.int64)
    if not len(words):
        return np.full(len(label), -1)
    codes: NDArray[np.int64] = np.where(label.is_valid(), code_of[label.indices.fill_null(0)], -1)
    return codes


def _times(rows: pa.Table, name: str) -> NDArray[np.datetime64] | None:
    """(P,) a column of times in UTC; None where it is absent or holds none."""
    if name not in rows.column_names or rows[name].null_count == rows.num_rows:
        return None
    times: NDArray[np.datetime64] = rows[name].cast(pa.timestamp("us")).to_numpy()
    return times
