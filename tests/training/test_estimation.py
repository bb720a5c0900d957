"""What a training will take is told from a probe, and nothing of the probe stays."""

from __future__ import annotations

import graphsocial as gs
from graphsocial.features import featurize
from graphsocial.features.timing import estimate_encoding
from graphsocial.featurizers.hash_text import HashText
from graphsocial.graph.building import build
from graphsocial.tasks.edge_emotion import EdgeEmotion
from graphsocial.training.config import TrainOptions, design
from graphsocial.training.estimation import estimate

SMALL = {"layers": 2, "width": 8, "node_width": 8, "batch_size": 64}


def question(store: gs.GraphStore, model: str = "hmg_emo", **settings: object):
    columns = {"group.description": "hash-text", "user views image.comment": "hash-text"}
    chosen = SMALL if model == "hmg_emo" else {}
    return design(store, "edge-emotion", TrainOptions(model=model, features=columns, settings=chosen | settings))


def test_an_estimate_counts_what_the_training_will_have(social: gs.GraphStore) -> None:
    asked = question(social, epochs=7)
    before = estimate(social, asked)
    comments = social.first("select count(distinct trim(comment)) from edge_user_views_image where comment is not null")
    assert before.contents == {"group.description": 2, "user views image.comment": comments[0]}
    assert before.encoding_minutes > 0
    assert social.first("select (select count(*) from runs) + (select count(*) from feature_rows)") == (0,)
    run = gs.train(social, "edge-emotion", model="hmg_emo", features=asked.features, settings=SMALL | {"epochs": 1})
    after = estimate(social, asked)
    assert (after.contents, after.encoding_minutes) == ({}, 0)
    for found in (before, after):
        assert found.parameters == social.first("select parameters from runs where run_id = ?", [run.id])[0]
        assert found.examples == dict(
            social.sql(
                "select role, count(*) from split_members where split_id = ? group by 1", [run.split_id]
            ).fetchall()
        )
        assert (found.epochs, found.steps) == (7, -(-found.examples["train"] // 64))
        assert found.step_seconds > 0 and found.validation_seconds > 0 and found.peak_memory_mib > 100
        expected = 7 * (found.steps * found.step_seconds + found.validation_seconds) / 60
        assert abs(found.training_minutes - expected) < 1e-9
        task = EdgeEmotion()
        entity = task.entity(social.schema)
        graph = build(social, "small", entity, task.labels(social, "small"))
        assert set(found.nodes) == {"user", "image"} and found.nodes["user"] == graph.num_nodes["user"]
        assert found.edges["user views image"] == found.edges["image rev_views user"]


def test_a_model_that_does_not_learn_takes_no_training(social: gs.GraphStore) -> None:
    found = estimate(social, question(social, "majority"))
    assert (found.parameters, found.epochs, found.training_minutes) == (0, 0, 0.0)


def test_encoding_is_timed_on_a_sample(social: gs.GraphStore) -> None:
    found = estimate_encoding(social, "user views image.comment", HashText())
    assert found.contents > 0 and found.seconds > 0
    featurize(social, "user views image.comment", HashText())
    again = estimate_encoding(social, "user views image.comment", HashText())
    assert (again.contents, again.seconds) == (0, 0.0)
