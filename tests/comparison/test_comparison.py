"""Comparing: seeds pooled, the same rows for all, the graph lift, folds pooled, and errors that say why not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from predicted import CLASSES, Row, answer, write_run, write_training

import graphsocial as gs
from graphsocial.comparison import configurations
from graphsocial.errors import DataError, InputError, UnknownNameError


def some_answers(quality: float, *, seed: int, split: str = "test") -> list[Row]:
    """Pairs whose class is predicted with a probability of `quality`; the pairs and their labels stay the same."""
    truth, random = np.random.default_rng(len(split)), np.random.default_rng([seed, round(quality * 100)])
    rows = []
    for user in range(30):
        for image in range(8):
            true = int(truth.integers(0, 3))
            named = true if random.random() < quality else int(random.integers(0, 3))
            shares = [0.9 if k == named else 0.05 for k in range(3)]
            rows.append(answer(f"u{user}", f"i{image}{split[0]}", CLASSES[true], shares, split=split))
    return rows


@pytest.fixture
def compared(social: gs.GraphStore) -> gs.GraphStore:
    """Three seeds of a good model, two of the same without edges, one of a poor one."""
    for seed in range(3):
        rows = [*some_answers(0.7, seed=seed), *some_answers(0.7, seed=seed, split="validation")]
        write_run(social, f"hmg_emo-a{seed}", rows, seed=seed, config_id="aaaa1111")
    for seed in range(2):
        rows = some_answers(0.5, seed=seed)
        write_run(social, f"features_only-b{seed}", rows, seed=seed, model="features_only", config_id="bbbb2222")
    write_run(social, "majority-c0", some_answers(0.0, seed=0), model="majority", config_id="cccc3333")
    write_training(social, [(f"u{user}", "i0t") for user in range(0, 30, 2)])
    return social


def test_seeds_are_pooled_and_the_graph_lift_is_added(compared: gs.GraphStore) -> None:
    found = gs.compare(compared, ["hmg_emo-a1", "majority"], samples=300)
    assert (found.task, found.part, found.target, found.rows) == ("edge-emotion", "test", "emotion", 240)
    assert found.clusters == {"user": 30, "image": 8} and found.over == "seeds"
    scores = found.scores.filter(metric="accuracy")
    assert scores["model"].to_list() == ["hmg_emo", "majority", "features_only"]
    assert scores["runs"].to_list() == [3, 1, 2]
    counted = "select run_id, avg((label = true_label)::int) from predictions where split = 'test' group by 1"
    right = dict(compared.sql(counted).fetchall())
    mine = [right[f"hmg_emo-a{seed}"] for seed in range(3)]
    assert scores["mean"][0] == pytest.approx(np.mean(mine), abs=1e-6)
    assert scores["sd"][0] == pytest.approx(np.std(mine, ddof=1), abs=1e-6)
    assert scores["sd"][1] is None
    (difference,) = found.differences.filter(metric="accuracy").to_dicts()
    assert (difference["against"], difference["pairs"], difference["p"]) == ("majority", 1, None)
    assert difference["low"] < np.mean(mine) - right["majority-c0"] < difference["high"]
    lift = found.lift.filter(metric="accuracy")
    assert lift["model"].to_list() == ["hmg_emo", "majority"]
    assert lift["pairs"][0] == 2
    assert lift["low"][0] > 0
    assert lift["p"][0] is not None
    assert json.dumps(found.to_dict(), allow_nan=True)


def test_groups_have_all_rows(compared: gs.GraphStore) -> None:
    found = gs.compare(compared, ["hmg_emo"], by="user.city", samples=100)
    for _, rows in found.groups.filter(model="hmg_emo").group_by("by"):
        assert rows["rows"].sum() == found.rows
    degrees = found.groups.filter(by="training degree of the user", model="hmg_emo")
    assert dict(degrees.select("group", "rows").iter_rows()) == {"0": 120, "1–2": 120}
    assert set(found.groups.filter(by="user.city")["group"]) == {"Oslo", "Lima", "not known"}
    assert found.differences.is_empty()


def test_the_bootstrap_resamples_the_given_clusters(compared: gs.GraphStore) -> None:
    assert gs.compare(compared, ["hmg_emo"], cluster="destination", samples=100).clusters == {"image": 8}
    assert gs.compare(compared, ["hmg_emo"], cluster="row", samples=100).clusters == {"row": 240}


def test_temperature_is_fitted_on_validation_alone(compared: gs.GraphStore) -> None:
    found = gs.compare(compared, ["hmg_emo"], samples=100)
    row, other = found.calibration.to_dicts()
    assert (other["model"], other["temperature"]) == ("features_only", None)
    assert "'features_only' has no predictions of validation rows" in found.notes[0]
    assert row["temperature"] > 1  # sure of 0.9, right in 0.8
    assert row["log_loss_scaled"] < row["log_loss"]
    assert row["calibration_error_scaled"] < row["calibration_error"]
    compared.connection.execute("delete from runs where model = 'features_only'")
    assert "no graph lift" in gs.compare(compared, ["hmg_emo"], samples=100).notes[-1]
    assert gs.compare(compared, ["hmg_emo"], split="validation", samples=100).calibration["temperature"][0] is None


def test_numeric_targets_have_errors_and_no_calibration(social: gs.GraphStore) -> None:
    random = np.random.default_rng(0)
    truth = random.normal(30, 8, 40)
    for model, noise in (("good", 2), ("poor", 10)):
        values = truth + random.normal(0, noise, 40)
        rows = [
            {"entity_id": f"u{n}", "target": "age", "value": float(value), "true_value": float(true)}
            for n, (value, true) in enumerate(zip(values, truth, strict=True))
        ]
        write_run(social, model, rows, model=model, config_id=model, entity_type="user", task="user-age")
    found = gs.compare(social, ["good", "poor"], by="city", samples=300)
    assert found.metric == "mae" and found.clusters == {"row": 40}
    social.connection.execute("insert into run_epochs values ('good', 1, 0.1, 'rmse', 2.0, 0.01, 1.0)")
    assert gs.compare(social, ["good"], samples=100).metric == "rmse"
    assert found.differences["metric"].to_list() == ["mae", "rmse", "rmsle", "spearman"]
    assert (found.differences["high"][:2] < 0).all()
    assert found.differences["low"][3] > 0
    assert found.calibration.is_empty()
    assert found.classes.is_empty()
    assert set(found.groups["by"]) == {"city"}


def test_folds_are_pooled(social: gs.GraphStore) -> None:
    for fold in range(2):
        for model, quality in (("hmg_emo", 0.8), ("majority", 0.1)):
            rows = [row for n, row in enumerate(some_answers(quality, seed=fold)) if n % 2 == fold]
            write_run(
                social, f"{model}-{fold}", rows, model=model, config_id=model, split="kfold", split_id=f"fold{fold}"
            )
    found = gs.compare(social, ["hmg_emo", "majority"], samples=100)
    assert found.rows == 240
    assert found.clusters["user"] == 30 and found.over == "folds"  # a user is one cluster in all folds
    assert found.scores["runs"].to_list() == [2] * 8
    assert found.differences["pairs"].to_list() == [2] * 4


def test_names_stand_for_configurations(compared: gs.GraphStore) -> None:
    def labels(*names: str) -> list[str]:
        return [configuration.label for configuration in configurations.find(compared, names)]

    assert labels("hmg-emo") == labels("aaaa") == labels("hmg_emo-a2", "hmg_emo-a0") == ["hmg_emo"]
    assert labels("latest") == ["majority"]
    write_run(compared, "hmg_emo-d0", some_answers(0.6, seed=0), config_id="dddd4444")
    assert sorted(labels("hmg_emo")) == ["hmg_emo aaaa11", "hmg_emo dddd44"]


def test_trials_without_test_predictions_are_left_out(compared: gs.GraphStore) -> None:
    """Tuning leaves runs that have predicted validation rows only; a model's name does not stand for them."""
    for model, config in (("hmg_emo", "eeee5555"), ("features_only", "ffff6666")):
        rows = some_answers(0.6, seed=3, split="validation")
        write_run(compared, f"{model}-t0", rows, model=model, config_id=config)
    found = gs.compare(compared, ["hmg_emo", "majority"], samples=100)
    assert found.scores["model"].unique(maintain_order=True).to_list() == ["hmg_emo", "majority", "features_only"]
    assert set(found.scores["config"]) == {"aaaa1111", "bbbb2222", "cccc3333"}
    searched = gs.compare(compared, ["hmg_emo"], split="validation", samples=100)
    assert set(searched.scores["config"]) == {"aaaa1111", "eeee5555", "ffff6666"}
    with pytest.raises(DataError, match="still closed to hmg_emo-t0"):
        gs.compare(compared, ["hmg_emo-t0"])


def test_runs_on_changed_data_are_not_pooled(compared: gs.GraphStore) -> None:
    """The same command after the data was ingested anew makes a second run of the same configuration and seed."""
    for model, config in (("hmg_emo", "aaaa1111"), ("features_only", "bbbb2222")):
        rows = some_answers(0.7, seed=5)
        write_run(compared, f"{model}-n0", rows, model=model, config_id=config, data_hash="new", split_id="split-2")
    found = gs.compare(compared, ["hmg_emo"], samples=100)
    assert found.scores.filter(metric="accuracy").select("model", "runs").rows() == [
        ("hmg_emo", 1),
        ("features_only", 1),
    ]
    before = gs.compare(compared, ["hmg_emo-a1", "majority"], samples=100)
    assert before.scores.filter(metric="accuracy")["runs"].to_list() == [3, 1, 2]
    with pytest.raises(DataError, match="same pairs"):
        gs.compare(compared, ["hmg_emo", "majority"])


def test_runs_that_cannot_be_compared_are_errors(compared: gs.GraphStore) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'majority'"):
        gs.compare(compared, ["majorty"])
    with pytest.raises(InputError, match="Name at least one"):
        gs.compare(compared, [])
    with pytest.raises(InputError, match="at least 100"):
        gs.compare(compared, ["hmg_emo"], samples=5)
    with pytest.raises(InputError, match="not by 'users'"):
        gs.compare(compared, ["hmg_emo"], cluster="users")
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        gs.compare(compared, ["hmg_emo"], metric="acuracy")
    write_run(compared, "later", some_answers(0.5, seed=0), model="later", config_id="later", split="time")
    with pytest.raises(InputError, match="edge-emotion on small, split time"):
        gs.compare(compared, ["hmg_emo", "later"])
    write_run(compared, "other", some_answers(0.5, seed=0), model="other", config_id="other", split_id="split-2")
    with pytest.raises(DataError, match="same pairs"):
        gs.compare(compared, ["hmg_emo", "other"])
