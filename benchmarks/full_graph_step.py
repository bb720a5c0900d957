"""One full-graph training step at IESN's size: graphsocial's layers against PyG's and DGL's with the same weights.

    python benchmarks/full_graph_step.py [--peer pyg|dgl]

Five layers of width 64 on 108,899 users and 85,157 images, 1,649,058 contacts and 197,561 views both ways, node
features of 128 dimensions, view features of 256; batch normalisation, ReLU; a classifier of three layers over a
sixteenth of the views, which is what a step of `graphsocial train` has, or over all of them (`--views all`); SGD. Equal
computations: `HeteroConv(GATConv)` with one Θ for both ends, and the views' features in the logits; DGL's `EdgeGATConv`
puts them into the messages too, and so do our layers when they are compared with it.

Each side runs in a separate process, since graphsocial sets malloc to keep freed memory. To separate that effect from
the kernels', the peer runs a second time with the same malloc setting.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _harness import Process, against, bandwidth, interleave, keep, serve
from _iesn import CLASSES, CONNECTS, EDGE_WIDTH, LAYERS, NODE_WIDTH, VIEWED, VIEWS, WIDTH, Edges, edges
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from graphsocial.graph.adjacency import Relation
from graphsocial.nn.aggregation import take_rows
from graphsocial.nn.graph_attention import GraphAttention
from graphsocial.nn.normalisation import BatchNormRelu
from graphsocial.nn.products import linear

NAME = {CONNECTS: "connects", VIEWS: "views", VIEWED: "rev_views"}
SPEAKING = (VIEWS, VIEWED)
Step = Callable[[], float]
KEPT = {"GLIBC_TUNABLES": f"glibc.malloc.mmap_threshold={2**32}:glibc.malloc.trim_threshold={2**40}"}


class Layers(nn.Module):
    """Base class of all sides: batch normalisation, ReLU and the classifier; subclasses define `message`."""

    norm: type[nn.Module] = nn.BatchNorm1d

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            [nn.ModuleDict({t: self.norm(WIDTH) for t in ("user", "image")}) for _ in range(LAYERS)]
        )
        self.head = nn.Sequential(
            nn.Linear(2 * WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES)
        )

    def message(self, depth: int, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """One layer of message passing."""
        raise NotImplementedError

    def begin(self) -> None:
        """Preparation once per step, before the layers."""

    def forward(self, x: dict[str, Tensor], src: Tensor, dst: Tensor) -> Tensor:
        """(views, classes) logits."""
        self.begin()
        for depth in range(LAYERS):
            out = self.message(depth, x)
            x = {name: self.activate(self.norms[depth][name], part) for name, part in out.items()}  # type: ignore[index]
        return self.head(torch.cat([self.take(x["user"], src), self.take(x["image"], dst)], 1))

    def activate(self, norm: nn.Module, x: Tensor) -> Tensor:
        """Batch normalisation and ReLU."""
        return relu(norm(x))

    def take(self, x: Tensor, rows: Tensor) -> Tensor:
        """The rows of a pair's ends."""
        return x[rows]


class Ours(Layers):
    """The layers of graphsocial.nn, as in the model `hmg_emo`."""

    norm = BatchNormRelu

    def __init__(self, graph: Edges, features: Tensor, *, edge_values: bool = False) -> None:
        super().__init__()
        widths = [NODE_WIDTH] + [WIDTH] * LAYERS
        options: dict[str, Any] = {"share": "relation", "self_loops": False, "edge_values": edge_values}
        self.layers = nn.ModuleList(
            [
                GraphAttention(
                    tuple(graph.num_nodes),
                    tuple(graph.ends),
                    before,
                    WIDTH,
                    edge_features=dict.fromkeys(SPEAKING, EDGE_WIDTH),
                    **options,
                )
                for before in widths[:-1]
            ]
        )
        if edge_values:
            for layer in self.layers:
                layer.edge_value = layer.edge_weight  # one Θ for logits and messages, as in DGL
        self.edge_values = {"edge_features": dict.fromkeys(SPEAKING, features)} if edge_values else {}
        self.features = features
        self.relations = {
            kind: Relation.from_edges(*ends, graph.num_nodes[kind[0]], graph.num_nodes[kind[2]])
            for kind, ends in graph.ends.items()
        }

    def begin(self) -> None:
        folded = [layer.fold_edge_vector()[kind] for layer in self.layers for kind in SPEAKING]
        self.scores = linear(self.features, torch.cat(folded)).t().contiguous().unbind(0)

    def activate(self, norm: nn.Module, x: Tensor) -> Tensor:
        return norm(x)

    def take(self, x: Tensor, rows: Tensor) -> Tensor:
        return take_rows(x, rows)

    def message(self, depth: int, x: dict[str, Tensor]) -> dict[str, Tensor]:
        scores = {kind: self.scores[2 * depth + index] for index, kind in enumerate(SPEAKING)}
        return self.layers[depth](x, self.relations, edge_scores=scores, **self.edge_values)


class Pyg(Layers):
    """The layers of torch_geometric.nn, as in the code of HMG-Emo's authors."""

    def __init__(self, graph: Edges, features: Tensor) -> None:
        from torch_geometric.nn import GATConv, HeteroConv

        super().__init__()
        self.layers = nn.ModuleList()
        for depth in range(LAYERS):
            before = WIDTH if depth else NODE_WIDTH
            convolutions = {
                kind: GATConv(
                    before, WIDTH, edge_dim=EDGE_WIDTH if kind in SPEAKING else None, add_self_loops=False, bias=False
                )
                for kind in graph.ends
            }
            self.layers.append(HeteroConv(convolutions, aggr="sum"))
        self.index = {kind: torch.stack(ends) for kind, ends in graph.ends.items()}
        self.attributes = dict.fromkeys(SPEAKING, features)

    def copy(self, ours: Ours) -> None:
        """Copy the weights of our layers."""
        with torch.no_grad():
            for theirs, layer in zip(self.layers, ours.layers, strict=True):
                for kind in ours.relations:
                    key, conv = "-".join(kind), theirs.convs[kind]
                    conv.lin.weight.copy_(layer.weight[key])
                    conv.att_dst.copy_(layer.attention_self[key][None, None])
                    conv.att_src.copy_(layer.attention_neighbour[key][None, None])
                    if kind in SPEAKING:
                        conv.lin_edge.weight.copy_(layer.edge_weight[key])
                        conv.att_edge.copy_(layer.attention_edge[key][None, None])

    def message(self, depth: int, x: dict[str, Tensor]) -> dict[str, Tensor]:
        pairs = {kind: (x[kind[0]], x[kind[2]]) for kind in self.index}
        out: dict[str, list[Tensor]] = {"user": [], "image": []}
        for kind, ends in pairs.items():
            attributes = {"edge_attr": self.attributes[kind]} if kind in SPEAKING else {}
            out[kind[2]].append(self.layers[depth].convs[kind](ends, self.index[kind], **attributes))
        return {name: sum(parts[1:], parts[0]) for name, parts in out.items()}


class Dgl(Layers):
    """The layers of dgl.nn: GATConv for contacts, EdgeGATConv for views, in a HeteroGraphConv."""

    def __init__(self, graph: Edges, features: Tensor) -> None:
        import dgl
        from dgl.nn import EdgeGATConv, GATConv, HeteroGraphConv

        super().__init__()
        self.layers = nn.ModuleList()
        for depth in range(LAYERS):
            before = WIDTH if depth else NODE_WIDTH
            plain = {"allow_zero_in_degree": True, "bias": False}
            convolutions = {
                NAME[kind]: EdgeGATConv((before, before), EDGE_WIDTH, WIDTH, 1, residual=False, **plain)
                if kind in SPEAKING
                else GATConv(before, WIDTH, 1, **plain)
                for kind in graph.ends
            }
            self.layers.append(HeteroGraphConv(convolutions, aggregate="sum"))
        self.graph = dgl.heterograph(graph.ends, num_nodes_dict=graph.num_nodes)
        self.graph.create_formats_()
        self.features = features

    def copy(self, ours: Ours) -> None:
        """Copy the weights of our layers; the two Θ of EdgeGATConv become one."""
        with torch.no_grad():
            for theirs, layer in zip(self.layers, ours.layers, strict=True):
                for kind in ours.relations:
                    key, conv = "-".join(kind), theirs.mods[NAME[kind]]
                    if kind in SPEAKING:
                        conv.fc_dst = conv.fc_src
                        conv.fc_src.weight.copy_(layer.weight[key])
                        conv.fc_edge.weight.copy_(layer.edge_weight[key])
                        conv.attn_edge.copy_(layer.attention_edge[key][None, None])
                    else:
                        conv.fc.weight.copy_(layer.weight[key])
                    conv.attn_r.copy_(layer.attention_self[key][None, None])
                    conv.attn_l.copy_(layer.attention_neighbour[key][None, None])

    def message(self, depth: int, x: dict[str, Tensor]) -> dict[str, Tensor]:
        edge_features = {NAME[kind]: {"edge_feat": self.features} for kind in SPEAKING}
        out = self.layers[depth](self.graph, x, mod_kwargs=edge_features)
        return {name: part.squeeze(1) for name, part in out.items()}


SIDES = {"graphsocial": Ours, "pyg": Pyg, "dgl": Dgl}
PEERS = {"pyg": ("PyG `HeteroConv(GATConv)`", 10, 3), "dgl": ("DGL `GATConv`, `EdgeGATConv`", 6, 2)}


def build(
    names: list[str], views: str = "sixteenth", factor: float = 1.0
) -> tuple[dict[str, Layers], Callable[[Layers], Step], Edges]:
    """The sides with equal weights, a function that returns the training step of a side, and the graph.

    Args:
        names: of the sides; the first is `graphsocial`.
        views: the views in the loss, `sixteenth` or `all`.
        factor: size of the graph, in multiples of IESN.
    """
    torch.manual_seed(0)
    graph = edges(factor)
    user, image = graph.ends[VIEWS]
    seeds = torch.randperm(len(user))[: len(user) if views == "all" else -(-len(user) // 16)]
    x = {name: torch.randn(count, NODE_WIDTH) for name, count in graph.num_nodes.items()}
    features = torch.randn(len(user), EDGE_WIDTH)
    user, image, codes = user[seeds], image[seeds], torch.randint(0, CLASSES, (len(seeds),))
    ours = Ours(graph, features, edge_values="dgl" in names)  # EdgeGATConv puts edge features into messages too
    sides: dict[str, Layers] = {}
    for name in names:
        sides[name] = ours if name == "graphsocial" else SIDES[name](graph, features)
        if name != "graphsocial":
            sides[name].copy(ours)  # type: ignore[operator]
            shared = {key: part for key, part in ours.state_dict().items() if key.startswith(("norms", "head"))}
            sides[name].load_state_dict(shared, strict=False)

    def step_of(side: Layers) -> Step:
        optimizer = torch.optim.SGD(side.parameters(), lr=0.1)  # Adam would blow rounding up to whole steps

        def step() -> float:
            loss = cross_entropy(side(x, user, image), codes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        return step

    return sides, step_of, graph


def side(name: str, peer: str, views: str) -> None:
    """Run one side of the comparison with a peer as a process that makes a training step per request.

    Args:
        name: of the side.
        peer: `pyg` or `dgl`; with DGL, edge features are in our messages too.
        views: the views in the loss, `sixteenth` or `all`.
    """
    sides, step_of, _ = build(["graphsocial", peer], views)
    step = step_of(sides[name])
    del sides
    serve(step)


def compare(peer: str, views: str) -> None:
    """Time and memory against one peer, with the default malloc and with one that keeps freed memory, like ours."""

    def process(name: str, environment: dict[str, str] | None = None) -> Process:
        arguments = ("--side", name, "--peer", peer, "--views", views)
        return Process(Path(__file__), *arguments, environment=environment)

    sides = {"graphsocial": process("graphsocial"), peer: process(peer), f"{peer}, memory kept": process(peer, KEPT)}
    copy = bandwidth()
    timings = interleave(sides)
    losses = {name: side.results for name, side in sides.items()}
    apart = max(abs(a - b) / abs(b) for other in losses.values() for a, b in zip(losses[peer], other, strict=True))
    if apart > 1e-4:
        raise SystemExit(f"The losses differ by {apart:.1e}: {losses}")
    gib = {name: side.finish() for name, side in sides.items()}
    share = "all" if views == "all" else "a sixteenth of the"
    keep(
        f"full_graph_step_{peer}_{views}",
        {
            "row": {
                "what": f"full-graph training step, loss over {share} views",
                "peer": PEERS[peer][0],
                "ours": "graphsocial",
                "theirs": peer,
                "least": PEERS[peer][1],
                "memory_least": PEERS[peer][2],
            },
            "seconds": timings,
            "ratio": {name: against(timings["graphsocial"], timing) for name, timing in timings.items()},
            "peak_gib": gib,
            "memory_ratio": gib[peer] / gib["graphsocial"],
            "losses": losses,
            "largest_relative_difference_of_losses": apart,
            "copy_bandwidth_gb_per_s": copy,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", choices=tuple(PEERS), help="both by default")
    parser.add_argument("--views", choices=("sixteenth", "all"), help="in the loss; both by default")
    parser.add_argument("--side", choices=tuple(SIDES), help="run as the process of one side; with --peer and --views")
    chosen = parser.parse_args()
    if chosen.side:
        side(chosen.side, chosen.peer, chosen.views)
    else:
        for views in [chosen.views] if chosen.views else ["sixteenth", "all"]:
            for peer in [chosen.peer] if chosen.peer else ["pyg", "dgl"]:
                compare(peer, views)
