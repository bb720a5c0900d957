"""Any column of a node type as the question: a class, several labels, a number or a count of each node."""

from __future__ import annotations

from dataclasses import dataclass

from graphsocial.tasks._asked import AskedColumns
from graphsocial.tasks.base import NodeTask


@dataclass(frozen=True)
class Node(AskedColumns, NodeTask):
    """Columns of a node type: `graphsocial train node --target user.gender`.

    The columns that are predicted are no inputs; the labels of a node's neighbors are, as far as they are training
    examples and known at the node's time.
    """

    sql = "node.sql"
    default_model = "label_sage"
    baselines = ("prior", "neighbor-vote", "features-only")
