"""The shape of a social graph: node types, edge types and their columns, as values that check themselves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from graphsocial.errors import InputError, UnknownNameError

Kind = Literal[
    "text", "category", "categories", "integer", "number", "boolean", "timestamp", "image", "audio", "video", "vector"
]
Role = Literal["feature", "label", "reference"]
TargetKind = Literal["multiclass", "multilabel", "regression"]
SQL_TYPES: dict[str, str] = {
    "text": "varchar",
    "category": "varchar",
    "categories": "varchar[]",
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "timestamp": "timestamptz",
    "image": "varchar",
    "audio": "varchar",
    "video": "varchar",
    "vector": "float[]",
}
LINK = ("no link", "link")
"""The classes of link prediction: pairs without and with an edge."""
Progress = Callable[[str, int, int], None]
"""Callback of long operations: `progress(what, steps_done, steps_in_all)`."""
FILES = ("image", "audio", "video")
"""The kinds whose values are paths of files, below the dataset's root where they are relative."""
RESERVED = frozenset({"idx", "id", "src", "dst", "dataset"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")


def modality(column: str) -> str:
    """The modality of a column, the first word of its name: `text` for `text` and `text_vector`."""
    return column.partition("_")[0]


def check_name(name: str, what: str) -> None:
    """Raise `InputError` unless `name` is a lower-case identifier of at most 48 characters."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"'{name}' cannot name a {what}: use lower-case letters, digits and underscores, "
            "starting with a letter, at most 48 characters."
        )


@dataclass(frozen=True)
class Column:
    """One typed column of a node or edge type.

    Attributes:
        name: lower-case identifier.
        kind: what the values are; see `SQL_TYPES` for how each is stored.
        role: `feature` (models may see it), `label` (a target: never an input unless a task declares it),
            `reference` (kept for comparison only, such as Bayes-optimal probabilities).
        doc: one sentence for `graphsocial info`.
        minimum, maximum: inclusive bounds of a number, as far as the source declares them.
    """

    name: str
    kind: Kind
    role: Role = "feature"
    doc: str = ""
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "column")
        if self.name in RESERVED:
            raise InputError(f"'{self.name}' is a column that every table has; choose another name.")
        if self.kind not in SQL_TYPES:
            raise UnknownNameError.of("column kind", self.kind, SQL_TYPES)
        if self.role not in ("feature", "label", "reference"):
            raise UnknownNameError.of("column role", self.role, ("feature", "label", "reference"))

    @property
    def sql_type(self) -> str:
        """The DuckDB type that holds this column."""
        return SQL_TYPES[self.kind]


def _check_columns(owner: str, columns: tuple[Column, ...], time: str | None) -> None:
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{owner} has the column '{twice[0]}' twice.")
    if time is not None and not any(c.name == time and c.kind == "timestamp" for c in columns):
        raise InputError(f"{owner} says its time is '{time}', but has no timestamp column of that name.")


@dataclass(frozen=True)
class NodeType:
    """A kind of entity: `user`, `image`, `group`, …; its rows live in the table `node_<name>`."""

    name: str
    columns: tuple[Column, ...] = ()
    time: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "node type")
        _check_columns(f"Node type '{self.name}'", self.columns, self.time)

    @property
    def table(self) -> str:
        """The store's table: `node_user`."""
        return f"node_{self.name}"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class EdgeType:
    """A kind of relation: `user views image`; its rows live in the table `edge_<src>_<relation>_<dst>`."""

    src: str
    relation: str
    dst: str
    columns: tuple[Column, ...] = ()
    time: str | None = None

    def __post_init__(self) -> None:
        for name in self.canonical:
            check_name(name, "part of an edge type")
        _check_columns(f"Edge type '{self}'", self.columns, self.time)

    @property
    def canonical(self) -> tuple[str, str, str]:
        """DGL's canonical edge type: (source type, relation, destination type)."""
        return self.src, self.relation, self.dst

    @property
    def table(self) -> str:
        """The store's table: `edge_user_views_image`."""
        return "edge_" + "_".join(self.canonical)

    def __str__(self) -> str:
        return " ".join(self.canonical)


@dataclass(frozen=True)
class GraphSchema:
    """All node and edge types of a store or of one dataset; every edge joins two of its node types."""

    nodes: tuple[NodeType, ...] = ()
    edges: tuple[EdgeType, ...] = ()

    def __post_init__(self) -> None:
        tables = [entry.table for entry in self.types]
        twice = sorted({table for table in tables if tables.count(table) > 1})
        if twice:
            raise InputError(f"The schema declares '{twice[0]}' twice.")
        names = {node.name for node in self.nodes}
        for edge in self.edges:
            for endpoint in (edge.src, edge.dst):
                if endpoint not in names:
                    raise InputError(f"Edge type '{edge}' needs a node type '{endpoint}'; declared: {sorted(names)}.")

    @property
    def types(self) -> tuple[NodeType | EdgeType, ...]:
        """Node types, then edge types, so that the endpoints of edges are written first."""
        return (*self.nodes, *self.edges)

    def node(self, name: str) -> NodeType:
        """The node type of that name, or an `UnknownNameError`."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise UnknownNameError.of("node type", name, [node.name for node in self.nodes], listing="graphsocial info")

    def edge(self, name: str) -> EdgeType:
        """The edge type that prints as `name` (`user views image`), or an `UnknownNameError`."""
        for edge in self.edges:
            if str(edge) == name:
                return edge
        raise UnknownNameError.of("edge type", name, [str(edge) for edge in self.edges], listing="graphsocial info")

    def __bool__(self) -> bool:
        return bool(self.nodes)


@dataclass(frozen=True)
class Target:
    """One thing a task predicts.

    Attributes:
        name: its value in `predictions.target`.
        kind: `multiclass` (one of several classes), `multilabel` (any of several classes) or `regression` (a number).
        classes: the class names in the order of the logits; empty until read from the data.
        transform: applied to a number before training: `log1p` for counts; predictions are in the number's own unit.
        weight: the factor of this target's loss in the sum over targets.
        bounds: smallest and largest value of a number, between which predictions are kept; None for no bound.
    """

    name: str
    kind: TargetKind = "multiclass"
    classes: tuple[str, ...] = field(default=())
    transform: Literal["none", "log1p"] = "none"
    weight: float = 1.0
    bounds: tuple[float | None, float | None] = (None, None)

    def __post_init__(self) -> None:
        check_name(self.name, "target")
        if not isinstance(self.classes, tuple) or not all(isinstance(name, str) and name for name in self.classes):
            raise InputError(f"Target '{self.name}' has the classes {self.classes!r}; write a tuple of names.")
        if not isinstance(self.weight, int | float) or not 0 <= self.weight < math.inf:
            raise InputError(f"Target '{self.name}' has the weight {self.weight!r}; it is a number, 0 or more.")
        if len(set(self.classes)) != len(self.classes):
            raise InputError(f"Target '{self.name}' names a class twice: {self.classes}.")
        if self.kind not in ("multiclass", "multilabel", "regression") or self.transform not in ("none", "log1p"):
            raise InputError(
                f"Target '{self.name}' is '{self.kind}' with the transform '{self.transform}'; it takes multiclass, "
                "multilabel or regression, and none or log1p."
            )
        if self.kind != "regression" and (self.transform != "none" or self.bounds != (None, None)):
            raise InputError(f"Target '{self.name}' has classes; only numbers are transformed or bounded.")
