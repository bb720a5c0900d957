"""Which emotion and which sentiment has each segment of a dialogue? Two answers about one node."""

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
from graphsocial.types import GraphSchema, NodeType, Target


@dataclass(frozen=True)
class DialogueEmotion:
    """TMSAM's two questions (He & Lu), asked together: each label column that the data fills is a target.

    Attributes:
        node: the node type whose rows are classified.
        emotion, sentiment: the label columns; empty to leave one out.
        emotion_weight, sentiment_weight: of the two losses in their sum (eq. 10 weighs them alike).
    """

    node: str = "segment"
    emotion: str = "emotion"
    sentiment: str = "sentiment"
    emotion_weight: float = 1.0
    sentiment_weight: float = 1.0

    name: ClassVar[str] = "dialogue-emotion"
    level: ClassVar[Level] = "node"
    default_model: ClassVar[str] = "tmsam"
    baselines: ClassVar[tuple[str, ...]] = ("majority", "stratified", "features-only", "lstm", "absa", "msa")
    selection_metric: ClassVar[str] = "weighted_f1"

    def __post_init__(self) -> None:
        if not self.emotion and not self.sentiment:
            raise InputError("Neither emotion nor sentiment is asked for; name at least one label column.")

    def entity(self, schema: GraphSchema) -> NodeType:
        """The node type that is classified.

        Raises:
            UnknownNameError: there is no such node type, or it has no such column.
        """
        try:
            node = schema.node(self.node)
        except UnknownNameError as error:
            raise UnknownNameError(f"{error} Say which nodes to ask about: --set node=NAME.") from error
        names = [column.name for column in node.columns]
        for column in filter(None, (self.emotion, self.sentiment)):
            if column not in names:
                asked = "emotion" if column == self.emotion else "sentiment"
                told = UnknownNameError.of(f"column of '{node}'", column, names)
                raise UnknownNameError(f"{told} Without {asked}: --set {asked}= with nothing behind it.")
        return node

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        """One row per segment; a target is what is filled in and says at least two different things.

        Raises:
            DataError: there are no segments, or none is labelled with anything to tell apart.
        """
        node = self.entity(store.schema)
        asked = [
            (name, column, weight)
            for name, column, weight in (
                ("emotion", self.emotion, self.emotion_weight),
                ("sentiment", self.sentiment, self.sentiment_weight),
            )
            if column
        ]
        rows = store.sql(
            Template(text("tasks", "dialogue_emotion.sql")).substitute(
                nodes=store.visible(node, dataset=dataset, as_of=as_of),
                time=quote(node.time) if node.time else "null::timestamptz",
                labels=", ".join(f"{quote(column)}::varchar as {name}" for name, column, _ in asked),
            )
        ).to_arrow_table()
        if not rows.num_rows:
            raise DataError(f"'{dataset}' has no '{node}' nodes to classify.")
        answers, targets = {}, []
        for name, _, weight in asked:
            label = rows[name].combine_chunks().dictionary_encode()
            found = sorted(label.dictionary.to_pylist())
            if len(found) < 2:
                continue
            place = np.asarray([found.index(word) for word in label.dictionary.to_pylist()])
            answers[name] = np.where(label.is_valid(), place[label.indices.fill_null(0)], -1)
            targets.append(Target(name, classes=tuple(found), weight=weight))
        if not targets:
            columns = " nor ".join(f"'{column}'" for _, column, _ in asked)
            raise DataError(
                f"Of the {rows.num_rows:,} '{node}' nodes of '{dataset}' neither {columns} says two different things."
            )
        times = rows["time"]
        return Labels(
            src=rows["idx"].to_numpy(),
            dst=None,
            answers=answers,
            targets=tuple(targets),
            times=None if times.null_count == len(times) else times.cast("timestamp[us]").to_numpy(),
        )
