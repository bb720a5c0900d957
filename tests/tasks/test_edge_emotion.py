"""Numeric targets beside the emotion: read, learnt, passed along other edges, and hidden with the pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

import graphsocial as gs
from graphsocial.auditing import audit
from graphsocial.errors import InputError, UnknownNameError
from graphsocial.tasks.base import EdgeTask
from graphsocial.tasks.edge_emotion import EdgeEmotion
from graphsocial.types import Column, EdgeType, GraphSchema, NodeType, Target

USER, IMAGE = NodeType("user", (Column("age", "number"),)), NodeType("image", (Column("hue", "number"),))
RATES = EdgeType(
    "user",
    "rates",
    "image",
    (
        Column("emotions", "categories", "label"),
        Column("valence", "number", "label"),
        Column("arousal", "number", "label"),
        Column("seconds", "number"),
    ),
)
SMALL = {"layers": 1, "width": 16, "node_width": 16, "label_messages": True, "interaction": 4, "batch_size": 128}
USERS, IMAGES = 40, 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gs.GraphStore]:
    """Two tastes, two kinds of images: the valence of a rating, 1 to 9, is high where they fit; 5 is neutral."""
    random = np.random.default_rng(0)
    taste, kind = random.integers(0, 2, USERS), random.integers(0, 2, IMAGES)
    rows = []
    for user, image in np.argwhere(random.random((USERS, IMAGES)) < 0.7).tolist():
        valence = float(np.clip(round(5 + (3 if taste[user] == kind[image] else -3) + random.normal(0, 1.5)), 1, 9))
        emotion = ["neutral", "positive", "negative"][int(np.sign(valence - 5))]
        arousal = None if (user + image) % 11 == 0 else abs(valence - 5)
        rows.append((f"u{user}", f"i{image}", [emotion], valence, arousal, 3.0))
    rows += [("u0", "i0", ["neutral", "positive"], 6.0, 1.0, 3.0)] * 2
    names = ["src", "dst", "emotions", "valence", "arousal", "seconds"]
    with gs.open(tmp_path_factory.mktemp("rated") / "rated.duckdb") as opened:
        opened.declare(GraphSchema((USER, IMAGE), (RATES,)))
        ages = {"id": [f"u{n}" for n in range(USERS)], "age": random.uniform(20, 60, USERS)}
        hues = {"id": [f"i{n}" for n in range(IMAGES)], "hue": random.uniform(0, 1, IMAGES)}
        opened.write(USER, pl.DataFrame(ages), dataset="rated")
        opened.write(IMAGE, pl.DataFrame(hues), dataset="rated")
        opened.write(RATES, pl.DataFrame(rows, schema=names, orient="row"), dataset="rated")
        yield opened


def train(store: gs.GraphStore, model: str | None = None, **settings: object) -> gs.Run:
    given = SMALL if model is None else {}
    return gs.train(store, "edge-emotion", model=model, settings={**given, "epochs": 4, **settings})


def test_numbers_are_read_beside_the_class(store: gs.GraphStore) -> None:
    labels = EdgeEmotion(also=("valence", "arousal"), also_loss=0.3).labels(store, "rated")
    assert labels.targets[1:] == tuple(Target(name, "regression", weight=0.3) for name in ("valence", "arousal"))
    codes, valence, arousal = (labels.target_labels[name] for name in ("emotion", "valence", "arousal"))
    classes = np.asarray(labels.targets[0].classes)[codes]
    single = codes >= 0
    assert (~single).sum() == 1 and np.isnan(valence[~single]).all()  # u0 at i0 felt two things
    assert (
        np.sign(valence[single] - 5) == [("negative", "neutral", "positive").index(c) - 1 for c in classes[single]]
    ).all()
    assert 0 < np.isnan(arousal[single]).sum() < single.sum()
    alone = EdgeEmotion().labels(store, "rated")
    assert (alone.target_labels["emotion"] == codes).all() and set(alone.target_labels) == {"emotion"}


def test_numbers_that_are_no_labels_are_refused(store: gs.GraphStore) -> None:
    for name in ("seconds", "mood"):
        with pytest.raises(UnknownNameError, match=f"'{name}'.*arousal"):
            EdgeEmotion(also=(name,)).labels(store, "rated")
    with pytest.raises(InputError, match="also_loss"):
        EdgeEmotion(also_loss=-1)


@pytest.mark.slow
def test_numbers_are_answered_and_hidden_with_the_pair(store: gs.GraphStore) -> None:
    run = train(store, also="valence,arousal", epochs=15)
    assert (
        run.metrics["test"]["valence"]["rmse"]
        < train(store, "majority", also="valence").metrics["test"]["valence"]["rmse"] - 0.5
    )
    audited = audit(store, run)
    assert not audited.leaks, audited.checks
    again = store.sql(
        "select entity_id, other_id, value from predictions where run_id = ? and target = 'valence'", [run.id]
    )
    before = sorted(again.fetchall())
    gs.predict(store, run)
    after = store.sql(
        "select entity_id, other_id, value from predictions where run_id = ? and target = 'valence'", [run.id]
    )
    assert sorted(after.fetchall()) == before


@pytest.mark.parametrize("model", ["majority", "stratified", "destination-prior", "features-only", "bias"])
def test_every_baseline_answers_numbers_too(store: gs.GraphStore, model: str) -> None:
    run = train(store, model, also="valence,arousal")
    assert {*run.metrics["test"]} == {"emotion", "valence", "arousal"}
    assert np.isfinite(run.metrics["test"]["arousal"]["rmse"])


def test_the_mean_of_an_image_is_what_its_visible_ratings_say(store: gs.GraphStore) -> None:
    run = train(store, "destination-prior", also="valence", strength=0.0001)
    predictions = store.sql(
        "select other_id, any_value(value) as value from predictions where run_id = ? and target = 'valence' "
        "and split = 'test' group by all",
        [run.id],
    ).pl()
    means = store.sql(
        "select m.other_id, avg(e.valence) as mean from split_members as m join node_user as u on u.id = m.entity_id "
        "join node_image as i on i.id = m.other_id join edge_user_rates_image as e on e.src = u.idx and e.dst = i.idx "
        "where m.split_id = ? and m.role = 'train' group by all",
        [run.split_id],
    ).pl()
    both = predictions.join(means, on="other_id")
    assert both.height > 20
    np.testing.assert_allclose(both["value"], both["mean"], atol=0.01)


@dataclass(frozen=True)
class Declared(EdgeTask):
    """Its label SQL is derived from the names of its targets."""

    edge = "user views image"
    targets = (Target("emotions"), Target("valence", "regression"))


def test_a_pair_has_the_emotion_and_the_time_of_its_first_labelled_edge() -> None:
    """Later edges, which nobody knew of then, change neither; at one time two emotions are none."""
    views = EdgeType(
        "user",
        "views",
        "image",
        (
            Column("emotions", "category", "label"),
            Column("valence", "number", "label"),
            Column("day", "timestamp"),
        ),
        time="day",
    )
    rows = [
        ("u0", "i0", None, None, 1),
        ("u0", "i0", "joy", 7.0, 2),
        ("u0", "i0", "fear", 1.0, 3),
        ("u1", "i0", "joy", 6.0, 2),
        ("u1", "i0", "fear", 2.0, 2),
        ("u2", "i0", "fear", 3.0, 4),
        ("u2", "i0", "fear", 1.0, 4),
        ("u3", "i0", None, None, 5),
        ("u3", "i0", None, None, 4),
        ("u4", "i0", "joy", 8.0, None),
        ("u4", "i0", "fear", 2.0, 6),
    ]
    frame = pl.DataFrame(rows, schema=["src", "dst", "emotions", "valence", "day"], orient="row")
    times = pl.datetime(2024, 1, pl.col("day").fill_null(1), time_zone="UTC")
    frame = frame.with_columns(pl.when(pl.col("day").is_not_null()).then(times).alias("day"))
    with gs.open(":memory:") as store:
        store.declare(GraphSchema((USER, IMAGE), (views,)))
        store.write(USER, pl.DataFrame({"id": [f"u{n}" for n in range(5)]}), dataset="d")
        store.write(IMAGE, pl.DataFrame({"id": ["i0"]}), dataset="d")
        store.write(views, frame, dataset="d")
        both = {"emotion": EdgeEmotion(also=("valence",)).labels(store, "d"), "emotions": Declared().labels(store, "d")}
    for name, labels in both.items():
        classes = labels.targets[0].classes
        emotions = [None if code < 0 else classes[code] for code in labels.target_labels[name]]
        assert emotions == ["joy", None, "fear", None, "fear"]
        valence = [7.0, 4.0 if name == "emotions" else np.nan, 2.0, np.nan, 2.0]
        np.testing.assert_array_equal(labels.target_labels["valence"], valence)
        assert labels.times is not None
        assert [time.astype("datetime64[D]").item().day for time in labels.times] == [2, 2, 4, 4, 6]
