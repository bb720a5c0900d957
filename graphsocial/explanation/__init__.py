"""Why a run said what it said, as rows in `explanations` that SQL can group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphsocial import runs
from graphsocial.errors import DataError, InputError
from graphsocial.evaluation.splits import ROLES
from graphsocial.explanation.attribution import Question, gates, modality_effects
from graphsocial.explanation.neighbourhoods import neighbours
from graphsocial.explanation.sequences import surroundings
from graphsocial.prediction import Ids, RestoredRun, examples_of, rebuild
from graphsocial.runs import Run
from graphsocial.store import GraphStore
from graphsocial.training.data import RunData, make_loader
from graphsocial.training.loop import AT_ONCE
from graphsocial.types import Progress

SCHEMA = {
    "target": pl.String,
    "entity_id": pl.String,
    "other_id": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "end_id": pl.String,
    "neighbour_type": pl.String,
    "neighbour_id": pl.String,
    "distance": pl.Int32,
    "value": pl.Float64,
    "rank": pl.Int32,
    "fidelity": pl.Float64,
}


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
    """Explain a run's answers and write the rows to `explanations`, in one transaction.

    Up to five kinds of rows, for each example and target:

    - `modality`: `value` is what the log-probability of the class that is named (or the predicted number) loses when a
      column, the words on edges, the known labels or an edge type is taken away from the whole graph.
    - `gate`: how much the parts of each answer weigh against each other, from networks that combine some: the ends of a
      pair, scales, vectors, what modalities tell each other (by its length).
    - `neighbour`: the `top` neighbours of each end in each relation by attention, from networks that attend.
    - `sequence`: what the support loses when nothing is known of another node of the same sequence, as a segment of the
      same dialogue, from networks that read such; and without the example's own (`itself`, at `distance` 0).
    - `attention`: how much the example attends to each of these, from networks that do; `name` says by which attention,
      as `text → audio`.

    `fidelity` says how far the order can be believed: how much more of the support goes with the first ones (the `top`
    neighbours of each end, the `top` places that get most attention, the two first modalities) than with as many
    random ones. At or below 0 the order means nothing. See `attribution`, `neighbourhoods` and `sequences`.

    Args:
        run: a run, its id, the start of it, or `latest`.
        ids: what to explain: ids of nodes or pairs of ids, which need no edge; or a CSV file of them. Examples of the
            split's part `split` by default.
        split: `train`, `validation` or `test`.
        limit: at most so many examples of that part, drawn by `seed`.
        top: how many neighbours are written, and how many places are the first ones.
        seed: of the draws.
        progress: told how many examples are done.

    Returns:
        The rows that were written.

    Raises:
        InputError: numbers out of range, no such part, an id that is not in the data.
        DataError: the part is empty.
    """
    if top < 1 or (limit is not None and limit < 1):
        raise InputError("top and limit are at least 1.")
    run = runs.load(store, run) if isinstance(run, str) else run
    restored = rebuild(store, run, progress=progress)
    data, asked = _asked(restored.data, ids, split, limit, seed)
    frames, done = [], 0
    for question in _questions(restored, data, asked):
        frames.append(_rows(question, top=top, seed=seed))
        done += len(question.examples)
        if progress:
            progress("explaining", done, len(asked))
    found = pl.concat(frames)
    with store.transaction():
        store.connection.register("found", found.to_arrow())
        store.connection.execute(
            "delete from explanations where run_id = ? and exists (select 1 from found where "
            "found.entity_id = explanations.entity_id and found.other_id is not distinct from explanations.other_id)",
            [run.id],
        )
        store.connection.execute("insert into explanations by name select ? as run_id, * from found", [run.id])
        store.connection.unregister("found")
    return found


def _asked(data: RunData, ids: Ids | None, split: str, limit: int | None, seed: int) -> tuple[RunData, Tensor]:
    if ids is not None:
        return examples_of(data, ids)
    if split not in ROLES:
        raise InputError(f"'{split}' is no part of a split; use one of {', '.join(ROLES)}.")
    rows = data.examples(split)
    if not len(rows):
        raise DataError(f"The part '{split}' of the run's split has no examples.")
    if limit is not None and limit < len(rows):
        chosen = np.random.default_rng(seed).choice(len(rows), limit, replace=False)
        rows = rows[torch.from_numpy(np.sort(chosen))]
    return data, rows


def _questions(restored: RestoredRun, data: RunData, asked: Tensor) -> Iterator[Question]:
    """The examples, each in the view in which the run answered it: see `training.answer` and `loop.score`."""
    network, loader = restored.network, make_loader(restored.config, data).exact
    together = network.together(data.graph)
    for role in torch.unique(data.roles[asked]).tolist():
        members = torch.nonzero(data.roles == role).squeeze(1)
        size = max(1, len(members) if together is None else AT_ONCE)
        if role == ROLES.index("train"):
            size = max(1, len(members) // 10)
        for dealt in loader.deal(members, size, together=together):
            examples = asked[torch.isin(asked, dealt)]
            if len(examples):
                groups = dealt if together is None else together[dealt]
                whose = examples if together is None else together[examples]
                answered = dealt[torch.isin(groups, whose)]
                yield Question(network, restored.objectives, loader, loader.view(dealt), examples, answered)


def _rows(question: Question, *, top: int, seed: int) -> pl.DataFrame:
    rows = [*_modality_rows(question, seed), *_gate_rows(question), *_neighbour_rows(question, top, seed)]
    found = pl.concat([pl.DataFrame(rows, schema=SCHEMA, orient="row"), *_place_rows(question, top)])
    return found.with_columns(pl.col("fidelity").fill_nan(None))


def _pairs(question: Question) -> list[tuple[Any, Any]]:
    """The source's ids of each example; a node has no other one."""
    ids = question.graph.example_ids(question.examples.numpy())
    return list(zip(*ids, strict=True)) if len(ids) == 2 else [(one, None) for one in ids[0]]


def _modality_rows(question: Question, seed: int) -> Iterator[tuple[Any, ...]]:
    for target, effects in modality_effects(question, seed=seed).items():
        for row, pair in enumerate(_pairs(question)):
            for rank, place in enumerate(np.argsort(-effects.values[row], kind="stable")):
                value, fidelity = effects.values[row, place], effects.fidelity[row]
                yield target, *pair, "modality", effects.names[place], None, None, None, None, value, rank + 1, fidelity


def _gate_rows(question: Question) -> Iterator[tuple[Any, ...]]:
    for name, values in gates(question).items():
        for target in question.unchanged:
            for pair, value in zip(_pairs(question), values, strict=True):
                yield target, *pair, "gate", name, None, None, None, None, value, None, None


def _neighbour_rows(question: Question, top: int, seed: int) -> Iterator[tuple[Any, ...]]:
    pairs, graph = _pairs(question), question.graph
    listed, fidelity = neighbours(question, top, seed=seed)
    for target, known in fidelity.items():
        for one in listed:
            pair, relation, lender = pairs[one.example], " ".join(one.kind), one.kind[0]
            who = (pair[one.end], lender, graph.ids[lender][one.node])
            yield target, *pair, "neighbour", relation, *who, None, one.weight, one.rank, known[one.example]


def _place_rows(question: Question, top: int) -> Iterator[pl.DataFrame]:
    """A row for each example and place around it: what is lost without it, and what each attention gives it."""
    around = surroundings(question)
    if around is None:
        return
    lender = question.graph.end_types[0]
    row, place = np.nonzero(around.nodes >= 0)
    asked = np.asarray([str(one) for one, _ in _pairs(question)], dtype=object)
    distance = place - around.own[row]
    frame = pl.DataFrame(
        {
            "entity_id": asked[row],
            "end_id": asked[row],
            "neighbour_type": np.full(len(row), lender, dtype=object),
            "neighbour_id": question.graph.ids[lender][around.nodes[row, place]].astype(object),
            "distance": distance,
        }
    )
    side = np.asarray(["before", "itself", "after"], dtype=object)[np.sign(distance) + 1]
    for target, effects in around.effects.items():
        kinds = [("sequence", side, effects, np.full(len(around.own), np.nan))]
        kinds += [
            ("attention", np.full(len(row), name, dtype=object), weights, around.fidelity(name, target, top))
            for name, weights in around.attention.items()
        ]
        for kind, name, values, fidelity in kinds:
            told = frame.with_columns(
                *(pl.lit(value).alias(column) for column, value in (("target", target), ("kind", kind))),
                pl.lit(None, dtype=pl.String).alias("other_id"),
                name=pl.Series(name),
                value=pl.Series(values[row, place]),
                fidelity=pl.Series(fidelity[row]),
            )
            order = pl.col("value").rank("ordinal", descending=True).over("entity_id")
            yield told.with_columns(rank=order).select(pl.col(column).cast(dtype) for column, dtype in SCHEMA.items())
