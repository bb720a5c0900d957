"""How long a column would take to encode, from a sample that is thrown away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from graphsocial.errors import InputError
from graphsocial.features import columns_of, describe, encoder_for
from graphsocial.features.content_index import gather
from graphsocial.features.encoding import contextual, missing
from graphsocial.features.vectors import FeatureRef, make_table
from graphsocial.featurizers.base import Featurizer, FittedFeaturizer, set_id
from graphsocial.store import GraphStore
from graphsocial.types import FILES


@dataclass(frozen=True)
class EncodingEstimate:
    """What encoding a column would take.

    Attributes:
        use: the column and its feature set.
        contents: distinct contents that have no vector yet.
        seconds: how long encoding them would take.
    """

    use: FeatureRef
    contents: int
    seconds: float


def estimate_encoding(
    store: GraphStore, what: str, encoder: str | Featurizer | None = None, *, dataset: str | None = None, probe: int = 2
) -> EncodingEstimate:
    """Time a few batches of what `featurize` would encode in one column; nothing is kept.

    Args:
        what: `image.file`, `user views image.comment`, …
        probe: so many batches, from evenly spread contents; one more goes ahead, untimed.

    Raises:
        InputError: an encoder that learns has no speed before it has learnt.
    """
    dataset = store.dataset(dataset)
    ((entry, column),) = columns_of(store.schema, what)
    chosen = encoder_for(encoder, column.kind)
    if isinstance(chosen, FittedFeaturizer):
        raise InputError(f"'{describe(chosen)}' learns from a split first; its speed cannot be told before.")
    chosen.requires.check(describe(chosen))
    gather(store, entry, column, dataset, after=contextual(chosen))
    use = FeatureRef.made_by(chosen, set_id(chosen), entry, column.name)
    make_table(store, use)
    waiting = missing(store, use, column.kind, after=contextual(chosen))
    if not waiting:
        return EncodingEstimate(use, 0, 0.0)
    size = chosen.batch_size
    # texts that begin alike are read together, so that scattered ones would take too long
    sample = waiting if contextual(chosen) else waiting[:: max(1, len(waiting) // ((probe + 1) * size))]
    items = [Path(item) if column.kind in FILES else item for _, item, _ in sample]
    chosen.encode(items[:size])
    timed = items[size : (probe + 1) * size] or items
    begin = perf_counter()
    for start in range(0, len(timed), size):
        chosen.encode(timed[start : start + size])
    return EncodingEstimate(use, len(waiting), (perf_counter() - begin) / len(timed) * len(waiting))
