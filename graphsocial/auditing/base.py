"""The result of one check of an audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from graphsocial.graph import SocialGraph

Verdict = Literal["pass", "leak", "missing", "declared", "not applicable"]
MAX_NAMED = 5  # examples that a check names


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: name of the check.
        verdict: `pass`; `leak`; `missing` where edges of the store are not in the run's graph; `declared` where the
            run's visibility settings show it on purpose; `not applicable` also where nothing could be examined.
        examined: number of examples, edges or columns that were checked.
        found: number of examined items that break the rule.
        detail: the result in one sentence.
        examples: ids of some of those that break it.
    """

    name: str
    verdict: Verdict
    examined: int
    found: int
    detail: str
    examples: tuple[str, ...] = ()


def not_applicable(name: str, why: str) -> Check:
    """The result of a check that does not apply to a run."""
    return Check(name, "not applicable", 0, 0, why)


def names(graph: SocialGraph, mask: Tensor) -> tuple[str, ...]:
    """The ids of the first few examples of a mask (P,); those of a pair's endpoints joined by a space."""
    ids = graph.example_ids(torch.nonzero(mask).squeeze(1)[:MAX_NAMED].numpy())
    return tuple(" ".join(map(str, ends)) for ends in zip(*ids, strict=True))
