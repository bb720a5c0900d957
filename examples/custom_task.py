"""A task of your own in one file: how a message is received, as a class and as a number.

    graphsocial train examples/custom_task.py --set hours=48
    graphsocial sql "select message_id, reception, confidence, votes from custom_task_predictions"

The class attributes declare the task; the annotated fields are its settings.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphsocial.extending import NodeTask, Target


@dataclass(frozen=True)
class CustomTask(NodeTask):
    """Is a message `liked` or `ignored`, and how many votes does it get?

    Attributes:
        enough: votes from which on a message is liked.
        hours: how many hours after a message its votes are counted.
    """

    enough: int = 3
    hours: int = 24

    node = "message"
    targets = (Target("reception"), Target("votes", "regression", transform="log1p", weight=0.5))
    sql = """
        select
            idx,
            $time as time,
            $time + interval $hours hours as label_time,
            case when votes >= $enough then 'liked' when votes < $enough then 'ignored' end as reception,
            votes
        from $rows
    """
    baselines = ("majority", "neighbour-median", "features-only")
