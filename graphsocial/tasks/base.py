"""What a task is: a question about nodes or edges, the answers that are known, and what counts as a good reply."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from graphsocial.types import EdgeType, GraphSchema, Target

if TYPE_CHECKING:
    from graphsocial.store import GraphStore

Level = Literal["node", "edge", "subgraph"]


@dataclass(frozen=True)
class Labels:
    """The known answers: one row per entity (for edges: per distinct pair), labelled or not.

    Attributes:
        src, dst: the store's idx of the pair's ends, (P,) int64, sorted by (src, dst).
        codes: (P,) int64, the index into `target.classes`; -1 where there is no single answer.
        times: (P,) datetime64[us] in UTC, NaT where unknown; None where the data has no times.
        target: the target with its classes filled in.
    """

    src: NDArray[np.int64]
    dst: NDArray[np.int64]
    codes: NDArray[np.int64]
    times: NDArray[np.datetime64] | None
    target: Target

    def __len__(self) -> int:
        return len(self.src)


class Task(Protocol):
    """A frozen dataclass in `tasks/<name>.py`; its fields are its settings."""

    name: ClassVar[str]
    level: ClassVar[Level]
    default_model: ClassVar[str]
    baselines: ClassVar[tuple[str, ...]]
    selection_metric: ClassVar[str]

    def entity(self, schema: GraphSchema) -> EdgeType:
        """The edge type that the question is about."""
        ...

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        """Read the known answers."""
        ...
