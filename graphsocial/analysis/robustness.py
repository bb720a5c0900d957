"""How a run answers when a modality is missing: one after the other taken away, or some of each at random."""

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
    """One table, `scores`: a run's scores on its test part with something missing that was there in training.

    A modality is the columns of a node type with one first word: `segment.text` is `text` and `text_vector`. `missing`
    says what is: nothing, one modality of all nodes, or a share of each modality's nodes (in `share`, too), drawn at
    random for each modality by itself. What is missing is missing for neighbours too.

    Attributes:
        run: a run's id, the start of it, or `latest`.
        shares: of the nodes that lose each modality.
        draws: scores of a share are the mean over so many.
        seed: of the draws.
    """

    run: str = "latest"
    shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
    draws: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or any(not 0 < share <= 1 for share in self.shares):
            raise InputError("draws is at least 1, and shares are above 0 and at most 1.")

    def analyze(self, store: GraphStore, dataset: str, *, progress: Progress | None = None) -> Findings:
        """See `analyze`; the look at the test part is logged.

        Raises:
            InputError: the run is of another dataset.
            DataError: it reads no vectors that could be missing.
        """
        run = runs.load(store, self.run)
        if run.dataset != dataset:
            raise InputError(f"'{run.id}' is a run on '{run.dataset}', not on '{dataset}'.")
        restored = rebuild(store, run, progress=progress)
        graph = restored.data.graph
        names = sorted({_modality(feature) for features in graph.node_features.values() for feature in features})
        if not names:
            raise DataError(f"'{run.id}' reads no vectors of nodes, so none can be missing.")
        generator = torch.Generator().manual_seed(self.seed)

        def removed(name: str) -> Callable[[Feature], Tensor]:
            return lambda feature: torch.full(feature.index.shape, _modality(feature) == name)

        def at_random(share: float) -> Callable[[Feature], Tensor]:
            gone: dict[str, Tensor] = {}

            def missing(feature: Feature) -> Tensor:
                drawn = torch.rand(feature.index.shape, generator=generator) < share
                return gone.setdefault(_modality(feature), drawn)

            return missing

        plan: list[tuple[str, float | None, list[Callable[[Feature], Tensor]]]] = [("nothing", 0.0, [removed("")])]
        plan += [(name, None, [removed(name)]) for name in names]
        plan += [
            (f"{share:.0%} of each", share, [at_random(share) for _ in range(self.draws)]) for share in self.shares
        ]
        rows = []
        for number, (missing, share, ways) in enumerate(plan):
            if progress:
                progress(f"without {missing}", number, len(plan))
            drawn = [part for way in ways for part in _scores(restored, _without(graph, way))]
            rows.append(
                pl.DataFrame(drawn)
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
    def cut(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
        return tuple(replace(one, index=torch.where(missing(one), -1, one.index)) for one in features)

    return replace(graph, node_features={name: cut(features) for name, features in graph.node_features.items()})


def _scores(restored: RestoredRun, graph: SocialGraph) -> list[dict[str, object]]:
    data = replace(restored.data, graph=graph)
    rows = data.examples("test")
    said = score(restored.network, make_loader(restored.config, data).exact, rows, restored.objectives)
    found: list[dict[str, object]] = []
    for part in restored.objectives:
        name = part.target.name
        answers = graph.answers[name][rows]
        known = is_known(answers).numpy()
        scores = part.metrics(said[name][known], answers.numpy()[known])
        found += [{"target": name, "metric": metric, "value": value} for metric, value in scores.items()]
    return found
