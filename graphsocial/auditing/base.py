"""What an audit looks into, and what it found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from graphsocial.graph import SocialGraph

Verdict = Literal["pass", "leak", "declared", "not applicable"]
FEW = 5  # examples that are named


@dataclass(frozen=True)
class Check:
    """One question to a run, and the answer.

    Attributes:
        name: of the question.
        verdict: `pass`; `leak`; `declared` where the run's visibility says that it shows this; `not applicable`.
        examined, found: how many examples, edges or columns were looked at, and how many of them are against the rule.
        detail: the finding in one sentence.
        examples: some of those that were found, by the source's ids.
    """

    name: str
    verdict: Verdict
    examined: int
    found: int
    detail: str
    examples: tuple[str, ...] = ()


def not_applicable(name: str, why: str) -> Check:
    """A question that does not arise."""
    return Check(name, "not applicable", 0, 0, why)


def names(graph: SocialGraph, found: Tensor) -> tuple[str, ...]:
    """The ids of the first few examples of a mask (P,), the ends of a pair side by side."""
    ids = graph.example_ids(torch.nonzero(found).squeeze(1)[:FEW].numpy())
    return tuple(" ".join(map(str, ends)) for ends in zip(*ids, strict=True))
