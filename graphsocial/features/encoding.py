"""Content through an encoder: what has no vector yet is encoded, checked and committed batch by batch."""

from __future__ import annotations

from typing import Any

from graphsocial.features import vectors
from graphsocial.features.content_index import ContentIndex
from graphsocial.features.contract import check_encoded
from graphsocial.features.vectors import FeatureRef
from graphsocial.featurizers.base import ContextualFeaturizer, Featurizer
from graphsocial.plugins import authored
from graphsocial.store import GraphStore
from graphsocial.types import Progress


def contextual(encoder: Featurizer) -> ContextualFeaturizer | None:
    """The encoder itself if it reads each text after those before it, else None."""
    return encoder if isinstance(encoder, ContextualFeaturizer) and encoder.order else None


def missing(store: GraphStore, contents: ContentIndex, use: FeatureRef) -> list[tuple[str, Any]]:
    """The contents that have no vector yet, as (content, item).

    Long texts come first and texts of one length together, so that a batch holds little padding and memory runs out
    at once or never; lists of texts that begin alike come together, so that they can be read at once.

    Args:
        store: what holds the vectors.
        contents: the contents of a column.
        use: the feature set that they should be in.
    """
    if contents.in_context:
        order = "any_value(item) desc"
    else:
        order = "length(any_value(item)) desc, content" if contents.kind == "text" else "min(idx)"
    rows = store.sql(
        f"select content, any_value(item) from {contents.table} where content not in "
        f"(select content from {use.table} where set_id = ? union select content from unreadable_contents "
        f"where set_id = ?) group by content order by {order}",
        [use.set_id, use.set_id],
    ).fetchall()
    return [(content, contents.as_read(item)) for content, item in rows]


def encode_missing(
    store: GraphStore, contents: ContentIndex, use: FeatureRef, encoder: Featurizer, progress: Progress | None
) -> int:
    """Encode what has not been encoded yet, each batch in a transaction of its own; returns the number of contents.

    Args:
        store: what the vectors are written to.
        contents: the contents of a column.
        use: the feature set that the encoder makes of it.
        encoder: what makes the vectors.
        progress: called with a word, contents done and contents to do.

    Raises:
        FeatureError: what the encoder returns is not what it declares: see `check_encoded`.
    """
    pending = missing(store, contents, use)
    encoded = 0
    for start in range(0, len(pending), encoder.batch_size):
        if progress:
            progress(f"encoding {use}", start, len(pending))
        batch = pending[start : start + encoder.batch_size]
        with authored(type(encoder), "encode()"):
            batch_vectors = encoder.encode([item for _, item in batch])
        check_encoded(encoder, batch_vectors, len(batch))
        vectors.write(store, use, [content for content, _ in batch], batch_vectors)
        encoded += len(batch) - len(batch_vectors.rejects)
    if progress and pending:
        progress(f"encoding {use}", len(pending), len(pending))
    return encoded
