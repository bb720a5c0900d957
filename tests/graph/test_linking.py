"""Edges by likeness: nearest earlier nodes, once, replaced when what they follow from changes, gone with the data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import graphsocial as gs
from graphsocial.errors import DataError, InputError, StoreError, UnknownNameError
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
POST = NodeType(
    "post",
    (
        Column("message", "text"),
        Column("vector", "vector"),
        Column("published", "timestamp"),
        Column("shares", "integer", "label"),
    ),
    time="published",
)
TAG = NodeType("tag", (Column("vector", "vector"),))
POSTS = 50


def write(store: gs.GraphStore, dataset: str, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "id": [f"p{n}" for n in range(POSTS)],
            "message": [None if n == 3 else f"word{n % 5} word{n % 7} more" for n in range(POSTS)],
            "vector": [None if n in (3, 4) else random.normal(size=4).tolist() for n in range(POSTS)],
            "published": [None if n == 9 else START + timedelta(hours=int(n) % 40) for n in random.permutation(POSTS)],
            "shares": random.integers(0, 100, POSTS),
        }
    )
    store.declare(GraphSchema((POST, TAG)))
    store.write(POST, frame, dataset=dataset)
    tags = {"id": ["a", "b", "c"], "vector": [[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]]}
    store.write(TAG, pl.DataFrame(tags), dataset=dataset)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[gs.GraphStore]:
    with gs.open(tmp_path / "s.duckdb") as opened:
        write(opened, "posts")
        yield opened


def edges(store: gs.GraphStore, relation: str = "similar") -> pl.DataFrame:
    return store.sql(
        "select s.id as src, d.id as dst, similarity, e.published, s.published as earlier, d.published as later, "
        f"e.dataset from edge_post_{relation}_post as e join node_post as s on s.idx = e.src "
        "join node_post as d on d.idx = e.dst order by e.idx"
    ).pl()


def test_each_post_has_edges_from_its_nearest_earlier_posts(store: gs.GraphStore) -> None:
    report = gs.link(store, "post", "vector", k=4, minimum=-1)
    found = edges(store)
    rows = {row["id"]: row for row in store.sql("select id, vector, published from node_post").pl().to_dicts()}
    unit = {
        name: np.array(row["vector"]) / np.linalg.norm(row["vector"]) for name, row in rows.items() if row["vector"]
    }
    for name, row in rows.items():
        heard = found.filter(pl.col("dst") == name)
        if row["vector"] is None or row["published"] is None:
            assert not heard.height and name not in found["src"]
            continue
        earlier = [
            o for o, r in rows.items() if o in unit and r["published"] is not None and r["published"] < row["published"]
        ]
        near = sorted(earlier, key=lambda other: -(unit[other] @ unit[name]))[:4]
        assert heard["src"].to_list() == near
        assert np.allclose(heard["similarity"], [unit[other] @ unit[name] for other in near], atol=1e-5)
        assert set(heard["published"]) <= {row["published"]}
    assert (report.edge, report.changed, report.edges) == ("post similar post", True, found.height)
    assert (report.nodes, report.bare, report.linked) == (POSTS, 3, found["dst"].n_unique())
    assert (report.recall, report.probed) == (1.0, None)


def test_the_same_again_changes_nothing_and_other_content_replaces(store: gs.GraphStore) -> None:
    first = gs.link(store, "post", {"message": "hash_text"}, k=3)
    before, digest = edges(store), store.data_hash("posts")
    again = gs.link(store, "post", {"message": "hash_text"}, k=3)
    assert (first.changed, again.changed) == (True, False)
    assert again.to_dict() == {**first.to_dict(), "changed": False, "seconds": again.seconds}
    assert store.data_hash("posts") == digest and edges(store).equals(before)
    store.connection.execute("update node_post set message = 'something else' where id = 'p7'")
    assert gs.link(store, "post", {"message": "hash_text"}, k=3).changed
    assert not edges(store).equals(before)
    store.connection.execute("update node_post set published = published + interval 1 year where id = 'p7'")
    assert gs.link(store, "post", {"message": "hash_text"}, k=3).changed
    assert gs.link(store, "post", {"message": "hash_text", "vector": None}, k=2).changed
    counts = store.sql("select count(*), max(n) from (select count(*) as n from edge_post_similar_post group by dst)")
    assert counts.fetchall()[0][1] == 2
    assert store.sql("select count(*) from links").fetchall() == [(1,)]


def test_datasets_and_relations_keep_apart(store: gs.GraphStore) -> None:
    write(store, "others", seed=1)
    for dataset in ("posts", "others"):
        gs.link(store, "post", "vector", k=2, dataset=dataset)
    gs.link(store, "post", {"message": "hash_text"}, k=2, relation="worded", dataset="posts")
    others = edges(store).filter(pl.col("dataset") == "others")
    gs.link(store, "post", "vector", k=5, dataset="posts")
    after = edges(store)
    assert after.filter(pl.col("dataset") == "others").equals(others)
    assert after.filter(pl.col("dataset") == "posts").height > others.height
    idx = store.sql("select idx, dataset from edge_post_similar_post order by idx").pl()
    assert idx["idx"].to_list() == list(range(after.height)) and idx["dataset"].rle().len() == 2
    store.remove("posts")
    assert edges(store).drop("earlier", "later").equals(others.drop("earlier", "later"))
    assert store.sql("select dataset, table_name from links").fetchall() == [("others", "edge_post_similar_post")]


def test_without_times_any_may_be_near_any(store: gs.GraphStore) -> None:
    gs.link(store, "tag", "vector", k=1)
    rows = store.sql("select src, dst from edge_tag_similar_tag order by dst").fetchall()
    assert rows == [(1, 0), (0, 1)]  # c is opposite to both
    assert [column.name for column in store.schema.edge("tag similar tag").columns] == ["similarity"]


def test_impossible_links_are_errors(store: gs.GraphStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'message'"):
        gs.link(store, "post", "mesage")
    with pytest.raises(InputError, match="takes no encoder"):
        gs.link(store, "post", {"vector": "hash_text"})
    for settings, told in (
        ({"k": 0}, "k is 1 to 1000"),
        ({"minimum": 2.0}, "minimum is a cosine"),
        ({"by": {}}, "at least"),
    ):
        with pytest.raises(InputError, match=told):
            gs.link(store, "post", **{"by": "vector", **settings})  # type: ignore[arg-type]
    store.connection.execute("update node_post set vector = null where idx > 0")
    with pytest.raises(DataError, match="1 of 50 'post' nodes"):
        gs.link(store, "post", "vector")
    given = EdgeType("post", "quotes", "post")
    store.declare(GraphSchema((POST,), (given,)))
    store.write(given, pl.DataFrame({"src": ["p0"], "dst": ["p1"]}), dataset="posts")
    with pytest.raises(InputError, match="'post quotes post' is an edge type of 'posts' itself"):
        gs.link(store, "post", "message", relation="quotes")
    store.connection.execute("checkpoint")
    store.close()
    with gs.open(tmp_path / "s.duckdb", read_only=True) as shut, pytest.raises(StoreError, match="reading only"):
        gs.link(shut, "post", "vector")


def test_sequences_cannot_be_linked(store: gs.GraphStore, tmp_path: Path) -> None:
    pytest.importorskip("gensim", reason="static vectors need graphsocial[word-vectors]")
    (tmp_path / "words.txt").write_text("word1 0.5 1.0\nmore 1.0 0.0\n")
    with pytest.raises(InputError, match="gives sequences of vectors"):
        gs.link(store, "post", {"message": f"static_vectors:{tmp_path}/words.txt,pooling=tokens"})
