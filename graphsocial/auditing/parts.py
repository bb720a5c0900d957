"""Whether the parts of a split are kept apart as its policy promised, read from the rows that say who is where."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.auditing.base import FEW, Check, not_applicable
from graphsocial.evaluation import splits
from graphsocial.evaluation.splits import ROLES
from graphsocial.graph import NEVER
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData

NEARLY = 0.05  # by chance, most nodes that are asked about and have several examples are trained on too


def check_rows(store: GraphStore, split_id: str) -> list[Check]:
    """Whether the split's rows are those that were made, and each example is in one part."""
    count = store.first("select count(*) from split_members where split_id = ?", [split_id])
    examined = int(count[0]) if count else 0
    twice = store.sql(
        "select concat_ws(' ', entity_id, other_id) from split_members where split_id = ? group by entity_id, other_id "
        "having count(*) > 1 order by 1",
        [split_id],
    ).fetchall()
    told = [name for (name,) in twice]
    changed = splits.recomputed(store, split_id) != split_id
    detail = "Its rows are not those that the split was made with." if changed else "The split is as it was made."
    twice_told = "Examples are in the split twice, so that nothing else can be checked."
    return [
        Check("split unchanged", "leak" if changed else "pass", examined, int(changed), detail),
        _check("parts overlap", examined, told, twice_told if told else "No example is in the split twice."),
    ]


def check_apart(store: GraphStore, config: RunConfig, data: RunData) -> Check:
    """Whether ends, groups or times are in the parts that the policy promised."""
    name, policy = "parts kept apart", config.split
    roles = data.roles.numpy()
    dealt = np.flatnonzero(roles >= 0)
    ids = data.graph.example_ids(dealt)
    if policy.policy == "time":
        return _in_order(name, data)
    if policy.policy in ("source", "destination"):
        values, what = ids[policy.policy == "destination"], policy.policy
    elif policy.kind == "group":
        column = str(policy.column)
        entity = data.entity
        rows = store.read(entity, dataset=config.dataset).select(f"id, {quote(column)}::varchar as told").pl()
        asked = pl.DataFrame({"id": ids[0].astype(str)})
        values = asked.join(rows, on="id", how="left", maintain_order="left")["told"].to_numpy()
        what = f"group by '{column}'"
    elif policy.kind == "file" and len(ids) == 2:
        return _as_files_tell(name, data)
    else:
        return not_applicable(name, f"The split '{policy}' promises to keep single examples apart, no more.")
    return _in_one_part(name, what, values, roles[dealt])


def _in_one_part(name: str, what: str, values: NDArray[np.object_], roles: NDArray[np.int64]) -> Check:
    counted = (
        pl.DataFrame({"value": values, "role": roles}, schema_overrides={"value": pl.String})
        .drop_nulls("value")
        .group_by("value")
        .agg(pl.col("role").n_unique())
        .sort("value")
    )
    found = counted.filter(pl.col("role") > 1)["value"].to_list()
    detail = f"Each {what} is in one part, as the split promised."
    if found:
        detail = f"The split promised that each {what} is in one part; some are in several."
    return _check(name, counted.height, found, detail)


def _as_files_tell(name: str, data: RunData) -> Check:
    """Files promise nothing; but those that keep nearly every node at one end of the pairs apart mean every node."""
    graph, roles = data.graph, data.roles.numpy()
    for place, what in enumerate(("source", "destination")):
        end = graph.ends[place].numpy()
        nodes, counts = np.unique(end[roles >= 0], return_counts=True)
        could = nodes[(counts > 1) & np.isin(nodes, end[roles > 0])]  # be trained on too
        both = splits.in_both(roles, end)
        if len(both) <= NEARLY * len(could):
            detail = f"Each {what} is trained on or asked about, never both."
            if len(both):
                detail = f"The files keep nearly every {what} out of training that is asked about; some are in both."
            return _check(name, len(could), graph.ids[graph.end_types[place]][both].tolist(), detail)
    return not_applicable(name, "The files keep single examples apart, no more.")


def _in_order(name: str, data: RunData) -> Check:
    """Training examples before validation examples, and those before test examples."""
    times = data.graph.example_time
    assert times is not None
    late = np.zeros(len(data.roles), dtype=bool)
    for code in range(1, len(ROLES)):
        later = data.roles == code
        if later.any():
            before = (data.roles >= 0) & (data.roles < code) & (times < NEVER)
            late |= (before & (times >= times[later].min())).numpy()
    ids = data.graph.example_ids(np.flatnonzero(late))
    found = [" ".join(map(str, ends)) for ends in zip(*ids, strict=True)]
    detail = (
        "Examples are not earlier than those of a part that the split put after them."
        if found
        else "Every part is earlier than the next, as the split promised."
    )
    return _check(name, int((data.roles >= 0).sum()), found, detail)


def _check(name: str, examined: int, found: list[str], detail: str) -> Check:
    return Check(name, "leak" if found else "pass", examined, len(found), detail, tuple(found[:FEW]))
