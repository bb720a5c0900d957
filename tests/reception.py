"""How posts are received: a task about nodes in a file of its own, with a class and a number for each."""

from __future__ import annotations

from dataclasses import dataclass

from graphsocial.extending import Column, EdgeType, NodeTask, NodeType, Target

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
class Reception(NodeTask):
    """How a post is received: its mood and how often it is shared."""

    node = "post"
    targets = (
        Target("mood", classes=("calm", "loud")),
        Target("shares", "regression", transform="log1p", weight=0.5),
    )
    baselines = ("majority", "stratified")
