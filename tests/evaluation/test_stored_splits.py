"""Splits are stored under a hash of their settings and members, once, and restored from it."""

from __future__ import annotations

import numpy as np

import graphsocial as gs
from graphsocial.evaluation import splits, stored_splits
from graphsocial.evaluation.splits import SplitPolicy


def test_a_split_is_stored_once_and_restored(social: gs.GraphStore) -> None:
    keys = np.random.default_rng(0).choice(40 * 50, 300, replace=False)
    users = np.asarray([f"u{key // 50}" for key in keys], dtype=object)
    images = np.asarray([f"i{key % 50}" for key in keys], dtype=object)
    policy = SplitPolicy("random")
    roles = splits.assign(policy, ids=(users, images), codes=keys % 4)
    about = {"task": "t", "dataset": "small", "entity": "user views image", "ids": (users, images)}
    first = stored_splits.save(social, policy, roles, **about)
    assert stored_splits.save(social, policy, roles, **about) == first
    assert social.sql("select count(*) from splits").fetchall() == [(1,)]
    assert stored_splits.recompute_id(social, first) == first
    assert (stored_splits.restore(social, first, ids=(users, images)) == roles).all()
    unknown = (np.array(["new"], dtype=object), np.array(["i1"], dtype=object))
    assert stored_splits.restore(social, first, ids=unknown).tolist() == [-1]
    roles[roles == 2] = 0
    assert stored_splits.save(social, policy, roles, **about) != first
