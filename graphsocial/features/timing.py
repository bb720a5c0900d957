"""Estimates the time to encode a column from a sample, whose vectors are not kept."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from graphsocial.errors import InputError
from graphsocial.features import columns_of, describe, encoder_for
from graphsocial.features.content_index import indexed
from graphsocial.features.contract import check_declared
from graphsocial.features.encoding import contextual, missing
from graphsocial.features.vectors import FeatureRef, make_table
from graphsocial.featurizers.base import Featurizer, FittedFeaturizer, set_id
from graphsocial.store import GraphStore


@dataclass(frozen=True)
class EncodingEstimate:
    """The contents of a column to encode, and the estimated time.

    Attributes:
        use: the column and its feature set.
        contents: distinct contents that have no vector yet.
        seconds: estimated seconds to encode them.
    """

    use: FeatureRef
    contents: int
    seconds: float


def estimate_encoding(
    store: GraphStore, what: str, encoder: str | Featurizer | None = None, *, dataset: str | None = None, probe: int = 2
) -> EncodingEstimate:
    """Time a few batches of a column's contents that `featurize` would encode; their vectors are not kept.

    Args:
        store: the store with the column.
        what: `image.file`, `user views image.comment`, …
        encoder: see `encoder_for`; the kind's default by default.
        dataset: the dataset's name; by default the only one in the store.
        probe: number of batches that are timed, of evenly spread contents; one more is encoded before them, untimed.

    Raises:
        InputError: the encoder must be fitted first.
    """
    dataset = store.dataset(dataset)
    ((entry, column),) = columns_of(store.schema, what)
    chosen = encoder_for(encoder, column.kind)
    if isinstance(chosen, FittedFeaturizer):
        raise InputError(f"'{describe(chosen)}' is fitted on a split first; its speed is not known before.")
    chosen.requires.check(describe(chosen))
    check_declared(chosen)
    use = FeatureRef.made_by(chosen, set_id(chosen), entry, column.name)
    make_table(store, use)
    with indexed(store, entry, column, dataset, after=contextual(chosen)) as contents:
        pending = missing(store, contents, use)
    if not pending:
        return EncodingEstimate(use, 0, 0.0)
    size = chosen.batch_size
    # texts that begin alike are read together, so that scattered ones would take too long
    sample = pending if contextual(chosen) else pending[:: max(1, len(pending) // ((probe + 1) * size))]
    items = [item for _, item in sample]
    chosen.encode(items[:size])
    timed = items[size : (probe + 1) * size] or items
    begin = perf_counter()
    for start in range(0, len(timed), size):
        chosen.encode(timed[start : start + size])
    return EncodingEstimate(use, len(pending), (perf_counter() - begin) / len(timed) * len(pending))
