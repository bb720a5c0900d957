"""Which emotion does a user feel at an image? Supervised classification of the edges between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from string import Template
from typing import ClassVar

import numpy as np

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.schemas import text
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.tasks.base import Labels, Level
from graphsocial.types import EdgeType, GraphSchema, Target

MIKELS = ("amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class EdgeEmotion:
    """HMG-Emo's question (Bhattacharyya, Yang & Wang 2024), for any labelled edge between two node types.

    A pair with one emotion is supervised; one with several, or only with `unknown`, stays in the graph as structure.

    Attributes:
        edge: the edge type, such as `user views image`; by default the only one that has the label column.
        label: the column with the emotions of an edge; a list of words, or one word.
        also: columns of numbers of the edge that are asked about too, such as valence and arousal: the model learns
            them beside the emotion, and hears those of other edges. They are answers to the same question: those of
            an edge are hidden whenever its emotion is, and only pairs with one emotion have any.
        also_loss: the weight of the loss of each of them beside that of the emotion.
        classes: the classes in order; by default Mikels' eight if all labels are among them, else the labels found.
    """

    edge: str | None = None
    label: str = "emotions"
    classes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    also_loss: float = 0.5

    name: ClassVar[str] = "edge-emotion"
    level: ClassVar[Level] = "edge"
    default_model: ClassVar[str] = "hmg_emo"
    baselines: ClassVar[tuple[str, ...]] = (
        "majority",
        "stratified",
        "image-prior",
        "user-image-bias",
        "features-only",
    )
    selection_metric: ClassVar[str] = "weighted_f1"

    def __post_init__(self) -> None:
        if self.also_loss < 0:
            raise InputError(f"also_loss is 0 or more, not {self.also_loss}.")

    def entity(self, schema: GraphSchema) -> EdgeType:
        """The edge type that is classified.

        Raises:
            DataError: no edge type has the label column, or several have and `edge` does not say which.
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

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        """One row per (user, image) pair.

        Raises:
            DataError: no pair has exactly one emotion, or all pairs have the same one.
            UnknownNameError: a label is none of the `classes` that were given.
        """
        edge = self.entity(store.schema)
        kind = next(column.kind for column in edge.columns if column.name == self.label)
        numbers = {f"number_{place}": quote(name) for place, name in enumerate(self._numbers(edge))}
        column = quote(self.label) if kind == "categories" else f"[{quote(self.label)}::varchar]"
        rows = store.sql(
            Template(text("tasks", "edge_emotion.sql")).substitute(
                edges=store.visible(edge, dataset=dataset, as_of=as_of),
                label=f"list_filter({column}, lambda word: word <> '{UNKNOWN}')",
                time=quote(edge.time) if edge.time else "null::timestamptz",
                numbers="".join(f"{column}::double as {name}, " for name, column in numbers.items()),
                means="".join(f"avg({name}) as {name}, " for name in numbers),
            )
        ).to_arrow_table()
        if not rows.num_rows:
            raise DataError(f"'{dataset}' has no '{edge}' edges to classify.")
        label = rows["label"].combine_chunks().dictionary_encode()
        words = label.dictionary.to_pylist()
        found = sorted(words)
        if not found:
            raise DataError(
                f"None of the {rows.num_rows:,} '{edge}' pairs has exactly one emotion; "
                "all are unknown, missing or several."
            )
        classes = self.classes or (MIKELS if set(found) <= set(MIKELS) else tuple(found))
        for word in found:
            if word not in classes:
                raise UnknownNameError.of("class", word, classes)
        if len(found) == 1:
            raise DataError(f"Every labelled '{edge}' pair says '{found[0]}'; there is nothing to tell apart.")
        code_of = np.asarray([classes.index(word) for word in words])
        times = rows["time"].cast("timestamp[us]").to_numpy() if edge.time else None
        codes = np.where(label.is_valid(), code_of[label.indices.fill_null(0)], -1)
        told = {
            name: np.where(codes >= 0, rows[number].to_numpy(), np.nan)
            for name, number in zip(self.also, numbers, strict=True)
        }
        return Labels(
            src=rows["src"].to_numpy(),
            dst=rows["dst"].to_numpy(),
            answers={"emotion": codes, **told},
            targets=(
                Target("emotion", "multiclass", classes),
                *(Target(name, "regression", weight=self.also_loss) for name in self.also),
            ),
            times=times,
        )

    def _numbers(self, edge: EdgeType) -> tuple[str, ...]:
        """The columns of `also`, which are numbers of the edge and not its features."""
        known = [column.name for column in edge.columns if (column.kind, column.role) == ("number", "label")]
        for name in self.also:
            if name not in known:
                raise UnknownNameError.of(f"number of '{edge}' that is a label", name, known)
        return self.also
