"""Projections of features of several sizes to the first hidden state of nodes and to edge attributes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graphsocial.graph import Feature, NodeRows, SocialGraph
from graphsocial.nn.dropout import ByteDropout
from graphsocial.nn.named import NamedModules, NamedParameters
from graphsocial.nn.products import Linear, linear


class Projection(nn.Module):
    """A linear map of one feature, D → H; rows without a vector share one learned vector (HMG-Emo's uniform tensor).

    Each vector is standardised first, since encoders differ in scale.

    Args:
        in_features: D.
        out_features: H.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = Linear(in_features, out_features)
        self.missing = nn.Parameter(torch.randn(out_features) * 0.1)

    def forward(self, feature: Feature) -> Tensor:
        """(N, H)."""
        table = torch.cat([self.linear(feature.standard), self.missing[None]])
        return table[feature.index]  # -1 is the last row: the missing vector

    def folded(self, feature: Feature, vectors: Tensor) -> Tensor:
        """The products of `vectors` (L, H) with each projected distinct vector and, last, the missing one: (L, M + 1).

        The projection is folded into `vectors`, so that no (M, H) tensor is built.
        """
        weight, bias = vectors @ self.linear.weight, vectors @ self.linear.bias  # (L, D), (L,)
        products = linear(feature.standard, weight, bias)  # (M, L)
        return torch.cat([products, (vectors @ self.missing)[None]]).t().contiguous()


class NodeInputs(nn.Module):
    """The first hidden state of every node: the sum of its inputs, each projected to one width.

    x = Σ_f Θ_f f + Θ_t table + Θ_h history + id embedding, each where it exists; then dropout. Features that are
    sequences are not used here.

    Args:
        graph: node types, their features and sizes.
        width: H.
        history: whether the labels of a node's visible edges are an input (see `labels.label_history`).
        ids: node types that get a learned embedding per node (transductive).
        dropout: dropout rate of the sum.
    """

    def __init__(
        self, graph: SocialGraph, width: int, *, history: bool = False, ids: tuple[str, ...] = (), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.types = tuple(graph.num_nodes)
        self.width = width
        self.features = NamedModules(
            {
                name: nn.ModuleList(
                    [Projection(f.vectors.shape[1], width) for f in _single(graph.node_features.get(name, ()))]
                )
                for name in self.types
            }
        )
        self.tables = NamedModules({name: Linear(table.shape[1], width) for name, table in graph.tables.items()})
        ends = sorted(set(graph.end_types)) if history else []
        history_width = len(graph.classes) + 1 + len(graph.numbers)
        self.history = NamedModules({name: Linear(history_width, width) for name in ends})
        self.ids = NamedParameters(
            {name: nn.Parameter(torch.randn(graph.num_nodes[name], width) * 0.1) for name in ids}
        )
        self.bias = NamedParameters({name: nn.Parameter(torch.zeros(width)) for name in self.types})
        self.dropout = ByteDropout(dropout)

    def forward(
        self,
        graph: SocialGraph,
        rows: Mapping[str, NodeRows] | None = None,
        history: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compute node type → (N, H) for all nodes, or (n, H) for `rows`.

        Args:
            graph: the graph.
            rows: a batch's rows; None for all nodes.
            history: node type → (N, K + 1 + M) for all nodes, from `labels.label_history`.
        """
        hidden = {}
        for name in self.types if rows is None else rows:
            nodes = None if rows is None else rows[name].nodes
            features = graph.node_features.get(name, ()) if rows is None else rows[name].features
            table = graph.tables.get(name) if rows is None else rows[name].table
            x = self.bias[name].expand(graph.num_nodes[name] if nodes is None else len(nodes), -1)
            for position, feature in enumerate(_single(features)):
                x = x + self.features[name][position](feature)  # type: ignore[index]  # a ModuleList
            if table is not None:
                x = x + self.tables[name](table)
            if name in self.history and history is not None:
                x = x + self.history[name](_pick(history[name], nodes))
            if name in self.ids:
                x = x + _pick(self.ids[name], nodes)
            hidden[name] = self.dropout(x)
        return hidden


class EdgeInputs(nn.Module):
    """Edge attributes e (comments), D → H_e, and their part in the attention logits of all layers at once.

    a_eᵀ Θ_e e is one number per edge, layer and head; it is computed once for each distinct comment, for all layers in
    one matrix product, and then gathered by the edges.

    Args:
        graph: the graph, whose supervised edges have the features.
        width: H_e.
    """

    def __init__(self, graph: SocialGraph, width: int) -> None:
        super().__init__()
        self.width = width
        features = supervised_features(graph)
        self.features = nn.ModuleList([Projection(f.vectors.shape[1], width) for f in features])

    def scores(self, graph: SocialGraph, folded: Tensor) -> list[Tensor]:
        """For each edge feature (L, M + 1): the logit part of each distinct vector, the missing one last.

        Args:
            folded: (L, H_e), the vectors Θ_eᵀ a_e of the L layers, directions and heads.
        """
        features = supervised_features(graph)
        return [part.folded(feature, folded) for part, feature in zip(self.features, features, strict=True)]  # type: ignore[operator]


def supervised_features(graph: SocialGraph) -> tuple[Feature, ...]:
    """The features of the supervised edges (comments); none where the examples are nodes."""
    return () if isinstance(graph.entity, str) else graph.edge_features.get(graph.entity, ())


def _single(features: tuple[Feature, ...]) -> list[Feature]:
    """The features of single vectors, without those of sequences."""
    return [feature for feature in features if feature.offsets is None]


def _pick(table: Tensor, rows: Tensor | None) -> Tensor:
    return table if rows is None else table[rows]
