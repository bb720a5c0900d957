"""On data whose truth is known, the graph adds to the features, and nothing beats the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

import graphsocial as gs
from graphsocial.synthesis import SyntheticIesn

SETTINGS = SyntheticIesn(
    users=200, images=80, views=6000, contacts=2500, groups=16, communities=3, images_as="vectors", seed=3
)


@pytest.mark.slow
def test_features_alone_are_below_the_graph_and_the_graph_is_below_bayes(tmp_path: Path) -> None:
    gs.synthesize("iesn", tmp_path / "iesn", settings=SETTINGS)
    with gs.open(tmp_path / "social.duckdb") as store:
        gs.ingest(store, "iesn", tmp_path / "iesn")
        features = {"group.description": "hash_text", "user views image.comment": "hash_text"}
        scores = {
            model: gs.train(store, "edge-emotion", model=model, features=features, settings=settings).metrics["test"][
                "emotion"
            ]
            for model, settings in (
                ("majority", {}),
                ("features_only", {}),
                ("hmg_emo", {"layers": 2, "epochs": 30}),
                ("bayes_optimal", {}),
            )
        }
        board = gs.leaderboard(store)
    f1 = {model: values["weighted_f1"] for model, values in scores.items()}
    loss = {model: values["log_loss"] for model, values in scores.items()}
    assert f1["majority"] + 0.1 < f1["features_only"]
    assert f1["features_only"] + 0.05 < f1["hmg_emo"]
    assert loss["hmg_emo"] < loss["features_only"] - 0.1
    assert loss["bayes_optimal"] < loss["hmg_emo"]
    assert f1["hmg_emo"] > 0.9 * f1["bayes_optimal"]
    assert board["model"].to_list()[-1] == "majority"
