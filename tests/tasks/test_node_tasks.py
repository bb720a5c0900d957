"""A task about nodes, with a class and a number for each, goes the same way as one about edges."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import reception
import torch
from conftest import POSTS
from reception import POST, Reception

import graphsocial as gs
from graphsocial.errors import InputError, UnknownNameError
from graphsocial.graph.building import build
from graphsocial.graph.loaders import FullGraphLoader, NeighborLoader
from graphsocial.graph.visibility import Visibility
from graphsocial.types import Column, EdgeType, GraphSchema


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
    evaluated = gs.evaluate(posts, run)["targets"]
    assert evaluated["mood"]["metrics"]["accuracy"] == pytest.approx(run.metrics["test"]["mood"]["accuracy"])
    assert evaluated["shares"]["metrics"] == pytest.approx(run.metrics["test"]["shares"])
    assert not evaluated["shares"]["classes"]


def test_a_trained_run_answers_nodes_by_id(posts: gs.GraphStore, tmp_path: Path) -> None:
    run = gs.train(posts, reception.__file__, epochs=2, settings={"batch_size": 64})
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
    parts = posts.sql(
        "select distinct part, role from split_members join node_post on id = entity_id where split_id = ?",
        [run.split_id],
    ).fetchall()
    assert set(parts) == {("train", "train"), ("dev", "validation"), ("test", "test")}
    run = gs.train(posts, Reception(), model="majority", split="group:thread")
    torn = posts.sql(
        "select thread from split_members join node_post on id = entity_id where split_id = ? group by thread "
        "having count(distinct role) > 1",
        [run.split_id],
    ).fetchall()
    assert not torn
    with pytest.raises(UnknownNameError, match="Did you mean 'thread'"):
        gs.train(posts, Reception(), model="majority", split="group:thred")
    with pytest.raises(InputError, match="column 'mood' holds 'calm'"):
        gs.train(posts, Reception(), model="majority", split="column:mood")
    with pytest.raises(InputError, match="Nodes have no source"):
        gs.train(posts, Reception(), model="majority", split="source")
    with pytest.raises(InputError, match="predicts pairs; this task is about nodes"):
        gs.train(posts, Reception(), model="hmg_emo")


@pytest.mark.parametrize("sampled", [False, True])
def test_nodes_in_time_see_the_past_and_their_own_edges(posts: gs.GraphStore, sampled: bool) -> None:
    """A post sees its page, the page sees posts from before the batch; nobody sees a later post."""
    task = Reception()
    graph = build(posts, "posts", task.entity(posts.schema), task.labels(posts, "posts"))
    roles = torch.where(graph.labelled, 0, -1)
    loader: FullGraphLoader | NeighborLoader = FullGraphLoader(graph, roles, Visibility(), depth=2, temporal=True)
    if sampled:
        loader = NeighborLoader(loader, (-1, -1))
    own, back = ("page", "publishes", "post"), ("post", "rev_publishes", "page")
    time = graph.example_time
    assert time is not None
    seen = 0
    for batch in loader.batches(torch.nonzero(roles == 0).squeeze(1), 40):
        first = time[batch.examples].min()
        seeds = set(graph.ends[0][batch.examples].tolist())
        for layer in batch.layers:
            for kind in (own, back):
                mask, edges = layer.mask[kind], graph.edges[kind]
                ids = torch.arange(len(edges)) if layer.edge_ids is None else layer.edge_ids[kind]
                ids = ids if mask is None else ids[mask]
                for src, dst, when in zip(edges.src[ids], edges.dst[ids], edges.time[ids], strict=True):  # type: ignore[index]
                    if kind == own and int(dst) in seeds:
                        assert when == time[int(dst)]
                    else:
                        assert when < first, (kind, int(src))
        last = batch.layers[-1]
        ids = torch.arange(len(graph.edges[own])) if last.edge_ids is None else last.edge_ids[own]
        mask = last.mask[own]
        shown = graph.edges[own].dst[ids if mask is None else ids[mask]]
        assert seeds <= set(shown.tolist())  # each seed post has its page
        assert not batch.view.label[batch.examples].any()
        assert (time[batch.view.label] < first).all()
        seen += len(ids)
    assert seen


def test_batches_in_random_order_with_one_layer_hold_only_the_past(posts: gs.GraphStore) -> None:
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
    roles = torch.where(graph.labelled, 0, -1)
    loader = FullGraphLoader(graph, roles, Visibility(), depth=1, temporal=True)
    time, kind = graph.example_time, ("post", "cites", "post")
    assert time is not None and not loader.by_time and FullGraphLoader(graph, roles, Visibility(), 2, True).by_time
    mixed = seen = 0
    train = torch.nonzero(roles == 0).squeeze(1)
    for batch in loader.batches(train, 20, torch.Generator().manual_seed(0)):
        (layer,) = batch.layers
        mixed += bool(
            (time[batch.examples].max() > time[train].median()) and time[batch.examples].min() < time[train].median()
        )
        edges = graph.edges[kind]
        ids = torch.arange(len(edges)) if layer.edge_ids is None else layer.edge_ids[kind]
        ids = ids if layer.mask[kind] is None else ids[layer.mask[kind]]
        seeds = set(graph.ends[0][batch.examples].tolist())
        into = [n for n in ids.tolist() if int(edges.dst[n]) in seeds]
        assert edges.time is not None
        assert all(edges.time[n] <= time[edges.dst[n]] for n in into)
        seen += len(into)
    assert mixed > 3 and seen > 20
