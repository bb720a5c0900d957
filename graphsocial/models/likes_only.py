"""What the number of likes alone says: the baseline of everything that is told how much a post was liked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphsocial.errors import InputError
from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.batching import Batch
from graphsocial.models.base import Model, Network
from graphsocial.nn.losses import class_shares, objectives


@dataclass(frozen=True)
class LikesOnly(Model):
    """Of numbers the mean, of classes the shares, among the training nodes with about as many likes.

    The likes' quantiles cut the training nodes into equal parts. Likes are counted together with the shares: this
    explains how popular a post has become and does not forecast it.

    Attributes:
        parts: at most so many.
    """

    parts: int = 100

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Cut and average.

        Raises:
            InputError: the task does not say how much its nodes were liked.
        """
        if "likes" not in graph.context_numbers:
            raise InputError("'likes_only' needs the likes of the nodes that are asked about.")
        likes = graph.context_numbers["likes"][train].double()
        cuts = torch.unique(torch.quantile(likes[~likes.isnan()], torch.linspace(0, 1, self.parts + 1).double()[1:-1]))
        place = torch.bucketize(likes.nan_to_num(-1.0), cuts)
        groups = len(cuts) + 1
        said: dict[str, Tensor] = {}
        for part in objectives(graph, train):
            told = graph.answers[part.target.name][train]
            known = is_known(told)
            group, told = place[known], told[known]
            number = torch.bincount(group, minlength=groups)
            if part.target.kind == "multiclass":
                classes = len(part.target.classes)
                counts = torch.bincount(group * classes + told, minlength=groups * classes).view(groups, classes)
                prior = class_shares(graph, train, part.target)
                said[part.target.name] = torch.log((counts + 2 * prior) / (number[:, None] + 2))
            else:
                sums = torch.bincount(group, part.standardised(told), minlength=groups)
                said[part.target.name] = (sums / number.clamp_min(1)).float()
        return LikesOnlyNetwork(cuts.float(), said)


class LikesOnlyNetwork(Network):
    """A look-up by likes."""

    cuts: Tensor

    def __init__(self, cuts: Tensor, said: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(said)
        self.register_buffer("cuts", cuts)
        for name, table in said.items():
            self.register_buffer(f"said_{name}", table)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log shares; (B,) means."""
        likes = graph.context_numbers["likes"][batch.examples]
        place = torch.bucketize(likes.nan_to_num(-1.0), self.cuts)
        return {name: self.get_buffer(f"said_{name}")[place] for name in self.names}
