"""A search sees validation only, goes on where it stopped, and gives up what is going nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import write_social

import graphsocial as gs
from graphsocial.errors import InputError, TrainingError, UnknownNameError
from graphsocial.specs import Range
from graphsocial.store import GraphStore
from graphsocial.tuning import Step, tune
from graphsocial.tuning.trials import Study

SPACE = {"learning_rate": Range(1e-4, 0.1, log=True), "batch_size": ("32", "128")}
PLAIN = {"group.description": None, "user views image.comment": None}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphStore]:
    """The small social graph."""
    with gs.open(tmp_path_factory.mktemp("tuning") / "social.duckdb") as opened:
        write_social(opened)
        yield opened


def search(store: GraphStore, **options: object) -> Study:
    given = {"space": SPACE, "trials": 3, "epochs": 2, "model": "bias", "features": PLAIN, "prune": False}
    return tune(store, "edge-emotion", **{**given, **options})  # type: ignore[arg-type]


def test_trials_are_runs_ranked_by_validation_with_the_test_part_closed(store: GraphStore) -> None:
    found = search(store, seed=1)
    assert [trial.state for trial in found.trials] == ["complete"] * 3
    values = [trial.value for trial in found.trials]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert sorted(trial.number for trial in found.trials) == [0, 1, 2]
    for trial in found.trials:
        splits = store.sql("select distinct split from metrics where run_id = ?", [trial.run_id]).fetchall()
        assert splits == [("validation",)]
        config = gs.runs.load(store, trial.run_id).config["fitting"] if trial.run_id else {}
        assert config["learning_rate"] == trial.settings["learning_rate"]
        assert config["batch_size"] == int(trial.settings["batch_size"])
        assert trial.value == max(value for value in trial.epochs if value is not None)
    assert store.sql("select count(*) from test_openings").fetchall() == [(0,)]
    kept = store.sql("select number, value from trials where study_id = ? order by value desc", [found.id]).fetchall()
    assert kept == [(trial.number, trial.value) for trial in found.trials]


def test_the_same_search_trains_nothing_and_a_longer_one_goes_on(store: GraphStore) -> None:
    first = search(store)
    steps: list[Step] = []
    assert search(store, report=steps.append) == first
    assert not [step for step in steps if step.epoch]
    longer = search(store, trials=5, report=steps.append)
    assert longer.id == first.id
    begun = [step.number for step in steps if step.epoch]
    assert sorted(set(begun)) == [4, 5]
    assert {trial.run_id for trial in first.trials} < {trial.run_id for trial in longer.trials}


def test_an_interrupted_search_ends_like_one_that_was_not(store: GraphStore) -> None:
    class Stop(Exception):
        pass

    def stop(step: Step) -> None:
        if step.number == 3 and step.epoch:
            raise Stop

    with pytest.raises(Stop):
        search(store, seed=2, trials=4, report=stop)
    resumed = search(store, seed=2, trials=4)
    store.connection.execute("delete from trials where study_id = ?", [resumed.id]).fetchall()
    assert search(store, seed=2, trials=4) == resumed


def test_poor_trials_are_pruned_and_stay_so(store: GraphStore) -> None:
    space = {"learning_rate": Range(1e-7, 0.3, log=True)}
    options = {"space": space, "trials": 12, "epochs": 6, "seed": 3, "prune": True}
    found = search(store, **options)
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    assert all(len(trial.epochs) < 6 for trial in pruned)
    assert found.best.state == "complete"
    status = {trial.run_id: _status(store, trial.run_id) for trial in pruned}
    assert set(status.values()) == {"pruned"}
    steps: list[Step] = []
    assert search(store, **options, report=steps.append) == found
    assert not [step for step in steps if step.epoch]


def _status(store: GraphStore, run_id: str | None) -> str:
    return str(store.sql("select status from runs where run_id = ?", [run_id]).fetchall()[0][0])


def test_training_the_best_settings_opens_the_test_set(store: GraphStore) -> None:
    found = search(store, seed=4)
    run = gs.train(
        store,
        "edge-emotion",
        model="bias",
        epochs=2,
        seed=4,
        features=PLAIN,
        settings=found.best.settings,
    )
    assert run.id == found.best.run_id
    assert "test" in run.metrics


def test_metrics_where_lower_is_better_are_minimized(store: GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphsocial.tasks.edge_emotion import EdgeEmotion

    monkeypatch.setattr(EdgeEmotion, "selection_metric", "log_loss")
    found = search(store, seed=5)
    values = [trial.value for trial in found.trials]
    assert values == sorted(values)  # type: ignore[type-var]
    best = found.best
    assert best.value == min(value for value in best.epochs if value is not None)


def test_impossible_trials_fail_and_others_go_on(store: GraphStore) -> None:
    options = {"model": "hmg_emo", "settings": {"layers": 1, "node_width": 4, "edge_width": 4, "width": 8}, "epochs": 1}
    found = search(store, space={"heads": ("2", "3")}, trials=4, **options)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed and failed[0].note and failed[0].value is None and failed[0].run_id is None
    assert found.best.state == "complete"
    assert [trial.state for trial in found.trials] == sorted(trial.state for trial in found.trials)
    with pytest.raises(TrainingError, match="Every trial failed"):
        search(store, space={"heads": ("3", "5")}, trials=2, **options)


def test_impossible_spaces_are_errors_before_any_training(store: GraphStore) -> None:
    count = store.sql("select count(*) from runs").fetchall()
    with pytest.raises(UnknownNameError, match="Did you mean 'learning_rate'"):
        search(store, space={"learning_rat": Range(0.1, 1)})
    with pytest.raises(InputError, match="cannot take batch_size='many'"):
        search(store, space={"batch_size": ("32", "many")})
    with pytest.raises(InputError, match="learning_rate is above 0"):
        search(store, space={"learning_rate": Range(-1, 1)})
    with pytest.raises(InputError, match="searched as well"):
        search(store, settings={"batch_size": 32})
    with pytest.raises(InputError, match=r"nothing to search.*--set-range"):
        search(store, space={})
    assert store.sql("select count(*) from runs").fetchall() == count
    with pytest.raises(InputError, match="not trained in epochs"):
        search(store, model="majority", space={"clip": Range(1, 5)})
