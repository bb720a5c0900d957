"""Splits assign the roles that their policies promise, whatever the order of the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.evaluation import splits
from graphsocial.evaluation.splits import SplitPolicy


def pairs(count: int, seed: int = 0):
    random = np.random.default_rng(seed)
    keys = random.choice(40 * 50, count, replace=False)
    users = np.asarray([f"u{k // 50}" for k in keys], dtype=object)
    images = np.asarray([f"i{k % 50}" for k in keys], dtype=object)
    codes = random.choice(4, count, p=[0.6, 0.25, 0.1, 0.05]).astype(np.int64)
    codes[::11] = -1
    times = np.datetime64("2016-01-01", "us") + random.integers(0, 10**7, count).astype("timedelta64[s]")
    return {"ids": (users, images), "codes": codes, "times": times}


def taking(data, rows):
    return {k: tuple(end[rows] for end in v) if k == "ids" else v[rows] for k, v in data.items()}


@pytest.mark.parametrize("name", ["random", "stratified", "kfold", "source", "destination", "time"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_roles_are_independent_of_row_order(name: str, seed: int) -> None:
    data = pairs(600, seed)
    order = np.random.default_rng(seed + 1).permutation(600)
    policy = SplitPolicy(name, seed=seed)
    roles = splits.assign(policy, **data)
    shuffled = splits.assign(policy, **taking(data, order))
    assert (shuffled == roles[order]).all()
    assert (roles[data["codes"] < 0] == -1).all()
    assert (roles[data["codes"] >= 0] >= 0).all()


@pytest.mark.parametrize("name", ["random", "stratified"])
def test_shares_are_80_10_10(name: str) -> None:
    data = pairs(1500)
    roles = splits.assign(SplitPolicy(name), **data)
    labelled = (data["codes"] >= 0).sum()
    for code, share in enumerate((0.8, 0.1, 0.1)):
        assert abs((roles == code).sum() - share * labelled) <= 4


def test_stratified_keeps_each_class_in_proportion() -> None:
    data = pairs(1900)
    roles = splits.assign(SplitPolicy("stratified"), **data)
    for code in range(4):
        members = data["codes"] == code
        assert abs((roles[members] == 2).sum() - 0.1 * members.sum()) <= 1


def test_folds_test_every_pair_once() -> None:
    data = pairs(900)
    tested = np.zeros(900, dtype=int)
    for fold in range(3):
        roles = splits.assign(SplitPolicy("kfold", folds=3, fold=fold), **data)
        tested += roles == 2
        assert abs((roles == 2).sum() - (roles >= 0).sum() / 3) <= 2
    assert (tested == (data["codes"] >= 0)).all()


@pytest.mark.parametrize(("name", "end"), [("source", 0), ("destination", 1)])
def test_unseen_entities_are_in_one_role_only(name: str, end: int) -> None:
    data = pairs(900)
    roles = splits.assign(SplitPolicy(name), **data)
    seen = [set(data["ids"][end][roles == code]) for code in range(3)]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


def test_the_disjoint_endpoint_is_read_from_the_nodes() -> None:
    users, images = np.asarray([0, 0, 1, 1, 2, 2]), np.asarray([0, 1, 0, 1, 0, 2])
    roles = np.asarray([0, 0, 1, 1, 2, -1])
    assert splits.disjoint_endpoint(roles, (users, images)) == 0
    assert splits.disjoint_endpoint(roles, (images, users)) == 1
    assert splits.disjoint_endpoint(np.asarray([0, 0, 1, 1, 0, 2]), (users, images)) is None  # user 2 is in both
    assert splits.disjoint_endpoint(roles, (users,)) is None  # every node is one example


def test_time_split_tests_the_newest() -> None:
    data = pairs(900)
    roles = splits.assign(SplitPolicy("time"), **data)
    newest = [data["times"][roles == code] for code in range(3)]
    assert newest[0].max() < newest[1].min()
    assert newest[1].max() < newest[2].min()


def test_split_from_files(tmp_path: Path) -> None:
    data = pairs(300)
    labelled = np.flatnonzero(data["codes"] >= 0)
    for stem, rows in zip(("train", "val", "test"), np.split(labelled, [200, 230]), strict=True):
        lines = [f"{data['ids'][0][r]},{data['ids'][1][r]}" for r in rows]
        (tmp_path / f"{stem}.csv").write_text("\n".join(["user,image", *lines]))
    roles = splits.assign(SplitPolicy(f"file:{tmp_path}"), **data)
    assert (roles[labelled[:200]] == 0).all()
    assert (roles[labelled[200:230]] == 1).all()
    assert (roles[labelled[230:]] == 2).all()
    (tmp_path / "val.csv").write_text((tmp_path / "train.csv").read_text())
    with pytest.raises(InputError, match="repeats examples"):
        splits.assign(SplitPolicy(f"file:{tmp_path}"), **data)
    with pytest.raises(FileNotFoundError, match="no folder"):
        splits.assign(SplitPolicy(f"file:{tmp_path / 'nowhere'}"), **data)


def test_too_little_data_is_a_clear_error() -> None:
    data = taking(pairs(20), slice(3))
    data["codes"] = np.array([0, 1, -1])
    with pytest.raises(DataError, match="train part of the split 'random' is empty"):
        splits.assign(SplitPolicy("random"), **data)
    data = {**taking(pairs(20), slice(3)), "codes": np.array([0, 1, 0])}
    data["column"] = np.array(["train", "test", None], dtype=object)
    with pytest.raises(DataError, match="of 3 labelled examples the column has train 1, validation 0, test 1"):
        splits.assign(SplitPolicy("column:part"), **data)
    with pytest.raises(DataError, match="has no times"):
        splits.assign(SplitPolicy("time"), **{**pairs(100), "times": None})
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        SplitPolicy("randon")
    with pytest.raises(InputError, match="leave no split"):
        SplitPolicy(validation=0.6, test=0.5)
    with pytest.raises(InputError, match="counted from 0"):
        SplitPolicy("kfold", folds=3, fold=3)
