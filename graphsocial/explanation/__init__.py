"""Explain predictions: rows in `explanations` that SQL can group by modality, neighbor, gate or attention."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphsocial import runs
from graphsocial.errors import DataError, InputError
from graphsocial.evaluation.splits import ROLES
from graphsocial.explanation.attribution import ExplainedBatch
from graphsocial.explanation.rows import explanation_rows
from graphsocial.prediction import Ids, RestoredRun, examples_of, rebuild
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.store.temporary import registered
from graphsocial.training.data import RunData, make_loader
from graphsocial.training.loop import AT_ONCE
from graphsocial.types import Progress


def explain(
    store: GraphStore,
    run: Run | str,
    *,
    ids: Ids | None = None,
    split: str = "test",
    limit: int | None = None,
    top: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Explain a run's predictions and write the rows to `explanations`, in one transaction.

    The score of an example is the log-probability of its predicted class, or its predicted number. Up to five kinds of
    rows explain it, for each target:

    - `modality`: the drop of the score when a column, the words on edges, the visible labels or an edge type is removed
      from the whole graph.
    - `gate`: the weights with which a network combines the parts of an example: the endpoints of a pair, scales,
      vectors, or the length of what one modality receives from another.
    - `neighbour`: the `top` neighbors of each endpoint in each edge type by attention, from networks with attention.
    - `sequence`: the drop of the score when another node of the same sequence is blanked, such as a segment of the same
      dialogue; and when the example's own node is (`itself`, at `distance` 0).
    - `attention`: the example's attention to each node of its sequence; `name` is the attention's, as `text → audio`.

    `fidelity` measures the ranking: the drop of the score without the first ones (the `top` neighbors of each
    endpoint, the `top` nodes by attention, the two first modalities) less that without as many random ones. At or below
    0 the ranking is no better than chance. See `attribution`, `neighbourhoods` and `sequences`.

    Args:
        store: the store of the run.
        run: a run, its id, a prefix of it, or `latest`.
        ids: the examples to explain: ids of nodes or pairs of ids, which need no edge; or a CSV file of them. By
            default the examples of the split role `split`.
        split: `train`, `validation` or `test`.
        limit: maximum number of examples of that role, sampled with `seed`; all by default.
        top: number of neighbors written for each endpoint and edge type, and of nodes removed for `fidelity`.
        seed: random seed of the sampled examples and the random removals.
        progress: called with the number of explained examples.

    Returns:
        The rows that were written.

    Raises:
        InputError: a number out of range, an unknown split role, an id that is not in the data.
        DataError: the split role has no examples.
    """
    if top < 1 or (limit is not None and limit < 1):
        raise InputError("top and limit are at least 1.")
    run = runs.load(store, run) if isinstance(run, str) else run
    restored = rebuild(store, run, progress=progress)
    data, examples = _examples(restored.data, ids, split, limit, seed)
    frames, done = [], 0
    for explained in _batches(restored, data, examples):
        frames.append(explanation_rows(explained, top=top, seed=seed))
        done += len(explained.examples)
        if progress:
            progress("explaining", done, len(examples))
    explanations = pl.concat(frames)
    with store.transaction(), registered(store.connection, explanations.to_arrow()) as new_rows:
        store.connection.execute(
            f"delete from explanations e where run_id = ? and exists (select 1 from {new_rows} n where "
            "n.entity_id = e.entity_id and n.other_id is not distinct from e.other_id)",
            [run.id],
        )
        store.connection.execute(f"insert into explanations by name select ? as run_id, * from {new_rows}", [run.id])
    return explanations


def _examples(data: RunData, ids: Ids | None, split: str, limit: int | None, seed: int) -> tuple[RunData, Tensor]:
    if ids is not None:
        return examples_of(data, ids)
    if split not in ROLES:
        raise InputError(f"'{split}' is no split role; use one of {', '.join(ROLES)}.")
    examples = data.examples(split)
    if not len(examples):
        raise DataError(f"The split role '{split}' has no examples in this run.")
    if limit is not None and limit < len(examples):
        sample = np.random.default_rng(seed).choice(len(examples), limit, replace=False)
        examples = examples[torch.from_numpy(np.sort(sample))]
    return data, examples


def _batches(restored: RestoredRun, data: RunData, examples: Tensor) -> Iterator[ExplainedBatch]:
    """The examples in batches with the visibility that they were predicted with: see `loop.score`."""
    network, loader = restored.network, make_loader(restored.config, data).exact
    together = network.together(data.graph)
    for role in torch.unique(data.roles[examples]).tolist():
        members = torch.nonzero(data.roles == role).squeeze(1)
        size = max(1, len(members) if together is None else AT_ONCE)
        if role == ROLES.index("train"):
            size = max(1, len(members) // 10)
        for batch in loader.split(members, size, groups=together):
            selected = examples[torch.isin(examples, batch)]
            if len(selected):
                groups = batch if together is None else together[batch]
                selected_groups = selected if together is None else together[selected]
                batch_examples = batch[torch.isin(groups, selected_groups)]
                yield ExplainedBatch(network, restored.objectives, loader, loader.view(batch), selected, batch_examples)
