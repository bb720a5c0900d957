"""The check of edges in the opposite direction, where a run hides those of the pairs that it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from graphsocial.auditing.base import Check, names, not_applicable
from graphsocial.auditing.messages import messages
from graphsocial.graph import SocialGraph
from graphsocial.graph.batching import Batch
from graphsocial.graph.visibility import Visibility

NAME = "reciprocal edges"


def check_reciprocal(graph: SocialGraph, batches: Sequence[Batch], visibility: Visibility) -> Check:
    """Count the predicted pairs A → B of which a batch shows an edge or the label of B → A.

    It goes by the endpoints of the messages, not by the masks from which they were made.

    Args:
        graph: the run's graph.
        batches: batches of every part of the split.
        visibility: the run's settings.
    """
    if isinstance(graph.entity, str) or graph.end_types[0] != graph.end_types[1]:
        return not_applicable(NAME, "The predicted edges do not join nodes of one type.")
    if visibility.reciprocal == "visible":
        return not_applicable(NAME, "The run may use edges in the opposite direction of those that it predicts.")
    size, own = graph.num_nodes[graph.end_types[0]], graph.edges[graph.entity]
    opposite = graph.ends[1] * size + graph.ends[0]
    keys = graph.ends[0] * size + graph.ends[1]
    shown, examined = torch.zeros(graph.num_examples, dtype=torch.bool), 0
    for batch in batches:
        asked = opposite[batch.examples]
        examined += int(torch.isin(asked, own.src * size + own.dst).sum())
        visible = [keys[batch.view.label]]
        for kind, src, dst, _ in messages(graph, batch):
            if graph.entity in (kind, graph.edges[kind].reverse_of):
                visible.append(src * size + dst if kind == graph.entity else dst * size + src)
        predicted = keys[batch.examples]
        seen = torch.isin(asked, torch.cat(visible)) & (asked != predicted)
        shown[batch.examples[seen]] = True
    if not examined:
        return not_applicable(NAME, "No predicted pair has an edge in the opposite direction.")
    found = int(shown.sum())
    detail = "The opposite edges of predicted pairs, which the run hides, are " + ("visible." if found else "hidden.")
    return Check(NAME, "leak" if found else "pass", examined, found, detail, names(graph, shown))
