"""What an answer owes to each kind of information, and how far that order can be believed."""

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

DRAWS = 5  # random deletions that each explanation is held against
TOGETHER = 2  # modalities that are deleted together to test their order
LEAST = 1e-12  # of a probability whose logarithm is taken


@dataclass(frozen=True)
class Question:
    """Examples that are explained together: they share one view of the graph.

    Attributes:
        network, objectives: who answers, and what the answers mean.
        loader: the whole graph.
        view: what may be seen; that of the batch in which the run answered these examples.
        examples: (B,) positions.
        answered: (A,) positions of what is answered together, the examples among them; for networks that read examples
            beside each other, as the turns of a dialogue.
    """

    network: Network
    objectives: tuple[Objective, ...]
    loader: FullGraphLoader
    view: View
    examples: Tensor
    answered: Tensor

    @property
    def graph(self) -> SocialGraph:
        """The graph as it is."""
        return self.loader.graph

    @cached_property
    def batch(self) -> Batch:
        """What is answered, with the messages that it needs."""
        return self.loader.batch(self.answered, self.view)

    @cached_property
    def rows(self) -> Tensor:
        """(B,) where the examples are in the batch."""
        place = torch.empty(self.graph.num_examples, dtype=torch.int64)
        place[self.answered] = torch.arange(len(self.answered))
        return place[self.examples]

    @cached_property
    def named(self) -> dict[str, NDArray[np.int64]]:
        """Target → (B,) the class that is named; only of targets with classes."""
        said = self._said(self.graph, self.batch, self.rows)
        return {
            part.target.name: part.choose(said[part.target.name])
            for part in self.objectives
            if part.target.kind == "multiclass"
        }

    def support(self, graph: SocialGraph, batch: Batch, of: NDArray[np.int64] | None = None) -> dict[str, Tensor]:
        """Target → (B,) the log-probability of the class that is named without any change, or the number.

        Args:
            graph, batch: perhaps with something taken away.
            of: (C,) which of the examples each of the batch's is; they stand at `rows` by default.
        """
        found = {}
        for name, said in self._said(graph, batch, self.rows if of is None else torch.arange(len(of))).items():
            if name in self.named:
                codes = self.named[name] if of is None else self.named[name][of]
                said = np.log(said[np.arange(len(codes)), codes].clip(LEAST))
            found[name] = torch.from_numpy(said)
        return found

    @cached_property
    def unchanged(self) -> dict[str, Tensor]:
        """Target → (B,) the support with everything in place."""
        return self.support(self.graph, self.batch)

    @cached_property
    def seen(self) -> ForwardTrace:
        """What the network looked at when it answered."""
        with torch.no_grad():
            return self.network.trace(self.graph, self.batch)

    @torch.no_grad()
    def _said(self, graph: SocialGraph, batch: Batch, rows: Tensor) -> dict[str, NDArray[np.float64]]:
        outputs = self.network(graph, batch)
        return {part.target.name: part.read(outputs[part.target.name][rows]).numpy() for part in self.objectives}

    def generators(self, seed: int) -> list[np.random.Generator]:
        """One for each example, from its ids, so that it does not matter with which others it is explained."""
        ids = self.graph.example_ids(self.examples.numpy())
        keys = ["\0".join(map(str, (seed, *row))) for row in zip(*ids, strict=True)]
        return [np.random.default_rng(list(blake2b(key.encode(), digest_size=16).digest())) for key in keys]


@dataclass(frozen=True)
class Effects:
    """What each modality does to the answers about one target.

    Attributes:
        names: M modalities.
        values: (B, M) how much of the support goes when it is taken away; below 0 where it spoke against the answer.
        fidelity: (B,) how much more goes with the `TOGETHER` first ones at once than with as many random ones; NaN
            where there are not more than that.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    fidelity: NDArray[np.float64]


def modality_effects(question: Question, *, seed: int) -> dict[str, Effects]:
    """Take each modality away from the whole graph, one at a time, and see what becomes of the answers.

    One pass over the graph a modality serves all examples.
    """
    parts = modalities(question.graph, question.batch)
    if not parts:
        return {}
    taken: dict[frozenset[int], dict[str, Tensor]] = {}

    def drop(chosen: Sequence[int]) -> dict[str, Tensor]:
        key = frozenset(chosen)
        if key not in taken:
            missing = [parts[place] for place in sorted(key)]
            left = question.support(*without(question.graph, question.batch, missing))
            taken[key] = {name: question.unchanged[name] - value for name, value in left.items()}
        return taken[key]

    alone = [drop([place]) for place in range(len(parts))]
    found = {}
    for name in question.unchanged:
        values = torch.stack([effect[name] for effect in alone], dim=1).numpy()
        found[name] = Effects(
            tuple(part.name for part in parts), values, _order_fidelity(question, values, drop, name, seed)
        )
    return found


def _order_fidelity(
    question: Question,
    values: NDArray[np.float64],
    drop: Callable[[Sequence[int]], Mapping[str, Tensor]],
    name: str,
    seed: int,
) -> NDArray[np.float64]:
    count, width = values.shape
    found = np.full(count, np.nan)
    if width <= TOGETHER:
        return found
    first = np.argsort(-values, axis=1, kind="stable")[:, :TOGETHER]
    for row, generator in enumerate(question.generators(seed)):
        random = [drop(generator.choice(width, TOGETHER, replace=False).tolist())[name][row] for _ in range(DRAWS)]
        found[row] = float(drop(first[row].tolist())[name][row] - torch.stack(random).mean())
    return found


def gates(question: Question) -> dict[str, NDArray[np.float64]]:
    """Name → (B,) how much the parts of each answer weigh, for networks that say so."""
    return {name: values[question.rows].double().numpy() for name, values in question.seen.gates.items()}
