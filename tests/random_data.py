"""Social data of random schemas: which types there are, which have times, texts and numbers, and who is joined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

FIRST = 3
START = 1_451_606_400_000_000
HOUR = 3_600_000_000
AT = Column("at", "timestamp")
SIDE = """
from dataclasses import dataclass

from graphsocial.extending import NodeTask, Target


@dataclass(frozen=True)
class Side(NodeTask):
    node = "user"
    targets = (Target("side"),)
"""


def moments(values: Any) -> pl.Series:
    return pl.Series(np.asarray(values)).cast(pl.Int64).cast(pl.Datetime("us", "UTC"))


def ids(prefix: str, numbers: Any) -> list[str]:
    return [f"{prefix}{number}" for number in numbers]


def write(store: gs.GraphStore, tables: Mapping[NodeType | EdgeType, Mapping[str, Any]]) -> None:
    nodes = tuple(entry for entry in tables if isinstance(entry, NodeType))
    store.declare(GraphSchema(nodes, tuple(entry for entry in tables if isinstance(entry, EdgeType))))
    for entry, columns in tables.items():
        store.write(entry, pl.DataFrame(columns), dataset="data")


def generated(draw: st.DrawFn) -> tuple[dict[NodeType | EdgeType, pl.DataFrame], str]:
    """Tables of a random schema, and the task to ask of them.

    The first rows of each are earlier than all others: so no type, class or column is ever empty.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    about_edges = draw(st.booleans())
    sizes = {"user": 12, "item": 8, "note": 10}
    timed = {name: draw(st.booleans()) for name in sizes} | ({} if about_edges else {"user": True})

    def times(count: int) -> pl.Series:
        unknown, early = random.random(count) < 0.1, np.arange(count) < FIRST
        drawn = moments(START + np.where(early, -1, random.integers(0, 40, count)) * HOUR)
        return drawn.set(pl.Series(unknown & ~early), None)

    def numbers(name: str, count: int) -> list[int]:
        return [*range(FIRST), *random.integers(0, sizes[name], count - FIRST)]

    def labels(classes: list[str], count: int) -> list[str]:
        return [*classes, *random.choice(classes, count - len(classes)).tolist()]

    tables: dict[NodeType | EdgeType, pl.DataFrame] = {}
    for name, size in sizes.items():
        columns, values = [], {"id": ids(name[0], range(size))}
        if draw(st.booleans()):
            columns.append(Column("text", "text"))
            values["text"] = random.choice(["red fox", "blue sea", "green hill", "black cat"], size).tolist()
        if draw(st.booleans()):
            columns.append(Column("size", "number"))
            values["size"] = random.normal(size=size).tolist()
        if name == "user" and not about_edges:
            columns.append(Column("side", "category", "label"))
            values["side"] = labels(["a", "b"], size)
        if timed[name]:
            columns.append(AT)
            values["at"] = times(size)
        tables[NodeType(name, tuple(columns), time="at" if timed[name] else None)] = pl.DataFrame(values)
    for src, relation, dst in (
        ("user", "rates", "item"),
        ("user", "writes", "note"),
        ("note", "about", "item"),
        ("user", "follows", "user"),
    ):
        has_time, count = draw(st.booleans()) or relation == "rates", 30
        values = {
            "src": ids(src[0], numbers(src, count)),
            "dst": ids(dst[0], [*np.roll(range(FIRST), 1), *numbers(dst, count)[FIRST:]]),
        }
        columns = []
        if relation == "rates" and about_edges:
            columns.append(Column("emotions", "category", "label"))
            values["emotions"] = [*labels(["joy", "fear", "calm"], count - 5), *[None] * 5]
        if has_time:
            columns.append(AT)
            values["at"] = times(count)
        frame = pl.DataFrame(values)
        tables[EdgeType(src, relation, dst, tuple(columns), time="at" if has_time else None)] = frame
    return tables, "edge-emotion" if about_edges else "side"


def until(tables: Mapping[NodeType | EdgeType, pl.DataFrame], moment: int) -> dict[NodeType | EdgeType, pl.DataFrame]:
    """The tables without all that is later than a moment."""
    kept: dict[NodeType | EdgeType, pl.DataFrame] = {}
    for entry, frame in tables.items():
        if entry.time:
            frame = frame.filter(pl.col("at").is_null() | (pl.col("at").dt.timestamp("us") <= moment))
        if isinstance(entry, EdgeType):
            for key, end in (("src", entry.src), ("dst", entry.dst)):
                there = next(part for node, part in kept.items() if str(node) == end)["id"]
                frame = frame.filter(pl.col(key).is_in(there.implode()))
        kept[entry] = frame
    return kept


def shuffled(
    tables: Mapping[NodeType | EdgeType, pl.DataFrame], moment: int | None, hidden: pl.DataFrame, label: str, seed: int
) -> dict[NodeType | EdgeType, pl.DataFrame]:
    """The tables with what an example must not see exchanged: all that is later, and hidden labels.

    Args:
        tables: the tables.
        moment: the example's time in microseconds; None where time does not matter.
        hidden: the keys (`id`, or `src` and `dst`) of the examples whose labels are exchanged for another class.
        label: the column of labels.
        seed: random seed of the exchange.
    """
    random, changed = np.random.default_rng(seed), dict[NodeType | EdgeType, pl.DataFrame]()
    for entry, frame in tables.items():
        if entry.time and moment is not None:
            later = frame["at"].is_null() | (frame["at"].dt.timestamp("us") > moment)
            rows, order = np.flatnonzero(later), random.permutation(np.flatnonzero(later))
            for name in set(frame.columns) - {"id", "dst", "at"}:
                values = frame[name].to_numpy().copy()
                values[rows] = values[order]
                frame = frame.with_columns(pl.Series(name, values, frame.schema[name]))
        if label in frame.columns and not (moment is None and not hidden.height):
            classes = sorted(frame[label].unique().drop_nulls())
            other = dict(zip(classes, [*classes[1:], classes[0]], strict=True))
            keys = hidden.with_columns(pl.lit(True).alias("is_hidden"))
            frame = (
                frame.join(keys, on=hidden.columns, how="left", maintain_order="left")
                .with_columns(
                    pl.when("is_hidden").then(pl.col(label).replace_strict(other)).otherwise(label).alias(label)
                )
                .drop("is_hidden")
            )
        changed[entry] = frame
    return changed
