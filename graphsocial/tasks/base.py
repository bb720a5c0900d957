"""What a task is: a question about nodes or edges, the answers that are known, and what counts as a good reply."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.types import Column, EdgeType, GraphSchema, NodeType, Target

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

Level = Literal["node", "edge"]


@dataclass(frozen=True)
class Context:
    """What is known of each example when it is asked about, such as how its page's earlier posts were shared.

    It belongs to the example, not to the node: models join it to what they say of the example itself and pass it along
    no edge, since the context of later examples may tell the answers of earlier ones.

    Attributes:
        columns: numbers, categories and times; those with the role `feature` are encoded by what the training examples
            show, the others are there for models that ask for them by name.
        rows: (P,) one row an example, in the order of the labels.
        parts: what several columns tell together → their names, such as what is known of the page; explanations take
            each away as one.
    """

    columns: tuple[Column, ...]
    rows: pl.DataFrame
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def without(self, names: Collection[str]) -> Context:
        """The same as if these columns were not known of any example."""
        blank = [pl.lit(None, dtype=self.rows.schema[name]).alias(name) for name in names]
        return replace(self, rows=self.rows.with_columns(blank))


@dataclass(frozen=True)
class Labels:
    """The known answers: one row per example, which is a node or, for edges, a distinct pair of nodes, labelled or not.

    Attributes:
        src: the store's idx of the node, or of the pair's source, (P,) int64; rows are sorted by (src, dst).
        dst: of the pair's destination, (P,) int64; None where examples are nodes.
        answers: by target, (P,): int64 codes into `target.classes`, -1 where there is no single answer; or float64
            numbers, NaN where there is none.
        targets: what is asked, with classes filled in.
        times: (P,) datetime64[us] in UTC, NaT where unknown; None where the data has no times.
        label_time: (P,) when each answer had become known, where that is later than `times`.
        context: what is known of each example beside the graph, if anything is.
    """

    src: NDArray[np.int64]
    dst: NDArray[np.int64] | None
    answers: Mapping[str, NDArray[np.int64] | NDArray[np.float64]]
    targets: tuple[Target, ...]
    times: NDArray[np.datetime64] | None = None
    label_time: NDArray[np.datetime64] | None = None
    context: Context | None = None

    def __len__(self) -> int:
        return len(self.src)


class Task(Protocol):
    """A frozen dataclass in `tasks/<name>.py`; its fields are its settings.

    Attributes:
        name: as users write it, `edge-emotion`.
        level: what an example is.
        default_model, baselines: names of models.
        selection_metric: chooses the epoch on validation: its mean over the targets that have it.
    """

    name: ClassVar[str]
    level: ClassVar[Level]
    default_model: ClassVar[str]
    baselines: ClassVar[tuple[str, ...]]
    selection_metric: ClassVar[str]

    def entity(self, schema: GraphSchema) -> NodeType | EdgeType:
        """The node or edge type that the question is about."""
        ...

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        """Read the known answers."""
        ...
