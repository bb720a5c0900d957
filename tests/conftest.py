"""A small labelled social graph that many tests share, and where real data lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("DGLBACKEND", "pytorch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small graphs: threads would only wait for each other

import numpy as np
import polars as pl
import pytest
import reception

import graphsocial as gs
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType

USER = NodeType("user", (Column("age", "number"), Column("city", "category")))
IMAGE = NodeType("image", (Column("vector", "vector"),))
GROUP = NodeType("group", (Column("description", "text"),))
CONNECTS = EdgeType("user", "connects", "user")
JOINS = EdgeType("user", "joins", "group")
VIEWS = EdgeType(
    "user",
    "views",
    "image",
    (Column("emotions", "categories", "label"), Column("comment", "text"), Column("seen_at", "timestamp")),
    time="seen_at",
)
SCHEMA = GraphSchema((USER, IMAGE, GROUP), (CONNECTS, JOINS, VIEWS))
EMOTIONS = ("awe", "fear", "sadness")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without data, to copy: quicker than to make one for every test."""
    path = tmp_path_factory.mktemp("empty") / "s.duckdb"
    gs.open(path).close()
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data of ../shared/data is not on this machine")
    return folder


def write_social(
    store: gs.GraphStore, *, dataset: str = "small", users: int = 40, images: int = 30, seed: int = 0
) -> None:
    """Users of two tastes see images of two kinds; what they feel depends on both. Some labels are not single ones."""
    random = np.random.default_rng(seed)
    taste, kind = random.integers(0, 2, users), random.integers(0, 2, images)
    store.declare(SCHEMA)
    store.write(
        USER,
        pl.DataFrame(
            {
                "id": [f"u{n}" for n in range(users)],
                "age": [None if n % 7 == 0 else 20.0 + n for n in range(users)],
                "city": [("Oslo", "Lima", None)[n % 3] for n in range(users)],
            }
        ),
        dataset=dataset,
    )
    vectors = np.concatenate([kind[:, None] * 2.0 - 1, random.normal(0, 0.3, (images, 3))], axis=1)
    store.write(
        IMAGE, pl.DataFrame({"id": [f"i{n}" for n in range(images)], "vector": vectors.tolist()}), dataset=dataset
    )
    store.write(
        GROUP,
        pl.DataFrame({"id": ["g0", "g1"], "description": ["mountains and lakes", "parties in the city"]}),
        dataset=dataset,
    )
    friends = {(a, b) for a, b in random.integers(0, users, (6 * users, 2)).tolist() if a != b and taste[a] == taste[b]}
    store.write(
        CONNECTS,
        pl.DataFrame({"src": [f"u{a}" for a, _ in sorted(friends)], "dst": [f"u{b}" for _, b in sorted(friends)]}),
        dataset=dataset,
    )
    members = [n for n in range(users) if n % 2]
    store.write(
        JOINS,
        pl.DataFrame({"src": [f"u{n}" for n in members], "dst": [f"g{taste[n]}" for n in members]}),
        dataset=dataset,
    )
    pairs = sorted({(a, b) for a, b in zip(*(random.integers(0, n, 14 * users) for n in (users, images)), strict=True)})
    rows = []
    for number, (user, image) in enumerate(pairs):
        emotion = EMOTIONS[(taste[user] + kind[image]) % 2] if random.random() < 0.9 else EMOTIONS[2]
        emotions = ["unknown"] if number % 23 == 0 else [emotion, "awe"] if number % 29 == 0 else [emotion]
        comment = f"what {emotion} this is" if number % 3 == 0 else None
        time = f"2016-{1 + number % 12:02d}-{1 + number % 28:02d}T12:00:00Z"
        rows.append((f"u{user}", f"i{image}", emotions, comment, time))
        if number % 17 == 0:  # the pair again, said later
            rows.append((f"u{user}", f"i{image}", emotions, None, "2016-12-31T00:00:00Z"))
    random.shuffle(rows)
    frame = pl.DataFrame(
        rows,
        schema={
            "src": pl.String,
            "dst": pl.String,
            "emotions": pl.List(pl.String),
            "comment": pl.String,
            "seen_at": pl.String,
        },
        orient="row",
    )
    store.write(VIEWS, frame, dataset=dataset)


@pytest.fixture
def social(tmp_path: Path) -> Iterator[gs.GraphStore]:
    """A store with the small social graph."""
    with gs.open(tmp_path / "social.duckdb") as store:
        write_social(store)
        yield store


POSTS = 200


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
    store.declare(GraphSchema((reception.PAGE, reception.POST), (reception.PUBLISHES,)))
    store.write(
        reception.PAGE, pl.DataFrame({"id": ["a", "b", "c"], "kind": ["news", "news", "club"]}), dataset="posts"
    )
    store.write(reception.POST, frame, dataset="posts")
    edges = pl.DataFrame({"src": [("a", "b", "c")[n % 3] for n in range(POSTS)], "dst": ids, "time": times})
    store.write(reception.PUBLISHES, edges, dataset="posts")
    return store
