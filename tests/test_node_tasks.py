"""A question about nodes, with a class and a number for each, goes the same way as one about edges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
import torch

import graphsocial as gs
from graphsocial.building import build
from graphsocial.errors import InputError, UnknownNameError
from graphsocial.loaders import FullGraph, Neighbours
from graphsocial.sampling import Visibility
from graphsocial.store import GraphStore
from graphsocial.tasks.base import Labels
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType, Target

PAGE = NodeType("page", (Column("kind", "category"),))
POST = NodeType(
    "post",
    (
        Column("words", "number"),
        Column("mood", "category", "label"),
        Column("shares", "number", "label"),
        Column("part", "category", "reference"),
        Column("thread", "category", "reference"),
        Column("time", "timestamp"),
    ),
    time="time",
)
PUBLISHES = EdgeType("page", "publishes", "post", (Column("time", "timestamp"),), time="time")
POSTS = 200


@dataclass(frozen=True)
class Reception:
    """How a post is received: its mood and how often it is shared."""

    name: ClassVar[str] = "reception"
    level: ClassVar[str] = "node"
    default_model: ClassVar[str] = "features_only"
    baselines: ClassVar[tuple[str, ...]] = ("majority", "stratified")
    selection_metric: ClassVar[str] = "weighted_f1"

    def entity(self, schema: GraphSchema) -> NodeType:
        return schema.node("post")

    def labels(self, store: GraphStore, dataset: str, *, as_of: datetime | None = None) -> Labels:
        rows = store.read(POST, dataset=dataset, as_of=as_of).order("idx").pl()
        classes = ("calm", "loud")
        codes = [-1 if word is None else classes.index(word) for word in rows["mood"]]
        return Labels(
            src=rows["idx"].to_numpy(),
            dst=None,
            answers={"mood": np.asarray(codes), "shares": rows["shares"].cast(pl.Float64).fill_null(np.nan).to_numpy()},
            targets=(Target("mood", classes=classes), Target("shares", "regression", transform="log1p", weight=0.5)),
            times=rows["time"].dt.replace_time_zone(None).to_numpy(),
        )


@pytest.fixture
def posts(tmp_path: Path) -> gs.GraphStore:
    random = np.random.default_rng(0)
    words = random.normal(50, 10, POSTS)
    shares = np.floor(np.exp(words / 15))
    day = pl.Series(random.integers(0, 400, POSTS)) * 86_400_000_000 + 1_451_606_400_000_000
    times = day.cast(pl.Datetime("us", "UTC"))
    ids = [f"p{n}" for n in range(POSTS)]
    frame = pl.DataFrame(
        {
            "id": ids,
            "words": words,
            "mood": [None if n % 9 == 0 else ("loud" if words[n] > 50 else "calm") for n in range(POSTS)],
            "shares": [None if n % 7 == 0 else shares[n] for n in range(POSTS)],
            "part": [("train", "train", "train", "dev", "test")[n % 5] for n in range(POSTS)],
            "thread": [f"t{n // 4}" for n in range(POSTS)],
            "time": times,
        }
    )
    store = gs.open(tmp_path / "posts.duckdb")
    store.declare(GraphSchema((PAGE, POST), (PUBLISHES,)))
    store.write(PAGE, pl.DataFrame({"id": ["a", "b", "c"], "kind": ["news", "news", "club"]}), dataset="posts")
    store.write(POST, frame, dataset="posts")
    edges = pl.DataFrame({"src": [("a", "b", "c")[n % 3] for n in range(POSTS)], "dst": ids, "time": times})
    store.write(PUBLISHES, edges, dataset="posts")
    return store


def task_file(folder: Path) -> Path:
    """The task in a file of its own, so that a run can be read again."""
    path = folder / "reception.py"
    source = Path(__file__).read_text()
    start = source.index("@dataclass(frozen=True)\nclass Reception")
    body = source[start : source.index("@pytest.fixture")]
    header = source[source.index("from __future__") : source.index("PUBLISHES =")]
    path.write_text('"""How posts are received."""\n\n' + header + "\n\n" + body)
    return path


def test_two_targets_of_nodes_become_rows(posts: gs.GraphStore) -> None:
    run = gs.train(posts, Reception(), epochs=60, settings={"batch_size": 32, "weight_decay": 0.0})
    floor = gs.train(posts, Reception(), model="majority")
    guess = gs.train(posts, Reception(), model="stratified")
    assert set(run.metrics["test"]) == {"mood", "shares"}
    assert run.metrics["test"]["mood"]["accuracy"] > 0.85 > floor.metrics["test"]["mood"]["accuracy"]
    assert run.metrics["test"]["shares"]["mae"] < 0.7 * floor.metrics["test"]["shares"]["mae"]
    assert guess.metrics["test"]["shares"]["mae"] > floor.metrics["test"]["shares"]["mae"] * 0.8
    counts = posts.sql(
        "select target, count(*), count(label), count(value), count(other_id), min(value) >= 0 from predictions "
        "where run_id = ? and split = 'test' group by target order by target",
        [run.id],
    ).fetchall()
    (tested,) = posts.sql("select count(*) from split_members where role = 'test'").fetchall()[0]
    assert [row[:5] for row in counts] == [("mood", tested, tested, 0, 0), ("shares", tested, 0, tested, 0)]
    assert counts[1][5]
    board = posts.sql("select target, model, weighted_f1, mae from leaderboard order by target, model").fetchall()
    assert [(row[2] is None, row[3] is None) for row in board] == [(False, True)] * 3 + [(True, False)] * 3
    found = gs.evaluate(posts, run)["targets"]
    assert found["mood"]["metrics"]["accuracy"] == pytest.approx(run.metrics["test"]["mood"]["accuracy"])
    assert found["shares"]["metrics"] == pytest.approx(run.metrics["test"]["shares"])
    assert not found["shares"]["classes"]


def test_a_trained_run_answers_nodes_by_id(posts: gs.GraphStore, tmp_path: Path) -> None:
    run = gs.train(posts, str(task_file(tmp_path)), epochs=2, settings={"batch_size": 64})
    before = posts.sql("select * from predictions where run_id = ? and split = 'test' order by all", [run.id]).pl()
    assert gs.predict(posts, run, ids=["p1", "p2", "p1"]) == 2
    assert gs.predict(posts, run) == (
        posts.sql("select count(distinct entity_id) from predictions where run_id = ?", [run.id]).fetchall()[0][0]
        - posts.sql(
            "select count(distinct entity_id) from predictions where run_id = ? and split = 'train'", [run.id]
        ).fetchall()[0][0]
    )
    after = posts.sql("select * from predictions where run_id = ? and split = 'test' order by all", [run.id]).pl()
    assert after.drop("created_at").equals(before.drop("created_at"))
    with pytest.raises(InputError, match="No post has the id 'p999'"):
        gs.predict(posts, run, ids=["p999"])


def test_splits_by_column_and_by_group(posts: gs.GraphStore) -> None:
    run = gs.train(posts, Reception(), model="majority", split="column:part")
    told = posts.sql(
        "select distinct part, role from split_members join node_post on id = entity_id where split_id = ?",
        [run.split_id],
    ).fetchall()
    assert set(told) == {("train", "train"), ("dev", "validation"), ("test", "test")}
    run = gs.train(posts, Reception(), model="majority", split="group:thread")
    torn = posts.sql(
        "select thread from split_members join node_post on id = entity_id where split_id = ? group by thread "
        "having count(distinct role) > 1",
        [run.split_id],
    ).fetchall()
    assert not torn
    with pytest.raises(UnknownNameError, match="Did you mean 'thread'"):
        gs.train(posts, Reception(), model="majority", split="group:thred")
    with pytest.raises(InputError, match="column 'mood' says 'calm'"):
        gs.train(posts, Reception(), model="majority", split="column:mood")
    with pytest.raises(InputError, match="Nodes have no source"):
        gs.train(posts, Reception(), model="majority", split="source")
    with pytest.raises(InputError, match="does not fit this task"):
        gs.train(posts, Reception(), model="hmg_emo")


@pytest.mark.parametrize("sampled", [False, True])
def test_nodes_in_time_see_the_past_and_their_own_edges(posts: gs.GraphStore, sampled: bool) -> None:
    """A post sees its page, the page sees posts from before the batch; nobody sees a later post."""
    task = Reception()
    graph = build(posts, "posts", task.entity(posts.schema), task.labels(posts, "posts"))
    roles = torch.where(graph.answered, 0, -1)
    loader: FullGraph | Neighbours = FullGraph(graph, roles, Visibility(), depth=2, temporal=True)
    if sampled:
        loader = Neighbours(loader, (-1, -1))
    own, back = ("page", "publishes", "post"), ("post", "rev_publishes", "page")
    time = graph.example_time
    assert time is not None
    seen = 0
    for batch in loader.batches(torch.nonzero(roles == 0).squeeze(1), 40):
        first = time[batch.examples].min()
        asked = set(graph.ends[0][batch.examples].tolist())
        for layer in batch.layers:
            for kind in (own, back):
                mask, edges = layer.mask[kind], graph.edges[kind]
                ids = torch.arange(len(edges)) if layer.edge_ids is None else layer.edge_ids[kind]
                ids = ids if mask is None else ids[mask]
                for src, dst, when in zip(edges.src[ids], edges.dst[ids], edges.time[ids], strict=True):  # type: ignore[index]
                    if kind == own and int(dst) in asked:
                        assert when == time[int(dst)]
                    else:
                        assert when < first, (kind, int(src))
        last = batch.layers[-1]
        ids = torch.arange(len(graph.edges[own])) if last.edge_ids is None else last.edge_ids[own]
        mask = last.mask[own]
        shown = graph.edges[own].dst[ids if mask is None else ids[mask]]
        assert asked <= set(shown.tolist())  # each post that is asked about has its page
        assert not batch.view.label[batch.examples].any()
        assert (time[batch.view.label] < first).all()
        seen += len(ids)
    assert seen


def test_one_layer_deals_nodes_out_in_any_order_and_still_sees_only_the_past(posts: gs.GraphStore) -> None:
    """A link between posts that comes after a post is not seen by it, whatever else is in its batch."""
    links = EdgeType("post", "cites", "post", (Column("time", "timestamp"),), time="time")
    rows = posts.sql("select id, time from node_post order by idx").pl()
    pairs = [(n, (n + 7) % POSTS) for n in range(POSTS)]
    later = [max(rows["time"][a], rows["time"][b]) for a, b in pairs]
    posts.declare(GraphSchema((POST,), (links,)))
    edges = {"src": [rows["id"][a] for a, _ in pairs], "dst": [rows["id"][b] for _, b in pairs], "time": later}
    posts.write(links, pl.DataFrame(edges), dataset="posts")
    task = Reception()
    graph = build(posts, "posts", task.entity(posts.schema), task.labels(posts, "posts"))
    roles = torch.where(graph.answered, 0, -1)
    loader = FullGraph(graph, roles, Visibility(), depth=1, temporal=True)
    time, kind = graph.example_time, ("post", "cites", "post")
    assert time is not None and not loader.in_turn and FullGraph(graph, roles, Visibility(), 2, True).in_turn
    mixed = seen = 0
    train = torch.nonzero(roles == 0).squeeze(1)
    for batch in loader.batches(train, 20, torch.Generator().manual_seed(0)):
        (layer,) = batch.layers
        mixed += bool(
            (time[batch.examples].max() > time[train].median()) and time[batch.examples].min() < time[train].median()
        )
        found = graph.edges[kind]
        ids = torch.arange(len(found)) if layer.edge_ids is None else layer.edge_ids[kind]
        ids = ids if layer.mask[kind] is None else ids[layer.mask[kind]]
        asked = set(graph.ends[0][batch.examples].tolist())
        into = [n for n in ids.tolist() if int(found.dst[n]) in asked]
        assert found.time is not None
        assert all(found.time[n] <= time[found.dst[n]] for n in into)
        seen += len(into)
    assert mixed > 3 and seen > 20
