"""A training epoch over dialogues: TMSAM against plain PyTorch layers of equal widths, in examples per second.

    python benchmarks/dialogues.py

Random vectors of three modalities for as many dialogues and segments as MELD's training set has. The peer is a
straightforward implementation: batches of 32 random dialogues, padded to the longest; `nn.Conv1d`, `nn.GRU` and
`nn.MultiheadAttention` of the same widths, with key-padding masks. Both are trained by Adam on the same targets; ours
also batches dialogues of equal length and handles missing segments. TMSAM's Fig. 10 is `graphsocial benchmark
acceleration`.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from _harness import against, interleave, keep
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from graphsocial.graph import Edges, SocialGraph
from graphsocial.graph.features import Feature
from graphsocial.graph.loaders import FullGraphLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.models.base import Model
from graphsocial.models.tmsam import Tmsam
from graphsocial.types import Target

DIALOGUES, SEGMENTS, LONGEST = 1038, 9989, 24
SIZES = {"text": 300, "audio": 74, "video": 35}
TARGETS = {"emotion": 7, "sentiment": 3}
HIDDEN, WIDTH, AT_ONCE = 200, 200, 32


def dialogues() -> SocialGraph:
    """As many dialogues and segments as in MELD's training set; dialogues have 1 to 24 segments."""
    random = np.random.default_rng(0)
    lengths = random.integers(1, LONGEST + 1, DIALOGUES)
    while lengths.sum() != SEGMENTS:
        dialogue = random.integers(DIALOGUES)
        lengths[dialogue] = np.clip(lengths[dialogue] + np.sign(SEGMENTS - lengths.sum()), 1, LONGEST)
    last = np.zeros(SEGMENTS, dtype=bool)
    last[lengths.cumsum() - 1] = True
    src = torch.from_numpy(np.flatnonzero(~last))
    torch.manual_seed(0)
    every = torch.arange(SEGMENTS)
    return SocialGraph(
        ids={"segment": np.arange(SEGMENTS).astype(object)},
        edges={("segment", "next", "segment"): Edges(src, src + 1)},
        entity="segment",
        ends=(every,),
        targets=tuple(Target(name, classes=tuple(map(str, range(k)))) for name, k in TARGETS.items()),
        target_labels={name: torch.randint(0, k, (SEGMENTS,)) for name, k in TARGETS.items()},
        example_time=None,
        label_time=None,
        node_features={
            "segment": tuple(Feature(f"segment.{name}", torch.randn(SEGMENTS, d), every) for name, d in SIZES.items())
        },
        edge_features={},
        plain={},
        tabular={},
    )


class Plain(nn.Module):
    """The same layers from `torch.nn`, over padded batches."""

    def __init__(self) -> None:
        super().__init__()
        names = list(SIZES)
        self.pairs = [(a, b) for a in names for b in names if a != b]
        self.conv = nn.ModuleDict({name: nn.Conv1d(size, HIDDEN, 1) for name, size in SIZES.items()})
        self.gru = nn.ModuleDict({name: nn.GRU(HIDDEN, HIDDEN, batch_first=True, bidirectional=True) for name in names})
        self.cross = nn.ModuleDict(
            {f"{a}-{b}": nn.MultiheadAttention(WIDTH, 4, batch_first=True) for a, b in self.pairs}
        )
        self.down = nn.ModuleDict({f"{a}-{b}": nn.Linear(2 * HIDDEN, WIDTH) for a, b in self.pairs})
        self.first = nn.ModuleDict({name: nn.MultiheadAttention(2 * WIDTH, 8, batch_first=True) for name in names})
        self.second = nn.MultiheadAttention(6 * WIDTH, 8, batch_first=True)
        self.heads = nn.ModuleDict({name: nn.Linear(6 * WIDTH, k) for name, k in TARGETS.items()})

    def forward(self, x: dict[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
        """(B, T, K) logits of each target."""
        h = {name: self.gru[name](torch.relu(self.conv[name](part.mT)).mT)[0] for name, part in x.items()}
        attended: dict[str, list[Tensor]] = {name: [] for name in x}
        for a, b in self.pairs:
            down, cross = self.down[f"{a}-{b}"], self.cross[f"{a}-{b}"]
            k = down(h[b])
            attended[a].append(cross(down(h[a]), k, k, key_padding_mask=~mask, need_weights=False)[0])
        first = []
        for name, parts in attended.items():
            z = torch.cat(parts, 2)
            first.append(self.first[name](z, z, z, key_padding_mask=~mask, need_weights=False)[0])
        z = torch.cat(first, 2)
        y = self.second(z, z, z, key_padding_mask=~mask, need_weights=False)[0]
        return {name: head(y) for name, head in self.heads.items()}


def plain_epoch(graph: SocialGraph, model: Plain, optimizer: torch.optim.Optimizer) -> None:
    """One epoch of the peer.

    Args:
        graph: the dialogues.
        model: plain PyTorch layers.
        optimizer: of its parameters.
    """
    edges = graph.edges["segment", "next", "segment"]
    starts = torch.ones(SEGMENTS, dtype=torch.bool)
    starts[edges.dst] = False
    parts = torch.arange(SEGMENTS).split(
        torch.nonzero(starts).squeeze(1).diff(append=torch.tensor([SEGMENTS])).tolist()
    )
    vectors = {f.name.partition(".")[2]: f.vectors for f in graph.node_features["segment"]}
    for chosen in torch.randperm(DIALOGUES).split(AT_ONCE):
        rows = nn.utils.rnn.pad_sequence([parts[n] for n in chosen.tolist()], batch_first=True, padding_value=-1)
        mask = rows >= 0
        outputs = model({name: part[rows.clamp_min(0)] for name, part in vectors.items()}, mask)
        loss = torch.stack([cross_entropy(outputs[n][mask], graph.target_labels[n][rows[mask]]) for n in TARGETS]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def our_epoch(graph: SocialGraph, network: Any, loader: FullGraphLoader, optimizer: torch.optim.Optimizer) -> float:
    """One epoch of a model of graphsocial's.

    Args:
        graph: the dialogues.
        network: the model's network.
        loader: makes its batches.
        optimizer: of its parameters.

    Returns:
        The share of padded positions.
    """
    positions, generator = 0, torch.Generator().manual_seed(0)
    together = network.together(graph)
    for batch in loader.batches(torch.arange(SEGMENTS), 320, generator, together):
        outputs = network(graph, batch)
        lengths = torch.unique(together[batch.examples], return_counts=True)[1]
        positions += int(lengths.max()) * len(lengths)
        loss = torch.stack([cross_entropy(outputs[n], graph.target_labels[n][batch.examples]) for n in TARGETS]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 1 - SEGMENTS / positions


def made(graph: SocialGraph, model: Model) -> tuple[Any, FullGraphLoader, torch.optim.Optimizer]:
    """A network with its loader and optimizer."""
    every = torch.arange(SEGMENTS)
    network = model.build(graph, every, seed=0)
    loader = FullGraphLoader(graph, torch.zeros(SEGMENTS, dtype=torch.int64), Visibility(), 0)
    return network, loader, torch.optim.Adam(network.parameters(), lr=1e-3)


def compare(rounds: int) -> None:
    """Examples per second of both sides."""
    graph = dialogues()
    ours = made(graph, Tmsam(residual=False, dropout=0.0, modality_dropout=0.0, l2=0.0))
    plain = Plain()
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    waste: list[float] = []
    seconds = interleave(
        {
            "graphsocial": lambda: waste.append(our_epoch(graph, *ours)),
            "plain torch": lambda: plain_epoch(graph, plain, optimizer),
        },
        rounds=rounds,
    )
    keep(
        "dialogues",
        {
            "seconds": seconds,
            "ratio": against(seconds["graphsocial"], seconds["plain torch"]),
            "examples_a_second": {name: SEGMENTS / timing.median for name, timing in seconds.items()},
            "padded": max(waste),
            "parameters": {
                "graphsocial": sum(p.numel() for p in ours[0].parameters()),
                "plain torch": sum(p.numel() for p in plain.parameters()),
            },
            "row": {
                "what": f"training epoch of TMSAM, {SEGMENTS:,} segments of three modalities, {max(waste):.1%} padded",
                "peer": "torch.nn, padded batches",
                "ours": "graphsocial",
                "theirs": "plain torch",
                "most": 1,
            },
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    compare(parser.parse_args().rounds)
