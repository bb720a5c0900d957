"""The emotion that a user feels at an image: supervised classification of the edges between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.store.sql import quote
from graphsocial.tasks._label_columns import class_codes, distinct_labels
from graphsocial.tasks._labels import LabelArray
from graphsocial.tasks.base import EdgeTask
from graphsocial.types import EdgeType, GraphSchema, Target

MIKELS = ("amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class EdgeEmotion(EdgeTask):
    """HMG-Emo's task (Bhattacharyya, Yang & Wang 2024), for any labelled edge between two node types.

    A pair with exactly one emotion is an example; pairs with several, or only `unknown`, remain as message edges.

    Attributes:
        edge: the edge type, such as `user views image`; by default the only one that has the label column.
        label: the column with the emotions of an edge; a list of words, or one word.
        classes: the classes in order; by default Mikels' eight if all labels are among them, else the
            labels in the data, sorted.
        also: numeric label columns of the edge, such as valence and arousal, that are further targets: the model learns
            them together with the emotion, and those of other edges are inputs. The number of an edge is hidden
            whenever its emotion is, and only pairs with exactly one emotion have any.
        also_loss: the loss weight of each of them; that of the emotion is 1.
    """

    edge: str | None = None
    label: str = "emotions"
    classes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    also_loss: float = 0.5

    targets = (Target("emotion"),)
    sql = "edge_emotion.sql"
    default_model = "hmg_emo"
    baselines = ("majority", "stratified", "destination-prior", "bias", "features-only")
    id_columns = ("user_id", "image_id")

    def __post_init__(self) -> None:
        if self.also_loss < 0:
            raise InputError(f"also_loss is 0 or more, not {self.also_loss}.")

    def entity(self, schema: GraphSchema) -> EdgeType:
        """The edge type that is classified.

        Raises:
            DataError: no edge type has the label column, or several have it and `edge` is not set.
            InputError: the named edge type has no such column.
        """
        if self.edge is not None:
            edge = schema.edge(self.edge)
            names = [column.name for column in edge.columns]
            if self.label not in names:
                raise InputError(
                    f"'{edge}' has no column '{self.label}'; it has {names}. Name it with --set label=COLUMN."
                )
            return edge
        having = [edge for edge in schema.edges if any(column.name == self.label for column in edge.columns)]
        if not having:
            raise DataError(
                f"No edge type has a column '{self.label}' to learn from. Name the column and the edge type with "
                "--set label=COLUMN --set edge='user views image'."
            )
        if len(having) > 1:
            known = ", ".join(f"'{edge}'" for edge in having)
            raise DataError(f"Several edge types have a column '{self.label}': {known}. Say which with --set edge=…")
        return having[0]

    def values(self, entity: EdgeType) -> Mapping[str, str]:
        """The label as a list without `unknown`, and the numbers.

        Raises:
            UnknownNameError: a column of `also` is no numeric label of the edge.
        """
        known = [column.name for column in entity.columns if (column.kind, column.role) == ("number", "label")]
        for name in self.also:
            if name not in known:
                raise UnknownNameError.of(f"number of '{entity}' that is a label", name, known)
        kind = next(column.kind for column in entity.columns if column.name == self.label)
        words = quote(self.label) if kind == "categories" else f"[{quote(self.label)}::varchar]"
        numbers = {f"number_{position}": quote(name) for position, name in enumerate(self.also)}
        return {
            "label": f"list_filter({words}, lambda word: word <> '{UNKNOWN}')",
            "numbers": "".join(f", {column}::double as {name}" for name, column in numbers.items()),
            "means": "".join(f", avg({name}) as {name}" for name in numbers),
            "named": "".join(f", {name}" for name in numbers),
        }

    def target_labels(self, rows: pa.Table, entity: Any, dataset: str) -> dict[Target, LabelArray]:
        """The emotion of each pair, and the numbers of pairs with exactly one emotion.

        Args:
            rows: the P rows that the label SQL selected.
            entity: the edge type.
            dataset: the dataset's name.

        Raises:
            DataError: no pair has exactly one emotion, or all pairs have the same one.
            UnknownNameError: a label is not among the given `classes`.
        """
        labels = distinct_labels(rows["emotion"])
        if not labels:
            raise DataError(
                f"None of the {rows.num_rows:,} '{entity}' pairs has exactly one emotion; "
                "all are unknown, missing or several."
            )
        classes = self.classes or (MIKELS if set(labels) <= set(MIKELS) else tuple(labels))
        codes = class_codes(rows["emotion"], classes)
        if len(labels) == 1:
            raise DataError(f"Every labelled '{entity}' pair has the label '{labels[0]}'; there is nothing to learn.")
        numbers = {
            Target(name, "regression", weight=self.also_loss): np.where(
                codes >= 0, rows[f"number_{position}"].to_numpy(), np.nan
            )
            for position, name in enumerate(self.also)
        }
        return {Target("emotion", classes=classes): codes, **numbers}
