"""Whether the roles of a split are disjoint in the way that its policy promises, read from `split_members`."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.auditing.base import MAX_NAMED, Check, not_applicable
from graphsocial.evaluation import stored_splits
from graphsocial.evaluation.splits import ROLES, shared_nodes
from graphsocial.graph import NEVER
from graphsocial.store import GraphStore
from graphsocial.store.sql import quote
from graphsocial.training.config import RunConfig
from graphsocial.training.data import RunData

MAX_OVERLAP = 0.05  # by chance most held-out nodes with several examples would have training examples too


def check_rows(store: GraphStore, split_id: str) -> list[Check]:
    """Check that the split's rows are as they were made, and that each example has one role."""
    count = store.first("select count(*) from split_members where split_id = ?", [split_id])
    examined = int(count[0]) if count else 0
    twice = store.sql(
        "select concat_ws(' ', entity_id, other_id) from split_members where split_id = ? group by entity_id, other_id "
        "having count(*) > 1 order by 1",
        [split_id],
    ).fetchall()
    repeated = [name for (name,) in twice]
    changed = stored_splits.recompute_id(store, split_id) != split_id
    detail = "Its rows are not those that the split was made with." if changed else "The split is as it was made."
    overlap = "Examples are in the split twice, so that nothing else can be checked."
    return [
        Check("split unchanged", "leak" if changed else "pass", examined, int(changed), detail),
        _check("parts overlap", examined, repeated, overlap if repeated else "No example is in the split twice."),
    ]


def check_apart(store: GraphStore, config: RunConfig, data: RunData) -> Check:
    """Check that endpoints, groups or times are disjoint between roles where the split's policy promises it.

    Args:
        store: the store of the run.
        config: the run's configuration.
        data: the run's data.
    """
    name, policy = "parts kept apart", config.split
    roles = data.roles.numpy()
    members = np.flatnonzero(roles >= 0)
    ids = data.graph.example_ids(members)
    if policy.policy == "time":
        return _in_order(name, data)
    if policy.policy in ("source", "destination"):
        values, what = ids[policy.policy == "destination"], policy.policy
    elif policy.kind == "group":
        column = str(policy.column)
        entity = data.entity
        groups = store.read(entity, dataset=config.dataset).select(f"id, {quote(column)}::varchar as group_value").pl()
        frame = pl.DataFrame({"id": ids[0].astype(str)})
        values = frame.join(groups, on="id", how="left", maintain_order="left")["group_value"].to_numpy()
        what = f"group by '{column}'"
    elif policy.kind == "file" and len(ids) == 2:
        return _check_files(name, data)
    else:
        return not_applicable(name, f"The split '{policy}' promises disjoint examples only.")
    return _check_one_role(name, what, values, roles[members])


def _check_one_role(name: str, what: str, values: NDArray[np.object_], roles: NDArray[np.int64]) -> Check:
    role_counts = (
        pl.DataFrame({"value": values, "role": roles}, schema_overrides={"value": pl.String})
        .drop_nulls("value")
        .group_by("value")
        .agg(pl.col("role").n_unique())
        .sort("value")
    )
    shared = role_counts.filter(pl.col("role") > 1)["value"].to_list()
    detail = f"Each {what} has one split role, as the split promises."
    if shared:
        detail = f"The split promises one split role for each {what}; some have several."
    return _check(name, role_counts.height, shared, detail)


def _check_files(name: str, data: RunData) -> Check:
    """Check that all nodes of an endpoint are disjoint where the files keep nearly all of them so."""
    graph, roles = data.graph, data.roles.numpy()
    for endpoint, what in enumerate(("source", "destination")):
        end = graph.ends[endpoint].numpy()
        nodes, counts = np.unique(end[roles >= 0], return_counts=True)
        candidates = nodes[(counts > 1) & np.isin(nodes, end[roles > 0])]  # held-out, with several examples
        both = shared_nodes(roles, end)
        if len(both) <= MAX_OVERLAP * len(candidates):
            detail = f"No {what} has both training and held-out examples."
            if len(both):
                detail = f"The files keep nearly every held-out {what} out of training; some have examples in both."
            return _check(name, len(candidates), graph.ids[graph.end_types[endpoint]][both].tolist(), detail)
    return not_applicable(name, "The files keep examples disjoint only.")


def _in_order(name: str, data: RunData) -> Check:
    """Check that training examples are earlier than validation examples, and those earlier than test examples."""
    times = data.graph.example_time
    assert times is not None
    late = np.zeros(len(data.roles), dtype=bool)
    for code in range(1, len(ROLES)):
        later = data.roles == code
        if later.any():
            before = (data.roles >= 0) & (data.roles < code) & (times < NEVER)
            late |= (before & (times >= times[later].min())).numpy()
    ids = data.graph.example_ids(np.flatnonzero(late))
    misplaced = [" ".join(map(str, endpoint_ids)) for endpoint_ids in zip(*ids, strict=True)]
    detail = (
        "Some examples are not earlier than those of the next split role."
        if misplaced
        else "The examples of every split role are earlier than those of the next, as the split promises."
    )
    return _check(name, int((data.roles >= 0).sum()), misplaced, detail)


def _check(name: str, examined: int, leaking: list[str], detail: str) -> Check:
    return Check(name, "leak" if leaking else "pass", examined, len(leaking), detail, tuple(leaking[:MAX_NAMED]))
