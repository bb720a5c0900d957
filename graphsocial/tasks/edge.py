"""Any column of an edge type as the question: a class, several labels, a number or a count of each pair of nodes."""

from __future__ import annotations

from dataclasses import dataclass

from graphsocial.tasks._asked import AskedColumns
from graphsocial.tasks.base import EdgeTask


@dataclass(frozen=True)
class Edge(AskedColumns, EdgeTask):
    """Columns of an edge type: `graphsocial train edge --target "user rates user.trust"`.

    An example is a pair of nodes; its labels are those of its first labelled edge.
    """

    sql = "edge.sql"
    default_model = "hmg_emo"
    baselines = ("prior", "destination-prior", "bias", "features-only")
