"""Whether an edge of a type joins a pair of nodes: link prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np

from graphsocial.errors import DataError, InputError
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.tasks._label_columns import read_times
from graphsocial.tasks._label_sql import label_sql, select_labels, sql_names
from graphsocial.tasks._labels import Labels
from graphsocial.tasks._negatives import Candidates, draw
from graphsocial.tasks.base import EdgeTask, Task
from graphsocial.types import LINK, EdgeType, GraphSchema, Target


@dataclass(frozen=True)
class Link(EdgeTask):
    """Edges of a type: `graphsocial train link --target "user follows user"`.

    Examples are the pairs that have an edge, as of the first one, and pairs that have none: each from the source of an
    edge and as of its time, to a node that existed then. Which pairs are drawn affects all scores; rank metrics compare
    the edges of each source with its drawn pairs.

    Attributes:
        target: the edge type.
        pairs: number of drawn pairs without an edge for each pair with one.
        drawn: `random` destinations, or `hard`: half of them near the source.
        draw_seed: random seed of the draws.
    """

    target: tuple[str, ...] = ()
    pairs: int = 5
    drawn: Literal["random", "hard"] = "random"
    draw_seed: int = 0

    sql = "link.sql"
    default_model = "hmg_emo"
    baselines = ("prior", "common-neighbors", "adamic-adar", "personalized-pagerank", "matrix-factorization")
    selection_metric = "average_precision"

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise InputError(f"pairs is 1 or more, not {self.pairs}.")
        if self.drawn not in ("random", "hard"):
            raise InputError(f"drawn is 'random' or 'hard', not '{self.drawn}'.")

    @property
    def view(self) -> str:
        """The edge type: `user_follows_user_link`."""
        return "_".join([*self.target[0].split(), "link"]) if self.target else "link"

    def entity(self, schema: GraphSchema) -> EdgeType:
        """The edge type.

        Raises:
            InputError: none is named, or several.
            UnknownNameError: there is no such edge type.
        """
        if len(self.target) != 1:
            known = ", ".join(f"'{edge}'" for edge in schema.edges) or "none"
            raise InputError(f"The task 'link' needs one edge type: --target 'user follows user'. Edge types: {known}.")
        return schema.edge(self.target[0])

    def resolved(self, store: GraphStore, dataset: str) -> Task:
        """The same task, after a check that the dataset has edges of the type."""
        return replace(self, target=(str(self.entity(store.schema_of(dataset))),))

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        """The pairs with an edge, and drawn pairs without one.

        Args:
            store: the open store.
            dataset: the dataset's name.
            as_of: only rows that existed at this time are used; None for all.

        Raises:
            DataError: there are no edges, or no pair without one could be drawn.
        """
        entity = self.entity(store.schema_of(dataset))
        names = sql_names(store, entity, dataset, as_of=as_of, settings={})
        rows = select_labels(store, label_sql(Link, self.sql, (), entity), names, entity, task_name="Link")
        if not rows.num_rows:
            raise DataError(f"'{dataset}' has no '{entity}' edges to learn from.")
        src, dst, times = rows["src"].to_numpy(), rows["dst"].to_numpy(), read_times(rows, "time")
        sources, destinations, positions = draw(
            src,
            dst,
            times,
            self._candidates(store, entity, dataset, as_of),
            per_positive=self.pairs,
            hard=self.drawn == "hard",
            same_type=entity.src == entity.dst,
            generator=np.random.default_rng(self.draw_seed),
        )
        if not len(sources):
            raise DataError(
                f"No pair without a '{entity}' edge could be drawn from '{dataset}': every source has an edge to every "
                f"'{entity.dst}' that existed at its time, so there is nothing to predict."
            )
        every_src, every_dst = np.concatenate([src, sources]), np.concatenate([dst, destinations])
        order = np.lexsort((every_dst, every_src))
        codes = np.repeat([1, 0], [len(src), len(sources)])
        every_time = None if times is None else np.concatenate([times, times[positions]])[order]
        target = Target(entity.relation, classes=LINK)
        return Labels(
            src=every_src[order],
            dst=every_dst[order],
            target_labels={target.name: codes[order]},
            targets=(target,),
            times=every_time,
        )

    def _candidates(self, store: GraphStore, entity: EdgeType, dataset: str, as_of: datetime | None) -> Candidates:
        """The nodes in which edges of the type may end."""
        node = store.schema.node(entity.dst)
        time = f"{quote(node.time)}" if node.time else "null::timestamptz"
        visible = store.visible(node, dataset=dataset, as_of=as_of)
        rows = store.sql(f"select idx, {time} as time from ({visible}) order by idx").to_arrow_table()
        return Candidates(rows["idx"].to_numpy(), read_times(rows, "time"))
