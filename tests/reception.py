"""How posts are received: a task about nodes in a file of its own, with a class and a number for each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import numpy as np
import polars as pl

from graphsocial.store import GraphStore
from graphsocial.tasks.base import Labels
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType, Target

PAGE = NodeType("page", (Column("kind", "category"),))
POST = NodeType(
    "post",
    (
        Column("words", "number"),
        Column("mood", "category", "label"),
        Column("shares", "number", "label"),
        Column("part", "category", "reference"),
        Column("thread", "category", "reference"),
        Column("time", "timestamp"),
    ),
    time="time",
)
PUBLISHES = EdgeType("page", "publishes", "post", (Column("time", "timestamp"),), time="time")


@dataclass(frozen=True)
class Reception:
    """How a post is received: its mood and how often it is shared."""

    name: ClassVar[str] = "reception"
    level: ClassVar[str] = "node"
    default_model: ClassVar[str] = "features_only"
    baselines: ClassVar[tuple[str, ...]] = ("majority", "stratified")
    selection_metric: ClassVar[str] = "weighted_f1"

    def entity(self, schema: GraphSchema) -> NodeType:
        return schema.node("post")

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        rows = store.read(POST, dataset=dataset, as_of=as_of).order("idx").pl()
        classes = ("calm", "loud")
        codes = [-1 if word is None else classes.index(word) for word in rows["mood"]]
        return Labels(
            src=rows["idx"].to_numpy(),
            dst=None,
            answers={"mood": np.asarray(codes), "shares": rows["shares"].cast(pl.Float64).fill_null(np.nan).to_numpy()},
            targets=(Target("mood", classes=classes), Target("shares", "regression", transform="log1p", weight=0.5)),
            times=rows["time"].dt.replace_time_zone(None).to_numpy(),
        )
