"""Each look at the test part is logged, a closed one stays closed, and a second look shows in the leaderboard."""

from __future__ import annotations

import pytest

import graphsocial as gs
from graphsocial.errors import DataError, StoreError, UnknownNameError
from graphsocial.runs import Run


def train(store: gs.GraphStore, strength: float = 2.0, **options: object) -> Run:
    settings = {"strength": strength}
    return gs.train(store, "edge-emotion", model="destination-prior", settings=settings, **options)  # type: ignore[arg-type]


def openings(store: gs.GraphStore) -> list[tuple[str, str]]:
    return store.sql("select run_id, how from test_openings order by opened_at").fetchall()


def opening_counts(store: gs.GraphStore, view: str = "leaderboard") -> list[tuple[object, ...]]:
    key = "run_id" if view == "leaderboard" else "config_id"
    return store.sql(f"select {key}, test_openings from {view} order by test_openings, {key}").fetchall()


def test_each_look_is_logged(social: gs.GraphStore) -> None:
    run = train(social)
    assert openings(social) == [(run.id, "train")]
    train(social)  # done before: nothing is compared
    gs.evaluate(social, run)
    gs.evaluate(social, run, split="validation")
    gs.predict(social, run)
    stranger = next((f"u{n}", "i0") for n in range(40) if (f"u{n}", "i0") not in known(social))
    gs.predict(social, run, ids=[stranger])
    assert openings(social) == [(run.id, "train"), (run.id, "evaluate"), (run.id, "predict")]
    rows = social.sql("select distinct split_id, config_id from test_openings").fetchall()
    assert rows == social.sql("select split_id, config_id from runs").fetchall()


def known(store: gs.GraphStore) -> set[tuple[str, str]]:
    return set(store.sql("select entity_id, other_id from split_members where role = 'test'").fetchall())


def test_a_closed_test_part_is_neither_predicted_nor_scored(social: gs.GraphStore) -> None:
    run = train(social, test=False)
    assert set(run.metrics) == {"validation"}
    assert social.sql("select 1 from predictions where split = 'test'").fetchall() == []
    assert openings(social) == opening_counts(social) == []
    assert train(social, test=False) == run
    with pytest.raises(DataError, match=f"closed to {run.id}.*--split validation"):
        gs.compare(social, [run.id])


@pytest.mark.parametrize("how", ["evaluate", "train"])
def test_a_closed_test_part_opens_to_the_same_scores(social: gs.GraphStore, how: str) -> None:
    run = train(social, test=False)
    if how == "evaluate":
        evaluated = gs.evaluate(social, run)
        assert evaluated["targets"]["emotion"]["rows"] == len(known(social))
    else:
        train(social)
    assert openings(social) == [(run.id, how)]
    (opened,) = social.sql("select weighted_f1 from leaderboard").fetchall()
    whole = train(social, again=True)
    assert whole.id == run.id
    assert opened == (whole.metrics["test"]["emotion"]["weighted_f1"],)


def test_a_trained_network_opens_to_the_same_scores(social: gs.GraphStore) -> None:
    settings = {"layers": 1, "width": 8, "node_width": 8, "comments": False}
    features = {"group.description": "hash_text", "user views image.comment": None}
    closed, again = (
        gs.train(social, "edge-emotion", epochs=2, settings=settings, features=features, **options)  # type: ignore[arg-type]
        for options in ({"test": False}, {})
    )
    assert closed.id == again.id
    whole = gs.train(social, "edge-emotion", epochs=2, settings=settings, features=features, again=True)
    assert again.metrics == whole.metrics


def test_a_second_look_with_other_settings_shows(social: gs.GraphStore) -> None:
    first, second = train(social), train(social, 4.0)
    train(social, 8.0, test=False)
    seed = train(social, seed=1)
    other = gs.train(social, "edge-emotion", model="majority")
    assert dict(opening_counts(social)) == {first.id: 1, seed.id: 1, other.id: 1, second.id: 2}
    assert [count for _, count in opening_counts(social, "leaderboard_mean")] == [1, 1, 2]
    elsewhere = train(social, 4.0, split="source")
    assert dict(opening_counts(social))[elsewhere.id] == 1
    train(social, again=True)  # opens it again, but it was the first
    assert dict(opening_counts(social))[first.id] == 1


def test_a_store_that_cannot_be_written_scores_what_was_opened_before(social: gs.GraphStore) -> None:
    run, closed = train(social), train(social, test=False, seed=1)
    social.close()
    with gs.open(social.path, read_only=True) as store:
        assert gs.evaluate(store, run)["targets"] and gs.evaluate(store, run, split="validation")["targets"]
        with pytest.raises(StoreError, match="is closed, and opening it is logged in the store"):
            gs.evaluate(store, closed)


def test_before_a_run_is_done_none_is_the_latest(social: gs.GraphStore) -> None:
    with pytest.raises(UnknownNameError, match=r"No run is done yet, so none is the latest; `train` makes one\.$"):
        gs.evaluate(social, "latest")
    run = train(social)
    social.connection.execute("update runs set status = 'running'")
    with pytest.raises(UnknownNameError, match=f"makes one. Begun: {run.id}"):
        gs.evaluate(social, "latest")
