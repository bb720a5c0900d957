"""Columns that a general task is asked about: their kind as a target, read from the catalog and the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.types import Column, EdgeType, NodeType, Target

TargetWord = Literal["multiclass", "multilabel", "regression", "count"]
WORDS = ("multiclass", "multilabel", "regression", "count")
FEW_VALUES = 30  # number of distinct values up to which a number may have been meant as classes
MANY_CLASSES = 100
SKEW = 10.0  # the largest of counts is at least this many times their median
MIN_IDS = 20  # number of distinct whole numbers from which they may be ids


@dataclass(frozen=True)
class Question:
    """A column of a node or edge type that is to be predicted.

    Attributes:
        column: the column.
        word: how it is predicted; `count` is a number that is learnt as log(1 + x).
    """

    column: Column
    word: TargetWord

    @property
    def target(self) -> Target:
        """The target, named like the column, without its classes."""
        if self.word in ("multiclass", "multilabel"):
            return Target(self.column.name, self.word)
        bounds = (self.column.minimum, self.column.maximum)
        if self.word == "count":
            return Target(self.column.name, "regression", transform="log1p", bounds=bounds)
        return Target(self.column.name, "regression", bounds=bounds)

    def label(self, *, empty_is_none: bool) -> str:
        """SQL of a row's label: text of a class, a list of them, or a number; null without one."""
        name, kind = quote(self.column.name), self.column.kind
        text = f"{name}::varchar"
        if kind in ("number", "integer"):  # 3.0 is the class '3'
            text = f"coalesce(case when {name} = floor({name}) then try_cast({name} as bigint)::varchar end, {text})"
        if self.word == "multiclass":
            if kind == "categories":
                return f"case when len(list_distinct({name})) = 1 then {name}[1] end"
            return f"case when {text} <> '' then {text} end"
        if self.word == "multilabel":
            if kind != "categories":
                return f"case when {text} <> '' then [{text}] end"
            return name if empty_is_none else f"case when len({name}) > 0 then {name} end"
        number = f"{name}::double"
        return f"case when isfinite({number}) then {number} end"

    def merged(self, name: str) -> str:
        """SQL of the label of several edges of one pair, whose labels have this name."""
        if self.word == "multiclass":
            return f"case when count(distinct {name}) = 1 then min({name}) end"
        if self.word == "multilabel":
            return f"list_sort(list_distinct(flatten(list({name}) filter ({name} is not null))))"
        return f"avg({name})"


def find_column(entity: NodeType | EdgeType, name: str) -> Column:
    """The column of that name, or an error that lists those that can be predicted.

    Raises:
        UnknownNameError: there is no such column.
    """
    for column in entity.columns:
        if column.name == name:
            return column
    known = [column.name for column in entity.columns]
    unknown = UnknownNameError.of(f"column of '{entity}'", name, known)
    if isinstance(entity, EdgeType):
        raise UnknownNameError(f"{unknown} Whether such an edge exists is another task: train link.")
    raise unknown


def infer_word(store: GraphStore, dataset: str, entity: NodeType | EdgeType, column: Column) -> TargetWord:
    """How a column is predicted unless it is said: by the kind of the column and, for numbers, its values.

    Args:
        store: the open store.
        dataset: the dataset's name.
        entity: the type that has the column.
        column: the column.

    Raises:
        InputError: the column holds no classes and no numbers, or its numbers are ids.
        DataError: no row has a value.
    """
    words: dict[str, TargetWord] = {"category": "multiclass", "boolean": "multiclass", "categories": "multilabel"}
    if column.kind in words:
        return words[column.kind]
    where = f"'{entity}.{column.name}'"
    if column.kind not in ("number", "integer"):
        raise InputError(
            f"{where} is a {column.kind}, neither a class nor a number. Declare it as category in the mapping, "
            f"or set kind=multiclass to take each different {column.kind} as a class."
            if column.kind == "text"
            else f"{where} is of the kind {column.kind}; category, boolean, categories, integer and number can be "
            "predicted."
        )
    values = NumberValues.read(store, dataset, entity, column)
    if values.are_ids:
        raise InputError(
            f"{where} has a different whole number in each of {values.known:,} rows, as ids have, about which nothing "
            "can be learnt. If it is a quantity, set kind=regression."
        )
    return "count" if values.are_counts else "regression"


@dataclass(frozen=True)
class NumberValues:
    """The distribution of a column of numbers in a dataset.

    Attributes:
        known: number of rows with a value.
        distinct: number of different values.
        least, median, most: of the values.
        whole: all values are whole numbers.
    """

    known: int
    distinct: int
    least: float
    median: float
    most: float
    whole: bool

    @classmethod
    def read(cls, store: GraphStore, dataset: str, entity: NodeType | EdgeType, column: Column) -> NumberValues:
        """Read the values of a column.

        Args:
            store: the open store.
            dataset: the dataset's name.
            entity: the type that has the column.
            column: a number or an integer.

        Raises:
            DataError: no row has a value.
        """
        span, name = store.span(entity, dataset), f"{quote(column.name)}::double"
        row = store.first(
            f"select count(x), count(distinct x), min(x), median(x), max(x), bool_and(x = floor(x)) from (select "
            f"{name} as x from {quote(entity.table)} where idx >= ? and idx < ?) where isfinite(x)",
            [span.first, span.last],
        )
        if row is None or not row[0]:
            raise DataError(f"There is nothing to learn about '{entity}.{column.name}': every value is missing.")
        return cls(*row)

    @property
    def are_ids(self) -> bool:
        """Whether no value repeats and, in whole numbers without gaps or beyond exact doubles, they enumerate rows."""
        unique = self.whole and self.distinct == self.known >= MIN_IDS
        return unique and (self.most - self.least + 1 <= 2 * self.known or self.most > 2**53)

    @property
    def are_counts(self) -> bool:
        """Whether they are whole, never negative, and a few are far larger than most."""
        return self.whole and self.least >= 0 and self.most >= SKEW * max(1.0, self.median)


def remarks(
    store: GraphStore, dataset: str, entity: NodeType | EdgeType, questions: Sequence[Question], *, empty_is_none: bool
) -> list[str]:
    """What a user may not expect of how columns are predicted, a sentence each.

    Args:
        store: the open store.
        dataset: the dataset's name.
        entity: the type that has the columns.
        questions: the columns, with how they are predicted.
        empty_is_none: empty lists are labels: none of the classes.
    """
    lines, span = [], store.span(entity, dataset)
    for question in questions:
        column, where = question.column, f"{entity}.{question.column.name}"
        if question.word in ("regression", "count") and column.kind in ("number", "integer"):
            values = NumberValues.read(store, dataset, entity, column)
            scale = " on the scale log(1 + x)" if question.word == "count" else ""
            other = "kind=multiclass for classes" if values.distinct <= FEW_VALUES else ""
            if question.word == "count":
                other = "kind=regression for the plain scale"
            if other:
                lines.append(
                    f"{where} has {values.distinct:,} different values and is predicted as a number{scale}; "
                    f"--set {other}."
                )
        if question.word in ("multiclass", "multilabel"):
            label = question.label(empty_is_none=empty_is_none)
            parts = f"unnest({label})" if question.word == "multilabel" else label
            (classes,) = store.first(
                f"select count(distinct label) from (select {parts} as label from {quote(entity.table)} where "
                "idx >= ? and idx < ?)",
                [span.first, span.last],
            ) or (0,)
            if classes > MANY_CLASSES:
                lines.append(
                    f"{where} has {classes:,} classes: many have few examples, and the macro scores are theirs."
                )
        if column.kind == "categories":
            (empty,) = store.first(
                f"select count(*) from {quote(entity.table)} where idx >= ? and idx < ? "
                f"and len({quote(column.name)}) = 0",
                [span.first, span.last],
            ) or (0,)
            if empty and question.word == "multilabel":
                taken = "none of the classes" if empty_is_none else "unlabelled"
                other = "empty=unlabelled to leave them out" if empty_is_none else "empty=none for none of the classes"
                lines.append(f"{where} has {empty:,} empty lists, taken as {taken}; --set {other}.")
    return lines
