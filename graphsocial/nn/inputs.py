"""Where vectors of several kinds become the first hidden state of nodes and the attributes of edges."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graphsocial.graph import Canonical, Feature, SocialGraph


class Projection(nn.Module):
    """One feature, D → H; rows without a vector get one shared learned vector (HMG-Emo's uniform tensor).

    Vectors are normalised on their own (mean 0, variance 1 over D) first, so that encoders of any scale fit.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_features, elementwise_affine=False)
        self.linear = nn.Linear(in_features, out_features)
        self.missing = nn.Parameter(torch.randn(out_features) * 0.1)

    def table(self, feature: Feature) -> Tensor:
        """Each distinct vector, and the missing one at the end: (M + 1, H)."""
        return torch.cat([self.linear(self.norm(feature.vectors)), self.missing[None]])

    def forward(self, feature: Feature, rows: Tensor | None = None) -> Tensor:
        """(N, H), or (n, H) for these rows."""
        index = feature.index if rows is None else feature.index[rows]
        if rows is None:
            return self.table(feature)[index]  # -1 is the last row: the missing vector
        used, place = torch.unique(index, return_inverse=True)
        vectors = self.linear(self.norm(feature.vectors[used.clamp_min(0)]))
        return torch.where((used < 0)[:, None], self.missing, vectors)[place]


class NodeInputs(nn.Module):
    """The first hidden state of every node: the sum of what is known of it, projected to one width.

    x = Σ_f Θ_f f + Θ_t table + Θ_h history + id embedding, each where it exists; then dropout.

    Args:
        graph: node types, their features and sizes.
        width: H.
        history: the labels that a node's visible edges carry are an input (see `sampling.label_history`).
        ids: node types that get a learned vector per node (transductive).
        dropout: on the sum.
    """

    def __init__(
        self, graph: SocialGraph, width: int, *, history: bool = False, ids: tuple[str, ...] = (), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.types = tuple(graph.num_nodes)
        self.width = width
        self.features = nn.ModuleDict(
            {
                name: nn.ModuleList([Projection(f.vectors.shape[1], width) for f in graph.node_features.get(name, ())])
                for name in self.types
            }
        )
        self.tables = nn.ModuleDict({name: nn.Linear(table.shape[1], width) for name, table in graph.tables.items()})
        ends = sorted({graph.entity[0], graph.entity[2]}) if history else []
        self.history = nn.ModuleDict({name: nn.Linear(len(graph.classes) + 1, width) for name in ends})
        self.ids = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(graph.num_nodes[name], width) * 0.1) for name in ids}
        )
        self.bias = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name in self.types})
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, graph: SocialGraph, nodes: Mapping[str, Tensor] | None, history: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        """Node type → (N, H), or (n, H) for `nodes`; `history` is for all nodes."""
        hidden = {}
        for name in self.types:
            rows = None if nodes is None else nodes[name]
            count = graph.num_nodes[name] if rows is None else len(rows)
            x = self.bias[name].expand(count, -1)
            for place, feature in enumerate(graph.node_features.get(name, ())):
                x = x + self.features[name][place](feature, rows)  # type: ignore[index]  # a ModuleList
            if name in self.tables:
                x = x + self.tables[name](_pick(graph.tables[name], rows))
            if name in self.history and history is not None:
                x = x + self.history[name](_pick(history[name], rows))
            if name in self.ids:
                x = x + _pick(self.ids[name], rows)
            hidden[name] = self.dropout(x)
        return hidden


class EdgeInputs(nn.Module):
    """Edge attributes e (comments), D → H_e, and their part in the attention logits of all layers at once.

    a_eᵀ Θ_e e is one number an edge and layer; it is computed once for each distinct comment, for all layers in one
    matrix product, and then dealt out to the edges.
    """

    def __init__(self, graph: SocialGraph, width: int) -> None:
        super().__init__()
        self.width = width
        supervised = graph.edge_features.get(graph.entity, ())
        self.features = nn.ModuleList([Projection(f.vectors.shape[1], width) for f in supervised])

    def scores(self, graph: SocialGraph, folded: Tensor) -> list[Tensor]:
        """For each edge feature (M + 1, L): the logit part of each distinct vector, the missing one last.

        Args:
            folded: (L, H_e), the vectors Θ_eᵀ a_e of the L layers and directions.
        """
        features = enumerate(graph.edge_features.get(graph.entity, ()))
        return [self.features[place].table(feature) @ folded.t() for place, feature in features]  # type: ignore[operator]


def deal_out(
    graph: SocialGraph, kind: Canonical, scores: list[Tensor], column: int, shown: Tensor, edge_ids: Tensor | None
) -> Tensor:
    """The logit part of each edge of one relation and layer: (E,), from `EdgeInputs.scores`.

    Args:
        column: the layer's and direction's place in the scores.
        shown: (P,) bool, the pairs whose features may be seen; the others show the missing vector.
        edge_ids: the edges that are wanted, all by default.
    """
    edges = graph.edges[kind]
    total: Tensor | None = None
    for table, feature in zip(scores, graph.edge_features[kind], strict=True):
        index, pair = feature.index, edges.pair
        if edge_ids is not None:
            index, pair = index[edge_ids], pair if pair is None else pair[edge_ids]
        if pair is not None:
            index = torch.where(shown[pair], index, -1)
        part = table[:, column][index]  # -1 is the last row: the missing vector
        total = part if total is None else total + part
    assert total is not None
    return total


def _pick(table: Tensor, rows: Tensor | None) -> Tensor:
    return table if rows is None else table[rows]
