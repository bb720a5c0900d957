"""Link prediction: pairs without an edge that could have been, ranks per source, rivals, and likely new links."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsocial as gs
from graphsocial.errors import DataError, InputError, UnknownNameError
from graphsocial.evaluation.metrics import ranking
from graphsocial.prediction.top import predict_top
from graphsocial.tasks import read_labels
from graphsocial.tasks._negatives import Candidates, draw
from graphsocial.tasks.link import Link
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

USER = NodeType("user", (Column("joined", "timestamp"),), time="joined")
FOLLOWS = EdgeType("user", "follows", "user", (Column("at", "timestamp"),), time="at")
TARGET = {"target": ["user follows user"]}
DAY = 86_400_000_000


def stamps(days: np.ndarray) -> pl.Series:
    return pl.Series((days * DAY + 1_500_000_000_000_000).astype(np.int64)).cast(pl.Datetime("us", "UTC"))


@pytest.fixture(scope="module")
def circles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    """Users of four circles follow mostly one another, each link after both have joined."""
    random = np.random.default_rng(3)
    count = 48
    joined = random.integers(0, 50, count)
    with gs.open(tmp_path_factory.mktemp("circles") / "circles.duckdb") as store:
        store.declare(GraphSchema((USER,), (FOLLOWS,)))
        store.write(USER, pl.DataFrame({"id": [f"u{n}" for n in range(count)], "joined": stamps(joined)}), dataset="c")
        src, dst = random.integers(0, count, (2, 1600))
        kept = (src != dst) & ((src % 4 == dst % 4) | (random.random(1600) < 0.05)) & (random.random(1600) < 0.7)
        src, dst = src[kept], dst[kept]
        at = np.maximum(joined[src], joined[dst]) + random.integers(0, 100, len(src))
        frame = {"src": [f"u{n}" for n in src], "dst": [f"u{n}" for n in dst], "at": stamps(at)}
        store.write(FOLLOWS, pl.DataFrame(frame), dataset="c")
        yield store


@pytest.mark.parametrize("drawn", ["random", "hard"])
def test_drawn_pairs_have_no_edge_and_both_ends_exist_at_their_time(circles: gs.GraphStore, drawn: str) -> None:
    _, labels = read_labels(Link(("user follows user",), pairs=3, drawn=drawn), circles, "c")  # type: ignore[arg-type]
    codes = labels.target_labels["follows"]
    assert labels.targets[0].classes == ("no link", "link")
    edges = set(circles.sql("select src, dst from edge_user_follows_user").fetchall())
    joined = dict(circles.sql("select idx, joined::timestamp from node_user").fetchall())
    assert labels.times is not None
    assert (codes == 0).sum() > 2 * (codes == 1).sum()
    for src, dst, code, time in zip(
        labels.src.tolist(), labels.dst.tolist(), codes, labels.times.tolist(), strict=True
    ):  # type: ignore[union-attr]
        assert ((src, dst) in edges) == (code == 1)
        if code == 0:
            assert src != dst and joined[src] <= time and joined[dst] <= time


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(1, 4), st.booleans(), st.integers(0, 9))
def test_draws_are_distinct_and_new(size: int, per_positive: int, hard: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    edges = np.unique(random.integers(0, size, (size * 2, 2)), axis=0)
    idx = np.arange(size)
    src, dst, at = draw(
        edges[:, 0],
        edges[:, 1],
        None,
        Candidates(idx, None),
        per_positive=per_positive,
        hard=hard,
        same_type=True,
        generator=random,
    )
    keys = (src * size + dst).tolist()
    assert len(set(keys)) == len(keys) and not set(keys) & set((edges[:, 0] * size + edges[:, 1]).tolist())
    assert (src != dst).all() and (edges[at, 0] == src).all()


def test_rivals_rank_links_above_chance_and_top_links_are_new(circles: gs.GraphStore) -> None:
    floor = gs.train(circles, "link", model="prior", settings={**TARGET, "pairs": 2}).metrics["test"]["follows"]
    assert floor["roc_auc"] == pytest.approx(0.5)
    for model, least in (
        ("common-neighbors", 0.7),
        ("adamic-adar", 0.7),
        ("personalized-pagerank", 0.7),
        ("matrix-factorization", 0.52),
    ):
        scores = gs.train(circles, "link", model=model, settings={**TARGET, "pairs": 2, "epochs": 12}).metrics["test"][
            "follows"
        ]
        assert scores["roc_auc"] > least and scores["mrr"] > floor["mrr"]
    run = gs.train(circles, "link", model="adamic-adar", settings={**TARGET, "pairs": 2, "epochs": 12})
    assert predict_top(circles, run, top=3, sources=["u1", "u2"]) == 6
    rows = circles.sql(
        "select user_id, count(*), bool_and(split is null) from (select src_id as user_id, split from "
        "user_follows_user_link_predictions where run_id = ? and split is null) group by user_id order by 1",
        [run.id],
    ).fetchall()
    assert rows == [("u1", 3, True), ("u2", 3, True)]
    known = circles.sql(
        "select count(*) from predictions as p join node_user as a on a.id = entity_id join node_user as b on "
        "b.id = other_id join edge_user_follows_user as e on e.src = a.idx and e.dst = b.idx "
        "where run_id = ? and split is null",
        [run.id],
    ).fetchall()
    assert known == [(0,)]


def test_the_default_model_learns_links_in_time(circles: gs.GraphStore) -> None:
    fast = {"epochs": 4, "width": 16, "node_width": 16, "layers": 2, "pairs": 2}
    run = gs.train(circles, "link", split="time", settings={**TARGET, **fast})
    scores = run.metrics["test"]["follows"]
    assert {"roc_auc", "average_precision", "mrr", "hits_10"} <= set(scores)
    board = circles.sql("select mrr, hits_10, roc_auc from leaderboard where run_id = ?", [run.id]).fetchall()[0]
    assert board == pytest.approx((scores["mrr"], scores["hits_10"], scores["roc_auc"]))


def test_mistakes_are_a_sentence(circles: gs.GraphStore) -> None:
    with pytest.raises(InputError, match="needs one edge type"):
        gs.train(circles, "link", model="prior")
    with pytest.raises(UnknownNameError, match="Did you mean 'user follows user'"):
        gs.train(circles, "link", model="prior", settings={"target": ["user follow user"]})
    with pytest.raises(InputError, match="pairs is 1 or more"):
        gs.train(circles, "link", model="prior", settings={**TARGET, "pairs": 0})
    run = gs.train(circles, "link", model="prior", settings=TARGET)
    with pytest.raises(InputError, match="No user has the id 'x'"):
        predict_top(circles, run, top=1, sources=["x"])


def test_a_complete_graph_leaves_nothing_to_predict(tmp_path_factory: pytest.TempPathFactory) -> None:
    with gs.open(tmp_path_factory.mktemp("complete") / "complete.duckdb") as store:
        node, edge = NodeType("user"), EdgeType("user", "knows", "user")
        store.declare(GraphSchema((node,), (edge,)))
        ids = [f"u{n}" for n in range(12)]
        store.write(node, pl.DataFrame({"id": ids}), dataset="d")
        pairs = [(a, b) for a in ids for b in ids if a != b]
        store.write(edge, pl.DataFrame(pairs, schema=["src", "dst"], orient="row"), dataset="d")
        with pytest.raises(DataError, match="nothing to predict"):
            gs.train(store, "link", model="prior", settings={"target": ["user knows user"]})


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=60),
)
def test_ranks_are_those_of_a_loop(rows: list[tuple[int, int, int]]) -> None:
    group, target, scores = (np.asarray(column) for column in zip(*rows, strict=True))
    ranks = []
    for name in range(5):
        own = group == name
        negatives = scores[own & (target == 0)]
        if len(negatives):
            ranks += [1 + (negatives > s).sum() + (negatives == s).sum() / 2 for s in scores[own & (target == 1)]]
    found = ranking(scores.astype(float), target, group.astype(str).astype(object))
    if not ranks:
        assert not found
        return
    assert found["mrr"] == pytest.approx(np.mean([1 / rank for rank in ranks]))
    assert found["hits_3"] == pytest.approx(np.mean([rank <= 3 for rank in ranks]))


def test_the_audit_of_links_passes(circles: gs.GraphStore) -> None:
    run = gs.train(circles, "link", model="adamic-adar", split="time", settings={**TARGET, "pairs": 2, "epochs": 2})
    checks = {check.name: check for check in gs.audit(circles, run, quick=True).checks}
    assert {name: check.detail for name, check in checks.items() if check.verdict == "leak"} == {}
