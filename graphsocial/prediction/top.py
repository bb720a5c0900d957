"""The likeliest new links of each source: pairs without an edge, ranked by a run of the task `link`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from graphsocial import runs
from graphsocial.errors import InputError, MissingFileError
from graphsocial.graph import SocialGraph
from graphsocial.prediction import rebuild
from graphsocial.runs import Run, records
from graphsocial.store import GraphStore
from graphsocial.training.data import make_loader
from graphsocial.training.inference import predict_examples
from graphsocial.training.loop import score
from graphsocial.types import LINK, Progress

PAIRS = 200_000  # pairs that are scored at once


def predict_top(
    store: GraphStore,
    run: Run | str,
    *,
    top: int,
    sources: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the likeliest links that do not exist to `predictions`, `top` for each source; their split is null.

    Args:
        store: the store of the run, open for writing.
        run: a run of the task `link`, its id, a prefix of it, or `latest`.
        top: number of links of each source.
        sources: ids of the sources; all by default.
        progress: called with the name of the step, steps done and steps in all.

    Returns:
        The number of links written.

    Raises:
        InputError: the run predicts something else, or an id is not in the data.
    """
    run = runs.load(store, run) if isinstance(run, str) else run
    if top < 1:
        raise InputError(f"top is 1 or more, not {top}.")
    restored = rebuild(store, run, progress=progress)
    graph = restored.data.graph
    if graph.classes != LINK:
        raise InputError(f"The run '{run.id}' predicts {graph.target.name}, not links; train the task 'link'.")
    nodes = _numbers(graph, sources)
    block, written = max(1, PAIRS // graph.num_nodes[graph.end_types[1]]), 0
    with store.transaction():
        for begin in range(0, len(nodes), block):
            src, dst = _new_pairs(graph, nodes[begin : begin + block])
            if not len(src):
                continue
            roles = torch.cat([restored.data.roles, torch.full((len(src),), -1)])
            data = replace(restored.data, graph=graph.with_pairs(src, dst), roles=roles)
            loader = make_loader(restored.config, data)
            examples = torch.arange(graph.num_examples, graph.num_examples + len(src))
            scores = score(restored.network, loader.exact, examples, restored.objectives)[graph.target.name][:, 1]
            best = examples[_best(src, torch.from_numpy(scores), top)]
            predictions = predict_examples(data, restored.network, restored.objectives, loader, best)
            records.save_predictions(
                store,
                run.id,
                task=run.task,
                dataset=run.dataset,
                predictions=predictions,
                as_of=run.config.get("as_of"),
            )
            written += len(best)
            if progress:
                progress("links", min(begin + block, len(nodes)), len(nodes))
    return written


def _numbers(graph: SocialGraph, sources: Sequence[str] | None) -> Tensor:
    """(n,) local node numbers of the sources."""
    ids = graph.ids[graph.end_types[0]]
    if sources is None:
        return torch.arange(len(ids))
    number_of = {node: number for number, node in enumerate(ids)}
    for node in sources:
        if node not in number_of:
            raise InputError(f"No {graph.end_types[0]} has the id '{node}' in this data.")
    return torch.tensor(sorted({number_of[node] for node in sources}))


def _new_pairs(graph: SocialGraph, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) src and (M,) dst of all pairs of these sources that have no edge, and are no node with itself."""
    size = graph.num_nodes[graph.end_types[1]]
    src = nodes.repeat_interleave(size)
    dst = torch.arange(size).repeat(len(nodes))
    linked = graph.codes == LINK.index("link")
    new = ~torch.isin(src * size + dst, graph.ends[0][linked] * size + graph.ends[1][linked])
    if graph.end_types[0] == graph.end_types[1]:
        new &= src != dst
    return src[new], dst[new]


def _best(src: Tensor, scores: Tensor, top: int) -> Tensor:
    """Positions of the `top` highest scores of each source, ascending."""
    order = torch.argsort(-scores, stable=True)
    order = order[torch.argsort(src[order], stable=True)]
    counts = torch.unique_consecutive(src[order], return_counts=True)[1]
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return order[torch.arange(len(order)) - starts < top].sort().values


def first_column(path: Path) -> list[str]:
    """The ids in the first column of a CSV file with a header.

    Raises:
        MissingFileError: there is no such file.
    """
    if not path.is_file():
        raise MissingFileError(f"There is no file '{path}'.")
    frame = pl.read_csv(path, infer_schema=False)
    return [str(name) for name in frame[frame.columns[0]]]
