"""Graph attention over a heterogeneous graph: each node attends to its neighbors of all types and to itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import CanonicalEtype, Relation, check_edges, check_graph, first_rows
from graphsocial.nn.aggregation import weighted_sum, weighted_sums
from graphsocial.nn.edge_softmax import joint_softmax
from graphsocial.nn.named import NamedParameters
from graphsocial.nn.products import linear
from graphsocial.nn.sharing import ALL, Share, check_share, edge_key, node_key

EDGE_COST = 12  # multiplications of a matrix product in the time of fetching one number along an edge


class GraphAttention(nn.Module):
    r"""One layer of graph attention with edge features in the logits.

    `share="all"` is eqs. 2-3 of "HMG-Emo" as printed: one Θ and one pair a_s, a_t for all nodes, one Θ_e, a_e for
    all edges with features, and one softmax over all neighbors and the node itself:

    .. math::
        x'_i = \alpha_{ii} \Theta x_i + \sum_j \alpha_{ij} \Theta x_j + b, \qquad
        \alpha_{ij} \propto \exp f(a_s^\top \Theta x_i + a_t^\top \Theta x_j + a_e^\top \Theta_e e_{ij})

    `share="relation"` gives each edge type its own Θ, a and softmax, and adds the results, as PyG's
    `HeteroConv(GATConv)` does; the self loop is then a linear map per node type.

    The scores are linear in x and e, so a^T Θ folds to one vector a head: no (E, H) tensor is ever built. So are the
    messages: Θ is applied after the sum over neighbors, to destinations only, unless applying it first is cheaper.

    Args:
        node_types: all node types of the graph.
        edge_types: all edge types, as (source type, relation, destination type).
        in_features: D, of every node type.
        out_features: H.
        edge_features: width De of the edge types that have features.
        share: which weights are shared; see above.
        self_loops: whether a node attends to itself.
        negative_slope: slope of the LeakyReLU in the logits.
        edge_values: beyond the paper: an edge's features enter its message too, as Θ x_j + Θ_v e_ij.
        heads: K; each has its own softmax and H / K of the output's columns.
    """

    def __init__(
        self,
        node_types: Sequence[str],
        edge_types: Sequence[CanonicalEtype],
        in_features: int,
        out_features: int,
        *,
        edge_features: Mapping[CanonicalEtype, int] | None = None,
        share: Share = ALL,
        self_loops: bool = True,
        negative_slope: float = 0.2,
        edge_values: bool = False,
        heads: int = 1,
    ) -> None:
        super().__init__()
        self.node_types, self.edge_types = tuple(node_types), tuple(edge_types)
        self.in_features, self.out_features = in_features, out_features
        self.edge_features, self.share, self.edge_values = dict(edge_features or {}), share, edge_values
        self.self_loops, self.negative_slope, self.heads = self_loops, negative_slope, heads
        check_share(share)
        if negative_slope < 0:
            raise InputError(f"negative_slope = {negative_slope} is negative; LeakyReLU must not fall.")
        if heads < 1 or out_features % heads:
            raise InputError(f"heads = {heads} do not share {out_features} output features evenly.")
        unknown = set(self.edge_features) - set(self.edge_types)
        if unknown:
            raise InputError(f"edge_features names {sorted(unknown)}; the edge types are {sorted(self.edge_types)}.")
        widths: dict[str, int] = {}
        for etype, width in self.edge_features.items():
            if widths.setdefault(self._key(etype), width) != width:
                raise InputError(
                    f"edge_features has several widths, {self.edge_features}; one Θ_e takes one. Project the features "
                    "to one width, or use share='relation'."
                )
        keys = [ALL] if share == ALL else [self._key(etype) for etype in self.edge_types]
        nodes = list(dict.fromkeys(node_key(name, share) for name in self.node_types))
        self.weight = _parameters(dict.fromkeys(keys, (out_features, in_features)))
        self.attention_self = _parameters(dict.fromkeys(keys, (out_features,)))
        self.attention_neighbour = _parameters(dict.fromkeys(keys, (out_features,)))
        self.edge_weight = _parameters({key: (out_features, width) for key, width in widths.items()})
        self.attention_edge = _parameters(dict.fromkeys(widths, (out_features,)))
        self.edge_value = _parameters({key: (out_features, width) for key, width in widths.items() if edge_values})
        self.self_weight = _parameters(
            dict.fromkeys(nodes if share == "relation" and self_loops else (), (out_features, in_features))
        )
        self.bias = _parameters(dict.fromkeys(nodes, (out_features,)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform weights and attention vectors, zero biases."""
        for name, parameter in self.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_uniform_(parameter if parameter.dim() == 2 else parameter[None])

    def _key(self, etype: CanonicalEtype) -> str:
        return edge_key(etype, self.share)

    def fold_edge_vector(self) -> dict[CanonicalEtype, Tensor]:
        """a_e^T Θ_e for each edge type with features; (K, De). `edge_features @ vector.t()` is its `edge_scores`.

        A model can concatenate those of all its layers and compute all edge logits in one matrix product.
        """
        folded = {key: self._fold(self.attention_edge[key], weight) for key, weight in self.edge_weight.items()}
        return {etype: folded[self._key(etype)] for etype in self.edge_features}

    def _fold(self, attention: Tensor, weight: Tensor) -> Tensor:
        """a^T Θ of each head; (K, D)."""
        return torch.einsum("kf,kfd->kd", attention.view(self.heads, -1), weight.view(self.heads, -1, weight.shape[1]))

    def forward(
        self,
        x: Mapping[str, Tensor],
        relations: Mapping[CanonicalEtype, Relation],
        *,
        edge_features: Mapping[CanonicalEtype, Tensor] | None = None,
        edge_scores: Mapping[CanonicalEtype, Tensor] | None = None,
        edge_mask: Mapping[CanonicalEtype, Tensor] | None = None,
        num_dst: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the layer.

        Args:
            x: {node_type: (N, D)}. In a mini-batch block the first num_dst rows of a type are its destinations.
            relations: one for each edge type, with or without edges.
            edge_features: {edge_type: (E, De)} of each type with features, unless `edge_scores` has the type.
            edge_scores: {edge_type: (E, K), or (E,) for one head}, the edges' part of the logits, from
                `fold_edge_vector`.
            edge_mask: {edge_type: bool (E,)}; edges that are False are left out.
            num_dst: {node_type: count} of destinations; by default all nodes of the type.

        Returns:
            {node_type: (num_dst, H)}

        Raises:
            InputError: types, shapes or counts do not match the layer, or an edge feature is missing.
        """
        counts = check_graph(x, relations, self.node_types, self.edge_types, self.in_features, num_dst)
        weights, self_weights = self._weights(x, relations, counts, edge_features, edge_scores, edge_mask)
        message_features = edge_features if self.edge_values and edge_features else {}
        first = self._transforms_first(relations, counts)
        nonempty = [etype for etype in self.edge_types if relations[etype].num_edges]  # the others add nothing
        values = self._values(x, first, nonempty)
        result = {}
        for name in self.node_types:
            incoming = [etype for etype in nonempty if etype[2] == name]
            y = self._self_loop(name, first_rows(x[name], counts[name]))
            if incoming or name in self_weights:
                edges = [relations[etype] for etype in incoming]
                alphas = [weights[etype] for etype in incoming]
                sources = [values[etype[0], self._key(etype) if first else ALL] for etype in incoming]
                if first or self.share == ALL:
                    loop = first_rows(values[name, ALL], counts[name]) if name in self_weights else None
                    sums = weighted_sum(edges, alphas, sources, self_weight=self_weights.get(name), self_value=loop)
                else:
                    sums = weighted_sums(edges, alphas, sources)  # (num_dst, R D), concatenated as the Θ that follow
                y = self._add_messages(name, incoming, sums, y, first)
            if y is None:
                y = self.bias[node_key(name, self.share)].expand(counts[name], -1)
            for etype in incoming:
                if etype in message_features:
                    y = y + self._edge_messages(etype, relations[etype], weights[etype], message_features[etype])
            result[name] = y
        return result  # {node_type: (num_dst, H)}

    def _self_loop(self, name: str, x: Tensor) -> Tensor | None:
        """Θ_self x + b of a node type that has such a Θ, of its own destinations; (num_dst, H)."""
        key = node_key(name, self.share)
        return linear(x, self.self_weight[key], self.bias[key]) if key in self.self_weight else None

    def _add_messages(
        self, name: str, incoming: Sequence[CanonicalEtype], sums: Tensor, y: Tensor | None, first: bool
    ) -> Tensor:
        """The messages, Θ applied to them unless it came first, plus the self loop, or else the bias; (num_dst, H)."""
        bias = self.bias[node_key(name, self.share)]
        if first:
            return sums + (bias if y is None else y)
        keys = [ALL] if self.share == ALL else [self._key(etype) for etype in incoming]
        return linear(sums, torch.cat([self.weight[key] for key in keys], 1), bias if y is None else None, y)

    def _transforms_first(self, relations: Mapping[CanonicalEtype, Relation], counts: Mapping[str, int]) -> bool:
        """Whether Θ is cheaper before the sum (N_src rows, H numbers an edge) than after it (N_dst rows, D numbers)."""
        wide, narrow = self.in_features, self.out_features
        if self.heads > 1 or (self.share == ALL and self.self_loops and wide > narrow):
            return True
        edges = sum(relation.num_edges for relation in relations.values())
        rows = sum(relation.num_src - counts[etype[2]] for etype, relation in relations.items())
        return rows * wide * narrow < EDGE_COST * edges * (wide - narrow)

    def _values(
        self, x: Mapping[str, Tensor], first: bool, etypes: Sequence[CanonicalEtype]
    ) -> dict[tuple[str, str], Tensor]:
        """The values to sum, by source type and set of weights: Θ x, or x itself."""
        if not first:
            return {(name, ALL): part for name, part in x.items()}
        needed = {(etype[0], self._key(etype)) for etype in etypes}
        if self.share == ALL and self.self_loops:
            needed |= {(name, ALL) for name in self.node_types}
        return {(name, key): linear(x[name], self.weight[key]) for name, key in sorted(needed)}  # (N, H)

    def _edge_messages(self, etype: CanonicalEtype, relation: Relation, weights: Tensor, features: Tensor) -> Tensor:
        """Σ_j α_ij Θ_v e_ij; (num_dst, H)."""
        theta = self.edge_value[self._key(etype)]
        narrows = features.shape[1] > self.out_features
        if self.heads > 1 or (narrows and relation.num_edges < 2 * relation.num_dst):  # fewer, narrower rows
            return weighted_sum([relation.edges_as_sources], [weights], [linear(features, theta)])
        return linear(weighted_sum([relation.edges_as_sources], [weights], [features]), theta)

    def attention(
        self,
        x: Mapping[str, Tensor],
        relations: Mapping[CanonicalEtype, Relation],
        *,
        edge_features: Mapping[CanonicalEtype, Tensor] | None = None,
        edge_scores: Mapping[CanonicalEtype, Tensor] | None = None,
        edge_mask: Mapping[CanonicalEtype, Tensor] | None = None,
        num_dst: Mapping[str, int] | None = None,
    ) -> tuple[dict[CanonicalEtype, Tensor], dict[str, Tensor]]:
        """Compute the attention weights that `forward` uses; the arguments are the same.

        Args:
            x: {node_type: (N, D)}.
            relations: one for each edge type.
            edge_features: {edge_type: (E, De)}.
            edge_scores: {edge_type: (E, K)}.
            edge_mask: {edge_type: bool (E,)}.
            num_dst: {node_type: count}.

        Returns:
            α_ij: {edge_type: (E,)} in the caller's edge order; α_ii: {node_type: (num_dst,)}. With K heads (E, K) and
            (num_dst, K).
        """
        counts = check_graph(x, relations, self.node_types, self.edge_types, self.in_features, num_dst)
        weights, self_weights = self._weights(x, relations, counts, edge_features, edge_scores, edge_mask)
        return {etype: relations[etype].unsort(w) for etype, w in weights.items()}, self_weights

    def _weights(
        self,
        x: Mapping[str, Tensor],
        relations: Mapping[CanonicalEtype, Relation],
        counts: Mapping[str, int],
        edge_features: Mapping[CanonicalEtype, Tensor] | None,
        edge_scores: Mapping[CanonicalEtype, Tensor] | None,
        edge_mask: Mapping[CanonicalEtype, Tensor] | None,
    ) -> tuple[dict[CanonicalEtype, Tensor], dict[str, Tensor]]:
        """Attention weights, sorted as the relations' edges, and self weights."""
        masks = check_edges("edge_mask", edge_mask, relations, dict.fromkeys(self.edge_types, ()))
        edges = self._edge_scores(relations, edge_features, edge_scores)
        scores = self._node_scores(x)
        weights: dict[CanonicalEtype, Tensor] = {}
        self_weights: dict[str, Tensor] = {}
        for name in self.node_types:
            etypes = [etype for etype in self.edge_types if etype[2] == name]
            loop = self.share == ALL and self.self_loops
            for group in [etypes] if self.share == ALL else [[etype] for etype in etypes]:
                if not group and not loop:
                    continue
                alphas, self_weight = joint_softmax(
                    [relations[etype] for etype in group],
                    [scores[etype[0], self._key(etype)][1] for etype in group],
                    [first_rows(scores[name, self._key(etype)][0], counts[name]) for etype in group],
                    edge_scores=[edges.get(etype) for etype in group],
                    edge_mask=[masks.get(etype) for etype in group],
                    self_score=first_rows(torch.add(*scores[name, ALL]), counts[name]) if loop else None,
                    negative_slope=self.negative_slope,
                )
                weights |= zip(group, alphas, strict=True)
                if self_weight is not None:
                    self_weights[name] = self_weight
        return weights, self_weights

    def _node_scores(self, x: Mapping[str, Tensor]) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
        """(a_s^T Θ x, a_t^T Θ x) by node type and set of weights, each (N,), or (N, K) for several heads."""
        folded = {
            key: torch.cat([self._fold(self.attention_self[key], w), self._fold(self.attention_neighbour[key], w)])
            for key, w in self.weight.items()
        }  # (2 K, D)
        scores: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        for name in self.node_types:
            keys = [ALL] if self.share == ALL else [self._key(e) for e in self.edge_types if name in (e[0], e[2])]
            if keys:
                rows = torch.cat([folded[key] for key in keys]) @ x[name].t()
                parts = rows.view(len(keys), 2, self.heads, -1)  # N last, so that each head's scores lie together
                for key, part in zip(keys, parts, strict=True):
                    as_destination, as_source = part[:, 0] if self.heads == 1 else part.transpose(1, 2)
                    scores[name, key] = as_destination, as_source
        return scores

    def _edge_scores(
        self,
        relations: Mapping[CanonicalEtype, Relation],
        edge_features: Mapping[CanonicalEtype, Tensor] | None,
        edge_scores: Mapping[CanonicalEtype, Tensor] | None,
    ) -> dict[CanonicalEtype, Tensor]:
        """a_e^T Θ_e e of each edge of the types with features; (E, K)."""
        widths = {etype: (width,) for etype, width in self.edge_features.items()}
        features = check_edges("edge_features", edge_features, relations, widths)
        scores = {etype: score[:, None] if score.dim() == 1 else score for etype, score in (edge_scores or {}).items()}
        scores = check_edges("edge_scores", scores, relations, dict.fromkeys(widths, (self.heads,)))
        for etype in widths:
            if etype not in features and (etype not in scores or self.edge_values):
                raise InputError(f"edge_features lacks {etype}, which this layer was built to use.")
        missing = [etype for etype in widths if etype not in scores]
        vectors = self.fold_edge_vector() if missing else {}
        return scores | {etype: features[etype] @ vectors[etype].t() for etype in missing}


def _parameters(shapes: Mapping[str, tuple[int, ...]]) -> nn.ParameterDict:
    return NamedParameters({name: nn.Parameter(torch.empty(shape)) for name, shape in shapes.items()})
