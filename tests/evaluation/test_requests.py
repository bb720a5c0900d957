"""Wrong names answer before torch is imported, and splits by columns fit nodes and edges."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_social
from hypothesis import given
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.evaluation.requests import check_request
from graphsocial.evaluation.splits import SplitPolicy, assign, remarks

CHECK = """
import sys
import graphsocial as gs
from graphsocial.evaluation.requests import check_request
with gs.open(sys.argv[1], read_only=True) as store:
    check_request(store, "edge-emotion", model="hmg_emo", split="random", features={"user.city": None})
assert "torch" not in sys.modules and "dgl" not in sys.modules
"""


def test_a_request_is_checked_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "copy.duckdb"
    with gs.open(path) as store:
        write_social(store)
    done = subprocess.run([sys.executable, "-c", CHECK, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"task": "edge-emotoin"}, UnknownNameError, "Did you mean 'edge-emotion'"),
        ({"task": "node", "settings": {"target": "user.citty"}}, UnknownNameError, "Did you mean 'city'"),
        ({"task": "edge-emotion", "model": "hmg"}, UnknownNameError, "No model"),
        ({"task": "edge-emotion", "split": "radnom"}, UnknownNameError, "Did you mean 'random'"),
        ({"task": "edge-emotion", "split": "group:source.citi"}, UnknownNameError, "Did you mean 'city'"),
        ({"task": "edge-emotion", "split": "file:/no/such/folder"}, InputError, "no folder"),
        ({"task": "edge-emotion", "dataset": "smal"}, UnknownNameError, "Did you mean 'small'"),
        ({"task": "node", "split": "source", "settings": {"target": "user.city"}}, InputError, "Nodes have no source"),
        ({"task": "edge-emotion", "features": {"image.vector": "visoin"}}, UnknownNameError, "Did you mean 'vision'"),
    ],
)
def test_wrong_names(social: gs.GraphStore, request_: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_request(social, **request_)  # type: ignore[arg-type]


def test_edges_are_split_by_a_column_of_an_endpoint(social: gs.GraphStore) -> None:
    run = gs.train(social, "edge-emotion", model="majority", split="group:source.city")
    torn = social.sql(
        "select city from split_members join node_user on id = entity_id where split_id = ? and city is not null "
        "group by city having count(distinct role) > 1",
        [run.split_id],
    ).fetchall()
    assert not torn


@given(st.lists(st.integers(0, 30), min_size=40, max_size=300), st.integers(3, 6), st.integers(0, 3))
def test_each_group_is_tested_in_one_fold(groups: list[int], folds: int, seed: int) -> None:
    values = np.asarray([f"g{group}" for group in groups], dtype=object)
    ids = (np.asarray([f"p{row}" for row in range(len(groups))], dtype=object),)
    column = {"ids": ids, "codes": np.zeros(len(groups), np.int64), "column": values}
    policies = [SplitPolicy("kfold:band", seed=seed, folds=folds, fold=fold) for fold in range(folds)]
    if len(set(groups)) <= folds:
        with pytest.raises(DataError, match="groups"):
            assign(policies[0], **column)
        return
    tested = np.zeros(len(groups), dtype=int)
    for policy in policies:
        roles = assign(policy, **column)
        tested += roles == 2
        for group in set(groups):
            assert len(set(roles[values == f"g{group}"])) == 1
    assert (tested == 1).all()


def test_small_parts_unseen_classes_and_equal_times_are_said() -> None:
    roles = np.repeat([0, 1, 2], [100, 40, 20])
    codes = np.where(roles == 2, 3, 0)
    sources = np.arange(160) % 5
    times = np.full(160, np.datetime64("2020-01-01", "us"))
    lines = "\n".join(remarks(roles, codes=codes, sources=sources, times=times, policy=SplitPolicy("time")))
    for words in ("test part has 20 rows", "test part has 5 sources", "1 classes that no", "1 different times"):
        assert words in lines
    assert not remarks(np.repeat([0, 1, 2], 100), codes=np.zeros(300, np.int64), sources=np.arange(300))
