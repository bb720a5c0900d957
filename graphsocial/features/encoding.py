"""Content through an encoder: what has no vector yet is encoded, checked and committed batch by batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graphsocial.features import vectors
from graphsocial.features.contract import check_encoded
from graphsocial.features.vectors import FeatureRef
from graphsocial.featurizers.base import ContextualFeaturizer, Featurizer
from graphsocial.store import GraphStore
from graphsocial.types import FILES, Progress


def contextual(encoder: Featurizer) -> ContextualFeaturizer | None:
    """The encoder itself if it reads each text after those before it, else None."""
    return encoder if isinstance(encoder, ContextualFeaturizer) and encoder.order else None


def missing(
    store: GraphStore, use: FeatureRef, kind: str, *, after: ContextualFeaturizer | None = None
) -> list[tuple[Any, ...]]:
    """What has no vector yet, as (content, item, first idx).

    Long texts come first and texts of one length together, so that a batch holds little padding and memory runs out
    at once or never; lists of texts that begin alike come together, so that they can be read at once.
    """
    order = "length(any_value(item)) desc, content" if kind == "text" else "first_idx"
    if after is not None:
        order = "any_value(item) desc"
    return store.sql(
        "select content, any_value(item) as item, min(idx) as first_idx from contents where content not in "
        f"(select content from {use.table} where set_id = ? union select content from unreadable_contents "
        f"where set_id = ?) group by content order by {order}",
        [use.set_id, use.set_id],
    ).fetchall()


def encode_missing(
    store: GraphStore, use: FeatureRef, kind: str, encoder: Featurizer, progress: Progress | None
) -> int:
    """Encode and commit batch by batch what has not been encoded yet; returns how many contents that were."""
    waiting = missing(store, use, kind, after=contextual(encoder))
    encoded = 0
    for start in range(0, len(waiting), encoder.batch_size):
        if progress:
            progress(f"encoding {use}", start, len(waiting))
        batch = waiting[start : start + encoder.batch_size]
        answer = encoder.encode([Path(item) if kind in FILES else item for _, item, _ in batch])
        check_encoded(encoder, answer, len(batch))
        vectors.write(store, use, [content for content, *_ in batch], answer)
        encoded += len(batch) - len(answer.rejects)
    if progress and waiting:
        progress(f"encoding {use}", len(waiting), len(waiting))
    return encoded
