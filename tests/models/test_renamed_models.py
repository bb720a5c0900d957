"""Runs of models that have other names now, with weights as they were, are read and predict the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import graphsocial as gs
from graphsocial import runs
from graphsocial.runs import weights


@pytest.mark.parametrize(("now", "former"), [("destination_prior", "image_prior"), ("bias", "user_image_bias")])
def test_a_run_of_the_former_name_predicts_the_same(social: gs.GraphStore, now: str, former: str) -> None:
    run = gs.train(social, "edge-emotion", model=now, settings={"epochs": 2} if now == "bias" else None)
    query = (
        "select entity_id, other_id, probabilities from predictions where run_id = ? and split = 'test' order by all"
    )
    before = social.sql(query, [run.id]).fetchall()
    state = weights.load(social, run.id)
    if now == "bias":
        names = {"source": "user", "destination": "image"}
        network = {names.get(name, name): value for name, value in state.network.items()}
    else:
        network = {"shares": state.network["prior_emotion"], "scales": torch.zeros(0, 2, dtype=torch.float64)}
    saved = weights.save(social, run.id, replace(state, network=network))
    social.connection.execute("update runs set checkpoint_hash = ?", [saved])
    social.connection.execute(
        "update runs set config = replace(config::varchar, ?, ?)::json", [f'"{now}"', f'"{former}"']
    )
    assert runs.load(social, run.id).config["model"]["name"] == former
    assert gs.predict(social, run.id) > 0
    assert social.sql(query, [run.id]).fetchall() == before
