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


def configure(store: gs.GraphStore, model: str = "hmg_emo", **settings: object):
    columns = {"group.description": "hash-text", "user views image.comment": "hash-text"}
    chosen = SMALL if model == "hmg_emo" else {}
    return design(store, "edge-emotion", TrainOptions(model=model, features=columns, settings=chosen | settings))


def test_an_estimate_counts_what_the_training_will_have(social: gs.GraphStore) -> None:
    config = configure(social, epochs=7)
    before = estimate(social, config)
    comments = social.first("select count(distinct trim(comment)) from edge_user_views_image where comment is not null")
    assert before.contents == {"group.description": 2, "user views image.comment": comments[0]}
    assert before.encoding_minutes > 0
    assert social.first("select (select count(*) from runs) + (select count(*) from feature_rows)") == (0,)
    run = gs.train(social, "edge-emotion", model="hmg_emo", features=config.features, settings=SMALL | {"epochs": 1})
    after = estimate(social, config)
    assert (after.contents, after.encoding_minutes) == ({}, 0)
    for estimated in (before, after):
        assert estimated.parameters == social.first("select parameters from runs where run_id = ?", [run.id])[0]
        assert estimated.examples == dict(
            social.sql(
                "select role, count(*) from split_members where split_id = ? group by 1", [run.split_id]
            ).fetchall()
        )
        assert (estimated.epochs, estimated.steps) == (7, -(-estimated.examples["train"] // 64))
        assert estimated.step_seconds > 0 and estimated.validation_seconds > 0 and estimated.peak_memory_mib > 100
        expected = 7 * (estimated.steps * estimated.step_seconds + estimated.validation_seconds) / 60
        assert abs(estimated.training_minutes - expected) < 1e-9
        task = EdgeEmotion()
        entity = task.entity(social.schema)
        graph = build(social, "small", entity, task.labels(social, "small"))
        assert set(estimated.nodes) == {"user", "image", "group"} and estimated.nodes["user"] == graph.num_nodes["user"]
        assert estimated.edges["user views image"] == estimated.edges["image rev_views user"]


def test_a_model_that_does_not_learn_takes_no_training(social: gs.GraphStore) -> None:
    estimated = estimate(social, configure(social, "majority"))
    assert (estimated.parameters, estimated.epochs, estimated.training_minutes) == (0, 0, 0.0)


def test_encoding_is_timed_on_a_sample(social: gs.GraphStore) -> None:
    estimated = estimate_encoding(social, "user views image.comment", HashText())
    assert estimated.contents > 0 and estimated.seconds > 0
    featurize(social, "user views image.comment", HashText())
    again = estimate_encoding(social, "user views image.comment", HashText())
    assert (again.contents, again.seconds) == (0, 0.0)
