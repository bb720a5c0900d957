"""Ablation scores: the drop of an example's score without each modality, and the fidelity of that ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphsocial.explanation.ablation import modalities, without
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.loaders import FullGraphLoader
from graphsocial.graph.visibility import View
from graphsocial.models.base import ForwardTrace, Network
from graphsocial.nn.losses import Objective

RANDOM_DELETIONS = 5  # random deletions that a ranking is compared with
TOP_MODALITIES = 2  # modalities that are removed together to test their ranking
MIN_HALF = 5  # examples that rank the modalities of the other half
MIN_PROBABILITY = 1e-12  # probabilities are clipped here before their logarithm is taken


@dataclass(frozen=True)
class ExplainedBatch:
    """Examples that are explained together: they share one view of the graph.

    Attributes:
        network: the trained network.
        objectives: the objective of each target, which turns outputs into predictions.
        loader: loader of the whole graph.
        view: visible edges and labels, as in the batch in which the run predicted these examples.
        examples: (B,) row numbers of the examples that are explained.
        batch_examples: (A,) row numbers of all examples of the batch, the explained ones among them; more than these
            for networks that read examples together, such as the turns of a dialogue.
    """

    network: Network
    objectives: tuple[Objective, ...]
    loader: FullGraphLoader
    view: View
    examples: Tensor
    batch_examples: Tensor

    @property
    def graph(self) -> SocialGraph:
        """The graph without any removal."""
        return self.loader.graph

    @cached_property
    def batch(self) -> Batch:
        """The batch without any removal."""
        return self.loader.batch(self.batch_examples, self.view)

    @cached_property
    def rows(self) -> Tensor:
        """(B,) the rows of the explained examples in the batch."""
        batch_row = torch.empty(self.graph.num_examples, dtype=torch.int64)
        batch_row[self.batch_examples] = torch.arange(len(self.batch_examples))
        return batch_row[self.examples]

    @cached_property
    def predicted_class(self) -> dict[str, NDArray[np.int64]]:
        """Target → (B,) codes of the predicted classes; of several labels, the most probable one."""
        predictions = self._predictions(self.graph, self.batch, self.rows)
        return {
            objective.target.name: objective.choose(predictions[objective.target.name])
            if objective.target.kind == "multiclass"
            else predictions[objective.target.name].argmax(axis=1)
            for objective in self.objectives
            if objective.target.classes
        }

    def scores(self, graph: SocialGraph, batch: Batch, of: NDArray[np.int64] | None = None) -> dict[str, Tensor]:
        """Target → (B,) the log-probability of the class predicted without any removal, or the predicted number.

        Args:
            graph: the graph, perhaps with a modality removed.
            batch: the batch, perhaps with edges or labels removed.
            of: (C,) for each row of the batch, the position of its example in `examples`; by default the batch holds
                the examples at `rows`.
        """
        scores = {}
        batch_rows = self.rows if of is None else torch.arange(len(of))
        for name, predictions in self._predictions(graph, batch, batch_rows).items():
            if name in self.predicted_class:
                codes = self.predicted_class[name] if of is None else self.predicted_class[name][of]
                predictions = np.log(predictions[np.arange(len(codes)), codes].clip(MIN_PROBABILITY))
            scores[name] = torch.from_numpy(predictions)
        return scores

    @cached_property
    def full_scores(self) -> dict[str, Tensor]:
        """Target → (B,) the scores without any removal."""
        return self.scores(self.graph, self.batch)

    @cached_property
    def trace(self) -> ForwardTrace:
        """The network's attention and gates in the forward pass without any removal."""
        with torch.no_grad():
            return self.network.trace(self.batch.as_of(self.graph), self.batch)

    @torch.no_grad()
    def _predictions(self, graph: SocialGraph, batch: Batch, rows: Tensor) -> dict[str, NDArray[np.float64]]:
        outputs = self.network(batch.as_of(graph), batch)
        return {
            objective.target.name: objective.read(outputs[objective.target.name][rows]).numpy()
            for objective in self.objectives
        }

    def generators(self, seed: int) -> list[np.random.Generator]:
        """One for each example, seeded by its ids, so that the other examples of the batch do not matter."""
        ids = self.graph.example_ids(self.examples.numpy())
        keys = ["\0".join(map(str, (seed, *row))) for row in zip(*ids, strict=True)]
        return [np.random.default_rng(list(blake2b(key.encode(), digest_size=16).digest())) for key in keys]


@dataclass(frozen=True)
class Effects:
    """The effect of each modality on the scores of one target.

    Attributes:
        names: M modalities.
        values: (B, M) the drop of the score without each; below 0 where the modality speaks against the prediction.
        fidelity: (B,) the drop without the `TOP_MODALITIES` first ones at once less that without as many random ones.
            Which are first is decided by the other half of the examples, so that it is not positive by construction.
            NaN where there are no more modalities, or fewer than `MIN_HALF` examples in a half.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    fidelity: NDArray[np.float64]


def modality_effects(explained: ExplainedBatch, *, seed: int) -> dict[str, Effects]:
    """Remove each modality from the whole graph, one at a time, and measure the drop of the scores, by target.

    One forward pass for each modality serves all examples.
    """
    parts = modalities(explained.graph, explained.batch)
    if not parts:
        return {}
    drops: dict[frozenset[int], dict[str, Tensor]] = {}

    def drop(indices: Sequence[int]) -> dict[str, Tensor]:
        key = frozenset(indices)
        if key not in drops:
            removed = [parts[index] for index in sorted(key)]
            scores = explained.scores(*without(explained.graph, explained.batch, removed))
            drops[key] = {name: explained.full_scores[name] - value for name, value in scores.items()}
        return drops[key]

    single_drops = [drop([index]) for index in range(len(parts))]
    names = tuple(part.name for part in parts)
    effects = {}
    for target in explained.full_scores:
        values = torch.stack([single_drop[target] for single_drop in single_drops], dim=1).numpy()
        effects[target] = Effects(names, values, ranking_fidelity(explained, values, drop, target, seed))
    return effects


def ranking_fidelity(
    explained: ExplainedBatch,
    values: NDArray[np.float64],
    drop: Callable[[Sequence[int]], Mapping[str, Tensor]],
    target: str,
    seed: int,
) -> NDArray[np.float64]:
    """(B,) the drop of the score without the first modalities, less that without random ones; see `Effects.fidelity`.

    Args:
        explained: the batch.
        values: (B, M) the effect of each modality on each example.
        drop: positions of modalities → target → (B,) drop of the score without all of them.
        target: name of the target.
        seed: random seed of the random modalities.
    """
    num_examples, num_modalities = values.shape
    fidelity = np.full(num_examples, np.nan)
    half = np.arange(num_examples) % 2
    if num_modalities <= TOP_MODALITIES or np.bincount(half, minlength=2).min() < MIN_HALF:
        return fidelity
    ranked_by_other = [np.argsort(-values[half != side].mean(0), kind="stable")[:TOP_MODALITIES] for side in (0, 1)]
    for row, generator in enumerate(explained.generators(seed)):
        first = ranked_by_other[half[row]]
        random = [
            drop(generator.choice(num_modalities, TOP_MODALITIES, replace=False).tolist())[target][row]
            for _ in range(RANDOM_DELETIONS)
        ]
        fidelity[row] = float(drop(first.tolist())[target][row] - torch.stack(random).mean())
    return fidelity


def gates(explained: ExplainedBatch) -> dict[str, NDArray[np.float64]]:
    """Name → (B,) the weight of that part of each example, for networks with gates."""
    return {name: values[explained.rows].double().numpy() for name, values in explained.trace.gates.items()}
