"""A prediction from the number of likes alone: the baseline of models that use the likes."""

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
    """The mean number, or the class shares, of the training nodes with about as many likes.

    The likes' quantiles cut the training nodes into equal parts. Likes are counted together with the shares: this
    explains how popular a post has become and does not forecast it.

    Attributes:
        parts: maximum number of parts.
    """

    parts: int = 100

    reads: ClassVar[tuple[str, ...]] = ()

    def build(self, graph: SocialGraph, train: Tensor, *, seed: int) -> Network:
        """Compute quantiles of the likes, and means and shares between them.

        Args:
            graph: the graph that it will run on.
            train: (n,) int64 positions of the training examples.
            seed: unused; nothing is random.

        Raises:
            InputError: the task's context has no likes.
        """
        if "likes" not in graph.context_numbers:
            raise InputError("'likes_only' needs the likes of the nodes to predict, in the task's context.")
        likes = graph.context_numbers["likes"][train].double()
        cuts = torch.unique(torch.quantile(likes[~likes.isnan()], torch.linspace(0, 1, self.parts + 1).double()[1:-1]))
        part_of = torch.bucketize(likes.nan_to_num(-1.0), cuts)
        groups = len(cuts) + 1
        outputs: dict[str, Tensor] = {}
        for part in objectives(graph, train):
            labels = graph.target_labels[part.target.name][train]
            known = is_known(labels)
            group, labels = part_of[known], labels[known]
            number = torch.bincount(group, minlength=groups)
            if part.target.kind == "multiclass":
                classes = len(part.target.classes)
                counts = torch.bincount(group * classes + labels, minlength=groups * classes).view(groups, classes)
                prior = class_shares(graph, train, part.target)
                outputs[part.target.name] = torch.log((counts + 2 * prior) / (number[:, None] + 2))
            else:
                sums = torch.bincount(group, part.standardised(labels), minlength=groups)
                outputs[part.target.name] = (sums / number.clamp_min(1)).float()
        return LikesOnlyNetwork(cuts.float(), outputs)


class LikesOnlyNetwork(Network):
    """The stored prediction of each number of likes."""

    cuts: Tensor

    def __init__(self, cuts: Tensor, outputs: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(outputs)
        self.register_buffer("cuts", cuts)
        for name, table in outputs.items():
            self.register_buffer(f"said_{name}", table)

    def forward(self, graph: SocialGraph, batch: Batch) -> dict[str, Tensor]:
        """(B, K) log shares; (B,) means."""
        likes = graph.context_numbers["likes"][batch.examples]
        part_of = torch.bucketize(likes.nan_to_num(-1.0), self.cuts)
        return {name: self.get_buffer(f"said_{name}")[part_of] for name in self.names}
