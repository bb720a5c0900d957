"""One softmax over all edges into a node, of all relations, and the node itself: attention and its gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import leaky_relu

from graphsocial.errors import InputError
from graphsocial.nn.aggregation import weighted_sum
from graphsocial.nn.relation import Relation


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
    r"""Average neighbours by one softmax over all relations into one node type, and the node itself.

    Eqs. 2-3 of "HMG-Emo" (after Veličković et al. 2018, https://arxiv.org/abs/1710.10903), with f = LeakyReLU:

    .. math::
        y_i = \alpha_{ii} v_i + \sum_r \sum_{j \in N_r(i)} \alpha^r_{ij} v^r_j, \qquad
        \alpha^r_{ij} \propto \exp f(d^r_i + s^r_j + e^r_{ij}), \qquad \alpha_{ii} \propto \exp f(s_{ii})

    Args:
        values: what each relation carries, (num_src_r, H); one entry a relation, as in all the lists.
        relations: R relations into the same num_dst nodes.
        source_scores: s, (num_src_r,).
        destination_scores: d, (num_dst,).
        edge_scores: e, (E_r,) in the caller's edge order, or None where edges say nothing.
        edge_mask: bool (E_r,) in the caller's edge order; False is as good as no edge. None keeps all.
        self_value: v of the node itself, (num_dst, H), or None for no self loop.
        self_score: the self loop's score before the LeakyReLU, (num_dst,), with `self_value`.
        negative_slope: of the LeakyReLU, not negative.

    Returns:
        (num_dst, H). A node with neither neighbours nor a self term gets zeros.

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
        _expect(f"source_scores[{r}]", source_scores[r].shape, relation.num_src)
        _expect(f"destination_scores[{r}]", destination_scores[r].shape, num_dst)
        for name, given in (("edge_scores", edge_scores), ("edge_mask", edge_mask)):
            part = given[r] if given else None
            if part is not None:
                _expect(f"{name}[{r}]", part.shape, relation.num_edges)
    if self_value is not None and self_score is not None:
        _expect("self_value", self_value.shape[:1], num_dst)
        _expect("self_score", self_score.shape, num_dst)
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

    The arguments are those of `attend`. Exact for scores of any size; a masked edge weighs 0.

    Returns:
        For each relation its weights (E_r,), **sorted** as the relation's edges
        (`weights.index_select(0, relation.inverse)` puts them in the caller's order), and the self weight (num_dst,)
        or None.
    """
    none = [None] * len(relations)
    kept = tuple(
        None if mask is None else mask.index_select(0, relation.order)
        for relation, mask in zip(relations, edge_mask or none, strict=True)
    )
    scores = (*source_scores, *destination_scores, *(edge_scores or none))
    self_weight, *weights = _JointSoftmax.apply(  # type: ignore[no-untyped-call]
        tuple(relations), kept, negative_slope, self_score, *scores
    )
    return weights, self_weight


class _JointSoftmax(torch.autograd.Function):
    """Tensors come as: self score or None, R source scores, R destination scores, R edge scores or None."""

    @staticmethod
    def forward(
        ctx: Any, relations: Any, kept: Any, slope: float, self_score: Tensor | None, *scores: Any
    ) -> tuple[Tensor | None, ...]:
        count = len(relations)
        own = None if self_score is None else leaky_relu(self_score, slope)
        logits, positive, bounds = [], [], []
        for r, relation in enumerate(relations):
            source, destination, edge = scores[r::count]
            logit = source.index_select(0, relation.src)
            logit += destination.index_select(0, relation.dst)
            if edge is not None:
                logit += edge.index_select(0, relation.order)
            positive.append(logit > 0)
            logits.append(leaky_relu(logit, slope))
            if relation.num_edges:
                top = source.max() + (0.0 if edge is None else edge.max())
                bounds.append(leaky_relu(destination + top, slope))

        weights, self_weight = _exponentials(relations, logits, own, bounds, kept)
        total = _add(relations, weights, self_weight)
        scale = total.clamp_min(torch.finfo(total.dtype).tiny).reciprocal_()  # touches only nodes without any edge
        for relation, weight in zip(relations, weights, strict=True):
            weight *= scale.index_select(0, relation.dst)
        self_weight = None if self_weight is None else self_weight * scale
        ctx.relations, ctx.slope = relations, slope
        ctx.save_for_backward(None if own is None else own > 0, self_weight, *positive, *weights)
        return self_weight, *weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_self: Tensor | None, *d_weights: Tensor) -> tuple[Any, ...]:
        """With w the weights and g their gradients: d logit_ij = w_ij (g_ij - sum_k w_ik g_ik)."""
        relations, slope, count = ctx.relations, ctx.slope, len(ctx.relations)
        self_positive, self_weight, *saved = ctx.saved_tensors
        positive, weights = saved[:count], saved[count:]
        own = None if self_weight is None else self_weight * d_self
        edges = [weight * grad for weight, grad in zip(weights, d_weights, strict=True)]
        mean = _add(relations, edges, own)
        d_scores: list[Tensor | None] = [None] * (3 * count)
        for r, relation in enumerate(relations):
            logit = edges[r].sub_(weights[r] * mean.index_select(0, relation.dst))
            logit = torch.where(positive[r], logit, logit * slope)
            source, destination, edge = ctx.needs_input_grad[4 + r :: count]
            d_scores[r] = relation.sum_by_src(logit) if source else None
            d_scores[count + r] = relation.sum_by_dst(logit) if destination else None
            d_scores[2 * count + r] = logit.index_select(0, relation.inverse) if edge else None
        if own is not None:
            own = own - self_weight * mean
            own = torch.where(self_positive, own, own * slope)
        return None, None, None, own, *d_scores


def _add(relations: Sequence[Relation], weights: Sequence[Tensor], own: Tensor | None) -> Tensor:
    """Sum over each node's edges of all relations, and its self term; (num_dst,)."""
    sums = [relation.sum_by_dst(weight) for relation, weight in zip(relations, weights, strict=True)]
    return reduce(torch.add, sums if own is None else [*sums, own])


def _exponentials(
    relations: Sequence[Relation],
    logits: Sequence[Tensor],
    own: Tensor | None,
    bounds: Sequence[Tensor],
    kept: Sequence[Tensor | None],
) -> tuple[list[Tensor], Tensor | None]:
    """exp(logit - shift): any shift leaves a node's softmax as it is, as long as exp stays in range.

    The first shift is a bound that needs no look at the edges. Where it lies so far above some logit that exp could
    underflow, and on a GPU, where asking would stall, the shift is each node's exact maximum.
    """
    terms = [*bounds, *([] if own is None else [own])]
    if not terms:  # relations without edges
        return [torch.empty_like(logit) for logit in logits], None
    shift = reduce(torch.maximum, terms)
    centred, centred_own = _subtract(relations, logits, own, shift)
    floor = math.log(torch.finfo(shift.dtype).tiny) + 7.0  # -80 in float32
    checked = [part for part in (*centred, centred_own) if part is not None and part.numel()]
    if shift.is_cuda or not all(float(part.min()) > floor for part in checked):
        logits = [
            logit if keep is None else logit.masked_fill(~keep, -math.inf)
            for logit, keep in zip(logits, kept, strict=True)
        ]
        tops = [relation.max_by_dst(logit) for relation, logit in zip(relations, logits, strict=True)]
        shift = reduce(torch.maximum, tops if own is None else [*tops, own])
        shift = shift.clamp_min(torch.finfo(shift.dtype).min)  # no edge kept: -inf - -inf would be nan
        centred, centred_own = _subtract(relations, logits, own, shift)
    weights = [part.exp_() for part in centred]
    for weight, keep in zip(weights, kept, strict=True):
        if keep is not None:
            weight.masked_fill_(~keep, 0.0)
    return weights, None if centred_own is None else centred_own.exp_()


def _subtract(
    relations: Sequence[Relation], logits: Sequence[Tensor], own: Tensor | None, shift: Tensor
) -> tuple[list[Tensor], Tensor | None]:
    centred = [logit - shift.index_select(0, r.dst) for r, logit in zip(relations, logits, strict=True)]
    return centred, None if own is None else own - shift
