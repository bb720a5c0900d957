"""The settings that the general tasks share: the columns to predict, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.tasks._label_columns import read_target
from graphsocial.tasks._labels import LabelArray
from graphsocial.tasks._questions import WORDS, Question, TargetWord, find_column, infer_word, remarks
from graphsocial.tasks.base import Task
from graphsocial.types import EdgeType, GraphSchema, NodeType, Target


@dataclass(frozen=True)
class AskedColumns(Task):
    """The base of `Node` and `Edge`, whose targets are columns that the user names.

    Attributes:
        target: the columns to predict, such as `user.gender` or `user rates user.trust`; several of one type are learnt
            together. A column's name alone is enough where one type has it.
        kind: how they are predicted, one word for all or one for each: `multiclass`, `multilabel`, `regression`,
            `count` (a number, learnt as log(1 + x)). By default as the column's kind and values suggest, which the
            run records.
        label_time: the column with the time at which the labels became known, where that is later than the row's own.
        empty: what an empty list is: `unlabelled`, or `none` of the classes.
    """

    target: tuple[str, ...] = ()
    kind: tuple[TargetWord, ...] = ()
    label_time: str | None = None
    empty: Literal["unlabelled", "none"] = "unlabelled"

    def __post_init__(self) -> None:
        if len(set(self.target)) < len(self.target):
            raise InputError(f"The targets {', '.join(self.target)} name a column twice.")
        for word in self.kind:
            if word not in WORDS:
                raise UnknownNameError.of("kind of target", word, WORDS)
        if self.target and len(self.kind) not in (0, 1, len(self.target)):
            raise InputError(
                f"kind names {len(self.kind)} kinds for {len(self.target)} targets; give one for all, or one for each."
            )
        if self.empty not in ("unlabelled", "none"):
            raise InputError(f"empty is 'unlabelled' or 'none', not '{self.empty}'.")

    @property
    def selection_metric(self) -> str:  # type: ignore[override]  # other tasks declare it
        """By what is predicted: the first of classes, sets of classes, counts and other numbers."""
        metrics = {"multiclass": "weighted_f1", "multilabel": "average_precision", "count": "rmsle"}
        return next((metric for word, metric in metrics.items() if word in self.kind), "rmse")

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, without that of their type."""
        return tuple(name.rpartition(".")[2] for name in self.target)

    @property
    def view(self) -> str:
        """The type and the columns: `user_gender`, `user_rates_user_trust`."""
        owner = next((name.rpartition(".")[0].replace(" ", "_") for name in self.target if "." in name), "")
        return "_".join([*([owner] if owner else []), *self.columns])

    def entity(self, schema: GraphSchema) -> Any:
        """The type that has the columns.

        Raises:
            InputError: no column is named, or columns of several types.
            UnknownNameError: there is no such type or column.
            DataError: a column is named without its type, and several types have it.
        """
        types = schema.nodes if self.level == "node" else schema.edges
        known = sorted(f"{entry}.{column.name}" for entry in types for column in entry.columns)
        example = "user.gender" if self.level == "node" else "user rates user.trust"
        if not self.target:
            raise InputError(
                f"The task '{self.name}' needs a column to predict: --target '{known[0] if known else example}'. "
                f"Columns: {', '.join(known) or 'none'}."
            )
        owners = {name.rpartition(".")[0] for name in self.target}
        owners = owners - {""} or owners
        if len(owners) > 1:
            raise InputError(
                f"The targets {', '.join(self.target)} are of {len(owners)} types; a run predicts columns of one type."
            )
        (owner,) = owners
        if not owner:
            having = [entry for entry in types if {*self.columns} <= {column.name for column in entry.columns}]
            if len(having) != 1:
                if not having:
                    bare = {name.rpartition(".")[2] for name in known}
                    missing = next((name for name in self.columns if name not in bare), self.columns[0])
                    raise UnknownNameError.of(f"column of {self.level}s", missing, bare)
                raise DataError(
                    f"Several types have '{', '.join(self.columns)}': {', '.join(map(str, having))}. Name one, such as "
                    f"--target '{having[0]}.{self.columns[0]}'."
                )
            return having[0]
        other = schema.edges if self.level == "node" else schema.nodes
        if any(str(entry) == owner for entry in other):
            task = "edge" if self.level == "node" else "node"
            raise InputError(f"'{owner}' is a type of {task}s; use the task '{task}': train {task} --target …")
        entity: NodeType | EdgeType = schema.node(owner) if self.level == "node" else schema.edge(owner)
        for name in self.columns:
            find_column(entity, name)
        return entity

    def resolved(self, store: GraphStore, dataset: str) -> Task:
        """The same task with the types of its columns named and their kinds filled in.

        Args:
            store: the open store.
            dataset: the dataset's name.
        """
        entity = self.entity(store.schema_of(dataset))
        self._check_label_time(entity)
        columns = [find_column(entity, name) for name in self.columns]
        kind = self.kind or tuple(infer_word(store, dataset, entity, column) for column in columns)
        kind = kind * len(columns) if len(kind) == 1 else kind
        for column, word in zip(columns, kind, strict=True):
            if word in ("regression", "count") and column.kind not in ("number", "integer", "boolean"):
                raise InputError(f"'{entity}.{column.name}' is of the kind {column.kind}, which is no number.")
        return replace(self, target=tuple(f"{entity}.{name}" for name in self.columns), kind=kind)

    def hidden_columns(self, entity: NodeType | EdgeType) -> set[str]:
        """The columns that are predicted, and the time at which they became known."""
        return {f"{entity}.{name}" for name in (*self.columns, *([self.label_time] if self.label_time else []))}

    def remarks(self, store: GraphStore, dataset: str) -> list[str]:
        """How the columns are predicted, where that may not be expected.

        Args:
            store: the open store.
            dataset: the dataset's name.
        """
        entity = self.entity(store.schema_of(dataset))
        return remarks(store, dataset, entity, self._questions(entity), empty_is_none=self.empty == "none")

    def values(self, entity: Any) -> Mapping[str, str]:
        """The SQL of the labels: `target_0` and so on."""
        questions = self._questions(entity)
        labels = [question.label(empty_is_none=self.empty == "none") for question in questions]
        names = [f"target_{position}" for position in range(len(questions))]
        merged = [f"{question.merged(name)} as {name}, " for question, name in zip(questions, names, strict=True)]
        own = quote(entity.time) if entity.time else "null::timestamptz"
        later = f"greatest({own}, {quote(self.label_time)})" if self.label_time else "null::timestamptz"
        return {
            "labels": "".join(f"{label} as {name}, " for label, name in zip(labels, names, strict=True)),
            "labelled": " or ".join(f"{name} is not null" for name in names),
            "merged": "".join(merged),
            "label_time": later,
        }

    def target_labels(self, rows: pa.Table, entity: Any, dataset: str) -> dict[Target, LabelArray]:
        """The columns' targets, with their classes filled in, and their labels.

        Args:
            rows: the P rows that the label SQL selected.
            entity: the node or edge type.
            dataset: the dataset's name, for errors.

        Raises:
            DataError: a target has no label, or the same one everywhere.
        """
        labels = {}
        for position, question in enumerate(self._questions(entity)):
            column = rows[f"target_{position}"]
            numeric = question.column.kind in ("number", "integer")
            target, values = read_target(question.target, column, f"'{entity}' of '{dataset}'", numeric=numeric)
            labels[target] = values
        return labels

    def _questions(self, entity: NodeType | EdgeType) -> list[Question]:
        if len(self.kind) != len(self.target):
            raise InputError(
                f"The kinds of {', '.join(self.target)} are not known yet; train by gs.train or the command."
            )
        return [Question(find_column(entity, name), word) for name, word in zip(self.columns, self.kind, strict=True)]

    def _check_label_time(self, entity: NodeType | EdgeType) -> None:
        if self.label_time is None:
            return
        if find_column(entity, self.label_time).kind != "timestamp":
            raise InputError(
                f"'{entity}.{self.label_time}' is no time; label_time names a column of the kind timestamp."
            )
        if entity.time is None:
            raise InputError(
                f"'{entity}' has no time, so its labels cannot become known later than it: {self.label_time}."
            )
