"""How often a post is shared: a class and a count for every note, ad or post."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from graphsocial.errors import DataError, InputError
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.tasks._labels import Context, LabelArray
from graphsocial.tasks._posts import ContextPart, alike, content, counted_node, emotions, history, liked
from graphsocial.tasks.base import NodeTask
from graphsocial.types import GraphSchema, NodeType, Target

CLASSES = 13


@dataclass(frozen=True)
class Popularity(NodeTask):
    """EIJL's task (Leng & Yan 2025), for any node type with a column of shares.

    Two targets: `popularity`, 13 classes of the logarithm of shares; `shares`, the count, learnt as log(1 + shares).
    The class of s shares is floor(ln(1 + s)), at most 12; its name is the range of s. The paper gives 13 classes of
    the logarithm, without their bounds.

    The context of a post, besides its text and images: the form of the text (length, marks), hour and weekday; the
    posts that its page, author or brand had published at least `hours` before and their shares, in whatever part of
    the split they are, since they were known by then; and the shares of earlier similar posts, where `graphsocial link`
    has joined them. None of it is later than the post.

    Text and image emotion are the columns `text_emotion` (1 to 5) and `image_emotion` (0 to 1) where the data has them,
    else the output of the encoders `sentiment` and `faces`: `graphsocial featurize post.message --encoder sentiment`
    first.

    Attributes:
        node: the node type; by default the only one with the column of shares.
        shares: the column with the count.
        likes: the column with likes, used with `likability`.
        likability: use the post's likes as an input, as the paper's emotional interaction layer does. They were counted
            together with the shares, so the model then explains popularity and does not forecast it.
        history: put the earlier posts of neighbors, and the shares of similar posts, in the context.
        hours: hours after a post at which its shares count as known.
        class_loss: the loss weight of the classes; that of the count is 1.
    """

    node: str | None = None
    shares: str = "shares"
    likes: str = "likes"
    likability: bool = False
    history: bool = True
    hours: int = 48
    class_loss: float = 0.5

    targets = (Target("popularity"), Target("shares", "regression", transform="log1p"))
    sql = "popularity.sql"
    default_model = "eijl"
    baselines = ("majority", "neighbour-median", "likes-only", "features-only")
    selection_metric = "rmsle"
    id_columns = ("post_id",)

    def __post_init__(self) -> None:
        if self.hours < 0 or self.class_loss < 0:
            raise InputError("hours and class_loss are 0 or more.")

    def entity(self, schema: GraphSchema) -> NodeType:
        """The node type that is shared.

        Raises:
            DataError: no node type has the column of shares, or several have it and `node` is not set.
            InputError: the named node type lacks the column.
        """
        return counted_node(schema, self.node, self.shares)

    def values(self, entity: NodeType) -> Mapping[str, str]:
        """The column with the count."""
        return {"count": quote(self.shares)}

    def target_labels(self, rows: pa.Table, entity: Any, dataset: str) -> dict[Target, LabelArray]:
        """The class of each post's shares, and their number.

        Args:
            rows: the P rows that the label SQL selected.
            entity: the node type.
            dataset: the dataset's name, for errors.

        Raises:
            DataError: no post has shares, some are negative, or all are equal.
        """
        shares = rows["shares"].to_numpy()
        known = shares[~np.isnan(shares)]
        if (known < 0).any():
            raise DataError(
                f"{int((known < 0).sum()):,} '{entity}' nodes of '{dataset}' have less than 0 '{self.shares}', such as "
                f"{known.min():g}, which is not a count. A mapping with `minimum: 0` for that column rejects such rows."
            )
        if not len(known) or known.min() == known.max():
            reason = f"all {len(known):,} with '{self.shares}' have equally many" if len(known) else "none has shares"
            raise DataError(
                f"There is nothing to learn from '{dataset}': of {len(shares):,} '{entity}' nodes, {reason}."
            )
        return {
            Target("popularity", "multiclass", class_names(), weight=self.class_loss): log_classes(shares),
            Target("shares", "regression", transform="log1p"): shares,
        }

    def context(self, store: GraphStore, entity: NodeType, dataset: str, as_of: datetime | None) -> Context:
        """The form of each post, its emotions, its neighbors' earlier posts and their shares, and its likes.

        Args:
            store: the open store.
            entity: the node type of the posts.
            dataset: the dataset's name.
            as_of: only rows that existed at this time are used; None for all.

        Raises:
            InputError: `likability` is set and there is no column of likes.
        """
        parts = [content(entity), emotions(store, entity, dataset)]
        if self.history:
            parts += history(store, entity, dataset, label=self.shares, hours=self.hours, as_of=as_of)
            parts += alike(store, entity, dataset, label=self.shares, hours=self.hours, as_of=as_of)
        parts.append(liked(entity, self.likes, known=self.likability))
        return joined(store, f"({store.visible(entity, dataset=dataset, as_of=as_of)})", parts)


def joined(store: GraphStore, posts: str, parts: list[ContextPart]) -> Context:
    """The columns of all parts side by side, one row for each of `posts` by ascending `idx`.

    Args:
        store: the open store.
        posts: an SQL select of the posts in parentheses.
        parts: the parts of the context.
    """
    columns = tuple(column for part in parts for column in part.columns)
    frame = store.sql(f"select idx from {posts} order by idx").pl()
    for part in parts:
        if part.columns:
            frame = frame.join(store.sql(part.over(posts)).pl(), on="idx", how="left", maintain_order="left")
    names = {part.name: tuple(column.name for column in part.columns) for part in parts if part.columns}
    return Context(columns, frame.select([pl.col(column.name) for column in columns]), names)


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
