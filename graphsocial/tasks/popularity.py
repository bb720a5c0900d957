"""How often is a post shared? A class and a count for every note, ad or post."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from string import Template
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.errors import DataError, InputError
from graphsocial.schemas import text
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.tasks._posts import ContextPart, alike, content, counted_node, emotions, history, liked
from graphsocial.tasks.base import Context, Labels, Level
from graphsocial.types import GraphSchema, NodeType, Target

CLASSES = 13


@dataclass(frozen=True)
class Popularity:
    """EIJL's question (Leng & Yan 2025), for any node type with a column of shares.

    Two targets: `popularity`, 13 classes of the logarithm of shares; `shares`, the count, learnt as log(1 + shares).
    The class of s shares is floor(ln(1 + s)), at most 12; its name is the range of s. The paper says 13 classes of the
    logarithm, and not which.

    What is known of a post when it is asked about (its context) beside its own text and images: how the text looks from
    outside, hour and weekday, and what its page, author or brand had published at least `hours` before, with the shares
    of those posts, whatever part of the split they are in: by then they were known; and, where `graphsocial link` has
    joined posts that are alike, how the earlier ones were shared. Nothing of it comes from later.

    Text and image emotion are the columns `text_emotion` (1 to 5) and `image_emotion` (0 to 1) where the data has them,
    else what the encoders `sentiment` and `faces` say: `graphsocial featurize post.message --encoder sentiment` first.

    Attributes:
        node: the node type; by default the only one with the column of shares.
        shares: the column with the count.
        likes: the column with likes, used with `likability`.
        likability: the likes of the post itself are known. They were counted with the shares, so this explains how
            popular a post has become and does not forecast it; the paper's emotional interaction layer has it.
        history: what neighbours published before, and how similar posts were shared, is known.
        hours: how long after a post its shares are taken to be known.
        class_loss: the weight of the loss of the classes beside that of the count.
    """

    node: str | None = None
    shares: str = "shares"
    likes: str = "likes"
    likability: bool = False
    history: bool = True
    hours: int = 48
    class_loss: float = 0.5

    name: ClassVar[str] = "popularity"
    level: ClassVar[Level] = "node"
    default_model: ClassVar[str] = "eijl"
    baselines: ClassVar[tuple[str, ...]] = ("majority", "neighbour-median", "likes-only", "features-only")
    selection_metric: ClassVar[str] = "rmsle"

    def __post_init__(self) -> None:
        if self.hours < 0 or self.class_loss < 0:
            raise InputError("hours and class_loss are 0 or more.")

    def entity(self, schema: GraphSchema) -> NodeType:
        """The node type that is shared.

        Raises:
            DataError: no node type has the column of shares, or several have and `node` does not say which.
            InputError: the named one has not.
        """
        return counted_node(schema, self.node, self.shares)

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        """One row per post, with its context.

        Raises:
            DataError: there are no posts, none has shares, some have less than none, or all have equally many.
            InputError: `likability` is asked for and there is no column of likes.
        """
        node = self.entity(store.schema)
        rows = store.sql(
            Template(text("tasks", "popularity.sql")).substitute(
                posts=store.visible(node, dataset=dataset, as_of=as_of),
                shares=quote(self.shares),
                time=quote(node.time) if node.time else "null::timestamptz",
                hours=self.hours,
            )
        ).to_arrow_table()
        shares = rows["shares"].to_numpy()
        known = shares[~np.isnan(shares)]
        if (known < 0).any():
            raise DataError(
                f"{int((known < 0).sum()):,} '{node}' nodes of '{dataset}' have less than 0 '{self.shares}', such as "
                f"{known.min():g}, which is no count. A mapping with `minimum: 0` for that column rejects such rows."
            )
        if not len(known) or known.min() == known.max():
            told = f"all {len(known):,} with '{self.shares}' have equally many" if len(known) else "none has shares"
            raise DataError(f"There is nothing to learn from '{dataset}': of {len(shares):,} '{node}' nodes, {told}.")
        times = {
            name: rows[name].cast("timestamp[us]").to_numpy() if node.time else None for name in ("time", "label_time")
        }
        return Labels(
            src=rows["idx"].to_numpy(),
            dst=None,
            answers={"popularity": log_classes(shares), "shares": shares},
            targets=(
                Target("popularity", "multiclass", class_names(), weight=self.class_loss),
                Target("shares", "regression", transform="log1p"),
            ),
            times=times["time"],
            label_time=times["label_time"],
            context=self._context(store, node, dataset, as_of),
        )

    def _context(self, store: GraphStore, node: NodeType, dataset: str, as_of: datetime | None) -> Context:
        parts = [content(node), emotions(store, node, dataset)]
        if self.history:
            parts += history(store, node, dataset, label=self.shares, hours=self.hours, as_of=as_of)
            parts += alike(store, node, dataset, label=self.shares, hours=self.hours, as_of=as_of)
        parts.append(liked(node, self.likes, known=self.likability))
        return joined(store, f"({store.visible(node, dataset=dataset, as_of=as_of)})", parts)


def joined(store: GraphStore, posts: str, parts: list[ContextPart]) -> Context:
    """The columns of all parts beside each other, one row for each of `posts` by ascending `idx`."""
    columns = tuple(column for part in parts for column in part.columns)
    frame = store.sql(f"select idx from {posts} order by idx").pl()
    for part in parts:
        if part.columns:
            frame = frame.join(store.sql(part.over(posts)).pl(), on="idx", how="left", maintain_order="left")
    told = {part.name: tuple(column.name for column in part.columns) for part in parts if part.columns}
    return Context(columns, frame.select([pl.col(column.name) for column in columns]), told)


def log_classes(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N,) floor(ln(1 + s)), at most 12; -1 where s is unknown.

    >>> import numpy as np
    >>> log_classes(np.array([0.0, 1.0, 2.0, 1e9, np.nan]))
    array([ 0,  0,  1, 12, -1])
    """
    known = ~np.isnan(shares)
    # 1 + s is a whole number, and the exponential of one is not: floor is never a matter of rounding
    return np.where(known, np.floor(np.log1p(np.where(known, shares, 0))).clip(max=CLASSES - 1), -1).astype(np.int64)


def class_names() -> tuple[str, ...]:
    """The counts of shares in each class.

    >>> class_names()[:3], class_names()[-1]
    (('0-1', '2-6', '7-19'), '162754+')
    """
    starts = [0] + [int(np.ceil(np.expm1(k))) for k in range(1, CLASSES)]
    ranges = [f"{low}-{high - 1}" for low, high in pairwise(starts)]
    return (*ranges, f"{starts[-1]}+")
