"""Known labels of neighbors: messages along labelled edges, and the sum of the labels of neighboring nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from graphsocial.graph import SocialGraph, is_known
from graphsocial.graph.adjacency import CanonicalEtype, Relation
from graphsocial.graph.visibility import View, edge_mask
from graphsocial.nn.aggregation import edge_weights, weighted_sum
from graphsocial.nn.losses import Objective, encoded_labels
from graphsocial.nn.named import NamedParameters


class LabelMessages(nn.Module):
    r"""The convolution of graph matrix completion, on the edges whose label is known.

    Van den Berg, Kipf & Welling 2017 (https://arxiv.org/abs/1706.02263), eqs. 1-2, with one Θ for each edge type and
    class, and one Ψ for each edge type and number that edges may carry beside their class (beyond the paper):

    .. math:: y_i = \sum_r \frac{1}{\sqrt{1 + n_i^r}} \sum_{j \in N_r(i)}
        \Big(\Theta^r_{c(ij)} + \sum_m z^m_{ij} \Psi^{rm}\Big) x_j

    where c(ij) is the edge's class, z its numbers and n the number of labelled edges into i. The messages say *which*
    label an edge to *which* neighbor has, unlike counts of classes. Dividing by the root keeps both the mean and the
    number of labels in the sum.

    Args:
        edge_types: the edge types with labels.
        in_features: D.
        out_features: H.
        classes: K, number of classes.
        numbers: M, number of further targets that are numbers.
    """

    def __init__(
        self,
        edge_types: Sequence[CanonicalEtype],
        in_features: int,
        out_features: int,
        classes: int,
        numbers: int = 0,
    ) -> None:
        super().__init__()
        self.edge_types, self.classes = tuple(edge_types), classes
        shape = (classes + numbers, out_features, in_features)
        self.weight = NamedParameters({"-".join(kind): nn.Parameter(torch.empty(shape)) for kind in edge_types})
        for parameter in self.weight.values():
            for part in parameter:
                nn.init.xavier_uniform_(part)

    def forward(
        self,
        x: Mapping[str, Tensor],
        relations: Mapping[CanonicalEtype, Relation],
        labels: Mapping[CanonicalEtype, Tensor],
        numbers: Mapping[CanonicalEtype, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the messages.

        Args:
            x: {node_type: (N, D)}
            relations: {edge_type: relation}; those of `edge_types` are used.
            labels: {edge_type: int64 (E,)} class of each edge, in the caller's order; -1 where hidden or unknown.
            numbers: {edge_type: (E, M)} standardised, 0 where hidden or unknown.

        Returns:
            {node_type: (num_dst, H)} for the types that have such edges.
        """
        messages: dict[str, Tensor] = {}
        for kind in self.edge_types:
            relation, label = relations[kind], labels[kind]
            theta = self.weight["-".join(kind)]
            values = [(x[kind[0]] @ theta[: self.classes].flatten(0, 1).t()).view(-1, theta.shape[1])]  # (N K, H)
            coded = _by_label(relation, label, self.classes)
            weights = [edge_weights(coded, "sum", label >= 0, values[0].dtype)]
            count = torch.zeros(relation.num_dst).index_add_(0, relation.dst.long(), weights[0])
            if numbers is not None:
                values += [x[kind[0]] @ psi.t() for psi in theta[self.classes :]]  # (N, H) each
                weights += [column.contiguous() for column in relation.sort(numbers[kind]).unbind(1)]
            sources = [coded, *[relation] * (len(values) - 1)]
            message = weighted_sum(sources, weights, values) * (1 + count).rsqrt()[:, None]
            messages[kind[2]] = messages[kind[2]] + message if kind[2] in messages else message
        return messages


def _by_label(relation: Relation, label: Tensor, classes: int) -> Relation:
    """The same edges with K sources per node: row j K + c of the values is node j transformed for class c."""
    src = relation.src.long() * classes + relation.sort(label).clamp_min(0)
    count = relation.num_src * classes
    return replace(relation, num_src=count, src=src.to(relation.src.dtype if count < 2**31 else torch.int64), back=None)


def neighbor_labels(graph: SocialGraph, view: View, part: Objective) -> Tensor:
    """(N, K + 1) the sum of the visible labels of each node's neighbors, as numbers, and their count.

    Neighbors are the nodes that an edge of one type joins, in either direction; and the other nodes that are joined to
    the same node of another type, such as a group, which together count as one for each such node.

    Args:
        graph: a graph whose examples are nodes.
        view: which labels and edges may be used.
        part: the objective of the target, with the scale of its numbers.
    """
    labels = graph.target_labels[part.target.name]
    seen = torch.nonzero(view.label & is_known(labels)).squeeze(1)
    values = encoded_labels(part, labels[seen])
    votes = torch.zeros(graph.num_nodes[graph.end_types[0]], values.shape[1] + 1)
    votes[graph.ends[0][seen]] = torch.cat([values, torch.ones(len(seen), 1)], dim=1)
    masks = edge_mask(graph, view)
    total = torch.zeros_like(votes)
    for kind, edges in graph.edges.items():
        mask = masks[kind]
        src, dst = (edges.src, edges.dst) if mask is None else (edges.src[mask], edges.dst[mask])
        if kind[0] == kind[2] == graph.entity:
            apart = src != dst  # a self loop would show nothing, and count
            total.index_add_(0, dst[apart], votes[src[apart]])
        elif kind[0] == graph.entity:
            there = torch.zeros(graph.num_nodes[kind[2]], votes.shape[1]).index_add_(0, dst, votes[src])
            back = (kind[2], f"rev_{kind[1]}", kind[0])
            returned = graph.edges.get(back)
            if returned is None:
                continue
            mask = masks[back]
            src, dst = (returned.src, returned.dst) if mask is None else (returned.src[mask], returned.dst[mask])
            others = there[src] - votes[dst]  # without the node's own label
            total.index_add_(0, dst, others / others[:, -1:].clamp_min(1))
    return total
