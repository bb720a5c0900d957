"""Robustness to missing modalities: test scores of a run without each one, or with a random share of each missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl
import torch
from torch import Tensor

from graphsocial import runs
from graphsocial.analysis.base import Findings
from graphsocial.errors import DataError, InputError
from graphsocial.graph import Feature, SocialGraph, is_known
from graphsocial.prediction import RestoredRun, rebuild
from graphsocial.runs import records
from graphsocial.training.data import make_loader
from graphsocial.training.loop import score
from graphsocial.types import Progress, modality

if TYPE_CHECKING:
    from graphsocial.store import GraphStore


@dataclass(frozen=True)
class Robustness:
    """One table, `scores`: a run's scores on its test set with features missing that were there in training.

    A modality is the columns of a node type with the same first word: `segment.text` is `text` and `text_vector`. The
    column `missing` is `nothing`, one modality of all nodes, or a share of each modality's nodes (also in `share`),
    sampled independently for each modality. Features of neighbors are missing too.

    Attributes:
        run: a run's id, a prefix of it, or `latest`.
        shares: shares of nodes that lose each modality, above 0 and at most 1.
        draws: number of random draws that the scores of a share are averaged over.
        seed: random seed of the draws.
    """

    run: str = "latest"
    shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
    draws: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or any(not 0 < share <= 1 for share in self.shares):
            raise InputError("draws is at least 1, and shares are above 0 and at most 1.")

    def analyze(self, store: GraphStore, dataset: str, *, progress: Progress | None = None) -> Findings:
        """Score the run with missing modalities; the opening of the test set is logged in `test_openings`.

        Args:
            store: the store to read.
            dataset: name of the dataset.
            progress: called with the name of the step, steps done and steps in all.

        Raises:
            InputError: the run is of another dataset.
            DataError: the run uses no vectors of nodes.
        """
        run = runs.load(store, self.run)
        if run.dataset != dataset:
            raise InputError(f"'{run.id}' is a run on '{run.dataset}', not on '{dataset}'.")
        restored = rebuild(store, run, progress=progress)
        graph = restored.data.graph
        names = sorted({_modality(feature) for features in graph.node_features.values() for feature in features})
        if not names:
            raise DataError(f"'{run.id}' uses no vectors of nodes, so none can be missing.")
        generator = torch.Generator().manual_seed(self.seed)

        def removed(name: str) -> Callable[[Feature], Tensor]:
            return lambda feature: torch.full(feature.index.shape, _modality(feature) == name)

        def at_random(share: float) -> Callable[[Feature], Tensor]:
            masks: dict[str, Tensor] = {}

            def missing(feature: Feature) -> Tensor:
                mask = torch.rand(feature.index.shape, generator=generator) < share
                return masks.setdefault(_modality(feature), mask)

            return missing

        plan: list[tuple[str, float | None, list[Callable[[Feature], Tensor]]]] = [("nothing", 0.0, [removed("")])]
        plan += [(name, None, [removed(name)]) for name in names]
        plan += [
            (f"{share:.0%} of each", share, [at_random(share) for _ in range(self.draws)]) for share in self.shares
        ]
        rows = []
        for number, (missing, share, masks) in enumerate(plan):
            if progress:
                progress(f"without {missing}", number, len(plan))
            scores = [score for mask in masks for score in _scores(restored, _without(graph, mask))]
            rows.append(
                pl.DataFrame(scores)
                .group_by("target", "metric", maintain_order=True)
                .agg(pl.col("value").mean())
                .with_columns(missing=pl.lit(missing), share=pl.lit(share, dtype=pl.Float64))
            )
        records.log_opening(store, run.id, "evaluate")
        frame = pl.concat(rows).pivot(on="metric", index=["missing", "share", "target"], values="value")
        return Findings({"scores": frame}, {"run_id": run.id})


def _modality(feature: Feature) -> str:
    owner, _, column = feature.name.partition(".")
    return f"{owner}.{modality(column)}"


def _without(graph: SocialGraph, missing: Callable[[Feature], Tensor]) -> SocialGraph:
    def masked(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
        return tuple(replace(feature, index=torch.where(missing(feature), -1, feature.index)) for feature in features)

    return replace(graph, node_features={name: masked(features) for name, features in graph.node_features.items()})


def _scores(restored: RestoredRun, graph: SocialGraph) -> list[dict[str, object]]:
    data = replace(restored.data, graph=graph)
    examples = data.examples("test")
    predictions = score(restored.network, make_loader(restored.config, data).exact, examples, restored.objectives)
    rows: list[dict[str, object]] = []
    for objective in restored.objectives:
        name = objective.target.name
        labels = graph.target_labels[name][examples]
        known = is_known(labels).numpy()
        scores = objective.metrics(predictions[name][known], labels.numpy()[known])
        rows += [{"target": name, "metric": metric, "value": value} for metric, value in scores.items()]
    return rows
