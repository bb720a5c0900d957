"""Mini-batches with sampled neighbors at IESN's size: graphsocial's sampler and layers against DGL's.

    python benchmarks/minibatch.py [--batches 6]

Steps of 512 views each, fan-out 10, 10, 5, 5, 5 per relation from the pairs outwards, with the seed edges excluded
from the messages in both directions; the model of `full_graph_step.py`. An epoch has 386 such steps; a round times the
first few of one, sampling and gathering included. DGL: `as_edge_prediction_sampler(NeighborSampler)` with
`exclude="reverse_types"`, its blocks through `GATConv` and `EdgeGATConv`. The samples are random, so losses are alike,
not equal. `EdgeGATConv`, the one stock layer with edge features, puts them into the messages as well as into the
logits, which HMG-Emo does not: `--edge-values` has our side do that too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from _harness import against, interleave, keep
from _iesn import CLASSES, NODE_WIDTH, VIEWED, VIEWS, Edges, edges
from full_graph_step import NAME, SPEAKING, Dgl, Layers, Ours
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from graphsocial.graph import Edges as MessageEdges
from graphsocial.graph import SocialGraph
from graphsocial.graph.loaders import FullGraphLoader, NeighborLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.types import Target

SIZE, FANOUTS = 512, (10, 10, 5, 5, 5)


class Sampled:
    """The data of both sides, and their training steps."""

    def __init__(self, graph: Edges, batches: int, edge_values: bool) -> None:
        torch.manual_seed(0)
        user, _ = graph.ends[VIEWS]
        self.graph, self.batches = graph, batches
        self.x = {name: torch.randn(count, NODE_WIDTH) for name, count in graph.num_nodes.items()}
        self.features = torch.randn(len(user), 256)
        self.codes = torch.randint(0, CLASSES, (len(user),))
        self.train = torch.arange(len(user))
        self.ours = Ours(graph, self.features, edge_values=edge_values)
        self.dgl = Dgl(graph, self.features)
        self.dgl.copy(self.ours)
        shared = {key: part for key, part in self.ours.state_dict().items() if key.startswith(("norms", "head"))}
        self.dgl.load_state_dict(shared, strict=False)
        self.loader = NeighborLoader(self._whole(), FANOUTS)
        self.optimizers = {side: torch.optim.SGD(side.parameters(), lr=0.1) for side in (self.ours, self.dgl)}
        self.losses: dict[str, list[float]] = {"graphsocial": [], "dgl": []}

    def _whole(self) -> FullGraphLoader:
        pairs = {VIEWS: self.train, VIEWED: self.train}
        messages = {kind: MessageEdges(*ends, example=pairs.get(kind)) for kind, ends in self.graph.ends.items()}
        user, image = self.graph.ends[VIEWS]
        social = SocialGraph(
            ids={name: np.arange(count).astype(object) for name, count in self.graph.num_nodes.items()},
            edges=messages,
            entity=VIEWS,
            ends=(user, image),
            target_labels={"emotion": self.codes},
            example_time=None,
            label_time=None,
            targets=(Target("emotion", "multiclass", tuple(str(code) for code in range(CLASSES))),),
            node_features={},
            edge_features={},
            plain={},
            tabular={},
        )
        return FullGraphLoader(social, torch.zeros(len(user), dtype=torch.int64), Visibility(), len(FANOUTS))

    def step(self, side: Layers, logits: Tensor, codes: Tensor) -> float:
        """One training step: loss, gradients, weights.

        Args:
            side: whose weights are updated.
            logits: (B, K).
            codes: (B,) classes.

        Returns:
            The loss.
        """
        loss = cross_entropy(logits, codes)
        self.optimizers[side].zero_grad()
        loss.backward()
        self.optimizers[side].step()
        return float(loss.detach())

    def run_ours(self) -> None:
        """Run the first steps of graphsocial."""
        ours = self.ours
        for batch in islice(self.loader.batches(self.train, SIZE, torch.Generator().manual_seed(0)), self.batches):
            assert batch.rows is not None
            folded = [layer.fold_edge_vector()[kind] for layer in ours.layers for kind in SPEAKING]
            scores = linear(self.features, torch.cat(folded)).t().contiguous()
            x = {name: self.x[name][rows.nodes] for name, rows in batch.rows.items()}
            for depth, (layer, convolution) in enumerate(zip(batch.layers, ours.layers, strict=True)):
                assert layer.edge_ids is not None
                edge_scores = {kind: scores[2 * depth + p][layer.edge_ids[kind]] for p, kind in enumerate(SPEAKING)}
                options: dict[str, Any] = {"edge_scores": edge_scores, "num_dst": layer.num_dst}
                if convolution.edge_values:
                    options["edge_features"] = {kind: self.features[layer.edge_ids[kind]] for kind in SPEAKING}
                out = convolution(x, layer.relations, **options)
                x = {name: ours.activate(ours.norms[depth][name], part) for name, part in out.items()}
            ends = torch.cat([ours.take(x["user"], batch.ends[0]), ours.take(x["image"], batch.ends[1])], 1)
            self.losses["graphsocial"].append(self.step(ours, ours.head(ends), self.codes[batch.examples]))

    def run_dgl(self) -> None:
        """Run the first steps of DGL."""
        for nodes, pairs, blocks in islice(self._dgl_batches(), self.batches):
            x = {name: self.x[name][nodes[name]] for name in self.graph.num_nodes}
            for depth, block in enumerate(blocks):
                edge_features: dict[str, Any] = {
                    NAME[kind]: {"edge_feat": self.features[block.edges[kind].data["_ID"]]} for kind in SPEAKING
                }
                out = self.dgl.layers[depth](block, x, mod_kwargs=edge_features)
                x = {n: self.dgl.activate(self.dgl.norms[depth][n], part.squeeze(1)) for n, part in out.items()}
            user, image = pairs.edges(etype=VIEWS)
            ends = torch.cat([x["user"][user], x["image"][image]], 1)
            codes = self.codes[pairs.edges[VIEWS].data["_ID"]]
            self.losses["dgl"].append(self.step(self.dgl, self.dgl.head(ends), codes))

    def _dgl_batches(self) -> Iterator[Any]:
        from dgl.dataloading import DataLoader, NeighborSampler, as_edge_prediction_sampler

        sampler = as_edge_prediction_sampler(
            NeighborSampler(list(reversed(FANOUTS))),
            exclude="reverse_types",
            reverse_etypes={VIEWS: VIEWED, VIEWED: VIEWS},
        )
        torch.manual_seed(0)
        return iter(DataLoader(self.dgl.graph, {VIEWS: self.train}, sampler, batch_size=SIZE, shuffle=True))


def compare(batches: int, edge_values: bool) -> None:
    """Time the first steps of an epoch, interleaved."""
    sampled = Sampled(edges(), batches, edge_values)
    timings = interleave({"graphsocial": sampled.run_ours, "dgl": sampled.run_dgl})
    keep(
        "minibatch_edge_values" if edge_values else "minibatch",
        {
            "row": {
                "what": f"{batches} sampled mini-batches of {SIZE} views, fan-out {', '.join(map(str, FANOUTS))}"
                + (", view features in our messages too" if edge_values else ""),
                "peer": "DGL's loader and layers",
                "ours": "graphsocial",
                "theirs": "dgl",
                "least": 3,
            },
            "seconds": timings,
            "ratio": against(timings["graphsocial"], timings["dgl"]),
            "mean_loss": {name: float(np.mean(values)) for name, values in sampled.losses.items()},
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--edge-values", action="store_true", help="view features in our messages too")
    chosen = parser.parse_args()
    compare(chosen.batches, chosen.edge_values)
