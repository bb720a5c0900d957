"""One softmax over all edges into a node, of all relations, and the node itself: attention and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import leaky_relu

from graphsocial.errors import InputError
from graphsocial.graph.adjacency import Relation
from graphsocial.nn.aggregation import weighted_sum
from graphsocial.nn.kernels import Scores, kernel_of


def attend(
    values: Sequence[Tensor],
    relations: Sequence[Relation],
    source_scores: Sequence[Tensor],
    destination_scores: Sequence[Tensor],
    *,
    edge_scores: Sequence[Tensor | None] | None = None,
    edge_mask: Sequence[Tensor | None] | None = None,
    self_value: Tensor | None = None,
    self_score: Tensor | None = None,
    negative_slope: float = 0.2,
) -> Tensor:
    r"""Average neighbors by one softmax over all relations into one node type, and the node itself.

    Eqs. 2-3 of "HMG-Emo" (after Veličković et al. 2018, https://arxiv.org/abs/1710.10903), with f = LeakyReLU:

    .. math::
        y_i = \alpha_{ii} v_i + \sum_r \sum_{j \in N_r(i)} \alpha^r_{ij} v^r_j, \qquad
        \alpha^r_{ij} \propto \exp f(d^r_i + s^r_j + e^r_{ij}), \qquad \alpha_{ii} \propto \exp f(s_{ii})

    Args:
        values: v, (num_src_r, H) of each relation, as in all the lists.
        relations: R relations into the same num_dst nodes.
        source_scores: s, (num_src_r,), or (num_src_r, K) for K heads, as in all scores; each head weighs its own H / K
            columns of the values.
        destination_scores: d, (num_dst,).
        edge_scores: e, (E_r,) in the caller's edge order, or None for edges without scores.
        edge_mask: bool (E_r,) in the caller's edge order; edges that are False are left out. None keeps all.
        self_value: v of the node itself, (num_dst, H), or None for no self loop.
        self_score: the self loop's score before the LeakyReLU, (num_dst,), with `self_value`.
        negative_slope: slope of the LeakyReLU, not negative.

    Returns:
        (num_dst, H). A node with neither neighbors nor a self term gets zeros.

    Raises:
        InputError: nothing to average, or shapes that do not fit.
    """
    if (self_value is None) != (self_score is None):
        raise InputError("self_value and self_score belong together; only one of them was given.")
    if not relations and self_value is None:
        raise InputError("attend needs at least one relation or a self_value; it was given neither.")
    num_dst = relations[0].num_dst if relations else len(self_value) if self_value is not None else 0
    lists = (values, source_scores, destination_scores, edge_scores or relations, edge_mask or relations)
    if any(len(given) != len(relations) for given in lists):
        raise InputError(f"attend got {len(relations)} relations, but lists of {[len(given) for given in lists]}.")
    for r, relation in enumerate(relations):
        _expect(f"relations[{r}].num_dst", torch.Size([relation.num_dst]), num_dst)
        _expect(f"values[{r}]", values[r].shape[:1], relation.num_src)
        _expect(f"source_scores[{r}]", source_scores[r].shape[:1], relation.num_src)
        _expect(f"destination_scores[{r}]", destination_scores[r].shape[:1], num_dst)
        for name, given in (("edge_scores", edge_scores), ("edge_mask", edge_mask)):
            part = given[r] if given else None
            if part is not None:
                _expect(f"{name}[{r}]", part.shape[:1], relation.num_edges)
    if self_value is not None and self_score is not None:
        _expect("self_value", self_value.shape[:1], num_dst)
        _expect("self_score", self_score.shape[:1], num_dst)
    weights, self_weight = joint_softmax(
        relations,
        source_scores,
        destination_scores,
        edge_scores=edge_scores,
        edge_mask=edge_mask,
        self_score=self_score,
        negative_slope=negative_slope,
    )
    return weighted_sum(relations, weights, values, self_weight=self_weight, self_value=self_value)


def _expect(name: str, given: torch.Size, count: int) -> None:
    if given != (count,):
        raise InputError(f"{name} has {tuple(given)} rows; its relation has {count}.")


def joint_softmax(
    relations: Sequence[Relation],
    source_scores: Sequence[Tensor],
    destination_scores: Sequence[Tensor],
    *,
    edge_scores: Sequence[Tensor | None] | None = None,
    edge_mask: Sequence[Tensor | None] | None = None,
    self_score: Tensor | None = None,
    negative_slope: float = 0.2,
) -> tuple[list[Tensor], Tensor | None]:
    r"""Attention weights (eq. 3 of "HMG-Emo"): for each node, over its edges of all relations and its self loop,

    .. math:: \alpha^r_{ij} \propto \exp f(d^r_i + s^r_j + e^r_{ij}), \qquad \alpha_{ii} \propto \exp f(s_{ii})

    Exact for scores of any size; a masked edge has weight 0. Scores are (…,), or (…, K) for K heads.

    Args:
        relations: R relations into the same num_dst nodes.
        source_scores: s, (num_src_r,) of each relation.
        destination_scores: d, (num_dst,) of each relation.
        edge_scores: e, (E_r,) in the caller's edge order, or None for edges without scores.
        edge_mask: bool (E_r,) in the caller's edge order; edges that are False are left out. None keeps all.
        self_score: the self loop's score before the LeakyReLU, (num_dst,), or None for no self loop.
        negative_slope: slope of the LeakyReLU, not negative.

    Returns:
        For each relation its weights (E_r,), **sorted** as the relation's edges (`relation.unsort(weights)` puts them
        in the caller's order), and the self weight (num_dst,) or None; (E_r, K) and (num_dst, K) where the node scores
        have K heads.
    """
    none = [None] * len(relations)
    node_scores = (*source_scores, *destination_scores, *(() if self_score is None else (self_score,)))
    flat = all(score.dim() == 1 for score in node_scores)
    kept = tuple(
        None if mask is None else relation.sort(mask)
        for relation, mask in zip(relations, edge_mask or none, strict=True)
    )
    scores = (self_score, *source_scores, *destination_scores, *(edge_scores or none))
    wide = [None if score is None else score[:, None] if score.dim() == 1 else score for score in scores]
    self_weight, *weights = _JointSoftmax.apply(  # type: ignore[no-untyped-call]
        tuple(relations), kept, negative_slope, *wide
    )
    if not flat:
        return weights, self_weight
    return [weight[:, 0] for weight in weights], None if self_weight is None else self_weight[:, 0]


class _JointSoftmax(torch.autograd.Function):
    """Tensors are in this order: self score or None, R source, R destination and R edge scores or None; (…, K)."""

    @staticmethod
    def forward(
        ctx: Any, relations: Any, kept: Any, slope: float, self_score: Tensor | None, *scores: Any
    ) -> tuple[Tensor | None, ...]:
        count = len(relations)
        self_logit = None if self_score is None else leaky_relu(self_score.contiguous(), slope)
        scores = tuple(None if score is None else score.contiguous() for score in scores)
        sources, destinations = scores[:count], scores[count : 2 * count]
        edges = tuple(
            None if edge is None else relation.sort(edge)
            for relation, edge in zip(relations, scores[2 * count :], strict=True)
        )
        if relations:
            kernel = kernel_of(relations[0], destinations[0])
            parts = Scores(sources, destinations, edges)
            weights, self_weight = kernel.softmax(relations, parts, kept, self_logit, slope)
        else:
            weights, self_weight = [], None if self_logit is None else torch.ones_like(self_logit)
        ctx.relations, ctx.slope = relations, slope
        positive = None if self_logit is None else self_logit > 0
        ctx.save_for_backward(positive, self_weight, *sources, *destinations, *edges, *weights)
        return self_weight, *weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_self: Tensor | None, *d_weights: Tensor) -> tuple[Any, ...]:
        """With w the weights and g their gradients: d logit_ij = w_ij (g_ij - sum_k w_ik g_ik)."""
        relations, slope, count = ctx.relations, ctx.slope, len(ctx.relations)
        positive, self_weight, *saved = ctx.saved_tensors
        sources, destinations, edges, weights = (saved[part * count : (part + 1) * count] for part in range(4))
        d_self_score = None if self_weight is None else (self_weight * d_self).contiguous()
        mean = torch.zeros_like(destinations[0]) if d_self_score is None else d_self_score.clone()
        d_scores: list[Tensor | None] = [None] * (3 * count)
        if relations:
            grads = [grad.contiguous() for grad in d_weights]
            gradients = kernel_of(relations[0], mean).softmax_back(
                relations, Scores(sources, destinations, edges), slope, weights, grads, mean
            )
            for r, (d_source, d_destination, d_edge) in enumerate(gradients):
                needed = ctx.needs_input_grad[4 + r :: count]
                d_scores[r] = d_source if needed[0] else None
                d_scores[count + r] = d_destination if needed[1] else None
                d_scores[2 * count + r] = relations[r].unsort(d_edge) if needed[2] else None
        if d_self_score is not None:
            d_self_score = d_self_score - self_weight * mean
            d_self_score = torch.where(positive, d_self_score, d_self_score * slope)
        return None, None, None, d_self_score, *d_scores
