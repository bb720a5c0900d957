"""Splits in the store: saved under a hash of their settings and members, restored, and checked against that hash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphsocial.errors import UnknownNameError
from graphsocial.evaluation.splits import ROLES, UNUSED, SplitPolicy
from graphsocial.store import GraphStore
from graphsocial.store.temporary import registered


def save(
    store: GraphStore,
    policy: SplitPolicy,
    roles: NDArray[np.int64],
    *,
    task: str,
    dataset: str,
    entity: str,
    ids: tuple[NDArray[np.object_], ...],
) -> str:
    """Store a split unless it is stored already; returns its id, the hash of its settings and members.

    Args:
        store: the store, open for writing.
        policy: the policy that assigned the roles.
        roles: (P,) indices into `ROLES`; examples with `UNUSED` are left out.
        task: the task's name.
        dataset: the dataset's name.
        entity: the node or edge type of the examples.
        ids: (P,) of str each, as in `assign`.
    """
    used = np.flatnonzero(roles != UNUSED)
    members = pl.DataFrame(
        {
            "entity_id": ids[0][used].astype(str),
            "other_id": pl.Series([None] * len(used), dtype=pl.String) if len(ids) == 1 else ids[1][used].astype(str),
            "role": np.asarray(ROLES)[roles[used]],
        }
    ).sort("entity_id", "other_id")
    settings = {**asdict(policy), "policy": policy.policy}
    split_id = _digest(task, dataset, settings, members)
    with store.transaction():
        if not store.sql("select 1 from splits where split_id = ?", [split_id]).fetchall():
            store.connection.execute(
                "insert into splits (split_id, task, dataset, entity, policy, settings) values (?, ?, ?, ?, ?, ?)",
                [split_id, task, dataset, entity, str(policy), json.dumps(settings)],
            )
            with registered(store.connection, members) as rows:
                store.connection.execute(
                    f"insert into split_members select ?, entity_id, other_id, role from {rows}", [split_id]
                )
    return split_id


def recompute_id(store: GraphStore, split_id: str) -> str:
    """The hash of a stored split's current rows, which differs from `split_id` if they were changed.

    Raises:
        UnknownNameError: there is no such split.
    """
    row = store.first("select task, dataset, settings from splits where split_id = ?", [split_id])
    if row is None:
        split_ids = store.sql("select split_id from splits").fetchall()
        raise UnknownNameError.of("split", split_id, [name for (name,) in split_ids])
    members = store.sql(
        "select entity_id, other_id, role from split_members where split_id = ? order by entity_id, other_id, role",
        [split_id],
    ).pl()
    task, dataset, settings = row
    return _digest(task, dataset, json.loads(settings), members)


def _digest(task: str, dataset: str, settings: Mapping[str, object], members: pl.DataFrame) -> str:
    """The hash of a split's settings and of its sorted members."""
    digest = blake2b(json.dumps([task, dataset, settings], sort_keys=True).encode(), digest_size=8)
    for column in members.iter_columns():
        digest.update("\n".join(column.fill_null("").to_list()).encode())
    return digest.hexdigest()


def restore(store: GraphStore, split_id: str, *, ids: tuple[NDArray[np.object_], ...]) -> NDArray[np.int64]:
    """The roles of examples in a stored split.

    Args:
        store: the store that holds the split.
        split_id: the split's id.
        ids: (P,) of str each, as in `assign`.

    Returns:
        (P,) indices into `ROLES`; `UNUSED` for examples that are not in the split.
    """
    columns = ["entity_id", "other_id"][: len(ids)]
    members = store.sql(f"select {', '.join(columns)}, role from split_members where split_id = ?", [split_id]).pl()
    examples = pl.DataFrame({name: part.astype(str) for name, part in zip(columns, ids, strict=True)})
    roles = examples.join(members, on=columns, how="left", maintain_order="left")["role"]
    codes = roles.replace_strict(list(ROLES), list(range(len(ROLES))), default=UNUSED, return_dtype=pl.Int64)
    return codes.to_numpy(writable=True)
