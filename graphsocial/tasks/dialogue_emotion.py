"""Emotion and sentiment of each segment of a dialogue: two targets of one node type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.store.sql import quote
from graphsocial.tasks._label_columns import class_codes, distinct_labels
from graphsocial.tasks._labels import LabelArray
from graphsocial.tasks.base import NodeTask
from graphsocial.types import GraphSchema, NodeType, Target


@dataclass(frozen=True)
class DialogueEmotion(NodeTask):
    """TMSAM's two targets (He & Lu), learnt together: each label column with at least two classes is a target.

    Attributes:
        node: the node type whose rows are classified.
        emotion, sentiment: the label columns; empty to leave one out.
        emotion_weight, sentiment_weight: factors of the two losses in their sum (equal in eq. 10).
    """

    node: str = "segment"
    emotion: str = "emotion"
    sentiment: str = "sentiment"
    emotion_weight: float = 1.0
    sentiment_weight: float = 1.0

    targets = (Target("emotion"), Target("sentiment"))
    sql = "dialogue_emotion.sql"
    default_model = "tmsam"
    baselines = ("majority", "stratified", "features-only", "lstm", "absa", "msa")
    id_columns = ("segment_id",)
    entity_column = ""

    def __post_init__(self) -> None:
        if not self.emotion and not self.sentiment:
            raise InputError("Neither emotion nor sentiment is a target; name at least one label column.")

    @property
    def columns(self) -> dict[str, str]:
        """Target → its label column, without those that are left out."""
        return {name: column for name, column in (("emotion", self.emotion), ("sentiment", self.sentiment)) if column}

    def entity(self, schema: GraphSchema) -> NodeType:
        """The node type that is classified.

        Raises:
            UnknownNameError: there is no such node type, or it has no such column.
        """
        try:
            node = schema.node(self.node)
        except UnknownNameError as error:
            raise UnknownNameError(f"{error} Name the node type: --set node=NAME.") from error
        names = [column.name for column in node.columns]
        for target, column in self.columns.items():
            if column not in names:
                unknown = UnknownNameError.of(f"column of '{node}'", column, names)
                raise UnknownNameError(f"{unknown} Without {target}: --set {target}= with nothing behind it.")
        return node

    def values(self, entity: NodeType) -> Mapping[str, str]:
        """The label columns, null where one is left out."""
        left_out = dict.fromkeys(("emotion", "sentiment"), "null::varchar")
        return left_out | {target: f"{quote(column)}::varchar" for target, column in self.columns.items()}

    def target_labels(self, rows: pa.Table, entity: Any, dataset: str) -> dict[Target, LabelArray]:
        """The targets that have at least two different labels.

        Args:
            rows: the P rows that the label SQL selected.
            entity: the node type.
            dataset: the dataset's name, for errors.

        Raises:
            DataError: no target has two different labels.
        """
        weights = {"emotion": self.emotion_weight, "sentiment": self.sentiment_weight}
        target_labels: dict[Target, LabelArray] = {}
        for target in self.targets:
            classes = distinct_labels(rows[target.name])
            if len(classes) > 1:
                labelled = replace(target, classes=tuple(classes), weight=weights[target.name])
                target_labels[labelled] = class_codes(rows[target.name], classes)
        if not target_labels:
            columns = " nor ".join(f"'{column}'" for column in self.columns.values())
            raise DataError(
                f"Of the {rows.num_rows:,} '{entity}' nodes of '{dataset}' neither {columns} has two different labels."
            )
        return target_labels
